// SPDX-License-Identifier: Apache-2.0
#include "pilot/source/proxy_class.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/log.h"

namespace meltemi::pilot {

ProxyClass::ProxyClass(Resources& resources, FactsPtr facts, FactsPtr scope)
    : resources_(resources), facts_(std::move(facts)), scope_(std::move(scope)) {
  clusters_.collection = &resources.cluster_names();
  listeners_.collection = &resources.listener_names();
}

ProxyClass::~ProxyClass() = default;

ProxyClass::WatchedNames* ProxyClass::WildcardOf(xds::Type type) {
  if (type == xds::Type::kCluster) return &clusters_;
  return type == xds::Type::kListener ? &listeners_ : nullptr;
}

const Names& ProxyClass::HeldNames(WatchedNames& wildcard) {
  if (wildcard.names == nullptr) {
    wildcard.observation = wildcard.collection->Observe(facts_, wildcard);
    wildcard.names = wildcard.collection->Get(facts_);
  }
  return *wildcard.names;
}

std::vector<xds::ResourcePtr> ProxyClass::All(xds::Type type) {
  std::vector<xds::ResourcePtr> all;
  const auto add = [&](const std::string& name) {
    if (xds::ResourcePtr resource = Watch(type, name)) all.push_back(std::move(resource));
  };
  if (type == xds::Type::kNameTable) {
    add(kNameTableName);
  } else if (type == xds::Type::kEndpoint) {
    for (const std::string& name : HeldNames(clusters_)) {
      if (name.starts_with("outbound|")) add(name);
    }
  } else if (WatchedNames* wildcard = WildcardOf(type)) {
    for (const std::string& name : HeldNames(*wildcard)) add(name);
  }
  return all;  // routes and secrets are asked for by name only
}

xds::ResourcePtr ProxyClass::Find(xds::Type type, const std::string& name) {
  if (WatchedNames* wildcard = WildcardOf(type)) {
    const Names& names = HeldNames(*wildcard);
    if (!std::binary_search(names.begin(), names.end(), name)) return nullptr;
  } else if (type == xds::Type::kNameTable && name != kNameTableName) {
    return nullptr;
  }
  return Watch(type, name);
}

xds::ResourcePtr ProxyClass::Watch(xds::Type type, const std::string& name) {
  Resources::Collection* const collection = resources_.Find(type);
  if (collection == nullptr) return nullptr;
  const Resources::Key key = resources_.KeyFor(type, facts_, scope_, name);
  auto& of_type = watched_[static_cast<size_t>(type)];
  if (const auto found = of_type.find(name); found == of_type.end()) {
    if (WildcardOf(type) == nullptr && of_type.size() >= kNamesAskedMax) {
      MELTEMI_LOG(warn, "pilot: proxies of {} ask for more than {} names of a type; {} is refused",
                  facts_->ns, kNamesAskedMax, name);
      return nullptr;
    }
    auto watched = std::make_unique<Watched>();
    watched->owner = this;
    watched->type = type;
    watched->name = name;
    watched->observation = collection->Observe(key, *watched);
    of_type.emplace(name, std::move(watched));
  }
  return collection->Get(key)->resource;
}

void ProxyClass::UpdateNames(xds::Type type, WatchedNames& wildcard) {
  if (!std::exchange(wildcard.is_changed, false)) return;
  const std::shared_ptr<const Names> before = wildcard.names;
  wildcard.names = wildcard.collection->Get(facts_);
  Names gone, added;
  std::set_difference(before->begin(), before->end(), wildcard.names->begin(),
                      wildcard.names->end(), std::back_inserter(gone));
  std::set_difference(wildcard.names->begin(), wildcard.names->end(), before->begin(),
                      before->end(), std::back_inserter(added));
  auto& changed = changed_[static_cast<size_t>(type)];
  for (const std::string& name : gone) {
    watched_[static_cast<size_t>(type)].erase(name);
    changed.insert(name);
  }
  for (const std::string& name : added) {
    Watch(type, name);
    changed.insert(name);
  }
}

std::vector<xds::Change> ProxyClass::TakeChanges() {
  UpdateNames(xds::Type::kCluster, clusters_);
  UpdateNames(xds::Type::kListener, listeners_);
  std::vector<xds::Change> changes;
  for (size_t i = 0; i < kTypes; ++i) {
    if (changed_[i].empty()) continue;
    xds::Change change;
    change.type = static_cast<xds::Type>(i);
    change.names.assign(changed_[i].begin(), changed_[i].end());
    std::sort(change.names.begin(), change.names.end());
    changed_[i].clear();
    changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace meltemi::pilot
