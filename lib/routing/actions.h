// SPDX-License-Identifier: Apache-2.0
// What a matched route makes of a request: the cluster, the new path, the place redirected to, the
// hash for load balancing. Pure functions; results live in the given arena or in the route.
#pragma once

#include <optional>
#include <string_view>

#include "lib/routing/route.h"
#include "lib/routing/route_table.h"

namespace meltemi::routing {

struct ChosenCluster {
  const ClusterTarget* target = nullptr;      // nullptr: named by a header, or nowhere
  const WeightedCluster* weighted = nullptr;  // set when chosen by weight
  std::string_view name;                      // "" when the header is absent
};
ChosenCluster ChooseCluster(const ForwardAction& action, const http::RequestHead& head,
                            uint64_t random);

// The path to send, query kept. `path` with query.
std::string_view RewritePath(const ForwardAction& action, const PathMatch& match,
                             std::string_view path, Arena& arena);

// Value of Location. `head.scheme` is the scheme the client used.
std::string_view Location(const RedirectAction& action, const PathMatch& match,
                          const http::RequestHead& head, Arena& arena);
// The https form of the same address, for virtual hosts that require TLS.
std::string_view HttpsLocation(const http::RequestHead& head, Arena& arena);

struct RequestHash {
  std::optional<uint64_t> value;
  const HashPolicy* new_cookie = nullptr;  // its cookie was absent: set it to `new_cookie_value`
  std::string_view new_cookie_value;
};
// `random` makes the value of a new cookie; `source_ip` are the address bytes of the client.
RequestHash HashRequest(const std::vector<HashPolicy>& policies, const http::RequestHead& head,
                        std::string_view source_ip, uint64_t random, Arena& arena);
// Set-Cookie for a cookie made here.
std::string_view SetCookie(const HashPolicy& policy, std::string_view value, Arena& arena);

}  // namespace meltemi::routing
