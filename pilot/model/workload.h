// SPDX-License-Identifier: Apache-2.0
// One running instance: a Pod, a WorkloadEntry, or an endpoint that a ServiceEntry lists. Immutable
// value; two that compare equal are the same to everything derived from them, whatever else of
// their objects has changed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/networking/v1/service_entry.pb.h"
#include "lib/config/object.h"
#include "pilot/model/endpoint.h"
#include "pilot/model/selector.h"

namespace meltemi::pilot {

struct Workload {
  config::ObjectKey origin;
  std::vector<std::string> addresses;
  std::string ns;
  std::string name;  // of the Deployment; else the object's
  Labels labels;
  std::string service_account;  // "" = no identity
  std::string node;             // a Pod's; its locality is the node's unless a label says one
  Locality locality;
  bool has_mutual_tls = false;
  bool is_ready = true;
  uint32_t weight = 0;                    // 0 = not said
  std::map<std::string, uint32_t> ports;  // by container port name, or service port name
  bool operator==(const Workload&) const = default;
};
using WorkloadPtr = std::shared_ptr<const Workload>;
using WorkloadList = std::vector<WorkloadPtr>;  // by namespace and name

// nullptr for a Pod without an address, or one that has ended.
WorkloadPtr WorkloadFromPod(const config::Object& pod);
WorkloadPtr WorkloadFromEntry(const config::Object& entry);
// What WorkloadEntry and the endpoints of a ServiceEntry share.
Workload ToWorkload(const istio::networking::v1::WorkloadEntry& entry,
                    const config::ObjectKey& origin, std::string name);

// "region/zone/subzone"; what is missing is empty.
Locality ParseLocality(const std::string& text);
Locality LocalityOfNode(const config::Object& node);

}  // namespace meltemi::pilot
