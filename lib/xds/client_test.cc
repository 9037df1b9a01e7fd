// SPDX-License-Identifier: Apache-2.0
// The client against a server that does what a test says, over real sockets; and against our own.
#include "lib/xds/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/grpc/server.h"
#include "lib/xds/client_backoff.h"
#include "lib/xds/client_subscription.h"
#include "lib/xds/server.h"
#include "lib/xds/testing/fake_source.h"

namespace meltemi::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr char kPath[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

// Keeps what it is sent; answers by hand.
struct Script {
  std::vector<DeltaDiscoveryRequest> requests;
  std::vector<std::multimap<std::string, std::string>> metadata;  // by stream
  grpc::ServerCall* call = nullptr;

  const DeltaDiscoveryRequest* Last(Type type) const {
    for (auto at = requests.rbegin(); at != requests.rend(); ++at)
      if (at->type_url() == TypeUrl(type)) return &*at;
    return nullptr;
  }
};

class ScriptedCall final : public grpc::CallHandler {
 public:
  ScriptedCall(Script& script, grpc::ServerCall& call) : script_(script) {
    script_.call = &call;
    script_.metadata.push_back(call.peer().metadata);
  }
  void OnMessage(std::string_view message) override {
    DeltaDiscoveryRequest request;
    EXPECT_TRUE(request.ParseFromArray(message.data(), static_cast<int>(message.size())));
    script_.requests.push_back(request);
  }
  void OnEnd() override { script_.call = nullptr; }

 private:
  Script& script_;
};

struct Recorder final : ClientHandler {
  void OnUpdate(const ClientUpdate& update, Settle settle) override {
    for (const ClientResource& resource : update.changed)
      taken.emplace_back(resource.name, std::string(resource.message));
    removed.insert(removed.end(), update.removed.begin(), update.removed.end());
    if (on_update) on_update(update);
    if (settles_at_once) return settle(refusals);
    pending.push_back(std::move(settle));
  }
  void OnStreamUp() override { ++ups; }
  void OnStreamDown(const std::string& reason) override { downs.push_back(reason); }

  std::vector<std::pair<std::string, std::string>> taken;
  std::vector<std::string> removed, downs;
  std::vector<ClientRefusal> refusals;
  std::vector<Settle> pending;
  std::function<void(const ClientUpdate&)> on_update;
  bool settles_at_once = true;
  int ups = 0;
};

DeltaDiscoveryResponse Response(Type type, const std::string& nonce,
                                const std::vector<std::pair<std::string, std::string>>& versions) {
  DeltaDiscoveryResponse response;
  response.set_type_url(std::string(TypeUrl(type)));
  response.set_nonce(nonce);
  for (const auto& [name, version] : versions) {
    auto* resource = response.add_resources();
    resource->set_name(name);
    resource->set_version(version);
    resource->mutable_resource()->set_type_url(response.type_url());
    resource->mutable_resource()->set_value("bytes of " + name);
  }
  return response;
}

class XdsClient : public ::testing::Test {
 protected:
  void Listen(grpc::MethodTable methods, uint16_t port = 0) {
    auto server =
        grpc::Server::Listen(*loop_, *net::Address::ParseIp("127.0.0.1", port), std::move(methods));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void ListenScripted(uint16_t port = 0) {
    grpc::MethodTable methods;
    methods[kPath] = [this](grpc::ServerCall& call) {
      return std::make_unique<ScriptedCall>(script_, call);
    };
    Listen(std::move(methods), port);
  }
  void Connect(ClientOptions options = {}) {
    envoy::config::core::v3::Node node;
    node.set_id("sidecar~127.77.0.5~a.ns~ns.svc.cluster.local");
    options.node = node.SerializeAsString();
    options.random = [] { return 0.5; };
    options.backoff_min = std::chrono::milliseconds(4);
    options.backoff_max = std::chrono::milliseconds(8);
    channel_ = grpc::Channel::Create(*loop_, server_->address());
    client_ = Client::Create(*loop_, *channel_, handler_, std::move(options));
    client_->Start();
  }
  void RunUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done() && std::chrono::steady_clock::now() < deadline)
      loop_->RunOnce(std::chrono::milliseconds(20));
    ASSERT_TRUE(done());
  }
  void Send(const DeltaDiscoveryResponse& response) {
    ASSERT_NE(script_.call, nullptr);
    script_.call->Send(response.SerializeAsString());
  }
  void RunUntilRequests(size_t count) {
    RunUntil([&] { return script_.requests.size() >= count; });
  }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  Script script_;
  Recorder handler_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::Channel> channel_;
  std::unique_ptr<Client> client_;
};

TEST_F(XdsClient, SendsItsNodeOnceAndAsksForWhatWasSubscribed) {
  ListenScripted();
  ClientOptions options;
  options.metadata = [] {
    return std::multimap<std::string, std::string>{{"authorization", "Bearer t"}};
  };
  Connect(std::move(options));
  client_->SubscribeAll(Type::kCluster);
  client_->Subscribe(Type::kEndpoint, {"a", "b"});
  client_->Subscribe(Type::kRoute, {});
  RunUntilRequests(2);
  EXPECT_EQ(script_.requests[0].node().id(), "sidecar~127.77.0.5~a.ns~ns.svc.cluster.local");
  EXPECT_EQ(script_.requests[0].type_url(), TypeUrl(Type::kCluster));
  EXPECT_THAT(script_.requests[0].resource_names_subscribe(), IsEmpty());
  EXPECT_FALSE(script_.requests[1].has_node());
  EXPECT_THAT(script_.requests[1].resource_names_subscribe(), ElementsAre("a", "b"));
  EXPECT_EQ(script_.metadata[0].find("authorization")->second, "Bearer t");
  EXPECT_EQ(script_.Last(Type::kRoute), nullptr) << "nothing was wanted of it";
}

TEST_F(XdsClient, AcknowledgesWhenSettledNotOnReceipt) {
  ListenScripted();
  Connect();
  handler_.settles_at_once = false;
  client_->SubscribeAll(Type::kCluster);
  RunUntilRequests(1);
  Send(Response(Type::kCluster, "n1", {{"c", "1"}}));
  RunUntil([&] { return !handler_.pending.empty(); });
  EXPECT_THAT(handler_.taken, ElementsAre(Pair("c", "bytes of c")));
  loop_->RunOnce(Duration::zero());
  EXPECT_EQ(script_.requests.size(), 1u);
  handler_.pending[0]({});
  RunUntilRequests(2);
  EXPECT_EQ(script_.requests[1].response_nonce(), "n1");
  EXPECT_FALSE(script_.requests[1].has_error_detail());
}

TEST_F(XdsClient, RefusalNamesTheResourceAndKeepsTheVersionBefore) {
  ListenScripted();
  Connect();
  client_->SubscribeAll(Type::kCluster);
  RunUntilRequests(1);
  Send(Response(Type::kCluster, "n1", {{"good", "1"}, {"bad", "1"}}));
  RunUntilRequests(2);
  handler_.refusals = {{"bad", "lb_policy: not known"}};
  Send(Response(Type::kCluster, "n2", {{"good", "2"}, {"bad", "2"}}));
  RunUntilRequests(3);
  EXPECT_EQ(script_.requests[2].response_nonce(), "n2");
  EXPECT_THAT(script_.requests[2].error_detail().message(), HasSubstr("bad: lb_policy: not known"));
  EXPECT_EQ(client_->counters().sum().refused, 1u);

  script_.call->Finish({0, ""});
  RunUntilRequests(4);
  const auto& versions = script_.requests[3].initial_resource_versions();
  EXPECT_EQ(versions.at("good"), "2");
  EXPECT_EQ(versions.at("bad"), "1") << "the refused version was never in use";
}

TEST_F(XdsClient, ReconnectsTellingWhatItHolds) {
  ListenScripted();
  Connect();
  client_->SubscribeAll(Type::kCluster);
  client_->Subscribe(Type::kEndpoint, {"a", "b"});
  RunUntilRequests(2);
  Send(Response(Type::kCluster, "n1", {{"x", "7"}, {"y", "8"}}));
  Send(Response(Type::kEndpoint, "n2", {{"a", "3"}, {"b", "4"}}));
  RunUntilRequests(4);
  auto gone = Response(Type::kCluster, "n3", {});
  gone.add_removed_resources("y");
  Send(gone);
  RunUntilRequests(5);
  EXPECT_THAT(handler_.removed, ElementsAre("y"));
  client_->Subscribe(Type::kEndpoint, {"a"});
  RunUntilRequests(6);
  EXPECT_THAT(script_.requests[5].resource_names_unsubscribe(), ElementsAre("b"));

  const uint16_t port = server_->address().port();
  server_.reset();
  RunUntil([&] { return !handler_.downs.empty(); });
  EXPECT_FALSE(client_->is_up());
  script_.requests.clear();
  ListenScripted(port);
  RunUntilRequests(2);
  EXPECT_TRUE(script_.requests[0].has_node());
  EXPECT_THAT(script_.Last(Type::kCluster)->initial_resource_versions(),
              UnorderedElementsAre(Pair("x", "7")));
  EXPECT_THAT(script_.Last(Type::kEndpoint)->initial_resource_versions(),
              UnorderedElementsAre(Pair("a", "3")));
  EXPECT_THAT(script_.Last(Type::kEndpoint)->resource_names_subscribe(), ElementsAre("a"));
}

TEST_F(XdsClient, SettlementOfAnEarlierStreamAcknowledgesNothing) {
  ListenScripted();
  Connect();
  handler_.settles_at_once = false;
  client_->SubscribeAll(Type::kCluster);
  RunUntilRequests(1);
  Send(Response(Type::kCluster, "old", {{"c", "1"}}));
  RunUntil([&] { return !handler_.pending.empty(); });
  script_.call->Finish({14, "going away"});
  RunUntilRequests(2);
  EXPECT_THAT(handler_.downs, ElementsAre(HasSubstr("going away")));
  handler_.pending[0]({});
  Send(Response(Type::kCluster, "new", {{"c", "2"}}));
  RunUntil([&] { return handler_.pending.size() == 2; });
  handler_.pending[1]({});
  RunUntilRequests(3);
  EXPECT_EQ(script_.requests[2].response_nonce(), "new");
}

TEST_F(XdsClient, SettlementMayComeAfterTheClientHasGone) {
  ListenScripted();
  Connect();
  handler_.settles_at_once = false;
  client_->SubscribeAll(Type::kCluster);
  RunUntilRequests(1);
  Send(Response(Type::kCluster, "n", {{"c", "1"}}));
  RunUntil([&] { return !handler_.pending.empty(); });
  client_.reset();
  handler_.pending[0]({});
}

TEST_F(XdsClient, ResourceOfAnotherTypeIsRefused) {
  ListenScripted();
  Connect();
  client_->SubscribeAll(Type::kCluster);
  RunUntilRequests(1);
  auto response = Response(Type::kCluster, "n", {{"c", "1"}});
  response.mutable_resources(0)->mutable_resource()->set_type_url(
      std::string(TypeUrl(Type::kListener)));
  Send(response);
  RunUntilRequests(2);
  EXPECT_THAT(handler_.taken, IsEmpty());
  EXPECT_THAT(script_.requests[1].error_detail().message(), HasSubstr("c: "));
}

TEST_F(XdsClient, WhatWasNotAskedForIsIgnored) {
  ListenScripted();
  Connect();
  client_->SubscribeAll(Type::kCluster);
  RunUntilRequests(1);
  Send(Response(Type::kSecret, "n1", {{"s", "1"}}));
  Send(Response(Type::kCluster, "n2", {{"c", "1"}}));
  RunUntilRequests(2);
  EXPECT_THAT(handler_.taken, ElementsAre(Pair("c", "bytes of c")));
  EXPECT_EQ(script_.requests[1].response_nonce(), "n2");
}

TEST_F(XdsClient, FailedMetadataIsAFailedAttempt) {
  ListenScripted();
  int asked = 0;
  ClientOptions options;
  options.metadata = [&]() -> StatusOr<std::multimap<std::string, std::string>> {
    if (++asked < 3) return absl::UnavailableError("token /t: no such file");
    return std::multimap<std::string, std::string>();
  };
  client_.reset();
  Connect(std::move(options));
  client_->SubscribeAll(Type::kCluster);
  RunUntilRequests(1);
  EXPECT_THAT(handler_.downs, ElementsAre(HasSubstr("/t"), HasSubstr("/t")));
  EXPECT_EQ(client_->counters().failures, 2u);
}

// Both ends of this library.
TEST_F(XdsClient, FollowsOurOwnServer) {
  FakeSource source;
  AdsServer ads(source, RealClock(), {});
  Listen(ads.Methods());
  source.Set(Type::kCluster, "c", 1, "first");
  source.Set(Type::kEndpoint, "c-eds", 1, "endpoints");
  source.Publish();
  handler_.on_update = [&](const ClientUpdate& update) {
    if (update.type == Type::kCluster) client_->Subscribe(Type::kEndpoint, {"c-eds"});
  };
  Connect();
  client_->SubscribeAll(Type::kCluster);
  RunUntil([&] { return source.acks_.size() >= 2; });
  EXPECT_THAT(handler_.taken, ElementsAre(Pair("c", "first"), Pair("c-eds", "endpoints")));
  source.Set(Type::kCluster, "c", 2, "second");
  source.Publish();
  RunUntil([&] { return source.acks_.size() >= 3; });
  EXPECT_EQ(handler_.taken[2], std::make_pair(std::string("c"), std::string("second")));

  handler_.refusals = {{"c", "no"}};
  source.Set(Type::kCluster, "c", 3, "third");
  source.Publish();
  RunUntil([&] { return !source.nacks_.empty(); });
  EXPECT_EQ(source.nacks_[0].second, "c: no");
  server_.reset();
}

TEST(ClientBackoff, DoublesUpToItsLimitWithJitterBelow) {
  ClientBackoff backoff(std::chrono::seconds(1), std::chrono::seconds(3));
  EXPECT_EQ(backoff.Next(0), std::chrono::milliseconds(500));
  EXPECT_EQ(backoff.Next(0.5), std::chrono::milliseconds(1500));
  EXPECT_EQ(backoff.Next(1), std::chrono::seconds(3));
  EXPECT_EQ(backoff.Next(1), std::chrono::seconds(3));
  backoff.Reset();
  EXPECT_EQ(backoff.Next(1), std::chrono::seconds(1));
}

TEST(ClientSubscription, ForgetsVersionsOfWhatIsNoLongerWanted) {
  ClientSubscription subscription;
  subscription.Replace({"a", "b"});
  subscription.held = {{"a", "1"}, {"b", "2"}};
  const auto difference = subscription.Replace({"b", "c"});
  EXPECT_THAT(difference.added, ElementsAre("c"));
  EXPECT_THAT(difference.dropped, ElementsAre("a"));
  EXPECT_THAT(subscription.held, ElementsAre(Pair("b", "2")));
}

}  // namespace
}  // namespace meltemi::xds
