// SPDX-License-Identifier: Apache-2.0
// Keeps the endpoints of one DNS cluster current. Control thread only.
//
// STRICT_DNS takes every address of every name, LOGICAL_DNS the first of its one name. A question
// that fails leaves what was known before; the first round reports even when nothing was found, so
// that a dead name does not hold up the start.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "lib/net/resolver.h"
#include "lib/runtime/loop.h"
#include "proxy/config/cluster_compiler.h"

namespace meltemi::proxy {

class DnsEndpoints final {
 public:
  // `changed` runs from the loop, and may not destroy this object.
  DnsEndpoints(runtime::Loop& loop, net::Resolver& resolver,
               std::shared_ptr<const ClusterPlan> plan,
               std::function<void(const Assignment&)> changed);

 private:
  void Ask();
  void OnAnswer(size_t name, net::Resolution resolution);
  void Report();

  net::Resolver& resolver_;
  const std::shared_ptr<const ClusterPlan> plan_;
  const std::function<void(const Assignment&)> changed_;
  std::vector<std::unique_ptr<net::Resolver::Query>> queries_;  // by name
  std::vector<std::vector<net::Address>> known_;                // by name
  size_t waiting_ = 0;
  bool has_news_ = true;
  runtime::Timer refresh_;
};

}  // namespace meltemi::proxy
