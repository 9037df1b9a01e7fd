// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/frame.h"

namespace meltemi::http::h2 {

FrameHead ReadFrameHead(const char* from) {
  FrameHead head;
  head.length = ReadUint32(from) >> 8;
  head.type = static_cast<FrameType>(from[3]);
  head.flags = static_cast<uint8_t>(from[4]);
  head.stream = static_cast<int32_t>(ReadUint32(from + 5) & 0x7fffffffu);  // one bit is reserved
  return head;
}

void WriteFrameHead(char* to, const FrameHead& head) {
  to[0] = static_cast<char>(head.length >> 16);
  WriteUint16(to + 1, static_cast<uint16_t>(head.length));
  to[3] = static_cast<char>(head.type);
  to[4] = static_cast<char>(head.flags);
  WriteUint32(to + 5, static_cast<uint32_t>(head.stream));
}

bool StripPadding(uint8_t flags, std::string_view& payload) {
  if ((flags & kFlagPadded) == 0) return true;
  if (payload.empty()) return false;
  const size_t padding = static_cast<uint8_t>(payload.front());
  payload.remove_prefix(1);
  if (padding > payload.size()) return false;
  payload.remove_suffix(padding);
  return true;
}

}  // namespace meltemi::http::h2
