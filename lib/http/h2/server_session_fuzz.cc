// SPDX-License-Identifier: Apache-2.0
// Any bytes after the preface, to our HTTP/2 server.
#include "lib/http/testing/fuzz_peer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::http;
  if (size == 0 || size > 64 * 1024) return 0;
  testing::FuzzPeer peer(data[0]);
  peer.StartServer(Protocol::kHttp2);
  peer.Receive(std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33));
  peer.Receive({reinterpret_cast<const char*>(data) + 1, size - 1});
  peer.End();
  return 0;
}
