// SPDX-License-Identifier: Apache-2.0
// Any bytes as requests, one behind the other, to our HTTP/1 server.
#include "lib/http/testing/fuzz_peer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::http;
  if (size == 0 || size > 128 * 1024) return 0;
  testing::FuzzPeer peer(data[0]);
  peer.StartServer(Protocol::kHttp11);
  peer.Receive({reinterpret_cast<const char*>(data) + 1, size - 1});
  peer.End();
  return 0;
}
