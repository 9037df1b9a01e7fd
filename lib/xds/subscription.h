// SPDX-License-Identifier: Apache-2.0
// What one stream asked for and what it holds, of one type. Model-thread only.
//
// A held resource is kept by pointer: its name and bytes are the shared ones, so a stream costs
// some twenty bytes per resource. Without a wildcard every held resource is subscribed by name, and
// `names_` has only the subscribed names that are not held; with one, `names_` has the explicit
// names, held or not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "lib/xds/source.h"

namespace meltemi::xds {

class Subscription final {
 public:
  bool is_wildcard() const { return is_wildcard_; }
  void StartWildcard();
  void StopWildcard();  // what was held by it alone is forgotten

  // Returns false when the name was subscribed already.
  bool Add(const std::string& name);
  void Remove(const std::string& name);
  bool Covers(const std::string& name) const;
  bool IsNamed(const std::string& name) const;
  std::vector<std::string> Names() const;  // explicit ones, sorted
  size_t names_count() const;

  ResourcePtr Held(const std::string& name) const;
  size_t held_count() const { return held_.size(); }
  std::vector<ResourcePtr> AllHeld() const;  // any order
  void Hold(const ResourcePtr& resource);
  // Not held (any longer). A name stays subscribed; `is_told` = the client knows that it does not
  // exist.
  void Drop(const std::string& name, bool is_told);
  bool IsToldMissing(const std::string& name) const;
  void TellMissing(const std::string& name);

 private:
  struct NameHash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return absl::HashOf(Key(name)); }
    size_t operator()(const ResourcePtr& r) const { return (*this)(std::string_view(r->name)); }

   private:
    static absl::string_view Key(std::string_view name) { return {name.data(), name.size()}; }
  };
  struct NameEq {
    using is_transparent = void;
    static std::string_view Name(std::string_view name) { return name; }
    static std::string_view Name(const ResourcePtr& resource) { return resource->name; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Name(a) == Name(b);
    }
  };
  bool is_wildcard_ = false;
  absl::flat_hash_map<std::string, bool> names_;  // -> is_told
  absl::flat_hash_set<ResourcePtr, NameHash, NameEq> held_;
};

}  // namespace meltemi::xds
