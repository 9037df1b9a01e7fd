// SPDX-License-Identifier: Apache-2.0
// Pods, WorkloadEntries and Nodes as inputs of the graph. What changes in an object but not in the
// workload it stands for (probes, restarts) touches nothing. Model-thread only.
#pragma once

#include <string>

#include "pilot/model/listing.h"
#include "pilot/model/service_inputs.h"
#include "pilot/model/workload.h"

namespace meltemi::pilot {

class WorkloadInputs final {
 public:
  explicit WorkloadInputs(Graph& graph);

  // Objects of kind Pod, WorkloadEntry or Node; nullptr = gone.
  void Put(const config::ObjectKey& key, const config::ObjectPtr& object);
  void Flush();

  Input<NamespacedName, Workload> pods;
  Listing<std::string, Workload> by_address;  // Pods and entries
  Listing<std::string, Workload> pods_of_namespace;
  Listing<std::string, Workload> entries_of_namespace;
  Input<std::string, Locality> nodes;

 private:
  absl::flat_hash_map<config::ObjectKey, WorkloadPtr> held_;
};

}  // namespace meltemi::pilot
