// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemid/config_feed.h"

#include "galley/judge.h"
#include "lib/base/log.h"

namespace meltemi::cmd {

using config::Event;
using config::EventType;
using config::ObjectKey;
using config::ObjectPtr;

StatusOr<std::unique_ptr<ConfigFeed>> ConfigFeed::Start(const std::vector<Input>& inputs,
                                                        pilot::Pilot& pilot,
                                                        std::function<void()> on_applied) {
  std::unique_ptr<ConfigFeed> feed(new ConfigFeed(pilot, std::move(on_applied)));
  MELTEMI_RETURN_IF_ERROR(feed->Open(inputs));
  return feed;
}

Status ConfigFeed::Open(const std::vector<Input>& inputs) {
  for (const Input& input : inputs) stores_.push_back({.input = input});
  std::vector<Event> all;
  for (size_t at = 0; at < stores_.size(); ++at) {
    Fed& fed = stores_[at];
    const config::ObjectList list = fed.input.store->List(nullptr, "");
    fed.applied = list.version;
    for (const ObjectPtr& object : list.objects) {
      const Event event{EventType::kAdded, object, list.version};
      if (!fed.input.is_judged) Judge(event);
      if (auto resolved = Resolve(at, event)) all.push_back(*std::move(resolved));
    }
    MELTEMI_ASSIGN_OR_RETURN(
        fed.watch,
        fed.input.store->StartWatch({.kind = nullptr, .ns = "", .from_version = list.version},
                                    [this, at](const auto& events) { Take(at, events); }));
  }
  pilot_.Apply(all, ++version_);
  return absl::OkStatus();
}

void ConfigFeed::Take(size_t at, const std::vector<Event>& events) {
  if (events.empty()) return;
  std::vector<Event> batch;
  for (const Event& event : events) {
    if (!stores_[at].input.is_judged) Judge(event);
    if (auto resolved = Resolve(at, event)) batch.push_back(*std::move(resolved));
  }
  stores_[at].applied = events.back().version;
  pilot_.Apply(batch, ++version_);
  if (on_applied_ != nullptr) on_applied_();
}

std::optional<Event> ConfigFeed::Resolve(size_t at, const Event& event) const {
  const ObjectKey key = event.object->key();
  for (size_t earlier = 0; earlier < at; ++earlier) {
    if (stores_[earlier].input.store->Get(key) != nullptr) return std::nullopt;
  }
  if (event.type != EventType::kDeleted) return event;
  for (size_t later = at + 1; later < stores_.size(); ++later) {
    if (ObjectPtr found = stores_[later].input.store->Get(key)) {
      return Event{EventType::kModified, std::move(found), event.version};
    }
  }
  return event;
}

void ConfigFeed::Judge(const Event& event) {
  const ObjectKey key = event.object->key();
  if (event.type == EventType::kDeleted) {
    unenforced_.erase(key);
    return;
  }
  const Status judged = galley::JudgeEnforced(*event.object);
  if (judged.ok()) return;
  if (!unenforced_.contains(key)) {
    MELTEMI_LOG(warn, "{}: {}", event.object->source.file, Message(judged));
  }
  unenforced_[key] = event.object;
}

ConfigFeed::Mark ConfigFeed::Now() const {
  Mark mark;
  for (const Fed& fed : stores_) mark.push_back(fed.input.store->version());
  return mark;
}

bool ConfigFeed::HasApplied(const Mark& mark) const {
  for (size_t at = 0; at < stores_.size(); ++at) {
    if (stores_[at].applied < mark[at]) return false;
  }
  return true;
}

std::vector<ObjectPtr> ConfigFeed::Objects() const {
  std::map<ObjectKey, ObjectPtr> all;
  for (const Fed& fed : stores_) {
    for (ObjectPtr& object : fed.input.store->List(nullptr, "").objects) {
      const ObjectKey key = object->key();
      all.emplace(key, std::move(object));
    }
  }
  std::vector<ObjectPtr> objects;
  for (auto& [key, object] : all) objects.push_back(std::move(object));
  return objects;
}

}  // namespace meltemi::cmd
