// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/local_reply.h"

#include <array>
#include <charconv>

namespace meltemi::proxy {
namespace {

// Percent-encoding of grpc-message (gRPC over HTTP/2, "Responses"): printable ASCII but "%" stays.
std::string_view EncodeGrpcMessage(std::string_view text, Arena& arena) {
  constexpr char kHex[] = "0123456789ABCDEF";
  char* const begin = arena.Allocate(text.size() * 3);
  char* to = begin;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      *to++ = c;
    } else {
      *to++ = '%';
      *to++ = kHex[byte >> 4];
      *to++ = kHex[byte & 0xf];
    }
  }
  return {begin, static_cast<size_t>(to - begin)};
}

std::string_view Decimal(int number, Arena& arena) {
  std::array<char, 12> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return arena.Copy({text.data(), static_cast<size_t>(end - text.data())});
}

}  // namespace

bool IsGrpc(const http::HeaderMap& headers) {
  constexpr std::string_view kGrpc = "application/grpc";
  const std::string_view type = headers.Get(http::HeaderId::kContentType);
  return type.starts_with(kGrpc) && (type.size() == kGrpc.size() || type[kGrpc.size()] == '+');
}

int GrpcStatusOf(int http_status) {
  switch (http_status) {
    case 200:
      return 0;
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

std::string_view FillLocalReply(const http::RequestHead& request, int status, std::string_view body,
                                int grpc_status, std::string_view content_type,
                                http::ResponseHead& reply) {
  http::HeaderMap& headers = reply.headers;
  if (IsGrpc(request.headers)) {
    reply.status = 200;
    headers.Set(http::HeaderId::kContentType, "application/grpc");
    headers.Add(http::HeaderId::kGrpcStatus,
                Decimal(grpc_status >= 0 ? grpc_status : GrpcStatusOf(status), headers.arena()));
    if (!body.empty()) {
      headers.AddBorrowed(http::HeaderId::kGrpcMessage,
                          http::HeaderName(http::HeaderId::kGrpcMessage),
                          EncodeGrpcMessage(body, headers.arena()));
    }
    reply.content_length = 0;
    return {};
  }
  reply.status = status;
  const bool may_have_body = status >= 200 && status != 204 && status != 304;
  reply.content_length = may_have_body ? static_cast<int64_t>(body.size()) : http::kLengthUnknown;
  if (may_have_body && !body.empty() && headers.Find(http::HeaderId::kContentType) == nullptr) {
    headers.Add(http::HeaderId::kContentType,
                content_type.empty() ? std::string_view("text/plain") : content_type);
  }
  return may_have_body && request.method != "HEAD" ? body : std::string_view();
}

}  // namespace meltemi::proxy
