// SPDX-License-Identifier: Apache-2.0
#include "pilot/model_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pilot/testing/mesh_fixture.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MeshFixture;

constexpr const char* kWeb = R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.0.0.10
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: admin, port: 81, targetPort: side}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-v1-abc-1
  namespace: shop
  labels: {app: web, pod-template-hash: abc, security.istio.io/tlsMode: istio}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-v1-abc, uid: u}]
spec:
  serviceAccountName: web
  nodeName: n1
  containers: [{name: app, ports: [{name: side, containerPort: 9090}]}]
status: {phase: Running, podIP: 10.1.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: admin, port: 9090}]
endpoints:
- {addresses: [10.1.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: web-v1-abc-1, namespace: shop}}
- {addresses: [10.1.0.9], conditions: {ready: false}}
- {addresses: [10.1.0.8], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.1.0.7], conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.1.0.6], targetRef: {kind: Pod, name: not-there, namespace: shop}}
)";

const ServiceKey kWebKey{"web.shop.svc.cluster.local", "shop"};

std::vector<std::string> Hosts(const ServiceList& services) {
  std::vector<std::string> hosts;
  for (const ServicePtr& service : services) hosts.push_back(service->host);
  return hosts;
}

std::vector<std::string> Addresses(const EndpointList& endpoints) {
  std::vector<std::string> addresses;
  for (const Endpoint& endpoint : endpoints) {
    addresses.push_back(endpoint.address + ":" + std::to_string(endpoint.port));
  }
  return addresses;
}

TEST(ModelReader, AServiceAndItsEndpoints) {
  MeshFixture mesh(kWeb);
  const ServicePtr service = mesh.reader().FindService("other", kWebKey.host);
  ASSERT_NE(service, nullptr);
  EXPECT_THAT(service->addresses, ElementsAre("10.0.0.10"));
  EXPECT_EQ(service->resolution, Resolution::kClientSide);
  EXPECT_EQ(service->ports[0].protocol, Protocol::kHttp);
  EXPECT_EQ(service->ports[1].target_name, "side");
  const EndpointsPtr endpoints = mesh.reader().Endpoints(kWebKey, 80);
  EXPECT_THAT(Addresses(*endpoints),
              ElementsAre("10.1.0.1:8080", "10.1.0.8:8080", "10.1.0.9:8080"));
  const Endpoint& pod = endpoints->front();
  EXPECT_TRUE(pod.is_ready && pod.has_mutual_tls);
  EXPECT_EQ(pod.workload, "web-v1");
  EXPECT_EQ(pod.identity, "spiffe://cluster.local/ns/shop/sa/web");
  EXPECT_EQ(pod.locality, (Locality{"r1", "z1", ""}));
  EXPECT_TRUE((*endpoints)[1].is_draining);
  EXPECT_FALSE((*endpoints)[2].is_ready);
  EXPECT_THAT(Addresses(*mesh.reader().Endpoints(kWebKey, 81)),
              ElementsAre("10.1.0.1:9090", "10.1.0.8:9090", "10.1.0.9:9090"));
  EXPECT_THAT(*mesh.reader().Endpoints(kWebKey, 82), IsEmpty());
  EXPECT_THAT(*mesh.reader().Identities(kWebKey, 80),
              ElementsAre("spiffe://cluster.local/ns/shop/sa/web"));
}

TEST(ModelReader, InboundPortsByNumberAndByName) {
  MeshFixture mesh(kWeb);
  const auto ports = mesh.reader().InboundPortsOf(MeshFixture::Sidecar("shop", {{"app", "web"}}));
  ASSERT_EQ(ports->size(), 2u);
  EXPECT_EQ((*ports)[0].target_port, 8080u);
  EXPECT_EQ((*ports)[1].target_port, 9090u);
  EXPECT_EQ((*ports)[1].port.number, 81u);
  EXPECT_THAT(*mesh.reader().InboundPortsOf(MeshFixture::Sidecar("shop", {{"app", "db"}})),
              IsEmpty());
  EXPECT_THAT(*mesh.reader().InboundPortsOf(MeshFixture::Sidecar("other", {{"app", "web"}})),
              IsEmpty());
}

TEST(ModelReader, EndpointsFollowPods) {
  MeshFixture mesh(kWeb);
  (void)mesh.reader().Endpoints(kWebKey, 80);
  mesh.Delete(R"(
apiVersion: v1
kind: Pod
metadata: {name: web-v1-abc-1, namespace: shop}
)");
  EXPECT_THAT(Addresses(*mesh.reader().Endpoints(kWebKey, 80)),
              ElementsAre("10.1.0.8:8080", "10.1.0.9:8080"));
}

TEST(ModelReader, ExportToHidesAService) {
  MeshFixture mesh(R"(
apiVersion: v1
kind: Service
metadata: {name: mine, namespace: a, annotations: {networking.istio.io/exportTo: ".,b"}}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
)");
  EXPECT_EQ(mesh.reader().Services("a")->size(), 1u);
  EXPECT_EQ(mesh.reader().Services("b")->size(), 1u);
  EXPECT_THAT(*mesh.reader().Services("c"), IsEmpty());
  EXPECT_EQ(mesh.reader().FindService("c", "mine.a.svc.cluster.local"), nullptr);
  EXPECT_EQ(mesh.reader().ServicesOnPort("b", 80)->size(), 1u);
  EXPECT_THAT(*mesh.reader().ServicesOnPort("b", 81), IsEmpty());
}

constexpr const char* kEntries = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: shop}
spec:
  hosts: [db.internal]
  addresses: [192.0.2.10]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{name: mysql, number: 3306, protocol: MySQL}, {name: tcp, number: 5432, protocol: TCP}]
  endpoints:
  - {address: 192.0.2.55, ports: {mysql: 13306}, labels: {version: v1}, locality: r1/z1, weight: 3}
  - {address: 192.0.2.56, serviceAccount: db}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: sock, namespace: shop}
spec:
  hosts: [sock.internal]
  resolution: STATIC
  ports: [{name: tcp, number: 7, protocol: TCP}]
  endpoints: [{address: "unix:///run/db"}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example.com]
  resolution: DNS
  ports: [{name: http, number: 80, protocol: HTTP, targetPort: 443}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: shop}
spec:
  hosts: ["*.example.com"]
  resolution: NONE
  ports: [{name: tls, number: 443, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vms, namespace: shop}
spec:
  hosts: [vm.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{name: http, number: 8000, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm1, namespace: shop, labels: {app: vm}}
spec: {address: 192.0.2.77, ports: {http: 8001}, serviceAccount: vm, weight: 5}
)";

TEST(ModelReader, ServiceEntriesOfEachResolution) {
  MeshFixture mesh(kEntries);
  const auto database = mesh.reader().Endpoints({"db.internal", "shop"}, 3306);
  EXPECT_THAT(Addresses(*database), ElementsAre("192.0.2.55:13306", "192.0.2.56:3306"));
  EXPECT_FALSE((*database)[0].has_mutual_tls);
  EXPECT_TRUE((*database)[1].has_mutual_tls);
  EXPECT_EQ((*database)[0].workload, "db-0");
  EXPECT_EQ((*database)[0].weight, 3u);
  EXPECT_EQ((*database)[0].locality, (Locality{"r1", "z1", ""}));
  EXPECT_THAT(Addresses(*mesh.reader().Endpoints({"sock.internal", "shop"}, 7)),
              ElementsAre("/run/db:0"));
  const ServicePtr api = mesh.reader().FindService("other", "api.example.com");
  ASSERT_NE(api, nullptr);
  EXPECT_EQ(api->resolution, Resolution::kDns);
  EXPECT_TRUE(api->is_external && !api->is_kubernetes);
  EXPECT_TRUE(api->auto_address.starts_with("240.240."));
  EXPECT_THAT(Addresses(*mesh.reader().Endpoints(api->key(), 80)),
              ElementsAre("api.example.com:443"));
  const auto vm = mesh.reader().Endpoints({"vm.internal", "shop"}, 8000);
  EXPECT_THAT(Addresses(*vm), ElementsAre("192.0.2.77:8001"));
  EXPECT_EQ(vm->front().workload, "vm1");
  EXPECT_EQ(vm->front().identity, "spiffe://cluster.local/ns/shop/sa/vm");
}

TEST(ModelReader, AWildcardAnswersForHostsBelowIt) {
  MeshFixture mesh(kEntries);
  const ServicePtr found = mesh.reader().FindService("shop", "www.example.com");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->host, "*.example.com");
  EXPECT_TRUE(found->auto_address.empty());
  EXPECT_EQ(mesh.reader().FindService("shop", "api.example.com")->host, "api.example.com");
  EXPECT_EQ(mesh.reader().FindService("shop", "example.com"), nullptr);
}

TEST(ModelReader, KubernetesOwnsAHostBeforeAServiceEntry) {
  const char* entry = R"(
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop, creationTimestamp: "2001-01-01T00:00:00Z"}
spec:
  hosts: [web.shop.svc.cluster.local]
  resolution: STATIC
  ports: [{name: http, number: 80, protocol: HTTP}]
)";
  MeshFixture mesh(entry);
  EXPECT_FALSE(mesh.reader().FindService("shop", kWebKey.host)->is_kubernetes);
  mesh.Apply(kWeb);
  EXPECT_TRUE(mesh.reader().FindService("shop", kWebKey.host)->is_kubernetes);
  EXPECT_THAT(Hosts(*mesh.reader().Services("shop")), ElementsAre(kWebKey.host));
  mesh.Delete(kWeb);
  EXPECT_FALSE(mesh.reader().FindService("shop", kWebKey.host)->is_kubernetes);
  mesh.Delete(entry);
  EXPECT_EQ(mesh.reader().FindService("shop", kWebKey.host), nullptr);
}

TEST(ModelReader, OneHostInTwoNamespacesIsTheViewersOwnFirst) {
  const auto entry = [](const std::string& ns, const std::string& created) {
    return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x, "
           "namespace: " +
           ns + ", creationTimestamp: \"" + created +
           "\"}\nspec: {hosts: [x.test], resolution: STATIC, ports: [{name: http, number: 80, "
           "protocol: HTTP}]}\n---\n";
  };
  MeshFixture mesh(entry("old", "2020-01-01T00:00:00Z") + entry("young", "2021-01-01T00:00:00Z"));
  EXPECT_EQ(mesh.reader().FindService("third", "x.test")->ns, "old");
  EXPECT_EQ(mesh.reader().FindService("young", "x.test")->ns, "young");
  EXPECT_EQ(mesh.reader().Services("third")->size(), 1u);
  EXPECT_EQ(mesh.reader().Services("young")->front()->ns, "young");
}

TEST(ModelReader, HeadlessServicesPassThrough) {
  MeshFixture mesh(R"(
apiVersion: v1
kind: Service
metadata: {name: kafka, namespace: shop}
spec: {clusterIP: None, ports: [{name: tcp, port: 9092}], selector: {app: kafka}}
)");
  const ServicePtr kafka = mesh.reader().FindService("shop", "kafka.shop.svc.cluster.local");
  ASSERT_NE(kafka, nullptr);
  EXPECT_TRUE(kafka->is_headless && kafka->addresses.empty());
  EXPECT_EQ(kafka->resolution, Resolution::kPassthrough);
}

TEST(ModelReader, SaysWhatItCannotUse) {
  const char* objects = R"(
apiVersion: v1
kind: Service
metadata: {name: ext, namespace: shop}
spec: {type: ExternalName, externalName: www.example.com, ports: [{name: http, port: 80}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: shop}
spec: {}
)";
  MeshFixture mesh(objects);
  EXPECT_EQ(mesh.model().problems().messages().size(), 2u);
  mesh.Delete(objects);
  EXPECT_THAT(mesh.model().problems().messages(), IsEmpty());
}

uint64_t Computed(Model& model, const std::string& family) {
  for (const Family* f : model.graph().families()) {
    if (f->name() == family) return f->computed();
  }
  ADD_FAILURE() << "no family " << family;
  return 0;
}

struct Silent final : Observer {
  void OnChanged() override {}
};

TEST(ModelReader, AStatusOfAPodTouchesNothing) {
  MeshFixture mesh(kWeb);
  Derived<int, EndpointList> reading(mesh.model().graph(), "reading",
                                     [&](int) { return mesh.reader().Endpoints(kWebKey, 80); });
  Silent silent;
  const Observation observed = reading.Observe(0, silent);
  std::string later(kWeb);
  later.replace(later.find("phase: Running"), 14, "phase: Running, message: probed");
  mesh.Apply(later.substr(later.find("---\napiVersion: v1\nkind: Pod"),
                          later.find("---\napiVersion: v1\nkind: Node") -
                              later.find("---\napiVersion: v1\nkind: Pod")));
  EXPECT_EQ(Computed(mesh.model(), "service endpoints"), 1u);
  mesh.model().graph().Close();
}

}  // namespace
}  // namespace meltemi::pilot
