// SPDX-License-Identifier: Apache-2.0
// Host names as clients write them: the domains of virtual hosts, and how wildcard hosts relate.
// Pure functions and values.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <string>
#include <string_view>
#include <vector>

#include "pilot/model/proxy_facts.h"
#include "pilot/model/service.h"

namespace envoy::config::route::v3 {
class VirtualHost;
}

namespace meltemi::pilot {

inline bool IsWildcard(std::string_view host) {
  return host.starts_with('*');
}
// Is every name that `host` stands for one that `pattern` stands for? "*" stands for all.
bool IsHostWithin(std::string_view host, std::string_view pattern);
bool IsIpAddress(std::string_view text);

// Where clients of this proxy reach the service: its addresses, or the one made up for it where the
// proxy answers their DNS.
std::vector<std::string> AddressesOf(const Service& service, const ProxyFacts& proxy);

// Domains of one route configuration: a domain belongs to one virtual host only, or Envoy refuses
// the whole, and the name of a service is never another's short form.
class Domains final {
 public:
  Domains(const ProxyFacts& proxy, absl::flat_hash_set<std::string> full_names)
      : proxy_(proxy), full_names_(std::move(full_names)) {}

  // All spellings of a host: full, with a closing dot, the short forms a client in the proxy's
  // namespace may use, and the addresses. `service` is null for a host that is none. False when
  // none was left, and the virtual host is of no use.
  bool Add(std::string_view host, const Service* service,
           envoy::config::route::v3::VirtualHost& to);
  bool has(const std::string& domain) const { return used_.contains(domain); }

 private:
  void AddOne(std::string domain, envoy::config::route::v3::VirtualHost& to);

  const ProxyFacts& proxy_;
  absl::flat_hash_set<std::string> full_names_;
  absl::flat_hash_set<std::string> used_;
};

}  // namespace meltemi::pilot
