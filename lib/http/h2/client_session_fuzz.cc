// SPDX-License-Identifier: Apache-2.0
// Any bytes behind the server's SETTINGS, to our HTTP/2 client with four requests under way.
#include "lib/http/testing/fuzz_peer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::http;
  if (size == 0 || size > 64 * 1024) return 0;
  testing::FuzzPeer peer(data[0]);
  peer.StartClient(Protocol::kHttp2, 4);
  peer.Receive(std::string_view("\0\0\0\4\0\0\0\0\0", 9));
  peer.Receive({reinterpret_cast<const char*>(data) + 1, size - 1});
  peer.End();
  return 0;
}
