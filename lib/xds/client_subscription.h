// SPDX-License-Identifier: Apache-2.0
// What a client wants of one type and which versions it holds. Loop-thread only.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace meltemi::xds {

struct ClientSubscription {
  struct Difference {
    std::vector<std::string> added, dropped;
    bool is_empty() const { return added.empty() && dropped.empty(); }
  };

  bool is_wildcard = false;
  bool is_asked = false;  // on the present stream
  std::set<std::string> names;
  std::map<std::string, std::string> held;  // name -> version
  // State of the world only: the last version taken as a whole, the stream's last response, and how
  // many of its responses are not settled yet.
  std::string version, nonce;
  size_t unsettled = 0;

  bool is_wanted() const { return is_wildcard || !names.empty(); }
  // Makes `wanted` the names; what is no longer wanted is no longer held.
  Difference Replace(const std::set<std::string>& wanted);
};

}  // namespace meltemi::xds
