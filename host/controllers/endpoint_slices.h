// SPDX-License-Identifier: Apache-2.0
// Services and Pods → EndpointSlices, as Kubernetes' endpointslice controller has it for one node.
// Build() is pure; the controller keeps the written slices equal to what it gives. Loop thread
// only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "host/controllers/json.h"
#include "host/controllers/objects.h"

namespace meltemi::host {

// Slices of one Service, one for each distinct set of resolved ports (named target ports may differ
// from Pod to Pod). None for Services without a selector, whose endpoints others write.
std::vector<Json> BuildEndpointSlices(const Json& service, const std::vector<const Json*>& pods);

class EndpointSlices final {
 public:
  explicit EndpointSlices(Objects& objects) : objects_(objects) {}

  // Starts to watch Services, and removes slices of an earlier run. Pods come from the caller, who
  // runs them.
  void Start();
  void PutPod(const Json& pod);
  void RemovePod(const std::string& key);

 private:
  void OnServices(const std::vector<ObjectChange>& changes);
  void OnSlices(const std::vector<ObjectChange>& changes);
  void Recompute(const std::string& service_key);
  void RecomputeNamespace(const std::string& ns);

  Objects& objects_;
  std::map<std::string, Json> services_, pods_;  // by namespace/name
  std::map<std::string, std::map<std::string, Json>>
      slices_;  // by service, then name; as last written
};

}  // namespace meltemi::host
