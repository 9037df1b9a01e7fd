// SPDX-License-Identifier: Apache-2.0
// A mesh from YAML text for tests: what Pilot would know of it, without a store or a connection.
//
//   MeshFixture mesh(R"(apiVersion: v1 …)");
//   auto cluster = BuildCluster(mesh.reader(), MeshFixture::Sidecar("default"), "outbound|80||…");
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/config/parse.h"
#include "pilot/model_reader.h"
#include "pilot/pilot.h"

namespace meltemi::pilot::testing {

// Fails the test when the text cannot be parsed.
inline std::vector<config::Event> EventsFrom(std::string_view yaml,
                                             config::EventType type = config::EventType::kAdded) {
  std::vector<config::Event> events;
  const auto objects = config::ParseObjects(yaml, {.file = "test.yaml"});
  if (!objects.ok()) {
    ADD_FAILURE() << objects.status();
    return events;
  }
  for (const config::ObjectPtr& object : *objects) {
    events.push_back({.type = type, .object = object, .version = events.size() + 1});
  }
  return events;
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) ADD_FAILURE() << path << " cannot be read";
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Of ../shared/cases/xds-reference; "" where the cases are not at hand (the test then skips).
inline std::string ReferenceObjects(const std::string& name) {
  std::ifstream file("../shared/cases/xds-reference/" + name + "/objects.yaml");
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

class MeshFixture final {
 public:
  explicit MeshFixture(std::string_view yaml = {},
                       istio::mesh::v1alpha1::MeshConfig mesh = DefaultMeshConfig())
      : model_(Options{
            .domain = "cluster.local", .cluster_id = "Kubernetes", .mesh = std::move(mesh)}) {
    Apply(yaml);
  }

  // Adds objects, or replaces those of the same name.
  void Apply(std::string_view yaml) {
    if (yaml.empty()) return;
    model_.Apply(EventsFrom(yaml));
    model_.graph().Commit();
  }
  void Delete(std::string_view yaml) {
    model_.Apply(EventsFrom(yaml, config::EventType::kDeleted));
    model_.graph().Commit();
  }

  Model& model() { return model_; }
  Reader& reader() { return model_; }

  static ProxyFacts Sidecar(std::string ns, std::map<std::string, std::string> labels = {}) {
    ProxyFacts facts;
    facts.ns = std::move(ns);
    facts.labels = std::move(labels);
    return facts;
  }
  static ProxyFacts Router(std::string ns = "istio-system",
                           std::map<std::string, std::string> labels = {
                               {"istio", "ingressgateway"}, {"app", "istio-ingressgateway"}}) {
    ProxyFacts facts = Sidecar(std::move(ns), std::move(labels));
    facts.role = Role::kRouter;
    return facts;
  }

 private:
  Model model_;
};

}  // namespace meltemi::pilot::testing
