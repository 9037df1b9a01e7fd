// SPDX-License-Identifier: Apache-2.0
#include "pilot/pilot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "pilot/testing/mesh_fixture.h"

namespace meltemi::pilot {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::EventsFrom;
using ::testing::IsEmpty;
using ::testing::Not;
using xds::Type;

struct Client {
  std::unique_ptr<xds::View> view;
  std::vector<xds::Change> changes;  // of the last call
  uint64_t version = 0;
  int calls = 0;

  std::vector<std::string> Changed(Type type) const {
    for (const xds::Change& change : changes) {
      if (change.type == type) return change.names;
    }
    return {};
  }
  std::vector<std::string> NamesOf(Type type) {
    std::vector<std::string> names;
    for (const auto& resource : view->All(type)) names.push_back(resource->name);
    return names;
  }
};

class PilotTest : public ::testing::Test {
 protected:
  void Apply(std::string_view yaml, config::EventType type = config::EventType::kAdded) {
    pilot_->Apply(EventsFrom(yaml, type), ++version_);
  }
  StatusOr<std::unique_ptr<xds::View>> TryConnect(const xds::NodeInfo& node, Client& client) {
    return pilot_->Connect(node, [&client](const std::vector<xds::Change>& changes, uint64_t at) {
      client.changes = changes;
      client.version = at;
      ++client.calls;
    });
  }
  std::unique_ptr<Client> Connect(const std::string& app, const std::string& uri = "",
                                  const std::string& role = "sidecar") {
    xds::NodeInfo node;
    node.id = role + "~10.1.0.1~" + app + "-1.shop~shop.svc.cluster.local";
    node.metadata_json = R"({"NAMESPACE":"shop","LABELS":{"app":")" + app + "\"}}";
    node.authenticated_uri = uri;
    auto client = std::make_unique<Client>();
    auto view = TryConnect(node, *client);
    EXPECT_TRUE(view.ok()) << view.status();
    if (view.ok()) client->view = *std::move(view);
    return client;
  }
  std::map<std::string, uint64_t> Counted() {
    std::map<std::string, uint64_t> counters;
    for (const Counter& counter : pilot_->Counters()) counters[counter.name] = counter.computed;
    return counters;
  }
  // Which derivations ran since `before`, how often.
  std::map<std::string, uint64_t> Since(const std::map<std::string, uint64_t>& before) {
    std::map<std::string, uint64_t> ran;
    for (const auto& [name, count] : Counted()) {
      if (count != before.at(name)) ran[name] = count - before.at(name);
    }
    return ran;
  }

  std::unique_ptr<Pilot> pilot_ = Pilot::Create({.mesh = DefaultMeshConfig()});
  uint64_t version_ = 0;
};

std::string Service(int n) {
  const std::string i = std::to_string(n);
  return "apiVersion: v1\nkind: Service\nmetadata: {name: s" + i +
         ", namespace: shop}\nspec: {clusterIP: 10.0." + std::to_string(n / 200) + "." +
         std::to_string(n % 200 + 1) + ", selector: {app: s" + i +
         "}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n";
}

std::string Slice(int n, const std::string& address) {
  const std::string i = std::to_string(n);
  return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s" + i +
         ", namespace: shop, labels: {kubernetes.io/service-name: s" + i +
         "}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [" +
         address + "]}]\n---\n";
}

std::string ClusterOf(int n) {
  return "outbound|80||s" + std::to_string(n) + ".shop.svc.cluster.local";
}

// Everything that a proxy asks for.
void Subscribe(Client& client) {
  for (const std::string& name : client.NamesOf(Type::kCluster)) {
    if (name.starts_with("outbound|")) client.view->Find(Type::kEndpoint, name);
  }
  client.view->All(Type::kListener);
  client.view->All(Type::kNameTable);
  client.view->Find(Type::kRoute, "80");
}

TEST_F(PilotTest, AChangeToOneEndpointTouchesOneResource) {
  constexpr int kServices = 100;
  std::string objects;
  for (int n = 0; n < kServices; ++n)
    objects += Service(n) + Slice(n, "10.1.1." + std::to_string(n + 1));
  Apply(objects);
  std::vector<std::unique_ptr<Client>> clients;
  for (const char* app : {"s0", "s1", "s2", "s0"}) {
    clients.push_back(Connect(app));
    Subscribe(*clients.back());
  }
  // The three classes share clusters and endpoints; the second replica of s0 added nothing.
  EXPECT_EQ(Counted()["endpoints"], static_cast<uint64_t>(kServices));
  const auto before = Counted();
  Apply(Slice(7, "10.1.9.9"));
  const auto ran = Since(before);
  EXPECT_EQ(ran.at("endpoints"), 1u);
  EXPECT_EQ(ran.at("service endpoints"), 1u);
  for (const auto& [name, count] : ran) {
    EXPECT_TRUE(name == "endpoints" || name == "service endpoints" || name == "service identities")
        << name << " ran " << count << " times";
  }
  for (const auto& client : clients) {
    EXPECT_EQ(client->calls, 1);
    EXPECT_EQ(client->version, version_);
    ASSERT_EQ(client->changes.size(), 1u);
    EXPECT_THAT(client->Changed(Type::kEndpoint), ElementsAre(ClusterOf(7)));
  }
}

TEST_F(PilotTest, NothingIsComputedBeforeAnybodyConnects) {
  std::string objects;
  for (int n = 0; n < 20; ++n) objects += Service(n) + Slice(n, "10.1.1.1");
  Apply(objects);
  for (const auto& [name, count] : Counted()) EXPECT_EQ(count, 0u) << name;
  const auto client = Connect("s0");
  for (const auto& [name, count] : Counted()) EXPECT_EQ(count, 0u) << name;
}

TEST_F(PilotTest, WhatNobodyHoldsAnyMoreIsDropped) {
  Apply(Service(0) + Slice(0, "10.1.1.1"));
  auto client = Connect("s0");
  Subscribe(*client);
  client.reset();
  Apply(Service(1));  // the commit collects
  const auto before = Counted();
  Apply(Slice(0, "10.1.1.2"));
  EXPECT_THAT(Since(before), IsEmpty());
}

TEST_F(PilotTest, ServicesComeAndGo) {
  Apply(Service(0));
  const auto client = Connect("s0");
  Subscribe(*client);
  EXPECT_THAT(client->NamesOf(Type::kCluster), Not(Contains(ClusterOf(1))));
  EXPECT_EQ(client->view->Find(Type::kCluster, ClusterOf(1)), nullptr);
  EXPECT_EQ(client->view->Find(Type::kEndpoint, ClusterOf(1)), nullptr);
  Apply(Service(1) + Slice(1, "10.1.1.1"));
  EXPECT_THAT(client->Changed(Type::kCluster), ElementsAre(ClusterOf(1)));
  EXPECT_THAT(client->Changed(Type::kEndpoint), ElementsAre(ClusterOf(1)));
  EXPECT_THAT(client->Changed(Type::kRoute), ElementsAre("80"));
  EXPECT_NE(client->view->Find(Type::kCluster, ClusterOf(1)), nullptr);
  EXPECT_NE(client->view->Find(Type::kEndpoint, ClusterOf(1)), nullptr);
  Apply(Service(1), config::EventType::kDeleted);
  EXPECT_THAT(client->Changed(Type::kCluster), ElementsAre(ClusterOf(1)));
  EXPECT_EQ(client->view->Find(Type::kCluster, ClusterOf(1)), nullptr);
  EXPECT_THAT(client->NamesOf(Type::kCluster), Not(Contains(ClusterOf(1))));
}

TEST_F(PilotTest, ChangesComeInTheOrderOfTypes) {
  Apply(Service(0));
  const auto client = Connect("s0");
  Subscribe(*client);
  Apply(Service(1) + Slice(1, "10.1.1.1"));
  EXPECT_TRUE(std::is_sorted(client->changes.begin(), client->changes.end(),
                             [](const auto& a, const auto& b) { return a.type < b.type; }));
}

TEST_F(PilotTest, EqualBytesAreNoChange) {
  Apply(Service(0) + Slice(0, "10.1.1.1"));
  const auto client = Connect("s0");
  Subscribe(*client);
  const auto held = client->view->Find(Type::kEndpoint, ClusterOf(0));
  std::string again = Slice(0, "10.1.1.1");
  again.replace(again.find("name: s0"), 8, "annotations: {touched: yes-it-was}, name: s0");
  Apply(again);
  EXPECT_EQ(client->calls, 0);
  EXPECT_EQ(client->view->Find(Type::kEndpoint, ClusterOf(0)), held);
}

TEST_F(PilotTest, TwoPilotsGiveEqualVersions) {
  const std::string objects = Service(0) + Slice(0, "10.1.1.1") + Service(1);
  Apply(objects);
  const auto client = Connect("s0");
  const auto other_pilot = Pilot::Create({.mesh = DefaultMeshConfig()});
  other_pilot->Apply(EventsFrom(objects), 1);
  xds::NodeInfo node;
  node.id = "sidecar~10.1.0.2~s0-2.shop~shop.svc.cluster.local";
  node.metadata_json = R"({"NAMESPACE":"shop","LABELS":{"app":"s0"}})";
  auto view = other_pilot->Connect(node, [](const auto&, uint64_t) {});
  ASSERT_TRUE(view.ok()) << view.status();
  for (const Type type : {Type::kCluster, Type::kListener, Type::kNameTable}) {
    const auto ours = client->view->All(type), theirs = (*view)->All(type);
    ASSERT_EQ(ours.size(), theirs.size());
    ASSERT_FALSE(ours.empty());
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i]->version, theirs[i]->version) << ours[i]->name;
    }
  }
  view->reset();
}

TEST_F(PilotTest, AnUnknownRouteIsEmpty) {
  Apply(Service(0));
  const auto client = Connect("s0");
  const auto route = client->view->Find(Type::kRoute, "4711");
  ASSERT_NE(route, nullptr);
  envoy::config::route::v3::RouteConfiguration message;
  ASSERT_TRUE(message.ParseFromString(*route->message));
  EXPECT_EQ(message.name(), "4711");
}

constexpr const char* kSecret = R"(
apiVersion: v1
kind: Secret
metadata: {name: cred, namespace: shop}
type: kubernetes.io/tls
stringData: {tls.crt: CHAIN, tls.key: KEY, ca.crt: ROOT}
)";

TEST_F(PilotTest, SecretsGoToAuthenticatedRoutersOfTheirNamespaceOnly) {
  Apply(kSecret);
  const std::string name = "kubernetes://cred";
  const std::string identity = "spiffe://cluster.local/ns/shop/sa/gw";
  EXPECT_EQ(Connect("gw", "", "router")->view->Find(Type::kSecret, name), nullptr);
  EXPECT_EQ(Connect("web", identity)->view->Find(Type::kSecret, name), nullptr);
  const auto router = Connect("gw", identity, "router");
  const auto resource = router->view->Find(Type::kSecret, name);
  ASSERT_NE(resource, nullptr);
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  ASSERT_TRUE(secret.ParseFromString(*resource->message));
  EXPECT_EQ(secret.name(), name);
  EXPECT_EQ(secret.tls_certificate().certificate_chain().inline_bytes(), "CHAIN");
  const auto authorities = router->view->Find(Type::kSecret, name + "-cacert");
  ASSERT_NE(authorities, nullptr);
  ASSERT_TRUE(secret.ParseFromString(*authorities->message));
  EXPECT_EQ(secret.validation_context().trusted_ca().inline_bytes(), "ROOT");
  EXPECT_EQ(router->view->Find(Type::kSecret, "kubernetes://other/cred"), nullptr);
  EXPECT_EQ(router->view->Find(Type::kSecret, "kubernetes://none"), nullptr);
  std::string renewed(kSecret);
  renewed.replace(renewed.find("CHAIN"), 5, "NEWER");
  Apply(renewed);
  EXPECT_THAT(router->Changed(Type::kSecret), ElementsAre(name));
}

TEST_F(PilotTest, AnIdentityIsForItsOwnNamespaceOnly) {
  Client client;
  xds::NodeInfo node;
  node.id = "sidecar~10.1.0.1~web-1.shop~shop.svc.cluster.local";
  node.authenticated_uri = "spiffe://cluster.local/ns/other/sa/web";
  EXPECT_EQ(TryConnect(node, client).status().code(), absl::StatusCode::kPermissionDenied);
  node.authenticated_uri = "spiffe://cluster.local/ns/shop/sa/web";
  node.metadata_json = R"({"SERVICE_ACCOUNT":"admin"})";
  EXPECT_EQ(TryConnect(node, client).status().code(), absl::StatusCode::kPermissionDenied);
  node.metadata_json.clear();
  EXPECT_TRUE(TryConnect(node, client).ok());
}

TEST_F(PilotTest, AViewMayEndInsideItsOwnCall) {
  Apply(Service(0) + Slice(0, "10.1.1.1"));
  std::unique_ptr<xds::View> view;
  xds::NodeInfo node;
  node.id = "sidecar~10.1.0.1~s0-1.shop~shop.svc.cluster.local";
  int calls = 0;
  auto connected = pilot_->Connect(node, [&](const auto&, uint64_t) {
    ++calls;
    view.reset();
  });
  ASSERT_TRUE(connected.ok());
  view = *std::move(connected);
  view->Find(Type::kEndpoint, ClusterOf(0));
  Apply(Slice(0, "10.1.1.2"));
  Apply(Slice(0, "10.1.1.3"));
  EXPECT_EQ(calls, 1);
}

TEST_F(PilotTest, ProblemsAreOfPresentObjects) {
  const char* policy = R"(
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {}
)";
  Apply(policy);
  ASSERT_EQ(pilot_->Problems().size(), 1u);
  EXPECT_EQ(pilot_->Problems().front().object.name, "deny");
  Apply(policy, config::EventType::kDeleted);
  EXPECT_THAT(pilot_->Problems(), IsEmpty());
}

TEST_F(PilotTest, AServerThatNoListenerIsMadeForIsAProblem) {
  const auto gateway = [](const std::string& mode) {
    return "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
           "metadata: {name: cross, namespace: shop}\n"
           "spec:\n  selector: {istio: eastwest}\n  servers:\n"
           "  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}\n"
           "  - {port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: " +
           mode + "}, hosts: ['*.local']}\n";
  };
  Apply(gateway("AUTO_PASSTHROUGH"));
  ASSERT_EQ(pilot_->Problems().size(), 1u);
  EXPECT_EQ(pilot_->Problems().front().object.name, "cross");
  EXPECT_THAT(pilot_->Problems().front().message,
              ::testing::HasSubstr("spec.servers[1].tls.mode: AUTO_PASSTHROUGH"));
  Apply(gateway("PASSTHROUGH"));
  EXPECT_THAT(pilot_->Problems(), IsEmpty());
  Apply(gateway("AUTO_PASSTHROUGH"));
  Apply(gateway("AUTO_PASSTHROUGH"), config::EventType::kDeleted);
  EXPECT_THAT(pilot_->Problems(), IsEmpty());
}

// What istiod serves to the same proxies, by name.
TEST(PilotReference, NamesAreIstiods) {
  for (const char* scene : {"plain", "headless", "serviceentry", "virtualservice", "gateway",
                            "destinationrule", "peerauthentication"}) {
    const std::string objects = testing::ReferenceObjects(scene);
    if (objects.empty()) GTEST_SKIP() << "../shared/cases is not at hand";
    const auto pilot = Pilot::Create({.mesh = DefaultMeshConfig()});
    pilot->Apply(EventsFrom(objects), 1);
    for (const char* proxy : {"client", "web", "gateway"}) {
      const auto reference = nlohmann::json::parse(testing::ReadFile(
          std::string("../shared/cases/xds-reference/") + scene + "/" + proxy + ".json"));
      xds::NodeInfo node;
      node.id = reference["node"]["id"];
      node.metadata_json = reference["node"]["metadata"].dump();
      const auto view = pilot->Connect(node, [](const auto&, uint64_t) {});
      ASSERT_TRUE(view.ok()) << view.status();
      for (const Type type : {Type::kCluster, Type::kListener}) {
        const std::string type_name(xds::TypeUrl(type).substr(xds::kTypePrefix.size()));
        std::set<std::string> ours, theirs;
        for (const auto& resource : (*view)->All(type)) {
          // That istiod had no endpoints of Services, so no listeners of headless ones either.
          if (!resource->name.starts_with("10.244.")) ours.insert(resource->name);
        }
        for (const auto& [name, value] : reference["resources"][type_name].items()) {
          // istiod's stand-in for a target port it could not resolve is a defect of its own.
          if (name != "inbound|0||") theirs.insert(name);
        }
        EXPECT_EQ(ours, theirs) << scene << " " << proxy << " " << type_name;
      }
    }
  }
}

}  // namespace
}  // namespace meltemi::pilot
