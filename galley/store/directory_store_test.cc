// SPDX-License-Identifier: Apache-2.0
#include "galley/store/directory_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "galley/store/uid.h"
#include "galley/testing/temporary_directory.h"

namespace meltemi::galley {
namespace {

using config::Event;
using config::EventType;
using config::ObjectPtr;
using ::testing::HasSubstr;

const config::Kind& kConfigMap = config::kinds::kConfigMap;

std::string Yaml(const std::string& name, const std::string& value = "1") {
  return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n  value: \"" +
         value + "\"\n---\n";
}

class DirectoryStoreTest : public ::testing::Test {
 protected:
  void Open() {
    auto store = DirectoryStore::Open(*loop_, {directory_.path()});
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    watch_ = *store_->StartWatch(
        {.from_version = store_->version()},
        [this](const std::vector<Event>& events) { batches_.push_back(events); });
  }
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 500 && !done(); ++passes) {
      loop_->RunOnce(std::chrono::milliseconds(20));
    }
    ASSERT_TRUE(done());
  }
  // "" = none.
  std::string Value(const std::string& name) const {
    const ObjectPtr object = store_->Get({&kConfigMap, "default", name});
    return object == nullptr ? "" : (*object->document)["data"]["value"].get<std::string>();
  }

  testing::TemporaryDirectory directory_;
  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  std::unique_ptr<DirectoryStore> store_;
  std::unique_ptr<config::Watch> watch_;
  std::vector<std::vector<Event>> batches_;
};

TEST_F(DirectoryStoreTest, ReadsWhatIsThere) {
  directory_.Write("a.yaml", Yaml("a") + Yaml("b"));
  directory_.Write("c.json", R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},)"
                             R"("data":{"value":"3"}})");
  directory_.Write("notes.txt", "not: [yaml");
  directory_.Write(".hidden.yaml", "not: [yaml");
  std::filesystem::create_directories(directory_ / "deep/er");
  directory_.Write("deep/er/d.yml", Yaml("d"));
  Open();
  EXPECT_EQ(4u, store_->List(&kConfigMap, "default").objects.size());
  EXPECT_EQ("3", Value("c"));
  EXPECT_TRUE(store_->problems().empty());
  EXPECT_EQ(1u, store_->sequence());
  const ObjectPtr b = store_->Get({&kConfigMap, "default", "b"});
  EXPECT_EQ(directory_ / "a.yaml", b->source.file);
  EXPECT_GT(b->source.line, 5);
}

TEST_F(DirectoryStoreTest, OneScanIsOneBatch) {
  directory_.Write("a.yaml", Yaml("a") + Yaml("gone"));
  Open();
  directory_.Write("a.yaml", Yaml("a", "2"));
  directory_.Write("b.yaml", Yaml("b") + Yaml("c"));
  RunUntil([&] { return !batches_.empty(); });
  ASSERT_EQ(1u, batches_.size());
  std::map<std::string, EventType> events;
  for (const Event& event : batches_[0]) events[event.object->meta.name] = event.type;
  const std::map<std::string, EventType> expected = {{"a", EventType::kModified},
                                                     {"b", EventType::kAdded},
                                                     {"c", EventType::kAdded},
                                                     {"gone", EventType::kDeleted}};
  EXPECT_EQ(expected, events);
  EXPECT_EQ("2", Value("a"));
  EXPECT_EQ(2u, store_->sequence());
}

TEST_F(DirectoryStoreTest, ABadEditKeepsWhatWasGood) {
  directory_.Write("bad.yaml", "kind: [");
  directory_.Write("good.yaml", Yaml("good"));
  Open();
  ASSERT_EQ(1u, store_->problems().size());
  EXPECT_EQ(directory_ / "bad.yaml", store_->problems()[0].path);
  EXPECT_THAT(store_->problems()[0].message, HasSubstr("Nothing of this file is used"));
  const std::string hash = store_->content_hash();

  directory_.Write("good.yaml", Yaml("good", "2") + Yaml("new") + "kind: [");
  RunUntil([&] { return store_->problems().size() == 2; });
  EXPECT_EQ("1", Value("good"));
  EXPECT_EQ("", Value("new"));
  EXPECT_EQ(hash, store_->content_hash());
  EXPECT_EQ(1u, store_->sequence());

  directory_.Write("good.yaml", Yaml("good", "3"));
  directory_.Write("bad.yaml", Yaml("mended"));
  RunUntil([&] { return store_->problems().empty(); });
  EXPECT_EQ("3", Value("good"));
  EXPECT_EQ("1", Value("mended"));
}

TEST_F(DirectoryStoreTest, TheFirstOfTwoCounts) {
  directory_.Write("1.yaml", Yaml("a", "first"));
  directory_.Write("2.yaml", "\n\n" + Yaml("a", "second"));
  Open();
  EXPECT_EQ("first", Value("a"));
  ASSERT_EQ(1u, store_->problems().size());
  EXPECT_THAT(store_->problems()[0].message, HasSubstr("2.yaml:3"));
  EXPECT_THAT(store_->problems()[0].message, HasSubstr("1.yaml:1"));
  std::filesystem::remove(directory_ / "1.yaml");
  RunUntil([&] { return !batches_.empty(); });
  EXPECT_EQ("second", Value("a"));
  EXPECT_TRUE(store_->problems().empty());
  ASSERT_EQ(1u, batches_.size());
  EXPECT_EQ(EventType::kModified, batches_[0][0].type);
}

// What a kubelet does with a ConfigMap volume: the files are links through ..data, which is
// replaced by a rename.
TEST_F(DirectoryStoreTest, FollowsTheSwapOfAConfigMapMount) {
  std::filesystem::create_directory(directory_ / "..v1");
  directory_.Write("..v1/a.yaml", Yaml("a", "1"));
  std::filesystem::create_symlink("..v1", directory_ / "..data");
  std::filesystem::create_symlink("..data/a.yaml", directory_ / "a.yaml");
  Open();
  EXPECT_EQ("1", Value("a"));
  EXPECT_TRUE(store_->problems().empty());
  std::filesystem::create_directory(directory_ / "..v2");
  directory_.Write("..v2/a.yaml", Yaml("a", "2"));
  std::filesystem::create_symlink("..v2", directory_ / "..data_tmp");
  std::filesystem::rename(directory_ / "..data_tmp", directory_ / "..data");
  std::filesystem::remove_all(directory_ / "..v1");
  RunUntil([&] { return Value("a") == "2"; });
  for (const auto& batch : batches_) {
    EXPECT_EQ(EventType::kModified, batch[0].type);  // never gone in between
  }
}

TEST_F(DirectoryStoreTest, SeesNewSubdirectoriesAndReplacedRoots) {
  Open();
  std::filesystem::create_directories(directory_ / "x/y");
  RunUntil([&] {
    directory_.Write("x/y/a.yaml", Yaml("a"));
    return Value("a") == "1";
  });
  // The whole directory is moved away and another put in its place.
  testing::TemporaryDirectory other;
  other.Write("b.yaml", Yaml("b"));
  std::filesystem::rename(directory_.path(), directory_.path() + ".old");
  std::filesystem::rename(other.path(), directory_.path());
  RunUntil([&] { return Value("b") == "1" && Value("a").empty(); });
  std::filesystem::remove_all(directory_.path() + ".old");
  directory_.Write("b.yaml", Yaml("b", "2"));
  RunUntil([&] { return Value("b") == "2"; });
}

TEST_F(DirectoryStoreTest, AMissingDirectoryChangesNothing) {
  directory_.Write("a.yaml", Yaml("a"));
  Open();
  std::filesystem::rename(directory_.path(), directory_.path() + ".old");
  RunUntil([&] { return !store_->problems().empty(); });
  EXPECT_EQ("1", Value("a"));
  std::filesystem::rename(directory_.path() + ".old", directory_.path());
  RunUntil([&] { return store_->problems().empty(); });
  EXPECT_EQ("1", Value("a"));
  EXPECT_TRUE(batches_.empty());
  EXPECT_EQ(absl::StatusCode::kNotFound,
            DirectoryStore::Open(*loop_, {directory_ / "nowhere"}).status().code());
}

TEST_F(DirectoryStoreTest, FollowsTheTargetOfALink) {
  testing::TemporaryDirectory elsewhere;
  elsewhere.Write("a.yaml", Yaml("a"));
  std::filesystem::create_symlink(elsewhere / "a.yaml", directory_ / "a.yaml");
  std::filesystem::create_symlink(".", directory_ / "circle");
  Open();
  EXPECT_EQ("1", Value("a"));
  elsewhere.Write("a.yaml", Yaml("a", "2"));
  RunUntil([&] { return Value("a") == "2"; });
}

TEST_F(DirectoryStoreTest, GivesStableMetadataAndKeepsWhatIsWritten) {
  directory_.Write("a.yaml", Yaml("a"));
  directory_.Write("b.yaml",
                   "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  uid: mine\n"
                   "  creationTimestamp: \"2026-01-02T03:04:05Z\"\n  generation: 7\n");
  Open();
  const ObjectPtr a = store_->Get({&kConfigMap, "default", "a"});
  const ObjectPtr b = store_->Get({&kConfigMap, "default", "b"});
  EXPECT_EQ("mine", b->meta.uid);
  EXPECT_EQ(7, b->meta.generation);
  EXPECT_EQ("2026-01-02T03:04:05Z", (*b->document)["metadata"]["creationTimestamp"]);
  EXPECT_EQ(StableUid("ConfigMap default/a"), a->meta.uid);
  EXPECT_EQ(1, a->meta.generation);
  struct stat info;
  ASSERT_EQ(0, stat((directory_ / "a.yaml").c_str(), &info));
  EXPECT_EQ(info.st_mtim.tv_sec, std::chrono::system_clock::to_time_t(a->meta.created));

  directory_.Write("a.yaml", Yaml("a", "2"));
  RunUntil([&] { return Value("a") == "2"; });
  const ObjectPtr changed = store_->Get({&kConfigMap, "default", "a"});
  EXPECT_EQ(a->meta.uid, changed->meta.uid);
  EXPECT_EQ(a->meta.created, changed->meta.created);
  EXPECT_EQ(2, changed->meta.generation);
  EXPECT_NE(a->meta.resource_version, changed->meta.resource_version);
}

TEST_F(DirectoryStoreTest, ItsHashIsWhatSha256sumSays) {
  directory_.Write("b.yaml", Yaml("b"));
  directory_.Write("a.yaml", Yaml("a"));
  Open();
  const std::string lines = Sha256Hex(Yaml("a")) + "  " + (directory_ / "a.yaml") + "\n" +
                            Sha256Hex(Yaml("b")) + "  " + (directory_ / "b.yaml") + "\n";
  EXPECT_EQ(Sha256Hex(lines), store_->content_hash());
  EXPECT_EQ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Sha256Hex("abc"));
}

TEST_F(DirectoryStoreTest, AFormattingChangeIsNoChangeOfObjects) {
  directory_.Write("a.yaml", Yaml("a"));
  Open();
  directory_.Write("a.yaml", "# a comment\n" + Yaml("a"));
  RunUntil([&] { return store_->sequence() == 2; });
  EXPECT_TRUE(batches_.empty());
}

TEST_F(DirectoryStoreTest, IsReadOnly) {
  directory_.Write("a.yaml", Yaml("a"));
  Open();
  const ObjectPtr a = store_->Get({&kConfigMap, "default", "a"});
  const Status status = store_->Update(a).status();
  EXPECT_EQ(absl::StatusCode::kFailedPrecondition, status.code());
  EXPECT_THAT(status.ToString(), HasSubstr("--state-dir"));
  EXPECT_FALSE(store_->Create(a).ok());
  EXPECT_FALSE(store_->UpdateStatus(a).ok());
  EXPECT_FALSE(store_->Delete(a->key(), "").ok());
}

}  // namespace
}  // namespace meltemi::galley
