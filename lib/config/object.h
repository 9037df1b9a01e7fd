// SPDX-License-Identifier: Apache-2.0
// One configuration object, Kubernetes-shaped. Immutable once made; shared between store, watchers
// and derived values by pointer. Thread-safe because nothing changes.
//
// The JSON document is the truth (fields we do not know survive a round trip); `spec` is its
// decoded form for kinds that have a message under api/, null for others.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/message.h>
#include <nlohmann/json_fwd.hpp>

#include "lib/base/clock.h"
#include "lib/config/kind.h"

namespace meltemi::config {

// Where an object was written; line and column count from 1, 0 = unknown.
struct Source {
  std::string file;
  int line = 0;
  int column = 0;
};

struct ObjectKey {
  const Kind* kind = nullptr;
  std::string ns;  // "" for cluster-scoped kinds
  std::string name;
  auto operator<=>(const ObjectKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ObjectKey& key) {
    return H::combine(std::move(h), key.kind, key.ns, key.name);
  }
  std::string text() const;  // "VirtualService default/reviews"
};

struct OwnerReference {
  std::string kind, name, uid;
};

struct Metadata {
  std::string name;
  std::string ns;
  std::string uid;
  std::string resource_version;  // as the store numbers it; opaque to others
  int64_t generation = 0;
  WallTime created{};
  bool is_deleting = false;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<OwnerReference> owners;
};

struct Object {
  const Kind* kind = nullptr;
  Metadata meta;
  std::shared_ptr<const nlohmann::json>
      document;  // the whole object: apiVersion, kind, metadata, spec, status
  std::shared_ptr<const google::protobuf::Message> spec;
  Source source;

  ObjectKey key() const { return {kind, meta.ns, meta.name}; }
  // Requires: the kind's message is T.
  template <typename T>
  const T& Spec() const {
    return static_cast<const T&>(*spec);
  }
};

using ObjectPtr = std::shared_ptr<const Object>;

}  // namespace meltemi::config
