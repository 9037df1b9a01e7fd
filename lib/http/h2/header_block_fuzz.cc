// SPDX-License-Identifier: Apache-2.0
// Header compression: the input is two header blocks on one connection, framed properly, so that
// the decoder and what the first block left in its table are all that is tried.
#include <algorithm>
#include <string>

#include "lib/http/testing/fuzz_peer.h"

namespace {

std::string Headers(uint32_t stream, std::string_view block) {
  std::string frame(9, '\0');
  frame[1] = static_cast<char>(block.size() >> 8);
  frame[2] = static_cast<char>(block.size());
  frame[3] = 1;
  frame[4] = 5;  // END_HEADERS, END_STREAM
  frame[8] = static_cast<char>(stream);
  return frame.append(block);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::http;
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2,
                              std::min<size_t>(size - 2, 16'000));
  const size_t cut = text.size() * data[1] / 256;
  testing::FuzzPeer peer(data[0]);
  peer.StartServer(Protocol::kHttp2);
  peer.Receive(std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33));
  peer.Receive(Headers(1, text.substr(0, cut)));
  peer.Receive(Headers(3, text.substr(cut)));
  peer.End();
  return 0;
}
