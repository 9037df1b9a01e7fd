// SPDX-License-Identifier: Apache-2.0
// What all connected proxies of equal facts hold: the observed part of the graph, shared by their
// views. Model-thread only; lives as long as one of the views.
//
// Invariant: whatever a view was told, or was told not to exist, is observed, so that its change
// reaches the view.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "pilot/source/resources.h"

namespace meltemi::pilot {

// Names a class asks for beyond those it holds by wildcard; a proxy asks for what its listeners and
// clusters name.
inline constexpr size_t kNamesAskedMax = 200'000;

class ProxyClass final {
 public:
  ProxyClass(Resources& resources, FactsPtr facts, FactsPtr scope);
  ~ProxyClass();
  ProxyClass(const ProxyClass&) = delete;
  ProxyClass& operator=(const ProxyClass&) = delete;

  const ProxyFacts& facts() const { return *facts_; }
  std::vector<xds::ResourcePtr> All(xds::Type type);
  xds::ResourcePtr Find(xds::Type type, const std::string& name);
  // What has changed by the last commit, in the order of Type. Observes what came to be.
  std::vector<xds::Change> TakeChanges();

 private:
  struct Watched final : Observer {
    void OnChanged() override { owner->changed_[static_cast<size_t>(type)].insert(name); }
    ProxyClass* owner = nullptr;
    xds::Type type{};
    std::string name;
    Observation observation;
  };
  // The names held by wildcard, of clusters or listeners.
  struct WatchedNames final : Observer {
    void OnChanged() override { is_changed = true; }
    Resources::NamesOf* collection = nullptr;
    std::shared_ptr<const Names> names;  // nullptr = nobody has asked
    bool is_changed = false;
    Observation observation;
  };
  static constexpr size_t kTypes = static_cast<size_t>(xds::Type::kCount);

  WatchedNames* WildcardOf(xds::Type type);
  const Names& HeldNames(WatchedNames& wildcard);
  void UpdateNames(xds::Type type, WatchedNames& wildcard);
  xds::ResourcePtr Watch(xds::Type type, const std::string& name);

  Resources& resources_;
  const FactsPtr facts_;
  const FactsPtr scope_;
  WatchedNames clusters_;
  WatchedNames listeners_;
  std::array<absl::flat_hash_map<std::string, std::unique_ptr<Watched>>, kTypes> watched_;
  std::array<absl::flat_hash_set<std::string>, kTypes> changed_;
};

}  // namespace meltemi::pilot
