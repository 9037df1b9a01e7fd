// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/message.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "lib/base/big_endian.h"

namespace meltemi::grpc {
namespace {

// Held text grows with what has come, not with what a prefix claims.
constexpr size_t kReserveBytesMax = 1024 * 1024;

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

std::string MessagePrefix(size_t message_bytes) {
  std::string prefix(kPrefixBytes, '\0');
  WriteUint32(prefix.data() + 1, static_cast<uint32_t>(message_bytes));
  return prefix;
}

MessageReader::Verdict MessageReader::Judge(std::string_view bytes, size_t& size) const {
  size = 0;
  if (bytes.empty()) return Verdict::kOk;
  if (bytes[0] != 0) return Verdict::kCompressed;
  if (bytes.size() < kPrefixBytes) return Verdict::kOk;
  const size_t length = ReadUint32(bytes.data() + 1);
  if (length > message_bytes_max_) return Verdict::kTooLarge;
  size = kPrefixBytes + length;
  return Verdict::kOk;
}

MessageReader::Verdict MessageReader::Take(std::string_view bytes, const Receive& receive) {
  while (!bytes.empty()) {
    size_t size = 0;
    if (held_.empty()) {
      if (const Verdict v = Judge(bytes, size); v != Verdict::kOk) return v;
      if (size != 0 && size <= bytes.size()) {
        if (!receive(bytes.substr(kPrefixBytes, size - kPrefixBytes))) return Verdict::kStopped;
        bytes.remove_prefix(size);
        continue;
      }
    } else if (held_.size() >= kPrefixBytes) {
      if (const Verdict v = Judge(held_, size); v != Verdict::kOk) return v;
    }
    const size_t wanted = size != 0 ? size : kPrefixBytes;
    if (size != 0) held_.reserve(std::min(size, std::max(kReserveBytesMax, 2 * held_.size())));
    const size_t take = std::min(wanted - held_.size(), bytes.size());
    held_.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (const Verdict v = Judge(held_, size); v != Verdict::kOk) return v;
    if (size == 0 || held_.size() < size) continue;
    const std::string message = std::exchange(held_, std::string());
    if (!receive(std::string_view(message).substr(kPrefixBytes))) return Verdict::kStopped;
  }
  return Verdict::kOk;
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      encoded.push_back(c);
    } else {
      encoded.push_back('%');
      encoded.push_back(kHex[static_cast<uint8_t>(c) >> 4]);
      encoded.push_back(kHex[static_cast<uint8_t>(c) & 15]);
    }
  }
  return encoded;
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? HexValue(text[i + 1]) : -1;
    const int low = high >= 0 ? HexValue(text[i + 2]) : -1;
    if (low < 0) {
      decoded.push_back(text[i]);
    } else {
      decoded.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return decoded;
}

void AddStatus(const CallStatus& status, http::HeaderMap& headers) {
  headers.Add(http::HeaderId::kGrpcStatus, std::to_string(status.code));
  if (status.message.empty()) return;
  // Messages are for people; a page of them is enough.
  constexpr size_t kMessageBytesMax = 4096;
  const std::string_view shown = std::string_view(status.message).substr(0, kMessageBytesMax);
  headers.Add(http::HeaderId::kGrpcMessage, PercentEncode(shown));
}

CallStatus ReadStatus(const http::HeaderMap& headers) {
  const std::string_view* code = headers.Find(http::HeaderId::kGrpcStatus);
  if (code == nullptr) return {.code = -1, .message = ""};
  CallStatus status{.code = kUnknown,
                    .message = PercentDecode(headers.Get(http::HeaderId::kGrpcMessage))};
  int number = 0;
  const auto parsed = std::from_chars(code->data(), code->data() + code->size(), number);
  if (parsed.ec == std::errc() && number >= 0) status.code = number;
  return status;
}

int CodeForHttp(int http_status) {
  switch (http_status) {
    case 400:
      return kInternal;
    case 401:
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 404:
      return kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return kUnavailable;
    default:
      return kUnknown;
  }
}

}  // namespace meltemi::grpc
