// SPDX-License-Identifier: Apache-2.0
#include "galley/store/object_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "lib/base/check.h"

namespace meltemi::galley {

using config::Event;
using config::EventType;
using config::ObjectKey;
using config::ObjectPtr;

struct ObjectTable::Watcher {
  config::WatchOptions options;
  OnEvents on_events;
  uint64_t delivered_version;  // nothing up to here is told (again)
  std::vector<Batch> pending{};
  bool is_live = true;
};

class ObjectTable::TableWatch final : public config::Watch {
 public:
  explicit TableWatch(std::shared_ptr<Watcher> watcher) : watcher_(std::move(watcher)) {}
  ~TableWatch() override {
    watcher_->is_live = false;
    watcher_->pending.clear();
  }

 private:
  const std::shared_ptr<Watcher> watcher_;
};

ObjectTable::ObjectTable(runtime::Loop& loop, size_t history_events_max)
    : loop_(loop),
      history_events_max_(history_events_max),
      self_(std::make_shared<ObjectTable*>(this)) {}

ObjectTable::~ObjectTable() {
  *self_ = nullptr;
}

void ObjectTable::Load(const std::vector<ObjectPtr>& objects, uint64_t version) {
  MELTEMI_CHECK(objects_.empty() && history_.empty());
  for (const ObjectPtr& object : objects) objects_.emplace(object->key(), object);
  version_ = kept_from_ = version;
}

void ObjectTable::Commit(std::vector<Event> batch) {
  if (batch.empty()) return;
  for (Event& event : batch) {
    MELTEMI_CHECK(event.version > version_);
    version_ = event.version;
    if (event.type == EventType::kDeleted) {
      objects_.erase(event.object->key());
      continue;
    }
    ObjectPtr& at = objects_[event.object->key()];
    event.previous = std::exchange(at, event.object);
  }
  const auto shared = std::make_shared<const std::vector<Event>>(std::move(batch));
  Remember(shared);
  for (const auto& watcher : watchers_) {
    if (watcher->is_live) watcher->pending.push_back(shared);
  }
  PostDelivery();
}

void ObjectTable::Remember(Batch batch) {
  history_events_ += batch->size();
  history_.push_back(std::move(batch));
  while (history_events_ > history_events_max_) {
    history_events_ -= history_.front()->size();
    kept_from_ = history_.front()->back().version;
    history_.pop_front();
  }
}

config::ObjectList ObjectTable::List(const config::Kind* kind, const std::string& ns) const {
  config::ObjectList list{.objects = {}, .version = version_};
  if (kind != nullptr) {
    for (auto at = objects_.lower_bound(ObjectKey{kind, ns, ""}); at != objects_.end(); ++at) {
      if (at->first.kind != kind || (!ns.empty() && at->first.ns != ns)) break;
      list.objects.push_back(at->second);
    }
    return list;
  }
  for (const auto& [key, object] : objects_) {
    if (ns.empty() || key.ns == ns) list.objects.push_back(object);
  }
  const auto place = [](const ObjectPtr& object) {
    return std::tie(object->meta.ns, object->meta.name, object->kind->kind, object->kind->group);
  };
  std::sort(list.objects.begin(), list.objects.end(),
            [&](const ObjectPtr& a, const ObjectPtr& b) { return place(a) < place(b); });
  return list;
}

ObjectPtr ObjectTable::Get(const ObjectKey& key) const {
  const auto at = objects_.find(key);
  return at == objects_.end() ? nullptr : at->second;
}

StatusOr<std::unique_ptr<config::Watch>> ObjectTable::StartWatch(
    const config::WatchOptions& options, OnEvents on_events) {
  const uint64_t from = options.from_version;
  // A version we have not reached was told by another store (a state directory that was replaced):
  // going on from there would miss what came since.
  if (from < kept_from_ || from > version_) {
    return absl::OutOfRangeError(fmt::format(
        "too old resource version: {} (changes are kept from {} to {}); list again and watch from "
        "the list's version",
        from, kept_from_, version_));
  }
  auto watcher = std::make_shared<Watcher>(Watcher{options, std::move(on_events), from});
  for (const Batch& batch : history_) {
    if (batch->back().version > from) watcher->pending.push_back(batch);
  }
  DropEnded();
  watchers_.push_back(watcher);
  if (!watcher->pending.empty()) PostDelivery();
  return std::unique_ptr<config::Watch>(std::make_unique<TableWatch>(std::move(watcher)));
}

void ObjectTable::PostDelivery() {
  if (std::exchange(is_delivery_posted_, true)) return;
  loop_.Post([self = self_] {
    if (*self != nullptr) (*self)->Deliver();
  });
}

void ObjectTable::DropEnded() {
  std::erase_if(watchers_, [](const auto& watcher) { return !watcher->is_live; });
}

void ObjectTable::Deliver() {
  is_delivery_posted_ = false;
  DropEnded();
  // Callbacks may write, start and end watches: what they add is delivered by a later post.
  const auto watchers = watchers_;
  const auto self = self_;
  for (const auto& watcher : watchers) {
    Deliver(*watcher);
    if (*self == nullptr) return;
  }
}

void ObjectTable::Deliver(Watcher& watcher) {
  const std::vector<Batch> pending = std::exchange(watcher.pending, {});
  for (const Batch& batch : pending) {
    std::vector<Event> wanted;
    for (const Event& event : *batch) {
      if (event.version <= watcher.delivered_version) continue;
      if (watcher.options.kind != nullptr && event.object->kind != watcher.options.kind) continue;
      if (!watcher.options.ns.empty() && event.object->meta.ns != watcher.options.ns) continue;
      wanted.push_back(event);
    }
    watcher.delivered_version = batch->back().version;
    if (!wanted.empty() && watcher.is_live) watcher.on_events(wanted);
    if (!watcher.is_live) return;
  }
}

}  // namespace meltemi::galley
