// SPDX-License-Identifier: Apache-2.0
// The scenarios of the public xDS conformance suite (xds-test-harness), as sentences in
// ../shared/cases/xds-protocol, against our server over real gRPC. Skipped where the file is not
// there.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/grpc/client.h"
#include "lib/xds/server.h"
#include "lib/xds/testing/fake_source.h"

namespace meltemi::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

constexpr const char* kFile = "../shared/cases/xds-protocol/scenarios.json";

struct Service {
  Type type;
  std::string single;  // path of the service beside ADS, with X for Stream or Delta
};

const std::map<std::string, Service> kServices = {
    {"CDS", {Type::kCluster, "/envoy.service.cluster.v3.ClusterDiscoveryService/XClusters"}},
    {"EDS", {Type::kEndpoint, "/envoy.service.endpoint.v3.EndpointDiscoveryService/XEndpoints"}},
    {"LDS", {Type::kListener, "/envoy.service.listener.v3.ListenerDiscoveryService/XListeners"}},
    {"RDS", {Type::kRoute, "/envoy.service.route.v3.RouteDiscoveryService/XRoutes"}},
};

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

struct Received {
  std::string name, version, nonce;
};

// One discovery stream that acknowledges whatever comes. State-of-the-world requests repeat their
// names, incremental ones carry differences.
class Client final : public grpc::ClientCallHandler {
 public:
  Client(grpc::Channel& channel, bool is_delta, const std::string& path) : is_delta_(is_delta) {
    call_ = channel.Start(Replaced(path, "X", is_delta ? "Delta" : "Stream"), {}, *this);
  }
  void Subscribe(Type type, const std::vector<std::string>& names) {
    auto& all = names_[type];
    all.insert(all.end(), names.begin(), names.end());
    is_delta_ ? SendDelta(type, names, "") : SendSotw(type, "");
  }
  void OnMessage(std::string_view bytes) override {
    is_delta_ ? TakeDelta(std::string(bytes)) : TakeSotw(std::string(bytes));
    ++responses;
  }
  void OnStatus(const grpc::CallStatus& status) override { ended = status.message; }

  std::map<Type, std::vector<Received>> received;
  std::map<Type, std::set<std::string>> removed;
  size_t requests = 0, responses = 0;
  std::string ended;

 private:
  template <typename Request>
  void Send(Request& request, Type type, const std::string& nonce) {
    if (requests == 0) request.mutable_node()->set_id("test-id");
    request.set_type_url(std::string(TypeUrl(type)));
    request.set_response_nonce(nonce);
    ++requests;
    call_->Send(request.SerializeAsString());
  }
  void SendDelta(Type type, const std::vector<std::string>& names, const std::string& nonce) {
    DeltaDiscoveryRequest request;
    for (const std::string& name : names) request.add_resource_names_subscribe(name);
    Send(request, type, nonce);
  }
  void SendSotw(Type type, const std::string& nonce) {
    DiscoveryRequest request;
    for (const std::string& name : names_[type]) request.add_resource_names(name);
    request.set_version_info(version_);
    Send(request, type, nonce);
  }
  void TakeDelta(const std::string& bytes) {
    DeltaDiscoveryResponse response;
    ASSERT_TRUE(response.ParseFromString(bytes));
    const Type type = *FindType(response.type_url());
    for (const auto& resource : response.resources()) {
      received[type].push_back({resource.name(), resource.version(), response.nonce()});
    }
    for (const std::string& name : response.removed_resources()) removed[type].insert(name);
    SendDelta(type, {}, response.nonce());
  }
  void TakeSotw(const std::string& bytes) {
    DiscoveryResponse response;
    ASSERT_TRUE(response.ParseFromString(bytes));
    const Type type = *FindType(response.type_url());
    version_ = response.version_info();
    for (const auto& resource : response.resources()) {  // the fake's bytes are the name
      received[type].push_back({resource.value(), version_, response.nonce()});
    }
    SendSotw(type, response.nonce());
  }

  const bool is_delta_;
  std::unique_ptr<grpc::ClientCall> call_;
  std::map<Type, std::vector<std::string>> names_;
  std::string version_;
};

// One run of one scenario: every step returns "" or what went wrong.
class ScenarioRun final {
 public:
  explicit ScenarioRun(const std::string& variant)
      : is_delta_(variant.starts_with("incremental")),
        is_ads_(!variant.ends_with("non-aggregated")) {
    server_ = *grpc::Server::Listen(*loop_, *net::Address::ParseIp("127.0.0.1", 0), ads_.Methods());
    channel_ = grpc::Channel::Create(*loop_, server_->address());
  }

  std::string Step(const std::string& sentence) {
    for (const auto& [pattern, act] : kSteps) {
      std::smatch match;
      if (!std::regex_search(sentence, match, std::regex(pattern))) continue;
      return (this->*act)({match.begin() + 1, match.end()});
    }
    return "no such kind of step";
  }

 private:
  using Arguments = std::vector<std::string>;
  using Act = std::string (ScenarioRun::*)(const Arguments&);

  std::string SetUp(const Arguments& a) {
    for (const std::string& service : Split(a[0])) {
      for (const std::string& name : Split(a[1])) Set(service, name, a[2]);
    }
    return "";
  }
  std::string SubscribeTo(const Arguments& a) { return Ask(a[1], Split(a[0])); }
  std::string SubscribeAll(const Arguments& a) { return Ask(a[0], {}); }
  std::string Receives(const Arguments& a) {
    const std::vector<std::string> wanted = Split(a[0]);
    return Wait([&] {
      for (const std::string& name : wanted) {
        if (Find(a[2], name, a[1]).empty()) return false;
      }
      return true;
    });
  }
  std::string Update(const Arguments& a) {
    Set(a[1], a[0], a[2]);
    source_.Publish();
    return "";
  }
  std::string Add(const Arguments& a) { return Update({a[0], a[1], a[2]}); }
  std::string Remove(const Arguments& a) {
    source_.Remove(kServices.at(a[1]).type, a[0]);
    source_.Publish();
    return "";
  }
  std::string ToldRemoved(const Arguments& a) {
    return Wait([&] { return client(a[1]).removed[kServices.at(a[1]).type].contains(a[0]); });
  }
  std::string IsSingle(const Arguments& a) {
    std::set<std::string> nonces;
    for (const std::string& name : Split(a[0])) nonces.insert(Find(a[2], name, a[1]));
    return nonces.size() == 1 && !nonces.contains("") ? "" : "several responses";
  }
  std::string OnlyIsNew(const Arguments& a) {
    const auto& all = client(a[0]).received[kServices.at(a[0]).type];
    const Received& last = all.back();
    for (const Received& one : all) {
      if (one.name == a[1]) continue;
      if (one.version == last.version || one.nonce == last.nonce) return one.name + " came too";
    }
    return "";
  }
  std::string IsQuiet(const Arguments&) {
    size_t requests = 0, responses = 0;
    const std::string waited = Wait([&] {
      responses = 0;
      for (auto& [key, one] : clients_) responses += one->responses;
      return source_.acks_.size() == responses;
    });
    if (!waited.empty()) return waited;
    for (int passes = 0; passes < 20; ++passes) loop_->RunOnce(Duration::zero());
    responses = 0;
    for (auto& [key, one] : clients_) requests += one->requests, responses += one->responses;
    return responses < requests ? "" : "more responses than needed";
  }

  void Set(const std::string& service, const std::string& name, const std::string& version) {
    source_.Set(kServices.at(service).type, name, std::stoull(version), name);
  }
  std::string Ask(const std::string& service, const std::vector<std::string>& names) {
    client(service).Subscribe(kServices.at(service).type, names);
    return "";
  }
  // The nonce it came with, "" = not there.
  std::string Find(const std::string& service, const std::string& name,
                   const std::string& version) {
    for (const Received& one : client(service).received[kServices.at(service).type]) {
      if (one.name == name && one.version == version) return one.nonce;
    }
    return "";
  }
  Client& client(const std::string& service) {
    std::unique_ptr<Client>& found = clients_[is_ads_ ? "" : service];
    if (found == nullptr) {
      found = std::make_unique<Client>(
          *channel_, is_delta_,
          is_ads_ ? "/envoy.service.discovery.v3.AggregatedDiscoveryService/XAggregatedResources"
                  : kServices.at(service).single);
    }
    return *found;
  }
  std::string Wait(const std::function<bool()>& done) {
    const MonotonicTime until = RealClock().Monotonic() + std::chrono::seconds(3);
    while (!done()) {
      if (RealClock().Monotonic() > until) return "it did not come";
      loop_->RunOnce(std::chrono::milliseconds(50));
    }
    return "";
  }

  static const std::vector<std::pair<const char*, Act>> kSteps;
  const bool is_delta_, is_ads_;
  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  FakeSource source_;
  AdsServer ads_{source_, RealClock(), {}};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::Channel> channel_;
  std::map<std::string, std::unique_ptr<Client>> clients_;
};

const std::vector<std::pair<const char*, ScenarioRun::Act>> ScenarioRun::kSteps = {
    {R"x(target setup with (?:multiple )?services? "(.*?)", (?:each with )?resources "(.*?)", and starting version "(.*?)")x",
     &ScenarioRun::SetUp},
    {R"x(Client subscribes to resources "(.*?)" for "(.*?)")x", &ScenarioRun::SubscribeTo},
    {R"x(Client does a wildcard subscription to "(.*?)")x", &ScenarioRun::SubscribeAll},
    {R"x(Client receives the resources "(.*?)" and version "(.*?)" for "(.*?)")x",
     &ScenarioRun::Receives},
    {R"x(resource "(.*?)" of service "(.*?)" is updated to version "(.*?)")x",
     &ScenarioRun::Update},
    {R"x(resource "(.*?)" is added to the "(.*?)" with version "(.*?)")x", &ScenarioRun::Add},
    {R"x(resource "(.*?)" is removed from the "(.*?)")x", &ScenarioRun::Remove},
    {R"x(receives notice that resource "(.*?)" was removed for service "(.*?)")x",
     &ScenarioRun::ToldRemoved},
    {R"x(resources "(.*?)" and version "(.*?)" for "(.*?)" came in a single response)x",
     &ScenarioRun::IsSingle},
    {R"x(for service "(.*?)", no resource other than "(.*?)" has same version or nonce)x",
     &ScenarioRun::OnlyIsNew},
    {R"x(service never responds more than necessary)x", &ScenarioRun::IsQuiet},
};

TEST(XdsScenarios, AllHold) {
  std::ifstream file(kFile);
  if (!file) GTEST_SKIP() << kFile << " is not there";
  const auto suite = nlohmann::json::parse(file);
  int runs = 0, passed = 0;
  for (const auto& one : suite["cases"]) {
    for (const std::string variant : one["variants"]) {
      ++runs;
      ScenarioRun run(variant);
      bool is_good = true;
      for (const std::string sentence : one["steps"]) {
        const std::string wrong = run.Step(sentence);
        if (wrong.empty()) continue;
        is_good = false;
        ADD_FAILURE() << one["id"] << " (" << variant << "): " << sentence << ": " << wrong;
        break;
      }
      passed += is_good ? 1 : 0;
    }
  }
  std::printf("xds-protocol: %d of %d runs pass\n", passed, runs);
  EXPECT_EQ(runs, 48);
}

}  // namespace
}  // namespace meltemi::xds
