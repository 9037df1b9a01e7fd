// SPDX-License-Identifier: Apache-2.0
// Pilot: objects in, resources of every connected proxy out, by a graph in which a change costs
// what depends on it. Model-thread only; outlives its views.
//
//   Apply(events) → inputs of the graph → Commit → observers note changed names → on_change of
//   the views concerned, with one snapshot version
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/mesh/v1alpha1/config.pb.h"
#include "lib/config/store.h"
#include "lib/xds/source.h"

namespace meltemi::pilot {

struct Options {
  std::string domain = "cluster.local";
  std::string cluster_id = "Kubernetes";
  // Defaults of Istio's mesh config laid under the user's (DefaultMeshConfig()).
  istio::mesh::v1alpha1::MeshConfig mesh;
};

istio::mesh::v1alpha1::MeshConfig DefaultMeshConfig();

struct Counter {
  std::string name;  // of a derivation: "clusters", "endpoints", …
  uint64_t computed;
};

class Pilot : public xds::Source {
 public:
  static std::unique_ptr<Pilot> Create(Options options);
  // What one batch of a store changed. `version` becomes snapshot_version() and must grow: with
  // several stores the caller numbers the batches.
  virtual void Apply(const std::vector<config::Event>& events, uint64_t version) = 0;
  // How often each derivation ran; tests and /metrics.
  virtual std::vector<Counter> Counters() const = 0;
  // What could not be used and why, by object; for status and logs.
  struct Problem {
    config::ObjectKey object;
    std::string message;
  };
  virtual std::vector<Problem> Problems() const = 0;
};

}  // namespace meltemi::pilot
