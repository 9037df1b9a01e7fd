// SPDX-License-Identifier: Apache-2.0
// What the host needs of a Kubernetes-shaped API: to hear of objects and to write its own. Loop
// thread only. The real one is over lib/kube (kube_objects.h); tests use FakeObjects.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/controllers/json.h"

namespace meltemi::host {

struct ObjectChange {
  bool is_deleted = false;
  Json object;  // for a deleted one its last state, of which only metadata counts
};

class Objects {
 public:
  using OnChanges = std::function<void(const std::vector<ObjectChange>&)>;
  virtual ~Objects() = default;

  // Tells what there is of `kind` ("Deployment"), then each change, from the loop, in batches.
  // Lasts as long as this object; outlives losses of the connection, after which deletions that
  // happened meanwhile are told too.
  virtual void Watch(const std::string& kind, OnChanges on_changes) = 0;
  // Makes the stored object equal to `object`, status included; tried again until it holds or a
  // later call for the same object replaces it.
  virtual void Put(const Json& object) = 0;
  virtual void Delete(const std::string& kind, const std::string& ns, const std::string& name) = 0;
};

}  // namespace meltemi::host
