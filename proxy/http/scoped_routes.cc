// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/scoped_routes.h"

#include <algorithm>

namespace meltemi::proxy {
namespace {

// Parts may hold any byte: each goes with its length.
void AppendPart(std::string_view part, std::string& to) {
  to += std::to_string(part.size());
  to += ':';
  to += part;
}

std::optional<std::string_view> ValueOf(const ScopedRoutes::Fragment& fragment,
                                        const http::RequestHead& head) {
  std::string_view text;
  if (fragment.header == ":authority" || fragment.header == "host") {
    text = head.authority;
  } else if (const std::string_view* value = head.headers.Find(fragment.header)) {
    text = *value;
  } else {
    return std::nullopt;
  }
  if (fragment.separator.empty()) {
    if (fragment.index.has_value())
      return *fragment.index == 0 ? std::optional(text) : std::nullopt;
  }
  for (uint32_t i = 0;; ++i) {
    const size_t end =
        fragment.separator.empty() ? std::string_view::npos : text.find(fragment.separator);
    const std::string_view element = text.substr(0, end);
    if (fragment.index.has_value()) {
      if (i == *fragment.index) return element;
    } else if (!element.empty()) {
      const size_t at = element.find(fragment.key_separator);
      if (element.substr(0, at) == fragment.key) {
        return at == std::string_view::npos ? std::string_view()
                                            : element.substr(at + fragment.key_separator.size());
      }
    }
    if (end == std::string_view::npos) return std::nullopt;
    text.remove_prefix(end + fragment.separator.size());
  }
}

}  // namespace

bool ScopedRoutes::Add(const std::vector<std::string>& key, Scope scope) {
  std::string joined;
  for (const std::string& part : key) AppendPart(part, joined);
  return scopes_.emplace(std::move(joined), std::move(scope)).second;
}

const ScopedRoutes::Scope* ScopedRoutes::Find(const http::RequestHead& head) const {
  std::string key;
  for (const Fragment& fragment : fragments_) {
    const auto value = ValueOf(fragment, head);
    if (!value.has_value()) return nullptr;
    AppendPart(*value, key);
  }
  const auto found = scopes_.find(key);
  return found == scopes_.end() ? nullptr : &found->second;
}

}  // namespace meltemi::proxy
