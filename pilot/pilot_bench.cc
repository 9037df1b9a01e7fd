// SPDX-License-Identifier: Apache-2.0
// What a change costs by the size of the mesh: one endpoint, one VirtualService.
#include <benchmark/benchmark.h>

#include <string>

#include "lib/config/parse.h"
#include "pilot/pilot.h"

namespace meltemi::pilot {
namespace {

std::vector<config::Event> Events(const std::string& yaml) {
  std::vector<config::Event> events;
  const auto objects = config::ParseObjects(yaml, {.file = "bench.yaml"});
  if (!objects.ok()) std::abort();
  for (const auto& object : *objects) events.push_back({config::EventType::kAdded, object, 1});
  return events;
}

std::string Service(int n) {
  const std::string i = std::to_string(n);
  return "apiVersion: v1\nkind: Service\nmetadata: {name: s" + i +
         ", namespace: shop}\nspec: {clusterIP: 10." + std::to_string(n / 62500) + "." +
         std::to_string(n / 250 % 250) + "." + std::to_string(n % 250 + 1) + ", selector: {app: s" +
         i + "}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n";
}

std::string Slice(int n, int address) {
  const std::string i = std::to_string(n);
  return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s" + i +
         ", namespace: shop, labels: {kubernetes.io/service-name: s" + i +
         "}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: "
         "[10.200.0." +
         std::to_string(address) + "]}]\n---\n";
}

std::string Weight(int weight) {
  return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: "
         "shop}\nspec: {hosts: [s1], http: [{route: [{destination: {host: s1}, weight: " +
         std::to_string(weight) +
         "}, {destination: {host: s2}, weight: " + std::to_string(100 - weight) + "}]}]}\n";
}

class Mesh {
 public:
  explicit Mesh(int services) : pilot_(Pilot::Create({.mesh = DefaultMeshConfig()})) {
    std::string objects;
    for (int n = 0; n < services; ++n) objects += Service(n) + Slice(n, 1);
    pilot_->Apply(Events(objects), 1);
    xds::NodeInfo node;
    node.id = "sidecar~10.1.0.1~s0-1.shop~shop.svc.cluster.local";
    node.metadata_json = R"({"NAMESPACE":"shop","LABELS":{"app":"s0"}})";
    view_ = *pilot_->Connect(node, [](const auto&, uint64_t) {});
    for (const auto& cluster : view_->All(xds::Type::kCluster)) {
      view_->Find(xds::Type::kEndpoint, cluster->name);
    }
    view_->All(xds::Type::kListener);
    view_->All(xds::Type::kNameTable);
    view_->Find(xds::Type::kRoute, "80");
  }
  Pilot& pilot() { return *pilot_; }

 private:
  std::unique_ptr<Pilot> pilot_;
  std::unique_ptr<xds::View> view_;
};

void BM_OneEndpoint(benchmark::State& state) {
  Mesh mesh(static_cast<int>(state.range(0)));
  const std::vector<config::Event> changes[] = {Events(Slice(1, 2)), Events(Slice(1, 3))};
  uint64_t version = 1;
  for (auto _ : state) {
    ++version;
    mesh.pilot().Apply(changes[version % 2], version);
  }
}
BENCHMARK(BM_OneEndpoint)->Arg(100)->Arg(1000)->Arg(10000);

void BM_OneVirtualService(benchmark::State& state) {
  Mesh mesh(static_cast<int>(state.range(0)));
  const std::vector<config::Event> changes[] = {Events(Weight(10)), Events(Weight(20))};
  uint64_t version = 1;
  for (auto _ : state) {
    ++version;
    mesh.pilot().Apply(changes[version % 2], version);
  }
}
BENCHMARK(BM_OneVirtualService)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace meltemi::pilot
