// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/subscription.h"

#include <algorithm>

namespace meltemi::xds {

void Subscription::StartWildcard() {
  if (is_wildcard_) return;
  is_wildcard_ = true;
  for (const ResourcePtr& resource : held_) names_[resource->name] = false;
}

void Subscription::StopWildcard() {
  if (!is_wildcard_) return;
  is_wildcard_ = false;
  absl::erase_if(held_, [this](const ResourcePtr& r) { return !names_.contains(r->name); });
  for (const ResourcePtr& resource : held_) names_.erase(resource->name);
}

bool Subscription::Add(const std::string& name) {
  if (IsNamed(name)) return false;
  names_[name] = false;
  return true;
}

void Subscription::Remove(const std::string& name) {
  names_.erase(name);
  if (!is_wildcard_) held_.erase(std::string_view(name));
}

bool Subscription::Covers(const std::string& name) const {
  return is_wildcard_ || IsNamed(name);
}

bool Subscription::IsNamed(const std::string& name) const {
  return names_.contains(name) || (!is_wildcard_ && held_.contains(std::string_view(name)));
}

std::vector<std::string> Subscription::Names() const {
  std::vector<std::string> names;
  names.reserve(names_count());
  for (const auto& entry : names_) names.push_back(entry.first);
  if (!is_wildcard_) {
    for (const ResourcePtr& resource : held_) names.push_back(resource->name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

size_t Subscription::names_count() const {
  return names_.size() + (is_wildcard_ ? 0 : held_.size());
}

ResourcePtr Subscription::Held(const std::string& name) const {
  const auto found = held_.find(std::string_view(name));
  return found == held_.end() ? nullptr : *found;
}

std::vector<ResourcePtr> Subscription::AllHeld() const {
  return {held_.begin(), held_.end()};
}

void Subscription::Hold(const ResourcePtr& resource) {
  if (is_wildcard_) {
    if (const auto found = names_.find(resource->name); found != names_.end()) {
      found->second = false;
    }
  } else {
    names_.erase(resource->name);
  }
  held_.erase(std::string_view(resource->name));
  held_.insert(resource);
}

void Subscription::Drop(const std::string& name, bool is_told) {
  const auto found = held_.find(std::string_view(name));
  if (found == held_.end()) {
    if (const auto named = names_.find(name); named != names_.end()) named->second = is_told;
    return;
  }
  const ResourcePtr last = *found;  // `name` may be its own
  held_.erase(found);
  if (!is_wildcard_ || names_.contains(last->name)) names_[last->name] = is_told;
}

bool Subscription::IsToldMissing(const std::string& name) const {
  const auto found = names_.find(name);
  return found != names_.end() && found->second;
}

void Subscription::TellMissing(const std::string& name) {
  if (const auto found = names_.find(name); found != names_.end()) found->second = true;
}

}  // namespace meltemi::xds
