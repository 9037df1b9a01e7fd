// SPDX-License-Identifier: Apache-2.0
// Encoded xDS resources as values of the graph: built, serialized and hashed once for every proxy
// that holds them. Model-thread only.
//
// What does not hang on the workload's own labels is kept per outbound scope and shared by all
// sidecars of a namespace; the rest per class of equal proxies.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/xds/source.h"
#include "pilot/graph/collection.h"
#include "pilot/model/proxy_facts.h"
#include "pilot/model_reader.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {

// Facts by identity: equal ones share one pointer as long as anybody holds it, so that keys of the
// graph are cheap.
using FactsPtr = std::shared_ptr<const ProxyFacts>;
class FactsTable final {
 public:
  FactsPtr Share(const ProxyFacts& facts);

 private:
  absl::flat_hash_map<ProxyFacts, std::weak_ptr<const ProxyFacts>> known_;
  size_t sweep_at_ = 64;  // forgets what nobody holds whenever it has doubled
};

// A resource, or the knowledge that there is none; equal bytes are equal values.
struct Encoded {
  xds::ResourcePtr resource;
  bool operator==(const Encoded& other) const;
};

class Resources final {
 public:
  explicit Resources(Model& model);

  // Names that a proxy holds by wildcard: clusters and listeners.
  using NamesOf = Derived<FactsPtr, Names>;
  using Key = std::pair<FactsPtr, std::string>;
  using Collection = Derived<Key, Encoded>;

  NamesOf& cluster_names() { return cluster_names_; }
  NamesOf& listener_names() { return listener_names_; }
  // The collection of a type and the key in it; nullptr for types that are not served.
  Collection* Find(xds::Type type);
  Key KeyFor(xds::Type type, const FactsPtr& facts, const FactsPtr& scope,
             const std::string& name) const;

 private:
  NamesOf cluster_names_;
  NamesOf listener_names_;
  Collection clusters_;
  Collection endpoints_;
  Collection listeners_;
  Collection routes_;
  Collection name_tables_;
  Collection secrets_;
};

// The only resource of its type.
inline constexpr const char* kNameTableName = "name_table";

}  // namespace meltemi::pilot
