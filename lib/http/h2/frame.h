// SPDX-License-Identifier: Apache-2.0
// Frames of HTTP/2 (RFC 9113 §4, §6, §7): their heads, types, flags and error codes. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/base/big_endian.h"

namespace meltemi::http::h2 {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr size_t kFrameHeadBytes = 9;
// What every end must take, and all that ours takes (§4.2): nothing is gained by larger ones.
inline constexpr uint32_t kFrameBytesMax = 16384;
inline constexpr uint32_t kFrameBytesLimit = (1u << 24) - 1;
inline constexpr int32_t kWindowAtStart = 65535;
inline constexpr int64_t kWindowMax = 0x7fffffff;
inline constexpr int32_t kStreamIdMax = 0x7fffffff;

enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

inline constexpr uint8_t kFlagEndStream = 0x1;
inline constexpr uint8_t kFlagAck = 0x1;
inline constexpr uint8_t kFlagEndHeaders = 0x4;
inline constexpr uint8_t kFlagPadded = 0x8;
inline constexpr uint8_t kFlagPriority = 0x20;

enum class ErrorCode : uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kFlowControlError = 3,
  kSettingsTimeout = 4,
  kStreamClosed = 5,
  kFrameSizeError = 6,
  kRefusedStream = 7,
  kCancel = 8,
  kCompressionError = 9,
  kConnectError = 10,
  kEnhanceYourCalm = 11,
  kInadequateSecurity = 12,
  kHttp11Required = 13,
};

enum class Setting : uint16_t {
  kHeaderTableSize = 1,
  kEnablePush = 2,
  kMaxConcurrentStreams = 3,
  kInitialWindowSize = 4,
  kMaxFrameSize = 5,
  kMaxHeaderListSize = 6,
  kEnableConnectProtocol = 8,
};
inline constexpr size_t kSettingBytes = 6;

struct FrameHead {
  uint32_t length = 0;  // of the payload
  FrameType type = FrameType::kData;
  uint8_t flags = 0;
  int32_t stream = 0;
  bool has(uint8_t flag) const { return (flags & flag) != 0; }
};

// `from` and `to` have kFrameHeadBytes.
FrameHead ReadFrameHead(const char* from);
void WriteFrameHead(char* to, const FrameHead& head);

// Takes the padding, and its length, off a payload (§6.1); false when it is longer than that.
bool StripPadding(uint8_t flags, std::string_view& payload);

}  // namespace meltemi::http::h2
