// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/client_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meltemi::xds {
namespace {

using envoy::config::endpoint::v3::ClusterLoadAssignment;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using envoy::service::discovery::v3::Resource;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Endpoints(const std::string& name) {
  ClusterLoadAssignment assignment;
  assignment.set_cluster_name(name);
  return assignment.SerializeAsString();
}

DiscoveryRequest Parsed(const std::string& bytes) {
  DiscoveryRequest request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  return request;
}

DiscoveryResponse Response() {
  DiscoveryResponse response;
  response.set_type_url(std::string(TypeUrl(Type::kEndpoint)));
  response.set_version_info("7");
  response.set_nonce("n");
  return response;
}

TEST(SotwWire, SaysAllNamesEachTimeWithTheLastVersionTaken) {
  const auto wire = NewSotwWire();
  ClientSubscription subscription;
  subscription.names = {"a", "b"};
  subscription.version = "6";
  subscription.nonce = "m";
  const auto first = Parsed(wire->Ask(Type::kEndpoint, subscription, "\x0a\x01x"));
  EXPECT_THAT(first.resource_names(), ElementsAre("a", "b"));
  EXPECT_EQ(first.version_info(), "6");
  EXPECT_EQ(first.response_nonce(), "") << "nothing was received on this stream";
  EXPECT_EQ(first.node().id(), "x");
  const auto change = Parsed(wire->Change(Type::kEndpoint, subscription, {{"b"}, {}}));
  EXPECT_THAT(change.resource_names(), ElementsAre("a", "b"));
  EXPECT_EQ(change.response_nonce(), "m");
  EXPECT_FALSE(change.has_node());
  const auto refusal = Parsed(wire->Acknowledge(Type::kEndpoint, subscription, "n", "b: bad"));
  EXPECT_EQ(refusal.response_nonce(), "n");
  EXPECT_EQ(refusal.version_info(), "6") << "the version before";
  EXPECT_EQ(refusal.error_detail().message(), "b: bad");
}

TEST(SotwWire, WholeTypesHaveNoNames) {
  ClientSubscription subscription;
  subscription.is_wildcard = true;
  const auto first = Parsed(NewSotwWire()->Ask(Type::kCluster, subscription, ""));
  EXPECT_THAT(first.resource_names(), IsEmpty());
}

TEST(SotwWire, NamesAreReadFromResourcesAndFromWhatWrapsThem) {
  const auto wire = NewSotwWire();
  DiscoveryResponse response = Response();
  for (const char* name : {"plain", "inside"}) {
    auto* resource = response.add_resources();
    resource->set_type_url(response.type_url());
    resource->set_value(Endpoints(name));
  }
  Resource wrapped;
  wrapped.set_name("outside");
  *wrapped.mutable_resource() = response.resources(1);
  response.mutable_resources(1)->PackFrom(wrapped);
  const auto read = wire->Read(response.SerializeAsString());
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->update.changed.size(), 2u);
  EXPECT_EQ(read->update.changed[0].name, "plain");
  EXPECT_EQ(read->update.changed[1].name, "outside");
  EXPECT_EQ(read->update.changed[1].message, Endpoints("inside"));
  EXPECT_EQ(read->version, "7");
  EXPECT_EQ(read->nonce, "n");
}

TEST(SotwWire, ForeignAndBrokenResourcesAreNamed) {
  const auto wire = NewSotwWire();
  DiscoveryResponse response = Response();
  auto* foreign = response.add_resources();
  foreign->set_type_url(std::string(TypeUrl(Type::kCluster)));
  foreign->set_value(Endpoints("other"));
  auto* broken = response.add_resources();
  broken->set_type_url("type.googleapis.com/envoy.service.discovery.v3.Resource");
  broken->set_value("\xff\xff");
  const auto read = wire->Read(response.SerializeAsString());
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(read->update.changed, IsEmpty());
  ASSERT_EQ(read->mismatched.size(), 2u);
  EXPECT_EQ(read->mismatched[0].name, "other");
  EXPECT_FALSE(wire->Read("\xff\xff").ok());
}

TEST(Method, IsOfTheAggregatedServiceOrOfOneType) {
  EXPECT_EQ(MethodOf(true, std::nullopt),
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
  EXPECT_EQ(MethodOf(false, Type::kSecret),
            "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets");
  EXPECT_EQ(MethodOf(true, Type::kRoute),
            "/envoy.service.route.v3.RouteDiscoveryService/DeltaRoutes");
}

}  // namespace
}  // namespace meltemi::xds
