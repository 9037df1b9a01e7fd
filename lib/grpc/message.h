// SPDX-License-Identifier: Apache-2.0
// What both ends of gRPC share: length-prefixed messages and the status fields
// (grpc/doc/PROTOCOL-HTTP2.md). Loop-thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "lib/grpc/status.h"
#include "lib/http/headers.h"

namespace meltemi::grpc {

enum Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kResourceExhausted = 8,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
};

// One byte of flags and four of length stand before each message.
inline constexpr size_t kPrefixBytes = 5;
std::string MessagePrefix(size_t message_bytes);

// Cuts a stream of bytes into messages. A message that lies in one piece is passed on without a
// copy.
class MessageReader final {
 public:
  enum class Verdict : uint8_t { kOk, kTooLarge, kCompressed, kStopped };
  // Returns false to stop.
  using Receive = std::function<bool(std::string_view message)>;

  explicit MessageReader(size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}
  // Takes all of `bytes` unless the verdict is another than kOk.
  Verdict Take(std::string_view bytes, const Receive& receive);
  bool is_between_messages() const { return held_.empty(); }

 private:
  // Total size of the message at the front of `bytes` with its prefix; 0 = prefix incomplete.
  Verdict Judge(std::string_view bytes, size_t& size) const;

  const size_t message_bytes_max_;
  std::string held_;  // the beginning of a message
};

std::string PercentEncode(std::string_view text);
std::string PercentDecode(std::string_view text);

void AddStatus(const CallStatus& status, http::HeaderMap& headers);
// The status that a head or trailers carry; code -1 when they carry none.
CallStatus ReadStatus(const http::HeaderMap& headers);
// For answers that are no gRPC (grpc/doc/http-grpc-status-mapping.md).
int CodeForHttp(int http_status);

}  // namespace meltemi::grpc
