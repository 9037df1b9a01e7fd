// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>

#include "lib/kube/client.h"
#include "lib/kube/status.h"
#include "lib/kube/testing/fake_api.h"
#include "lib/kube/watcher.h"

namespace meltemi::kube {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json Service(const std::string& name, int port = 80) {
  return {{"apiVersion", "v1"},
          {"kind", "Service"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec", {{"ports", Json::array({Json{{"port", port}}})}}}};
}

class KubeTest : public ::testing::Test {
 protected:
  StatusOr<Json> Await(const std::function<Client::Call(Client::Answer)>& start) {
    std::optional<StatusOr<Json>> answer;
    const auto call = start([&](StatusOr<Json> got) { answer = std::move(got); });
    RunUntil([&] { return answer.has_value(); });
    return *std::move(answer);
  }
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 50'000 && !done(); ++passes)
      loop_->RunOnce(std::chrono::milliseconds(100));
    ASSERT_TRUE(done());
  }
  // A watcher whose changes are told as "+name", "~name", "-name".
  std::unique_ptr<Watcher> Watch() {
    WatcherOptions options;
    options.kind = &config::kinds::kService;
    options.wait_min = std::chrono::milliseconds(1);
    options.wait_max = std::chrono::milliseconds(4);
    return std::make_unique<Watcher>(client_, options, [this](const std::vector<Change>& changes) {
      for (const Change& change : changes)
        told_.push_back("+~-"[static_cast<int>(change.type)] + MetadataOf(change.object, "name"));
    });
  }
  // Waits until something is told of `name`, last of all.
  void RunUntilTold(const std::string& change) {
    RunUntil([&] { return !told_.empty() && told_.back() == change; });
  }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  testing::FakeApi api_{*loop_};
  Client client_{*loop_, {.address = api_.address()}};
  std::vector<std::string> told_;
};

TEST_F(KubeTest, PathsFollowTheKind) {
  EXPECT_EQ(PathOf(config::kinds::kService, "a", "b"), "/api/v1/namespaces/a/services/b");
  EXPECT_EQ(PathOf(config::kinds::kVirtualService, "a"),
            "/apis/networking.istio.io/v1/namespaces/a/virtualservices");
  EXPECT_EQ(PathOf(config::kinds::kVirtualService, ""),
            "/apis/networking.istio.io/v1/virtualservices");
  EXPECT_EQ(PathOf(config::kinds::kNode, "ignored", "n"), "/api/v1/nodes/n");
  EXPECT_EQ(PathOf(config::kinds::kService, "a", "../x?y"),
            "/api/v1/namespaces/a/services/..%2Fx%3Fy");
}

TEST_F(KubeTest, ReadsAndWritesOneObject) {
  const auto& kind = config::kinds::kService;
  const auto created = Await([&](auto done) { return client_.Create(kind, Service("a"), done); });
  ASSERT_TRUE(created.ok()) << created.status();
  const auto again = Await([&](auto done) { return client_.Create(kind, Service("a"), done); });
  EXPECT_TRUE(absl::IsAlreadyExists(again.status())) << again.status();

  Json stale = *created;
  stale["metadata"]["resourceVersion"] = "1";
  const auto conflict = Await([&](auto done) { return client_.Update(kind, stale, done); });
  EXPECT_TRUE(absl::IsAborted(conflict.status())) << conflict.status();
  EXPECT_TRUE(Await([&](auto done) { return client_.Update(kind, *created, done); }).ok());

  Json status = Service("a");
  status["status"] = {{"loadBalancer", "x"}};
  EXPECT_TRUE(Await([&](auto done) { return client_.UpdateStatus(kind, status, done); }).ok());
  const Json patch = {{"metadata", {{"labels", {{"k", "v"}}}}}};
  EXPECT_TRUE(
      Await([&](auto done) { return client_.Patch(kind, "default", "a", patch, done); }).ok());
  const auto got = Await([&](auto done) { return client_.Get(kind, "default", "a", done); });
  ASSERT_TRUE(got.ok());
  EXPECT_EQ((*got)["status"]["loadBalancer"], "x");
  EXPECT_EQ((*got)["metadata"]["labels"]["k"], "v");
  EXPECT_EQ((*got)["spec"]["ports"][0]["port"], 80) << "a status leaves the spec alone";

  EXPECT_EQ((*Await([&](auto done) { return client_.List(kind, "", done); }))["items"].size(), 1u);
  EXPECT_TRUE(Await([&](auto done) { return client_.Delete(kind, "default", "a", done); }).ok());
  const auto gone = Await([&](auto done) { return client_.Get(kind, "default", "a", done); });
  EXPECT_TRUE(absl::IsNotFound(gone.status())) << gone.status();
}

TEST_F(KubeTest, AppliesBatchesAndAsksForTokens) {
  const auto applied =
      Await([&](auto done) { return client_.ApplyAll({Service("a"), Service("b")}, done); });
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ((*applied)["results"][1]["action"], "created");
  EXPECT_EQ(api_.stored.size(), 2u);
  const auto token = Await([&](auto done) {
    return client_.RequestToken("default", "none", "istio-ca", std::chrono::hours(1), done);
  });
  EXPECT_TRUE(absl::IsNotFound(token.status()));
}

TEST_F(KubeTest, SendsTheTokenOfAFileAndMissesIt) {
  const std::string path = ::testing::TempDir() + "/kube-token";
  std::ofstream(path) << "secret\n";
  Client client(*loop_, {.address = api_.address(), .token_file = path});
  const auto& kind = config::kinds::kService;
  EXPECT_TRUE(Await([&](auto done) { return client.List(kind, "", done); }).ok());
  EXPECT_EQ(api_.last_authorization, "Bearer secret");
  std::remove(path.c_str());
  const auto list = Await([&](auto done) { return client.List(kind, "", done); });
  EXPECT_TRUE(absl::IsUnauthenticated(list.status())) << list.status();
}

TEST(KubeStatusTest, FollowsCodeAndReason) {
  const auto status = [](int code, const char* reason) {
    return StatusOfAnswer(code, Json{{"kind", "Status"}, {"reason", reason}}.dump()).code();
  };
  EXPECT_EQ(status(409, "AlreadyExists"), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(status(409, "Conflict"), absl::StatusCode::kAborted);
  EXPECT_EQ(status(410, "Expired"), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(status(422, "Invalid"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status(201, ""), absl::StatusCode::kOk);
  EXPECT_THAT(std::string(StatusOfAnswer(502, "<html>").message()), HasSubstr("502: <html>"));
}

TEST_F(KubeTest, AWatcherTellsWhatThereIsThenEachChange) {
  api_.Put(Service("a"));
  const auto watcher = Watch();
  RunUntilTold("+a");
  EXPECT_TRUE(watcher->has_synced());
  api_.Put(Service("b"));
  api_.Put(Service("a", 81));
  api_.Remove("services/default/b");
  RunUntilTold("-b");
  EXPECT_THAT(told_, ElementsAre("+a", "+b", "~a", "-b"));
}

TEST_F(KubeTest, AWatcherTakesABrokenWatchUpAgain) {
  api_.Put(Service("a"));
  const auto watcher = Watch();
  RunUntil([&] { return api_.watch_count() == 1; });
  api_.DropWatches();
  api_.Put(Service("b"));  // while nobody listens
  RunUntilTold("+b");
  EXPECT_THAT(told_, ElementsAre("+a", "+b")) << "nothing is told twice";
  EXPECT_EQ(std::count(api_.requests.begin(), api_.requests.end(), "GET /api/v1/services"), 3)
      << "one list, two watches";
}

TEST_F(KubeTest, AWatcherListsAnewWhenItsVersionIsGone) {
  for (const char* name : {"a", "b", "c"}) api_.Put(Service(name));
  const auto watcher = Watch();
  RunUntil([&] { return api_.watch_count() == 1; });
  api_.DropWatches();
  api_.Remove("services/default/a");
  api_.Put(Service("b", 81));
  api_.Put(Service("d"));
  api_.Compact();
  RunUntilTold("+d");
  EXPECT_THAT(told_, ElementsAre("+a", "+b", "+c", "-a", "~b", "+d"));
}

TEST_F(KubeTest, ABookmarkMovesTheVersion) {
  const auto watcher = Watch();
  RunUntil([&] { return api_.watch_count() == 1; });
  api_.version = 20;
  const Json bookmark = {{"type", "BOOKMARK"},
                         {"object", {{"metadata", {{"resourceVersion", "20"}}}}}};
  api_.SendToWatches(bookmark.dump() + "\n");
  api_.Compact();  // 10, where it began, is no longer kept; 20 is
  api_.DropWatches();
  RunUntil([&] { return api_.watch_count() == 1; });
  api_.Put(Service("a"));
  RunUntilTold("+a");
  EXPECT_EQ(std::count(api_.requests.begin(), api_.requests.end(), "GET /api/v1/services"), 3)
      << "one list, two watches";
}

TEST_F(KubeTest, AWatcherOutlivesAnApiThatFails) {
  api_.is_unavailable = true;
  const auto watcher = Watch();
  RunUntil([&] { return api_.requests.size() >= 4; });
  EXPECT_FALSE(watcher->has_synced());
  EXPECT_TRUE(absl::IsUnavailable(watcher->status())) << watcher->status();
  api_.is_unavailable = false;
  api_.Put(Service("a"));
  RunUntilTold("+a");
  EXPECT_TRUE(watcher->status().ok());
  RunUntil([&] { return api_.watch_count() == 1; });
  api_.SendToWatches("no json\n");
  api_.Put(Service("b"));
  RunUntilTold("+b");
  EXPECT_THAT(told_, ElementsAre("+a", "+b"));
}

}  // namespace
}  // namespace meltemi::kube
