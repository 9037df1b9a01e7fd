// SPDX-License-Identifier: Apache-2.0
// Virtual addresses of Services, and the other defaults Kubernetes gives a Service when it is
// written. An address is kept in the object, so it lasts as long as that.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "lib/base/status.h"
#include "lib/config/store.h"

namespace meltemi::galley {

// An IPv4 network, "10.96.0.0/12".
struct ServiceRange {
  uint32_t first = 0;  // host order, the network's own address
  uint32_t size = 0;
  static StatusOr<ServiceRange> Parse(const std::string& cidr);
};

// For the writes of one request: addresses given out here count as taken for the next of them.
class ClusterIps final {
 public:
  ClusterIps(const ServiceRange& range, const config::Store& store)
      : range_(range), store_(store) {}

  // Completes `service`, a Service's document. `stored` is the one it replaces, or nullptr; its
  // address is kept.
  Status Complete(nlohmann::json& service, const config::Object* stored);

 private:
  void FindTaken();
  Status CheckGiven(const std::string& ip, const std::string& own_ip);
  StatusOr<std::string> Choose(const std::string& place);

  const ServiceRange range_;
  const config::Store& store_;
  bool is_known_ = false;
  std::set<uint32_t> taken_;
};

}  // namespace meltemi::galley
