// SPDX-License-Identifier: Apache-2.0
// One of several route tables for a connection manager, chosen by a key that is made of a request's
// headers (Envoy's scoped_routes). Immutable, shared by the workers.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/http/message.h"
#include "proxy/http/routes.h"

namespace meltemi::proxy {

class ScopedRoutes final {
 public:
  // One part of the key: the value of a header, or an element of its list.
  struct Fragment {
    std::string header;
    std::string separator;           // of elements; "" = the value is one
    std::optional<uint32_t> index;   // that element, or
    std::string key, key_separator;  // the value of the first element with this key
  };
  struct Scope {
    std::shared_ptr<const HttpRoutes> routes;  // or
    RouteId rds = kNoId;
  };

  explicit ScopedRoutes(std::vector<Fragment> fragments) : fragments_(std::move(fragments)) {}
  // False: there is one with this key.
  bool Add(const std::vector<std::string>& key, Scope scope);
  size_t fragments() const { return fragments_.size(); }
  // nullptr: the request has no key, or nobody's.
  const Scope* Find(const http::RequestHead& head) const;

 private:
  std::vector<Fragment> fragments_;
  std::map<std::string, Scope, std::less<>> scopes_;  // by Joined()
};

}  // namespace meltemi::proxy
