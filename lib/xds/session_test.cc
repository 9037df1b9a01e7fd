// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/xds/server.h"
#include "lib/xds/testing/fake_source.h"

namespace meltemi::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

template <typename Request, typename Response>
class Stream {
 public:
  explicit Stream(AdsServer& server) : handler_(server.Methods().at(kPath)(call_)) {}
  ~Stream() { handler_->OnEnd(); }

  Request New(Type type) {
    Request request;
    if (is_first_) request.mutable_node()->set_id("sidecar~10.0.0.1~a.ns~ns.svc.cluster.local");
    is_first_ = false;
    request.set_type_url(std::string(TypeUrl(type)));
    return request;
  }
  void Send(const Request& request) { handler_->OnMessage(request.SerializeAsString()); }
  size_t pending() const { return call_.sent_.size() - read_; }
  Response Next() {
    Response response;
    EXPECT_GT(pending(), 0u) << "no response";
    if (pending() > 0) {
      EXPECT_TRUE(response.ParseFromString(call_.sent_[read_++]));
    }
    return response;
  }
  void Ack(const Response& response, const std::string& error = "") {
    Request request = New(*FindType(response.type_url()));
    request.set_response_nonce(response.nonce());
    if (!error.empty()) request.mutable_error_detail()->set_message(error);
    Send(request);
  }
  Response NextAcked() {
    Response response = Next();
    Ack(response);
    return response;
  }
  static const char* const kPath;
  FakeCall call_;
  std::unique_ptr<grpc::CallHandler> handler_;
  size_t read_ = 0;
  bool is_first_ = true;
};
using DeltaStream = Stream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
using SotwStream = Stream<DiscoveryRequest, DiscoveryResponse>;
template <>
const char* const DeltaStream::kPath =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
template <>
const char* const SotwStream::kPath =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

std::vector<std::string> Names(const DeltaDiscoveryResponse& response) {
  std::vector<std::string> names;
  for (const auto& resource : response.resources()) names.push_back(resource.name());
  return names;
}
std::vector<std::string> Removed(const DeltaDiscoveryResponse& response) {
  return {response.removed_resources().begin(), response.removed_resources().end()};
}
Type TypeOf(const std::string& url) {
  return FindType(url).value_or(Type::kCount);
}

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const Type type : {Type::kCluster, Type::kEndpoint, Type::kListener, Type::kRoute}) {
      for (const char* name : {"a", "b", "c"}) source_.Set(type, name, 1);
    }
    source_.Publish();
  }
  DeltaDiscoveryRequest Subscribe(DeltaStream& stream, Type type,
                                  const std::vector<std::string>& names) {
    DeltaDiscoveryRequest request = stream.New(type);
    for (const std::string& name : names) request.add_resource_names_subscribe(name);
    stream.Send(request);
    return request;
  }
  FakeSource source_;
  AdsServer server_{source_, RealClock(), {}};
};

TEST_F(SessionTest, WildcardDeltaHoldsEverythingThenOnlyDifferences) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {});
  const auto first = stream.NextAcked();
  EXPECT_THAT(Names(first), ElementsAre("a", "b", "c"));
  EXPECT_EQ(first.resources(0).resource().value(), "m");
  EXPECT_EQ(first.resources(0).resource().type_url(), TypeUrl(Type::kCluster));
  source_.Set(Type::kCluster, "b", 2);
  source_.Set(Type::kCluster, "d", 1);
  source_.Remove(Type::kCluster, "c");
  source_.Publish();
  const auto second = stream.NextAcked();
  EXPECT_THAT(Names(second), UnorderedElementsAre("b", "d"));
  EXPECT_THAT(Removed(second), ElementsAre("c"));
  source_.Set(Type::kCluster, "b", 2);  // equal version: equal bytes
  source_.Publish();
  EXPECT_EQ(stream.pending(), 0u);
}

TEST_F(SessionTest, LargeResourcesAreSharedNotCopied) {
  source_.Set(Type::kCluster, "big", 1, std::string(100'000, 'x'));
  DeltaStream one(server_), two(server_);
  Subscribe(one, Type::kCluster, {});
  Subscribe(two, Type::kCluster, {});
  const auto has_shared = [&](const DeltaStream& stream) {
    for (const auto& slice : stream.call_.slices_[0]) {
      if (slice->size() == 100'000) return slice.get();
    }
    return static_cast<const std::string*>(nullptr);
  };
  ASSERT_NE(has_shared(one), nullptr);
  EXPECT_EQ(has_shared(one), has_shared(two));
  EXPECT_THAT(Names(one.Next()), ElementsAre("a", "b", "big", "c"));
}

TEST_F(SessionTest, ChangesGatherWhileAResponseIsInFlight) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {});
  const auto first = stream.Next();
  for (uint64_t version = 2; version < 10; ++version) {
    source_.Set(Type::kCluster, "a", version);
    source_.Publish();
  }
  EXPECT_EQ(stream.pending(), 0u);
  stream.Ack(first);
  const auto second = stream.NextAcked();
  EXPECT_THAT(Names(second), ElementsAre("a"));
  EXPECT_EQ(second.resources(0).version(), "9");
  EXPECT_EQ(stream.pending(), 0u);
}

TEST_F(SessionTest, ReconnectWithKnownVersionsSendsOnlyWhatDiffers) {
  DeltaStream stream(server_);
  auto request = stream.New(Type::kCluster);
  (*request.mutable_initial_resource_versions())["a"] = "1";
  (*request.mutable_initial_resource_versions())["b"] = "0";
  (*request.mutable_initial_resource_versions())["gone"] = "7";
  stream.Send(request);
  const auto response = stream.NextAcked();
  EXPECT_THAT(Names(response), UnorderedElementsAre("b", "c"));
  EXPECT_THAT(Removed(response), ElementsAre("gone"));
}

TEST_F(SessionTest, ReconnectWithEverythingKnownIsSilent) {
  DeltaStream stream(server_);
  auto request = stream.New(Type::kEndpoint);
  request.add_resource_names_subscribe("a");
  (*request.mutable_initial_resource_versions())["a"] = "1";
  stream.Send(request);
  EXPECT_EQ(stream.pending(), 0u);
  source_.Set(Type::kEndpoint, "a", 2);
  source_.Publish();
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("a"));
}

TEST_F(SessionTest, UnknownNamesAreToldMissingOnceAndComeLater) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kRoute, {"later"});
  EXPECT_THAT(Removed(stream.NextAcked()), ElementsAre("later"));
  source_.Set(Type::kRoute, "other", 1);
  source_.Publish();
  EXPECT_EQ(stream.pending(), 0u);
  source_.Set(Type::kRoute, "later", 1);
  source_.Publish();
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("later"));
}

TEST_F(SessionTest, SubscribingAgainSendsAgain) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kRoute, {"a"});
  stream.NextAcked();
  Subscribe(stream, Type::kRoute, {"a"});
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("a"));
}

TEST_F(SessionTest, SubscribingAgainToWhatIsMissingIsAnswered) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kRoute, {"none"});
  stream.NextAcked();
  Subscribe(stream, Type::kRoute, {"none"});
  EXPECT_THAT(Removed(stream.NextAcked()), ElementsAre("none"));
}

TEST_F(SessionTest, NamesGivenUpUnderAWildcardAreToldAgain) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {"*", "a", "none"});
  EXPECT_THAT(Removed(stream.NextAcked()), ElementsAre("none"));
  auto request = stream.New(Type::kCluster);
  request.add_resource_names_unsubscribe("a");
  request.add_resource_names_unsubscribe("none");
  stream.Send(request);
  const auto response = stream.NextAcked();
  EXPECT_THAT(Names(response), ElementsAre("a"));
  EXPECT_THAT(Removed(response), ElementsAre("none"));
}

TEST_F(SessionTest, SubscribingToNothingIsSilent) {
  DeltaStream stream(server_);
  auto request = stream.New(Type::kCluster);
  request.add_resource_names_subscribe("*");
  request.add_resource_names_unsubscribe("*");
  stream.Send(request);
  source_.Set(Type::kCluster, "a", 2);
  source_.Publish();
  EXPECT_EQ(stream.pending(), 0u);
}

// The proxy kept its endpoints, but the cluster that changed meanwhile waits for them.
TEST_F(SessionTest, ReconnectBringsEndpointsOfChangedClusters) {
  DeltaStream stream(server_);
  auto clusters = stream.New(Type::kCluster);
  for (const auto& [name, version] : {std::pair{"a", "0"}, {"b", "1"}, {"c", "1"}}) {
    (*clusters.mutable_initial_resource_versions())[name] = version;
  }
  stream.Send(clusters);
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("a"));
  auto endpoints = stream.New(Type::kEndpoint);
  for (const char* name : {"a", "b"}) {
    (*endpoints.mutable_initial_resource_versions())[name] = "1";
  }
  stream.Send(endpoints);
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("a"));
}

TEST_F(SessionTest, UnsubscribedNamesStaySilent) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kRoute, {"a", "b"});
  stream.NextAcked();
  auto request = stream.New(Type::kRoute);
  request.add_resource_names_unsubscribe("a");
  stream.Send(request);
  source_.Set(Type::kRoute, "a", 2);
  source_.Set(Type::kRoute, "b", 2);
  source_.Publish();
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("b"));
}

// An Envoy warms a replaced cluster until its endpoints come again.
TEST_F(SessionTest, ChangedClustersBringTheirEndpoints) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {});
  stream.NextAcked();
  Subscribe(stream, Type::kEndpoint, {"a", "b"});
  stream.NextAcked();
  source_.Set(Type::kCluster, "a", 2);
  source_.Publish();
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("a"));
  const auto endpoints = stream.NextAcked();
  EXPECT_EQ(TypeOf(endpoints.type_url()), Type::kEndpoint);
  EXPECT_THAT(Names(endpoints), ElementsAre("a"));
  EXPECT_EQ(stream.pending(), 0u);
}

TEST_F(SessionTest, RoutesDoNotOvertakeTheirClusters) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {});
  const auto clusters = stream.Next();
  Subscribe(stream, Type::kRoute, {"a"});
  EXPECT_EQ(TypeOf(stream.NextAcked().type_url()), Type::kRoute) << "a subscription is answered";
  source_.Set(Type::kCluster, "new", 1);
  source_.Set(Type::kRoute, "a", 2);
  source_.Publish();
  EXPECT_EQ(stream.pending(), 0u);
  stream.Ack(clusters);
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("new"));
  EXPECT_EQ(TypeOf(stream.NextAcked().type_url()), Type::kRoute);
}

TEST_F(SessionTest, ClustersLeaveAfterTheRoutesThatUsedThem) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {});
  stream.NextAcked();
  Subscribe(stream, Type::kRoute, {"a"});
  stream.NextAcked();
  source_.Remove(Type::kCluster, "c");
  source_.Set(Type::kRoute, "a", 2);
  source_.Publish();
  const auto route = stream.Next();
  EXPECT_EQ(TypeOf(route.type_url()), Type::kRoute);
  EXPECT_EQ(stream.pending(), 0u);
  stream.Ack(route);
  EXPECT_THAT(Removed(stream.NextAcked()), ElementsAre("c"));
}

TEST_F(SessionTest, ClustersLeaveAfterRoutesInSotwToo) {
  SotwStream stream(server_);
  stream.Send(stream.New(Type::kCluster));
  EXPECT_EQ(stream.NextAcked().resources_size(), 3);
  auto request = stream.New(Type::kRoute);
  request.add_resource_names("a");
  stream.Send(request);
  auto route = stream.Next();
  request.set_response_nonce(route.nonce());
  stream.Send(request);
  source_.Remove(Type::kCluster, "c");
  source_.Set(Type::kCluster, "d", 1);
  source_.Set(Type::kRoute, "a", 2);
  source_.Publish();
  EXPECT_EQ(stream.NextAcked().resources_size(), 4) << "c is kept";
  route = stream.Next();
  EXPECT_EQ(TypeOf(route.type_url()), Type::kRoute);
  request.set_response_nonce(route.nonce());
  stream.Send(request);
  EXPECT_EQ(stream.NextAcked().resources_size(), 3) << "c is gone";
}

TEST_F(SessionTest, NackIsKeptAndNotSentAgain) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kListener, {});
  stream.Ack(stream.Next(), "it is wrong");
  EXPECT_EQ(stream.pending(), 0u);
  ASSERT_EQ(source_.nacks_.size(), 1u);
  EXPECT_EQ(server_.Status().at(0).types.at(0).error, "it is wrong");
  source_.Set(Type::kListener, "a", 2);
  source_.Publish();
  EXPECT_THAT(Names(stream.NextAcked()), ElementsAre("a"));
  EXPECT_EQ(server_.Status().at(0).types.at(0).error, "");
}

// Accepting another listener does not make the rejected one live.
TEST_F(SessionTest, RejectionHoldsUntilTheSameResourceIsAccepted) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kListener, {});
  stream.NextAcked();
  const uint64_t before = server_.live_version();
  source_.Set(Type::kListener, "0.0.0.0_80", 2);
  source_.Publish();
  stream.Ack(stream.Next(), "listener 0.0.0.0_80: no such filter");
  source_.Set(Type::kListener, "b", 2);
  source_.Publish();
  stream.NextAcked();
  EXPECT_EQ(server_.Status().at(0).types.at(0).error, "listener 0.0.0.0_80: no such filter");
  EXPECT_EQ(server_.live_version(), before);
  source_.Remove(Type::kListener, "0.0.0.0_80");
  source_.Publish();
  stream.NextAcked();
  EXPECT_EQ(server_.Status().at(0).types.at(0).error, "");
  EXPECT_EQ(server_.live_version(), source_.snapshot_version());
}

TEST_F(SessionTest, SlowReadersAreNotSentMore) {
  SotwStream stream(server_);
  stream.call_.queued_bytes_ = kBacklogBytesMax;
  stream.Send(stream.New(Type::kCluster));
  EXPECT_EQ(stream.pending(), 0u);
  stream.call_.queued_bytes_ = 0;
  stream.handler_->OnDrained();
  EXPECT_EQ(stream.NextAcked().resources_size(), 3);
}

TEST_F(SessionTest, HalfCloseEndsTheStream) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {});
  stream.handler_->OnClientDone();
  EXPECT_TRUE(stream.call_.is_finished_);
  EXPECT_EQ(stream.call_.status_.code, 0);
  EXPECT_EQ(source_.views(), 0u);
}

TEST_F(SessionTest, LiveVersionFollowsAcceptance) {
  DeltaStream stream(server_);
  Subscribe(stream, Type::kCluster, {});
  stream.NextAcked();
  const uint64_t before = source_.snapshot_version();
  EXPECT_EQ(server_.live_version(), before);
  source_.Set(Type::kCluster, "a", 2);
  source_.Publish();
  EXPECT_EQ(server_.live_version(), before);
  stream.NextAcked();
  EXPECT_EQ(server_.live_version(), before + 1);
}

TEST_F(SessionTest, SotwStaleNoncesAreIgnored) {
  SotwStream stream(server_);
  stream.Send(stream.New(Type::kCluster));
  const auto first = stream.NextAcked();
  source_.Set(Type::kCluster, "a", 2);
  source_.Publish();
  const auto second = stream.Next();
  stream.Ack(first);
  source_.Set(Type::kCluster, "a", 3);
  source_.Publish();
  EXPECT_EQ(stream.pending(), 0u) << "the second response is still in flight";
  stream.Ack(second);
  EXPECT_EQ(stream.pending(), 1u);
}

TEST_F(SessionTest, SotwAddedNamesBringOnlyThem) {
  SotwStream stream(server_);
  auto request = stream.New(Type::kEndpoint);
  request.add_resource_names("a");
  stream.Send(request);
  const auto first = stream.Next();
  request.set_response_nonce(first.nonce());
  request.add_resource_names("b");
  stream.Send(request);
  const auto second = stream.Next();
  EXPECT_EQ(second.resources_size(), 1);
  request.set_response_nonce(second.nonce());
  request.clear_resource_names();
  stream.Send(request);
  source_.Set(Type::kEndpoint, "a", 2);
  source_.Publish();
  EXPECT_EQ(stream.pending(), 0u) << "no names: unsubscribed";
}

TEST_F(SessionTest, EmptyWildcardIsAnsweredAndEmptyingToo) {
  SotwStream stream(server_);
  for (const char* name : {"a", "b", "c"}) source_.Remove(Type::kListener, name);
  source_.Publish();
  stream.Send(stream.New(Type::kListener));
  EXPECT_EQ(stream.NextAcked().resources_size(), 0);
  source_.Set(Type::kListener, "a", 1);
  source_.Publish();
  EXPECT_EQ(stream.NextAcked().resources_size(), 1);
  source_.Remove(Type::kListener, "a");
  source_.Publish();
  EXPECT_EQ(stream.NextAcked().resources_size(), 0);
  DeltaStream delta(server_);
  Subscribe(delta, Type::kListener, {});
  EXPECT_THAT(Names(delta.NextAcked()), IsEmpty());
}

TEST_F(SessionTest, RefusesGarbageAndNamelessNodes) {
  DeltaStream stream(server_);
  stream.handler_->OnMessage("\xff\xff\xff");
  EXPECT_EQ(stream.call_.status_.code, 3);
  SotwStream nameless(server_);
  nameless.is_first_ = false;
  nameless.Send(nameless.New(Type::kCluster));
  EXPECT_TRUE(nameless.call_.is_finished_);
  EXPECT_EQ(nameless.call_.status_.code, 3);
}

TEST_F(SessionTest, RefusesWhomAdmissionRefuses) {
  AdsServer closed(source_, RealClock(),
                   {.admit = [](const auto&, const auto&) -> StatusOr<std::string> {
                      return absl::PermissionDeniedError("not yours");
                    },
                    .is_ready = {}});
  DeltaStream stream(closed);
  Subscribe(stream, Type::kCluster, {});
  EXPECT_EQ(stream.call_.status_.code, 7);
  EXPECT_EQ(source_.views(), 0u);
  EXPECT_TRUE(closed.Status().empty());
}

TEST_F(SessionTest, EndingReleasesTheView) {
  {
    DeltaStream stream(server_);
    Subscribe(stream, Type::kCluster, {});
    EXPECT_EQ(source_.views(), 1u);
    EXPECT_EQ(source_.node_.id, "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local");
  }
  EXPECT_EQ(source_.views(), 0u);
}

TEST_F(SessionTest, UnknownTypesDoNotDisturbTheStream) {
  DeltaStream stream(server_);
  auto request = stream.New(Type::kCluster);
  request.set_type_url("type.googleapis.com/istio.v1.HealthInformation");
  stream.Send(request);
  EXPECT_FALSE(stream.call_.is_finished_);
  Subscribe(stream, Type::kCluster, {});
  EXPECT_EQ(stream.NextAcked().resources_size(), 3);
}

}  // namespace
}  // namespace meltemi::xds
