// SPDX-License-Identifier: Apache-2.0
// Host names to addresses without blocking: c-ares on a loop, /etc/hosts first, then DNS.
// Worker-local. Callbacks run from the loop, never inside Resolve.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/net/address.h"
#include "lib/runtime/loop.h"

namespace meltemi::net {

// Envoy's DnsLookupFamily.
enum class LookupFamily : uint8_t { kAuto, kV4Only, kV6Only, kV4Preferred, kAll };

struct Resolution {
  Status status;  // NotFound: the name, or an address of the family, does not exist
  std::vector<Address> addresses = {};  // port zero
  Duration ttl{};                       // the least of all records'
};

struct ResolverOptions {
  std::vector<std::string> servers = {};       // "10.0.0.10:53"; empty = /etc/resolv.conf
  Duration timeout = std::chrono::seconds(2);  // of one try
  int tries = 3;
  size_t pending_max = 1024;
};

class Resolver {
 public:
  using Callback = absl::AnyInvocable<void(Resolution)>;
  // What /etc/hosts says has no age; ask again after this.
  static constexpr Duration kHostsTtl = std::chrono::seconds(60);

  // A question under way. Destroying it drops the callback. It may outlive the resolver.
  class Query {
   public:
    virtual ~Query() = default;
  };

  static StatusOr<std::unique_ptr<Resolver>> Create(runtime::Loop& loop,
                                                    const ResolverOptions& options = {});
  virtual ~Resolver() = default;  // unanswered questions get no callback
  [[nodiscard]] virtual std::unique_ptr<Query> Resolve(std::string_view name, LookupFamily family,
                                                       Callback callback) = 0;
};

}  // namespace meltemi::net
