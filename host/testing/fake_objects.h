// SPDX-License-Identifier: Apache-2.0
// Objects in memory: tests apply what a user would and read what the host wrote.
#pragma once

#include <map>
#include <string>

#include "host/controllers/objects.h"

namespace meltemi::host::testing {

class FakeObjects final : public Objects {
 public:
  void Watch(const std::string& kind, OnChanges on_changes) override {
    watches_[kind] = std::move(on_changes);
  }
  void Put(const Json& object) override {
    stored[StringAt(object, "kind") + " " + KeyOf(object)] = object;
  }
  void Delete(const std::string& kind, const std::string& ns, const std::string& name) override {
    stored.erase(kind + " " + ns + "/" + name);
  }

  // What a user does.
  void Apply(const Json& object) { watches_[StringAt(object, "kind")]({{false, object}}); }
  void Remove(const Json& object) { watches_[StringAt(object, "kind")]({{true, object}}); }
  size_t Count(const std::string& kind) const {
    size_t count = 0;
    for (const auto& [key, object] : stored)
      if (key.starts_with(kind + " ")) ++count;
    return count;
  }
  // The only object of `kind`, or the one whose name starts so; null when there is none.
  Json Find(const std::string& kind, const std::string& name = "") const {
    for (const auto& [key, object] : stored)
      if (key.starts_with(kind + " ") && NameOf(object).starts_with(name)) return object;
    return {};
  }

  std::map<std::string, Json> stored;  // "Kind namespace/name"

 private:
  std::map<std::string, OnChanges> watches_;
};

}  // namespace meltemi::host::testing
