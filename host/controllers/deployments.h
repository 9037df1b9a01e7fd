// SPDX-License-Identifier: Apache-2.0
// Deployments → Pods: as many as wanted, of the present template; new ones are ready before old
// ones stop. Loop thread only.
#pragma once

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "host/controllers/objects.h"
#include "host/controllers/pods.h"

namespace meltemi::host {

// Why something that is wanted does not run, for the user.
struct Problem {
  std::string object;  // "Deployment default/reviews-v1"
  std::string what;
  std::string remedy;
};

class Deployments final {
 public:
  Deployments(Objects& objects, Pods& pods) : objects_(objects), pods_(pods) {}

  void Start();
  // To be called after each change of a Pod.
  void OnPodChange(const std::string& pod_key);
  // From now on nothing is started any more.
  void Close() { is_closed_ = true; }

  std::vector<Problem> problems() const;
  struct Count {
    std::string key;
    int wanted = 0, ready = 0;
  };
  // Wanted and ready Pods of the present template, by Deployment.
  std::vector<Count> counts() const;

 private:
  struct Deployment {
    Json object;
    std::string template_hash;
    int replicas = 0;
    std::set<std::string> pods;  // keys
    Status problem;
  };
  void OnDeployments(const std::vector<ObjectChange>& changes);
  // Adding and stopping Pods tells of changes, which reconcile again: what comes meanwhile waits
  // its turn.
  void Reconcile(const std::string& key);
  void ReconcileOne(const std::string& key);
  bool AddPod(Deployment& deployment);
  std::vector<std::string> PodsOf(const Deployment& deployment, bool is_present) const;
  std::string RandomSuffix();

  Objects& objects_;
  Pods& pods_;
  bool is_closed_ = false;
  bool is_reconciling_ = false;
  std::set<std::string> pending_;
  std::map<std::string, Deployment> deployments_;
  std::map<std::string, std::string> owners_;  // pod → deployment
  std::random_device random_;
};

}  // namespace meltemi::host
