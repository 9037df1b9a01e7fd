// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/predicates.h"

#include <charconv>

namespace meltemi::routing {
namespace {

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

HeaderRef HeaderRef::Of(std::string_view name) {
  HeaderRef ref;
  ref.name = LowerCase(name);
  if (ref.name == ":method") ref.pseudo = Pseudo::kMethod;
  if (ref.name == ":scheme") ref.pseudo = Pseudo::kScheme;
  if (ref.name == ":path") ref.pseudo = Pseudo::kPath;
  if (ref.name == ":status") ref.pseudo = Pseudo::kStatus;
  if (ref.name == ":authority" || ref.name == "host") ref.pseudo = Pseudo::kAuthority;
  if (ref.pseudo == Pseudo::kNone) ref.id = http::LookUpHeader(ref.name);
  return ref;
}

std::optional<std::string_view> ValueOf(const http::HeaderMap& headers, const HeaderRef& header) {
  const http::HeaderField* first = nullptr;
  for (const http::HeaderField& field : headers.fields()) {
    if (!header.Is(field)) continue;
    if (first != nullptr) return headers.Joined(header.name);
    first = &field;
  }
  if (first == nullptr) return std::nullopt;
  return first->value;
}

std::optional<std::string_view> ValueOf(const http::RequestHead& head, const HeaderRef& header) {
  const auto present = [](std::string_view value) -> std::optional<std::string_view> {
    if (value.empty()) return std::nullopt;
    return value;
  };
  switch (header.pseudo) {
    case HeaderRef::Pseudo::kMethod:
      return present(head.method);
    case HeaderRef::Pseudo::kScheme:
      return present(head.scheme);
    case HeaderRef::Pseudo::kAuthority:
      return present(head.authority);
    case HeaderRef::Pseudo::kPath:
      return present(head.path);
    case HeaderRef::Pseudo::kStatus:
      return std::nullopt;
    case HeaderRef::Pseudo::kNone:
      break;
  }
  return ValueOf(head.headers, header);
}

bool HeaderPredicate::Judge(std::optional<std::string_view> value) const {
  if (kind == Kind::kPresent) return value.has_value() != is_inverted;
  if (kind == Kind::kAbsent) return value.has_value() == is_inverted;
  if (!value.has_value()) {
    // A missing header matches neither a pattern nor its negation, unless it counts as empty.
    if (!treats_missing_as_empty) return false;
    value = std::string_view();
  }
  if (kind == Kind::kText) return text->Matches(*value) != is_inverted;
  const std::optional<int64_t> number = ParseInteger(*value);
  const bool is_inside = number.has_value() && *number >= range_start && *number < range_end;
  return is_inside != is_inverted;
}

bool HeaderPredicate::Matches(const http::RequestHead& head) const {
  return Judge(ValueOf(head, header));
}

bool HeaderPredicate::Matches(const http::HeaderMap& headers) const {
  return Judge(ValueOf(headers, header));
}

std::optional<std::string_view> QueryParameter(std::string_view path, std::string_view name) {
  const size_t question = path.find('?');
  if (question == std::string_view::npos) return std::nullopt;
  std::string_view rest = path.substr(question + 1);
  rest = rest.substr(0, rest.find('#'));
  while (!rest.empty()) {
    const size_t end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name) {
      return equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    }
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return std::nullopt;
}

bool QueryPredicate::Matches(std::string_view path) const {
  const std::optional<std::string_view> value = QueryParameter(path, name);
  if (!value.has_value()) return false;
  return !text.has_value() || text->Matches(*value);
}

}  // namespace meltemi::routing
