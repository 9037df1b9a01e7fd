// SPDX-License-Identifier: Apache-2.0
#include "galley/store/embedded_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>

#include "galley/testing/temporary_directory.h"
#include "lib/base/testing/fake_clock.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using config::Event;
using config::EventType;
using config::ObjectPtr;
using nlohmann::json;
using ::testing::HasSubstr;

const config::Kind& kConfigMap = config::kinds::kConfigMap;

json Document(const std::string& name, const std::string& value = "1") {
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"data", {{"value", value}}}};
}

ObjectPtr Decode(const json& document) {
  auto object = config::DecodeObject(document, "default");
  EXPECT_TRUE(object.ok()) << object.status().ToString();
  return *object;
}

ObjectPtr Make(const std::string& name, const std::string& value = "1") {
  return Decode(Document(name, value));
}

config::ObjectKey Key(const std::string& name) {
  return {&kConfigMap, "default", name};
}

class EmbeddedStoreTest : public ::testing::Test {
 protected:
  EmbeddedStoreTest() { Open(); }
  void Open() {
    store_.reset();
    auto store = EmbeddedStore::Open(*loop_, directory_.path(), options_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
  }
  Status OpenError() {
    store_.reset();
    return EmbeddedStore::Open(*loop_, directory_.path(), options_).status();
  }
  void Sql(const std::string& text) {
    store_.reset();
    sqlite3* database = nullptr;
    ASSERT_EQ(SQLITE_OK, sqlite3_open((directory_ / "store.db").c_str(), &database));
    ASSERT_EQ(SQLITE_OK, sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr));
    sqlite3_close(database);
  }

  testing::TemporaryDirectory directory_;
  FakeClock clock_;
  EmbeddedOptions options_{.clock = &clock_};
  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  std::unique_ptr<EmbeddedStore> store_;
};

TEST_F(EmbeddedStoreTest, GivesNewObjectsTheirMetadata) {
  const uint64_t before = store_->version();
  const auto created = store_->Create(Make("a"));
  ASSERT_TRUE(created.ok()) << created.status().ToString();
  const config::Metadata& meta = (*created)->meta;
  EXPECT_EQ(36u, meta.uid.size());
  EXPECT_EQ(1, meta.generation);
  EXPECT_EQ(std::to_string(before + 1), meta.resource_version);
  EXPECT_EQ(json(config::TimeText(clock_.Wall())),
            (*(*created)->document)["metadata"]["creationTimestamp"]);
  EXPECT_EQ(*created, store_->Get(Key("a")));
  EXPECT_EQ(absl::StatusCode::kAlreadyExists, store_->Create(Make("a")).status().code());
}

TEST_F(EmbeddedStoreTest, MakesTheUsualNamespaces) {
  std::vector<std::string> names;
  for (const auto& object : store_->List(&config::kinds::kNamespace, "").objects) {
    names.push_back(object->meta.name);
  }
  EXPECT_EQ((std::vector<std::string>{"default", "istio-system", "kube-system"}), names);
}

TEST_F(EmbeddedStoreTest, UpdatesKeepIdentityAndCountGenerations) {
  const ObjectPtr first = *store_->Create(Make("a"));
  clock_.Advance(std::chrono::hours(1));
  const ObjectPtr second = *store_->Update(Make("a", "2"));
  EXPECT_EQ(first->meta.uid, second->meta.uid);
  EXPECT_EQ(first->meta.created, second->meta.created);
  EXPECT_EQ(2, second->meta.generation);
  json labelled = Document("a", "2");
  labelled["metadata"]["labels"] = {{"x", "y"}};
  const ObjectPtr third = *store_->Update(Decode(labelled));
  EXPECT_EQ(2, third->meta.generation);  // only metadata changed
  EXPECT_NE(second->meta.resource_version, third->meta.resource_version);
  EXPECT_EQ(absl::StatusCode::kNotFound, store_->Update(Make("b")).status().code());
}

TEST_F(EmbeddedStoreTest, AnUpdateWithoutChangeWritesNothing) {
  const ObjectPtr first = *store_->Create(Make("a"));
  const uint64_t version = store_->version();
  EXPECT_EQ(first, *store_->Update(Make("a")));
  EXPECT_EQ(first, *store_->Update(first));
  EXPECT_EQ(version, store_->version());
}

TEST_F(EmbeddedStoreTest, RefusesStaleWrites) {
  const ObjectPtr first = *store_->Create(Make("a"));
  ASSERT_TRUE(store_->Update(Make("a", "2")).ok());
  json stale = *first->document;
  stale["data"]["value"] = "3";
  EXPECT_EQ(absl::StatusCode::kAborted, store_->Update(Decode(stale)).status().code());
  EXPECT_EQ(absl::StatusCode::kAborted,
            store_->Delete(Key("a"), first->meta.resource_version).code());
  EXPECT_TRUE(store_->Delete(Key("a"), "").ok());
  EXPECT_EQ(absl::StatusCode::kNotFound, store_->Delete(Key("a"), "").code());
}

TEST_F(EmbeddedStoreTest, StatusHasAWayOfItsOwn) {
  const json pod = {{"apiVersion", "v1"},
                    {"kind", "Pod"},
                    {"metadata", {{"name", "p"}, {"namespace", "default"}}},
                    {"spec", {{"nodeName", "n"}}}};
  ASSERT_TRUE(store_->Create(Decode(pod)).ok());
  json with_status = pod;
  with_status["spec"]["nodeName"] = "ignored";
  with_status["status"] = {{"phase", "Running"}};
  const ObjectPtr ran = *store_->UpdateStatus(Decode(with_status));
  EXPECT_EQ("Running", (*ran->document)["status"]["phase"]);
  EXPECT_EQ("n", (*ran->document)["spec"]["nodeName"]);
  EXPECT_EQ(1, ran->meta.generation);
  // And an update of the rest leaves it alone.
  json moved = pod;
  moved["spec"]["nodeName"] = "m";
  const ObjectPtr updated = *store_->Update(Decode(moved));
  EXPECT_EQ("Running", (*updated->document)["status"]["phase"]);
  EXPECT_EQ(2, updated->meta.generation);
  EXPECT_EQ(updated, *store_->UpdateStatus(updated));
}

TEST_F(EmbeddedStoreTest, BatchesAreAllOrNothingAndOneBatchOfEvents) {
  std::vector<size_t> batches;
  auto watch = *store_->StartWatch({.from_version = store_->version()},
                                   [&](const auto& events) { batches.push_back(events.size()); });
  ASSERT_TRUE(store_->ApplyAll({Make("a"), Make("b")}).ok());
  const ObjectPtr a = store_->Get(Key("a"));
  const auto applied = store_->ApplyAll({Make("a"), Make("b", "2"), Make("c")});
  ASSERT_TRUE(applied.ok());
  EXPECT_EQ(a, applied->front());  // unchanged
  loop_->RunOnce(Duration(0));
  EXPECT_EQ((std::vector<size_t>{2, 2}), batches);

  const uint64_t version = store_->version();
  EXPECT_EQ(absl::StatusCode::kNotFound,
            store_
                ->WriteAll({{.verb = Write::Verb::kCreate, .object = Make("d")},
                            {.verb = Write::Verb::kUpdate, .object = Make("missing")}})
                .status()
                .code());
  EXPECT_EQ(absl::StatusCode::kInvalidArgument,
            store_->ApplyAll({Make("d"), Make("d", "2")}).status().code());
  EXPECT_EQ(nullptr, store_->Get(Key("d")));
  EXPECT_EQ(version, store_->version());
  Open();
  EXPECT_EQ(nullptr, store_->Get(Key("d")));
  EXPECT_NE(nullptr, store_->Get(Key("c")));
}

TEST_F(EmbeddedStoreTest, ATrialLeavesNoTrace) {
  const uint64_t version = store_->version();
  const auto tried =
      store_->WriteAll({{.verb = Write::Verb::kCreate, .object = Make("a")}}, /*is_trial=*/true);
  ASSERT_TRUE(tried.ok());
  EXPECT_EQ(1, tried->front()->meta.generation);
  EXPECT_EQ(nullptr, store_->Get(Key("a")));
  EXPECT_EQ(version, store_->version());
}

TEST_F(EmbeddedStoreTest, GoesOnAfterARestart) {
  ASSERT_TRUE(store_->Create(Make("a")).ok());
  ASSERT_TRUE(store_->Create(Make("b")).ok());
  ASSERT_TRUE(store_->Delete(Key("b"), "").ok());
  const json before = *store_->Get(Key("a"))->document;
  const uint64_t version = store_->version();
  Open();
  EXPECT_EQ(before, *store_->Get(Key("a"))->document);
  EXPECT_EQ(nullptr, store_->Get(Key("b")));
  EXPECT_EQ(version, store_->version());  // the deletion counts too
  const auto start = [&](uint64_t from) {
    return store_->StartWatch({.from_version = from}, [](const auto&) {}).status().code();
  };
  EXPECT_EQ(absl::StatusCode::kOutOfRange, start(version - 1));
  EXPECT_EQ(absl::StatusCode::kOk, start(version));
}

TEST_F(EmbeddedStoreTest, KeepsItsFilesToItself) {
  struct stat info;
  ASSERT_EQ(0, stat((directory_ / "store.db").c_str(), &info));
  EXPECT_EQ(0600u, info.st_mode & 0777);
  ASSERT_TRUE(store_->Create(Make("a")).ok());
  ASSERT_EQ(0, stat((directory_ / "store.db-wal").c_str(), &info));
  EXPECT_EQ(0600u, info.st_mode & 0777);
}

TEST_F(EmbeddedStoreTest, OneProcessAtATime) {
  const Status second = EmbeddedStore::Open(*loop_, directory_.path()).status();
  EXPECT_EQ(absl::StatusCode::kFailedPrecondition, second.code());
  EXPECT_THAT(second.ToString(), HasSubstr("process " + std::to_string(getpid())));
  EXPECT_THAT(second.ToString(), HasSubstr("\nStop it"));
}

TEST_F(EmbeddedStoreTest, RefusesAnotherLayout) {
  Sql("UPDATE meta SET value = 7 WHERE key = 'layout'");
  const Status status = OpenError();
  EXPECT_EQ(absl::StatusCode::kFailedPrecondition, status.code());
  EXPECT_THAT(status.ToString(), HasSubstr("layout 7"));
  EXPECT_THAT(status.ToString(), HasSubstr("\nUse the meltemid that wrote it"));
  Sql("DROP TABLE meta");
  EXPECT_THAT(OpenError().ToString(), HasSubstr("layout"));
}

TEST_F(EmbeddedStoreTest, RefusesADamagedFile) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(store_->Create(Make("a" + std::to_string(i), std::string(500, 'x'))).ok());
  }
  store_.reset();  // folds the log into the file
  std::fstream file(directory_ / "store.db", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3 * 4096);
  file << std::string(8 * 4096, '\xff');
  file.close();
  const Status status = OpenError();
  EXPECT_EQ(absl::StatusCode::kDataLoss, status.code());
  EXPECT_THAT(status.ToString(), HasSubstr("is damaged"));
  EXPECT_THAT(status.ToString(), HasSubstr("\nPut back a copy"));
  directory_.Write("store.db", "This is not a database at all, but it is long enough to be one.\n");
  EXPECT_EQ(absl::StatusCode::kDataLoss, OpenError().code());
}

TEST_F(EmbeddedStoreTest, RefusesWhatItCannotRead) {
  ASSERT_TRUE(store_->Create(Make("a")).ok());
  Sql("UPDATE objects SET document = replace(document, 'ConfigMap', 'Unheard')");
  const Status status = OpenError();
  EXPECT_EQ(absl::StatusCode::kFailedPrecondition, status.code());
  EXPECT_THAT(status.ToString(), HasSubstr("ConfigMap default/a"));
}

TEST_F(EmbeddedStoreTest, HasLimits) {
  options_.objects_max = 4;  // three namespaces are there
  Open();
  ASSERT_TRUE(store_->Create(Make("a")).ok());
  EXPECT_EQ(absl::StatusCode::kResourceExhausted, store_->Create(Make("b")).status().code());
  EXPECT_TRUE(store_->Update(Make("a", "2")).ok());
  const auto large = store_->Update(Make("a", std::string(config::kObjectBytesMax, 'x')));
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, large.status().code());
}

TEST_F(EmbeddedStoreTest, AFullDiskIsAnErrorAndNothingMore) {
  options_.bytes_max = 64 * 1024;
  Open();
  size_t stored = 0;
  Status status;
  while (status.ok() && stored < 1000) {
    status = store_->Create(Make("a" + std::to_string(stored), std::string(1000, 'x'))).status();
    if (status.ok()) ++stored;
  }
  EXPECT_EQ(absl::StatusCode::kResourceExhausted, status.code());
  EXPECT_THAT(status.ToString(), HasSubstr("\nMake room"));
  const std::string refused = "a" + std::to_string(stored);
  EXPECT_EQ(nullptr, store_->Get(Key(refused)));
  // Room is made, and it goes on.
  EXPECT_TRUE(store_->Delete(Key("a0"), "").ok());
  EXPECT_TRUE(store_->Delete(Key("a1"), "").ok());
  EXPECT_TRUE(store_->Create(Make("small")).ok());
  Open();
  EXPECT_EQ(stored - 1, store_->List(&kConfigMap, "default").objects.size());
  EXPECT_EQ(nullptr, store_->Get(Key(refused)));
}

// Runs `work` in a child process, which has a loop and a store of its own.
pid_t Fork(const std::function<void()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  return child;
}

TEST_F(EmbeddedStoreTest, AWriteTheKernelRefusesLeavesNoTrace) {
  store_.reset();
  const pid_t child = Fork([&] {
    signal(SIGXFSZ, SIG_IGN);
    auto store = *EmbeddedStore::Open(*loop_, directory_.path());
    if (!store->Create(Make("a")).ok()) _exit(1);
    const rlimit limit{256 * 1024, 256 * 1024};
    setrlimit(RLIMIT_FSIZE, &limit);
    int refused = 0;
    for (int i = 0; i < 20; ++i) {
      const std::string name = "large" + std::to_string(i);
      if (store->Create(Make(name, std::string(100'000, 'x'))).ok()) continue;
      ++refused;
      if (store->Get(Key(name)) != nullptr) _exit(2);
    }
    if (refused == 0) _exit(3);
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &none);
    _exit(store->Get(Key("a")) != nullptr ? 0 : 4);
  });
  int result = 0;
  waitpid(child, &result, 0);
  EXPECT_EQ(0, WEXITSTATUS(result));
  Open();
  EXPECT_NE(nullptr, store_->Get(Key("a")));
}

// A child writes, tells of each write that was acknowledged, and is killed at some moment.
TEST_F(EmbeddedStoreTest, NothingAcknowledgedIsLostToAKill) {
  store_.reset();
  const auto seed = static_cast<unsigned>(getpid());
  SCOPED_TRACE("seed " + std::to_string(seed));
  srand(seed);
  int acknowledged = -1;
  for (int round = 0; round < 8; ++round) {
    int ends[2];
    ASSERT_EQ(0, pipe(ends));
    const pid_t child = Fork([&] {
      auto store = *EmbeddedStore::Open(*loop_, directory_.path());
      for (int i = acknowledged + 1;; ++i) {
        const std::string name = "object" + std::to_string(i);
        if (!store->ApplyAll({Make(name), Make("latest", std::to_string(i))}).ok()) _exit(1);
        if (write(ends[1], &i, sizeof i) != sizeof i) _exit(2);
      }
    });
    close(ends[1]);
    int told = 0;
    const int wanted = acknowledged + 1 + rand() % 60;
    while (read(ends[0], &told, sizeof told) == sizeof told) {
      acknowledged = told;
      if (told == wanted) kill(child, SIGKILL);  // what it does meanwhile is read too
    }
    close(ends[0]);
    int result = 0;
    waitpid(child, &result, 0);
    ASSERT_TRUE(WIFSIGNALED(result)) << "exit status " << WEXITSTATUS(result);
    if (round % 2 == 1) {
      // A write torn by a power cut: the log ends in rubbish.
      std::ofstream(directory_ / "store.db-wal", std::ios::app | std::ios::binary)
          << std::string(5000, '\x5a');
    }
    Open();
    for (int i = 0; i <= acknowledged; ++i) {
      ASSERT_NE(nullptr, store_->Get(Key("object" + std::to_string(i)))) << i;
    }
    // Transactions are whole: at most the one that nobody heard of any more is there as well.
    const json latest = *store_->Get(Key("latest"))->document;
    const int number = std::stoi(latest["data"]["value"].get<std::string>());
    EXPECT_GE(number, acknowledged);
    EXPECT_LE(number, acknowledged + 1);
    EXPECT_NE(nullptr, store_->Get(Key("object" + std::to_string(number))));
    acknowledged = number;
    store_.reset();
  }
}

}  // namespace
}  // namespace meltemi::galley
