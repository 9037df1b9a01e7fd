// SPDX-License-Identifier: Apache-2.0
// A compiled route configuration in the snapshot, and the pin a stream holds on it.
#pragma once

#include <memory>
#include <string>

#include "lib/routing/route_table.h"
#include "proxy/config/snapshot.h"

namespace meltemi::proxy {

// Immutable.
class HttpRoutes final : public RouteTableBase {
 public:
  explicit HttpRoutes(std::shared_ptr<const routing::RouteTable> table)
      : table_(std::move(table)) {}
  const routing::RouteTable& table() const { return *table_; }

 private:
  std::shared_ptr<const routing::RouteTable> table_;
};

// What a stream keeps alive from its first byte to its log line. One per worker, connection manager
// and snapshot, so the count that streams touch is the worker's own.
struct RoutePin {
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const HttpRoutes> routes;  // nullptr: the named routes have not come yet
};

}  // namespace meltemi::proxy
