// SPDX-License-Identifier: Apache-2.0
#include "galley/store/object_table.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <set>

#include "lib/config/kind.h"

namespace meltemi::galley {
namespace {

using config::Event;
using config::EventType;
using config::ObjectKey;
using config::ObjectPtr;

ObjectPtr Make(const config::Kind& kind, const std::string& ns, const std::string& name,
               uint64_t version = 0) {
  auto object = std::make_shared<config::Object>();
  object->kind = &kind;
  object->meta.ns = ns;
  object->meta.name = name;
  object->meta.resource_version = std::to_string(version);
  return object;
}

class ObjectTableTest : public ::testing::Test {
 protected:
  void Put(const std::string& ns, const std::string& name,
           const config::Kind& kind = config::kinds::kService) {
    const uint64_t version = table_.version() + 1;
    const ObjectPtr object = Make(kind, ns, name, version);
    const auto type = table_.Get(object->key()) ? EventType::kModified : EventType::kAdded;
    table_.Commit({{type, object, version}});
  }
  std::unique_ptr<config::Watch> Start(uint64_t from, std::vector<uint64_t>& versions,
                                       config::WatchOptions options = {}) {
    options.from_version = from;
    auto watch = table_.StartWatch(options, [&](const std::vector<Event>& events) {
      for (const Event& event : events) versions.push_back(event.version);
    });
    EXPECT_TRUE(watch.ok()) << watch.status().ToString();
    return *std::move(watch);
  }
  void Settle() { loop_->RunOnce(Duration(0)); }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  ObjectTable table_{*loop_, 5};
};

TEST_F(ObjectTableTest, ListsSorted) {
  Put("b", "x");
  Put("a", "y");
  Put("a", "x");
  Put("a", "w", config::kinds::kPod);
  const auto names = [](const config::ObjectList& list) {
    std::string all;
    for (const ObjectPtr& object : list.objects) all += object->meta.ns + object->meta.name + " ";
    return all;
  };
  EXPECT_EQ("ax ay bx ", names(table_.List(&config::kinds::kService, "")));
  EXPECT_EQ("ax ay ", names(table_.List(&config::kinds::kService, "a")));
  EXPECT_EQ("aw ax ay bx ", names(table_.List(nullptr, "")));
  EXPECT_EQ("bx ", names(table_.List(nullptr, "b")));
  EXPECT_EQ(4u, table_.List(nullptr, "").version);
}

TEST_F(ObjectTableTest, TellsFromTheLoopOnly) {
  std::vector<uint64_t> versions;
  Put("a", "x");
  const auto watch = Start(0, versions);
  Put("a", "y");
  EXPECT_TRUE(versions.empty());
  Settle();
  EXPECT_EQ((std::vector<uint64_t>{1, 2}), versions);
}

TEST_F(ObjectTableTest, RefusesVersionsItDoesNotKnow) {
  for (int i = 0; i < 7; ++i) Put("a", "x");
  const auto start = [&](uint64_t from) {
    return table_.StartWatch({.from_version = from}, [](const auto&) {}).status().code();
  };
  EXPECT_EQ(absl::StatusCode::kOutOfRange, start(1));  // five events are kept: 3 to 7
  EXPECT_EQ(absl::StatusCode::kOk, start(2));
  EXPECT_EQ(absl::StatusCode::kOk, start(7));
  EXPECT_EQ(absl::StatusCode::kOutOfRange, start(8));
}

TEST_F(ObjectTableTest, StartsInTheMiddleOfABatch) {
  table_.Commit({{EventType::kAdded, Make(config::kinds::kPod, "a", "x"), 1},
                 {EventType::kAdded, Make(config::kinds::kPod, "a", "y"), 2}});
  std::vector<uint64_t> versions;
  const auto watch = Start(1, versions);
  Settle();
  EXPECT_EQ(std::vector<uint64_t>{2}, versions);
}

TEST_F(ObjectTableTest, FiltersAndKeepsBatchesTogether) {
  std::vector<size_t> sizes;
  auto watch = *table_.StartWatch({.kind = &config::kinds::kPod, .ns = "a"},
                                  [&](const auto& events) { sizes.push_back(events.size()); });
  table_.Commit({{EventType::kAdded, Make(config::kinds::kPod, "a", "x"), 1},
                 {EventType::kAdded, Make(config::kinds::kService, "a", "x"), 2},
                 {EventType::kAdded, Make(config::kinds::kPod, "a", "y"), 3}});
  Put("b", "x", config::kinds::kPod);
  Put("a", "z", config::kinds::kPod);
  Settle();
  EXPECT_EQ((std::vector<size_t>{2, 1}), sizes);
}

TEST_F(ObjectTableTest, TellsTheStateBefore) {
  std::vector<ObjectPtr> before;
  auto watch =
      *table_.StartWatch({}, [&](const auto& events) { before.push_back(events[0].previous); });
  Put("a", "x");
  const ObjectPtr first = table_.Get({&config::kinds::kService, "a", "x"});
  Put("a", "x");
  Settle();
  EXPECT_EQ((std::vector<ObjectPtr>{nullptr, first}), before);
}

TEST_F(ObjectTableTest, WatchesMayEndAndWriteInsideCallbacks) {
  std::unique_ptr<config::Watch> first;
  std::vector<uint64_t> versions;
  first = *table_.StartWatch({}, [&](const auto&) {
    first.reset();
    Put("a", "written inside");
  });
  const auto second = Start(0, versions);
  Put("a", "x");
  Put("a", "y");
  Settle();
  Settle();
  EXPECT_EQ((std::vector<uint64_t>{1, 2, 3}), versions);
}

TEST_F(ObjectTableTest, AWatchMayOutliveItsTable) {
  auto table = std::make_unique<ObjectTable>(*loop_);
  auto watch = *table->StartWatch({}, [](const auto&) { FAIL(); });
  table->Commit({{EventType::kAdded, Make(config::kinds::kPod, "a", "x"), 1}});
  table.reset();
  Settle();
}

// A client as they are written everywhere: list, watch from there, on loss watch from the last
// version seen, list again when that is too old.
class Replica {
 public:
  Replica(ObjectTable& table, const config::Kind* kind) : table_(table), kind_(kind) { Relist(); }
  void Disconnect() { watch_.reset(); }
  void Connect() {
    if (watch_ != nullptr) return;
    auto watch = table_.StartWatch({.kind = kind_, .from_version = seen_},
                                   [this](const auto& events) { Take(events); });
    if (watch.ok()) {
      watch_ = *std::move(watch);
      return;
    }
    ASSERT_EQ(absl::StatusCode::kOutOfRange, watch.status().code());
    ++relists_;
    Relist();
    Connect();
  }
  void ExpectSame() const {
    const auto list = table_.List(kind_, "");
    EXPECT_EQ(list.objects.size(), objects_.size());
    for (const ObjectPtr& object : list.objects) {
      const auto at = objects_.find(object->key());
      ASSERT_NE(at, objects_.end());
      EXPECT_EQ(object, at->second);
    }
  }
  size_t relists() const { return relists_; }
  uint64_t events() const { return events_; }

 private:
  void Relist() {
    objects_.clear();
    const auto list = table_.List(kind_, "");
    for (const ObjectPtr& object : list.objects) objects_[object->key()] = object;
    seen_ = list.version;
  }
  // An event that was missed or repeated does not fit what is held.
  void Take(const std::vector<Event>& events) {
    for (const Event& event : events) {
      ++events_;
      EXPECT_GT(event.version, seen_);
      seen_ = event.version;
      const auto at = objects_.find(event.object->key());
      ASSERT_EQ(event.type == EventType::kAdded, at == objects_.end());
      if (event.type == EventType::kModified) {
        EXPECT_EQ(at->second, event.previous);
      }
      if (event.type == EventType::kDeleted) {
        EXPECT_EQ(at->second, event.object);
        objects_.erase(at);
      } else {
        objects_[event.object->key()] = event.object;
      }
    }
  }

  ObjectTable& table_;
  const config::Kind* kind_;
  std::map<ObjectKey, ObjectPtr> objects_;
  uint64_t seen_ = 0;
  std::unique_ptr<config::Watch> watch_;
  size_t relists_ = 0;
  uint64_t events_ = 0;
};

TEST(ObjectTableRandomTest, NoEventIsMissedOrRepeated) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  auto loop = *runtime::Loop::Create();
  ObjectTable table(*loop, 40);
  const std::vector<const config::Kind*> kinds = {&config::kinds::kPod, &config::kinds::kService};
  std::vector<std::unique_ptr<Replica>> replicas;
  for (const config::Kind* kind : {kinds[0], kinds[1], (const config::Kind*)nullptr}) {
    for (int i = 0; i < 3; ++i) replicas.push_back(std::make_unique<Replica>(table, kind));
  }
  for (int step = 0; step < 20'000; ++step) {
    std::vector<Event> batch;
    std::set<ObjectKey> used;
    for (unsigned i = 0, count = below(5); i < count; ++i) {
      const uint64_t version = table.version() + batch.size() + 1;
      ObjectPtr object = Make(*kinds[below(2)], "ns", "object" + std::to_string(below(8)), version);
      if (!used.insert(object->key()).second) continue;
      const ObjectPtr stored = table.Get(object->key());
      if (stored != nullptr && below(3) == 0) {
        batch.push_back({EventType::kDeleted, stored, version});
      } else {
        batch.push_back(
            {stored != nullptr ? EventType::kModified : EventType::kAdded, object, version});
      }
    }
    table.Commit(std::move(batch));
    Replica& replica = *replicas[below(static_cast<unsigned>(replicas.size()))];
    below(4) == 0 ? replica.Disconnect() : replica.Connect();
    if (below(3) == 0) loop->RunOnce(Duration(0));
  }
  size_t relists = 0;
  for (auto& replica : replicas) replica->Connect();
  loop->RunOnce(Duration(0));
  for (auto& replica : replicas) {
    replica->ExpectSame();
    EXPECT_GT(replica->events(), 1000u);
    relists += replica->relists();
  }
  EXPECT_GT(relists, 10u);  // the random walk came to lost histories too
}

}  // namespace
}  // namespace meltemi::galley
