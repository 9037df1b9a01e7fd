// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/message_rules.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "lib/http/h1/characters.h"

namespace meltemi::http::h2 {
namespace {

// RFC 3986 §3.1.
bool IsScheme(std::string_view value) {
  return !value.empty() && absl::ascii_isalpha(static_cast<unsigned char>(value.front())) &&
         std::all_of(value.begin(), value.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' ||
                  c == '.';
         });
}

bool IsText(std::string_view text, std::string_view lower_case) {
  return std::equal(
      text.begin(), text.end(), lower_case.begin(), lower_case.end(),
      [](char a, char b) { return absl::ascii_tolower(static_cast<unsigned char>(a)) == b; });
}

bool HasBlank(std::string_view value) {
  return value.find_first_of(" \t") != std::string_view::npos;
}

}  // namespace

void MessageRules::Begin(BlockKind kind, bool allows_connect) {
  *this = {};
  kind_ = kind;
  allows_connect_ = allows_connect;
}

bool MessageRules::Take(const Field& field) {
  if (!field.tag.is_well_formed) return false;
  return field.tag.pseudo == Pseudo::kNone ? TakeOrdinary(field) : TakePseudo(field);
}

bool MessageRules::TakePseudo(const Field& field) {
  const Pseudo pseudo = field.tag.pseudo;
  if (has_ordinary_ || has(pseudo)) return false;
  if ((pseudo == Pseudo::kStatus) != (kind_ == BlockKind::kResponse)) return false;
  if (kind_ == BlockKind::kTrailers) return false;
  seen_ |= 1u << static_cast<int>(pseudo);
  const std::string_view value = field.value;
  switch (pseudo) {
    case Pseudo::kMethod:
      return TakeMethod(value);
    case Pseudo::kScheme:
      is_http_ = IsText(value, "http") || IsText(value, "https");
      return IsScheme(value);
    case Pseudo::kPath:
      is_rooted_ = value.starts_with('/');
      is_asterisk_ = value == "*";
      return !value.empty() && !HasBlank(value);
    case Pseudo::kStatus:
      if (value.size() != 3) return false;
      for (const char c : value) {
        if (c < '0' || c > '9') return false;
        status_ = status_ * 10 + (c - '0');
      }
      return true;
    case Pseudo::kProtocol:
      return allows_connect_ && !value.empty();
    default:
      return !HasBlank(value);
  }
}

bool MessageRules::TakeMethod(std::string_view value) {
  is_connect_ = value == "CONNECT";
  is_head_ = value == "HEAD";
  is_options_ = value == "OPTIONS";
  return !value.empty() && h1::IsToken(value);
}

bool MessageRules::TakeOrdinary(const Field& field) {
  has_ordinary_ = true;
  switch (field.tag.id) {
    case HeaderId::kConnection:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return false;  // §8.2.2
    case HeaderId::kTe:
      return IsText(field.value, "trailers");
    case HeaderId::kHost:
      has_host_ = true;
      return true;
    case HeaderId::kContentLength:
      return kind_ != BlockKind::kTrailers && TakeContentLength(field.value);
    default:
      return true;
  }
}

bool MessageRules::TakeContentLength(std::string_view value) {
  if (value.empty() || content_length_ >= 0) return false;
  int64_t length = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return false;
    if (length > (std::numeric_limits<int64_t>::max() - 9) / 10) return false;
    length = length * 10 + (c - '0');
  }
  content_length_ = length;
  // RFC 9110 §8.6: not in these; a zero in a 204 is harmless and common.
  const bool is_forbidden = status_ / 100 == 1 || status_ == 204;
  return !is_forbidden || length == 0;
}

bool MessageRules::Complete() const {
  switch (kind_) {
    case BlockKind::kRequest:
      return IsRequestComplete();
    case BlockKind::kResponse:
      return has(Pseudo::kStatus);
    default:
      return true;
  }
}

bool MessageRules::IsRequestComplete() const {
  if (!has(Pseudo::kMethod)) return false;
  if (has(Pseudo::kProtocol)) {  // RFC 8441 §4
    if (!is_connect_ || !has(Pseudo::kAuthority)) return false;
  } else if (is_connect_) {  // §8.5
    return has(Pseudo::kAuthority) && !has(Pseudo::kScheme) && !has(Pseudo::kPath);
  }
  if (!has(Pseudo::kScheme) || !has(Pseudo::kPath)) return false;
  if (!has(Pseudo::kAuthority) && !has_host_) return false;
  return !is_http_ || is_rooted_ || (is_options_ && is_asterisk_);
}

}  // namespace meltemi::http::h2
