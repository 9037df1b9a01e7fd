// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/kube_objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "lib/kube/testing/fake_api.h"

namespace meltemi::host {
namespace {

using ::testing::ElementsAre;

Json Pod(const std::string& name, const std::string& phase) {
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"status", {{"phase", phase}}}};
}
Json Named(const std::string& kind, const std::string& name) {
  return {{"apiVersion", "v1"},
          {"kind", kind},
          {"metadata", {{"name", name}, {"namespace", "default"}}}};
}

class KubeObjectsTest : public ::testing::Test {
 protected:
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 50'000 && !done(); ++passes)
      loop_->RunOnce(std::chrono::milliseconds(100));
    ASSERT_TRUE(done());
  }
  void RunUntilWritten() {
    RunUntil([&] { return objects_.unwritten() == 0; });
  }
  size_t Requests(const std::string& request) const {
    return static_cast<size_t>(std::count(api_.requests.begin(), api_.requests.end(), request));
  }
  std::string PhaseOf(const std::string& pod) {
    const Json& stored = api_.stored["pods/default/" + pod];
    return StringAt(stored, "status/phase");
  }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  kube::testing::FakeApi api_{*loop_};
  KubeObjects objects_{*loop_, api_.address()};
};

TEST_F(KubeObjectsTest, WritesABatchWithItsStatuses) {
  objects_.Put(Pod("a", "Pending"));
  objects_.Put(Named("ServiceAccount", "s"));
  objects_.Put(Pod("a", "Running"));  // replaces the first before it went out
  RunUntilWritten();
  EXPECT_EQ(PhaseOf("a"), "Running");
  EXPECT_TRUE(api_.stored.contains("serviceaccounts/default/s"));
  EXPECT_THAT(api_.requests, ElementsAre("POST /apis/meltemi.io/v1/apply",
                                         "PUT /api/v1/namespaces/default/pods/a/status"));
  objects_.Delete("Pod", "default", "a");
  objects_.Delete("Pod", "default", "never there");
  RunUntilWritten();
  EXPECT_FALSE(api_.stored.contains("pods/default/a"));
}

TEST_F(KubeObjectsTest, WhatComesWhileABatchIsUnderWayHoldsInTheEnd) {
  objects_.Put(Pod("a", "Pending"));
  RunUntil([&] { return !api_.requests.empty(); });
  objects_.Delete("Pod", "default", "a");
  objects_.Put(Pod("b", "Pending"));
  objects_.Put(Pod("b", "Running"));
  RunUntilWritten();
  EXPECT_FALSE(api_.stored.contains("pods/default/a"));
  EXPECT_EQ(PhaseOf("b"), "Running");
}

TEST_F(KubeObjectsTest, TriesAgainUntilTheApiIsBack) {
  api_.is_unavailable = true;
  objects_.Put(Pod("a", "Running"));
  RunUntil([&] { return api_.requests.size() >= 2; });
  EXPECT_EQ(objects_.unwritten(), 1u);
  api_.is_unavailable = false;
  RunUntilWritten();
  EXPECT_EQ(PhaseOf("a"), "Running");
}

TEST_F(KubeObjectsTest, ARefusedObjectKeepsNoOtherBack) {
  Json bad = Named("Service", "bad");
  bad["spec"] = {{"bad", true}};
  objects_.Put(bad);
  objects_.Put(Pod("a", "Running"));
  objects_.Put(Named("Service", "good"));
  RunUntil([&] { return PhaseOf("a") == "Running" && objects_.unwritten() == 1; });
  EXPECT_TRUE(api_.stored.contains("services/default/good"));
  objects_.Put(Named("Service", "bad"));  // mended
  RunUntilWritten();
  EXPECT_TRUE(api_.stored.contains("services/default/bad"));
}

TEST_F(KubeObjectsTest, TellsOfObjectsAndDeletions) {
  std::vector<std::string> told;
  api_.Put(Pod("a", "Running"));
  objects_.Watch("Pod", [&](const std::vector<ObjectChange>& changes) {
    for (const auto& change : changes)
      told.push_back((change.is_deleted ? "-" : "+") + KeyOf(change.object));
  });
  RunUntil([&] { return told.size() == 1; });
  api_.Remove("pods/default/a");
  RunUntil([&] { return told.size() == 2; });
  EXPECT_THAT(told, ElementsAre("+default/a", "-default/a"));
}

// The API in a process of its own: the functions under test block.
TEST(KubeObjectsBlockingTest, MakesAccountsForTokensAndDeletesWhatIsOld) {
  const std::string path = ::testing::TempDir() + "/kube-objects-test.sock";
  const std::string address = "unix:" + path;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto loop = *runtime::Loop::Create();
    kube::testing::FakeApi api(*loop, *net::Address::Unix(path));
    Json secret = Named("Secret", "ca");
    secret["metadata"]["namespace"] = "istio-system";
    for (const Json& object : {Named("Service", "old"), Named("Secret", "old"), secret})
      api.Put(object);
    if (::write(ends[1], "", 1) == 1) loop->Run();
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);
  const auto token = RequestToken(address, "default", "new");
  EXPECT_TRUE(token.ok()) << token.status();
  const Status deleted = DeleteEarlierObjects(address);
  EXPECT_TRUE(deleted.ok()) << deleted;

  const auto loop = *runtime::Loop::Create();
  kube::Client client(*loop, {.address = *net::Address::Unix(path)});
  const auto count = [&](const config::Kind& kind) {
    size_t items = 1000;
    const auto call = client.List(kind, "", [&](const StatusOr<Json>& list) {
      items = (*list)["items"].size();
      loop->Stop();
    });
    loop->Run();
    return items;
  };
  EXPECT_EQ(count(config::kinds::kService), 0u);
  EXPECT_EQ(count(config::kinds::kSecret), 1u) << "the control plane's own stays";
  EXPECT_EQ(count(config::kinds::kServiceAccount), 1u) << "made for the token";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(RequestToken(address, "default", "new").ok());
  ::unlink(path.c_str());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(KubeObjectsTest, OpensOnlyAddresses) {
  EXPECT_FALSE(KubeObjects::Open(*loop_, "nowhere").ok());
  EXPECT_TRUE(KubeObjects::Open(*loop_, api_.address().text()).ok());
}

}  // namespace
}  // namespace meltemi::host
