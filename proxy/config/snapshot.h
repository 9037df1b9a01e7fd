// SPDX-License-Identifier: Apache-2.0
// All compiled configuration of one moment. Immutable; built by the control thread, shared by the
// workers. Clusters and route tables are found by dense ids that stay the same for a name as long
// as the process lives, so a compiled route holds an integer and survives updates of what it points
// at.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lib/base/status.h"

namespace envoy::config::core::v3 {
class ConfigSource;
}

namespace meltemi::proxy {

using ClusterId = uint32_t;
using RouteId = uint32_t;
inline constexpr uint32_t kNoId = UINT32_MAX;

// Control thread only: names to ids, for compilers.
class ClusterNames {
 public:
  virtual ClusterId Intern(std::string_view name) = 0;

 protected:
  ~ClusterNames() = default;
};

class RouteNames {
 public:
  virtual RouteId Intern(std::string_view name) = 0;

 protected:
  ~RouteNames() = default;
};

// Control thread only: route tables by name (RDS), for compilers. An error is about the source.
class RouteSubscriptions {
 public:
  virtual StatusOr<RouteId> Subscribe(std::string_view name,
                                      const envoy::config::core::v3::ConfigSource& source) = 0;

 protected:
  ~RouteSubscriptions() = default;
};

// A compiled RouteConfiguration; proxy/http derives its own from it.
class RouteTableBase {
 public:
  virtual ~RouteTableBase() = default;
};

struct CompiledCluster;   // proxy/upstream/cluster.h
struct CompiledListener;  // proxy/listener/listener_config.h

struct Snapshot {
  uint64_t version = 0;
  std::vector<std::shared_ptr<const CompiledCluster>> clusters;  // by ClusterId; nullptr = none
  std::vector<std::shared_ptr<const RouteTableBase>> routes;     // by RouteId; nullptr = none yet
  std::vector<std::shared_ptr<const CompiledListener>> listeners;
};

}  // namespace meltemi::proxy
