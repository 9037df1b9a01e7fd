// SPDX-License-Identifier: Apache-2.0
// Domains of virtual hosts → index of the virtual host, in Envoy's order: exact, longest suffix
// wildcard
// ("*.example.com"), longest prefix wildcard ("www.*"), "*". Case-insensitive. Immutable once
// built.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/status.h"

namespace meltemi::routing {

class HostTable final {
 public:
  // Fails when the domain is malformed or already taken.
  Status Add(std::string_view domain, uint32_t virtual_host);

  void set_ignores_port(bool ignores_port) { ignores_port_ = ignores_port; }
  // `authority` as received, with or without port. Does not allocate for hosts up to 255 bytes.
  std::optional<uint32_t> Find(std::string_view authority) const;

 private:
  using Map = absl::flat_hash_map<std::string, uint32_t>;
  struct Wildcards {  // all of one length
    size_t bytes;
    Map hosts;
  };
  std::optional<uint32_t> FindLower(std::string_view host) const;
  static Map& OfLength(std::vector<Wildcards>& wildcards, size_t bytes);

  bool ignores_port_ = false;
  Map exact_;
  std::vector<Wildcards> suffixes_;  // longest first; text without "*"
  std::vector<Wildcards> prefixes_;
  std::optional<uint32_t> any_;
};

// "host:80" → "host", "[::1]:80" → "[::1]"; anything without a port stays.
std::string_view WithoutPort(std::string_view authority);

}  // namespace meltemi::routing
