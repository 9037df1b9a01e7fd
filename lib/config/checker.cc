// SPDX-License-Identifier: Apache-2.0
#include "lib/config/checker.h"

#include <arpa/inet.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "lib/config/names.h"

namespace meltemi::config {
namespace {

constexpr size_t kDomainMax = 255, kRegexMax = 1024;
constexpr uint32_t kPortMax = 65535;

// The names Istio knows; "" is left to the caller.
constexpr std::array<std::string_view, 13> kProtocols = {
    "GRPC",  "GRPC-WEB", "HTTP", "HTTP2", "HTTPS", "HTTP_PROXY", "MONGO",
    "MYSQL", "REDIS",    "TCP",  "TLS",   "UDP",   "HBONE"};

bool IsLabelWithCase(std::string_view label) {
  std::string lower(label);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return IsDnsLabel(lower);
}

bool AreLabels(std::string_view text) {
  std::string_view label;
  while (true) {
    const size_t dot = text.find('.');
    label = text.substr(0, dot);
    if (!IsLabelWithCase(label)) return false;
    if (dot == std::string_view::npos) break;
    text.remove_prefix(dot + 1);
  }
  return label.find_first_not_of("0123456789") != std::string_view::npos;
}

}  // namespace

bool IsFqdn(std::string_view text) {
  if (text.size() > kDomainMax) return false;
  if (text.size() > 1 && text.ends_with('.')) text.remove_suffix(1);
  return AreLabels(text);
}

bool IsWildcardDomain(std::string_view text) {
  if (!text.starts_with('*')) return IsFqdn(text);
  if (text == "*") return true;
  if (text.size() > kDomainMax) return false;
  // "*.foo", "*foo" and "*-foo" are all allowed: any letter makes the first label whole.
  const std::string whole = "a" + std::string(text.substr(1));
  return text[1] == '.' ? text.size() > 2 && IsFqdn(text.substr(2)) : IsFqdn(whole);
}

bool IsIpAddress(std::string_view text) {
  const std::string copy(text);
  in6_addr address;
  return inet_pton(AF_INET, copy.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, copy.c_str(), &address) == 1;
}

bool IsCidr(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return IsIpAddress(text);
  const std::string_view length = text.substr(slash + 1);
  int bits = -1;
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
  const int bits_max = text.find(':') == std::string_view::npos ? 32 : 128;
  return error == std::errc() && end == length.data() + length.size() && bits >= 0 &&
         bits <= bits_max && IsIpAddress(text.substr(0, slash));
}

bool IsHttpToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::string UpperCase(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return upper;
}

bool IsKnownProtocol(std::string_view text) {
  return std::find(kProtocols.begin(), kProtocols.end(), UpperCase(text)) != kProtocols.end();
}

Checker::Found Checker::Locate(const FieldPath& path) const {
  if (&path == &spec_.path || path.parent() == nullptr) return {&spec_.value, spec_.node};
  const Found parent = Locate(*path.parent());
  if (path.step() == FieldPath::Step::kItem) {
    const bool is_there = parent.value->is_array() && path.index() < parent.value->size();
    if (!is_there) return parent;
    return {&(*parent.value)[path.index()],
            parent.node != nullptr ? &parent.node->children[path.index()] : nullptr};
  }
  if (!parent.value->is_object()) return parent;
  const auto member = parent.value->find(path.name());
  if (member == parent.value->end()) return parent;
  return {&*member, ChildNode(*parent.value, parent.node, path.name())};
}

void Checker::Add(const FieldPath& path, std::string_view what) const {
  const Found found = Locate(path);
  problems_.Add(found.node != nullptr ? found.node->at : Position(), path, what);
}

void Checker::Port(const FieldPath& path, uint32_t port) const {
  if (port >= 1 && port <= kPortMax) return;
  Add(path, std::to_string(port) + " is no port; expected 1 to 65535");
}

void Checker::AtLeastZero(const FieldPath& path, int64_t value) const {
  if (value < 0) Add(path, std::to_string(value) + " is negative; expected 0 or more");
}

void Checker::Percent(const FieldPath& path, double value) const {
  if (value < 0 || value > 100) Add(path, "not a percentage; expected 0 to 100");
}

void Checker::Duration(const FieldPath& path, const google::protobuf::Duration& duration) const {
  if (duration.seconds() < 0 || duration.nanos() < 0 ||
      (duration.seconds() == 0 && duration.nanos() < 1'000'000)) {
    Add(path, "too short; expected a duration of at least 1ms");
  } else if (duration.nanos() % 1'000'000 != 0) {
    Add(path, "too fine; expected a duration in whole milliseconds, such as 1.5s");
  }
}

void Checker::Labels(const FieldPath& path, const TextMap& labels) const {
  for (const auto& [key, value] : labels) {
    const FieldPath at = path.Key(key);
    if (const std::string_view expected = CheckLabelKey(key); !expected.empty()) {
      Add(at, "no label's key; expected " + std::string(expected));
    } else if (const std::string_view good = CheckLabelValue(value); !good.empty()) {
      Add(at, Quoted(value) + " is no label's value; expected " + std::string(good));
    }
  }
}

void Checker::LabelSelector(const FieldPath& path, const TextMap& labels) const {
  for (const auto& [key, value] : labels) {
    if (key.empty() || key.find('*') != std::string::npos || value.find('*') != std::string::npos) {
      Add(path.Key(key), "no label; expected a key, and no * in key or value");
    }
  }
}

void Checker::Host(const FieldPath& path, std::string_view host) const {
  if (IsWildcardDomain(host)) return;
  Add(path, (host.empty() ? std::string("missing") : Quoted(host) + " is no host") +
                "; expected a name such as reviews or *.example.com");
}

void Checker::Regex(const FieldPath& path, const std::string& regex) const {
  if (regex.size() > kRegexMax) {
    return Add(path, "too long a regular expression; expected at most " +
                         std::to_string(kRegexMax) + " bytes");
  }
  if (const RE2 compiled(regex, RE2::Quiet); !compiled.ok()) {
    Add(path, "not a regular expression of RE2: " + compiled.error() +
                  "; expected one, see https://github.com/google/re2/wiki/Syntax");
  }
}

void Checker::HeaderName(const FieldPath& path, std::string_view name) const {
  if (!IsHttpToken(name)) Add(path, "no header's name; expected letters, digits and -");
}

void Checker::ExportTo(const FieldPath& path, const TextList& values, std::string_view ns,
                       bool may_be_nobody) const {
  std::set<std::string_view> seen;
  for (int i = 0; i < values.size(); ++i) {
    const std::string& value = values[i];
    const FieldPath at = path.Item(static_cast<size_t>(i));
    const bool is_reserved = value == "." || value == "*" || (value == "~" && may_be_nobody);
    if (!is_reserved && !IsDnsLabel(value)) {
      Add(at, Quoted(value) + " is no namespace; expected a namespace, . (this one) or * (all)");
    } else if (!seen.insert(value == "." ? ns : std::string_view(value)).second) {
      Add(at, "named twice; expected each namespace once");
    } else if ((value == "*" || value == "~") && values.size() > 1) {
      Add(at, Quoted(value) + " beside others; expected it alone");
    }
  }
}

void Checker::PortName(const FieldPath& path, std::string_view name) const {
  if (!IsDnsLabel(name)) {
    Add(path, (name.empty() ? std::string("missing") : Quoted(name) + " is no port's name") +
                  "; expected at most 63 of a-z, 0-9 and -");
  }
}

}  // namespace meltemi::config
