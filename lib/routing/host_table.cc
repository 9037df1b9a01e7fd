// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/host_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lib/routing/string_match.h"

namespace meltemi::routing {

std::string_view WithoutPort(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return authority;
  const size_t bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && bracket > colon) return authority;  // "[::1]"
  return authority.substr(0, colon);
}

HostTable::Map& HostTable::OfLength(std::vector<Wildcards>& wildcards, size_t bytes) {
  const auto at = std::find_if(wildcards.begin(), wildcards.end(),
                               [bytes](const Wildcards& w) { return w.bytes <= bytes; });
  if (at != wildcards.end() && at->bytes == bytes) return at->hosts;
  return wildcards.insert(at, Wildcards{bytes, {}})->hosts;
}

Status HostTable::Add(std::string_view domain, uint32_t virtual_host) {
  const std::string lower = LowerCase(domain);
  const auto duplicate = [&] {
    return absl::InvalidArgumentError(fmt::format("domain \"{}\" is given twice", domain));
  };
  if (lower.empty()) return absl::InvalidArgumentError("a domain is empty");
  if (lower == "*") {
    if (any_.has_value()) return duplicate();
    any_ = virtual_host;
    return absl::OkStatus();
  }
  const size_t star = lower.find('*');
  bool added = false;
  if (star == std::string::npos) {
    added = exact_.emplace(lower, virtual_host).second;
  } else if (star == 0) {
    added = OfLength(suffixes_, lower.size() - 1).emplace(lower.substr(1), virtual_host).second;
  } else if (star == lower.size() - 1) {
    added = OfLength(prefixes_, star).emplace(lower.substr(0, star), virtual_host).second;
  } else {
    return absl::InvalidArgumentError(
        fmt::format("domain \"{}\": \"*\" may stand at the beginning or the end only", domain));
  }
  return added ? absl::OkStatus() : duplicate();
}

std::optional<uint32_t> HostTable::Find(std::string_view authority) const {
  const std::string_view host = ignores_port_ ? WithoutPort(authority) : authority;
  const bool is_lower =
      std::none_of(host.begin(), host.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (is_lower) return FindLower(host);
  std::array<char, 255> lower;
  if (host.size() > lower.size()) return FindLower(LowerCase(host));
  std::transform(host.begin(), host.end(), lower.begin(), ToLower);
  return FindLower({lower.data(), host.size()});
}

std::optional<uint32_t> HostTable::FindLower(std::string_view host) const {
  if (const auto it = exact_.find(ToAbsl(host)); it != exact_.end()) return it->second;
  // A wildcard stands for at least one character.
  for (const Wildcards& wildcard : suffixes_) {
    if (host.size() <= wildcard.bytes) continue;
    const auto it = wildcard.hosts.find(ToAbsl(host.substr(host.size() - wildcard.bytes)));
    if (it != wildcard.hosts.end()) return it->second;
  }
  for (const Wildcards& wildcard : prefixes_) {
    if (host.size() <= wildcard.bytes) continue;
    const auto it = wildcard.hosts.find(ToAbsl(host.substr(0, wildcard.bytes)));
    if (it != wildcard.hosts.end()) return it->second;
  }
  return any_;
}

}  // namespace meltemi::routing
