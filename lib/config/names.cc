// SPDX-License-Identifier: Apache-2.0
#include "lib/config/names.h"

#include <algorithm>

namespace meltemi::config {
namespace {

constexpr size_t kLabelMax = 63, kSubdomainMax = 253;

bool IsLower(char c) {
  return c >= 'a' && c <= 'z';
}
bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsAlphanumeric(char c) {
  return IsLower(c) || IsDigit(c) || (c >= 'A' && c <= 'Z');
}

// ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9], at most 63 characters.
bool IsQualifiedPart(std::string_view text) {
  return !text.empty() && text.size() <= kLabelMax && IsAlphanumeric(text.front()) &&
         IsAlphanumeric(text.back()) && std::all_of(text.begin(), text.end(), [](char c) {
           return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

bool IsLabelOfAnyLength(std::string_view text) {
  const auto fits = [](char c) { return IsLower(c) || IsDigit(c) || c == '-'; };
  return !text.empty() && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(), fits);
}

}  // namespace

bool IsDnsLabel(std::string_view text) {
  return text.size() <= kLabelMax && IsLabelOfAnyLength(text);
}

bool IsDnsSubdomain(std::string_view text) {
  if (text.size() > kSubdomainMax) return false;
  while (true) {
    const size_t dot = text.find('.');
    if (!IsLabelOfAnyLength(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

std::string_view CheckName(const Kind& kind, std::string_view name) {
  // Kubernetes lets RBAC's names be any segment of a path ("system:node").
  if (kind.group == "rbac.authorization.k8s.io") {
    const bool fits = name != "." && name != ".." && name.size() <= kSubdomainMax &&
                      name.find_first_of("/%") == std::string_view::npos;
    return fits ? "" : "a segment of a path, without / and %";
  }
  if (&kind == &kinds::kService) {
    return IsDnsLabel(name) && !IsDigit(name[0])
               ? ""
               : "at most 63 of a-z, 0-9 and -, beginning with a letter, ending with none of -";
  }
  if (&kind == &kinds::kNamespace) {
    return IsDnsLabel(name) ? "" : "at most 63 of a-z, 0-9 and -, not beginning or ending with -";
  }
  return IsDnsSubdomain(name)
             ? ""
             : "at most 253 of a-z, 0-9, - and ., each part beginning and ending with a letter "
               "or digit";
}

std::string_view CheckLabelKey(std::string_view key) {
  const size_t slash = key.find('/');
  const std::string_view name = slash == std::string_view::npos ? key : key.substr(slash + 1);
  if (!IsQualifiedPart(name)) {
    return "at most 63 of A-Z, a-z, 0-9, -, _ and . after an optional domain and /";
  }
  if (slash != std::string_view::npos && !IsDnsSubdomain(key.substr(0, slash))) {
    return "a domain in lower case before the /";
  }
  return "";
}

std::string_view CheckLabelValue(std::string_view value) {
  return value.empty() || IsQualifiedPart(value)
             ? ""
             : "at most 63 of A-Z, a-z, 0-9, -, _ and ., beginning and ending with a letter or "
               "digit";
}

}  // namespace meltemi::config
