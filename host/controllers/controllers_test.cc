// SPDX-License-Identifier: Apache-2.0
// Translation and slices as tables; Deployments with real sandboxes and the small proxy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "host/controllers/deployments.h"
#include "host/testing/fake_objects.h"

namespace meltemi::host {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Json Parse(const char* text) {
  return Json::parse(text);
}

std::string MessageOf(const Status& status) {
  return std::string(Message(status));
}

constexpr const char* kImages = R"(
images:
- image: "*reviews-v1*"
  command: [python3, reviews.py, "9080"]
  workingDirectory: apps
  env: {COLOR: red, MODE: plain}
- image: "*sleep*"
  command: [sleep, infinity]
)";

TEST(ImageMapTest, FirstPatternWins) {
  const auto map = ImageMap::Parse(kImages, "/some/where/images.yaml");
  ASSERT_TRUE(map.ok()) << map.status();
  const ImageCommand* found = map->Find("docker.io/examples-reviews-v1:1.20");
  ASSERT_NE(found, nullptr);
  EXPECT_THAT(found->command, ElementsAre("python3", "reviews.py", "9080"));
  EXPECT_EQ(found->working_directory, "/some/where/apps");
  EXPECT_EQ(map->Find("nginx"), nullptr);
}

TEST(ImageMapTest, MistakesAreShownWhereTheyAre) {
  for (const auto& [yaml, where] : std::map<std::string, std::string>{
           {"images:\n- image: x\n", "i.yaml:2:3: command is missing"},
           {"images:\n- command: [a]\n", "i.yaml:2:3: image is missing"},
           {"images:\n- image: x\n  comand: [a]\n", "i.yaml:3:11: field \"comand\" is unknown"},
           {"images:\n- image: x\n  command: a\n", "i.yaml:3:12: a list is expected"},
           {"pictures: []\n", "only a list named `images`"},
           {"", "is empty"},
           {"images: [", "i.yaml:"}})
    EXPECT_THAT(MessageOf(ImageMap::Parse(yaml, "i.yaml").status()), HasSubstr(where)) << yaml;
}

TEST(ImageMapTest, PatternsMatch) {
  EXPECT_TRUE(MatchesPattern("*a*b", "xaybab"));
  EXPECT_TRUE(MatchesPattern("", ""));
  EXPECT_TRUE(MatchesPattern("*", ""));
  EXPECT_FALSE(MatchesPattern("a*", "ba"));
  EXPECT_FALSE(MatchesPattern("ab", "abc"));
}

class PlanTest : public ::testing::Test {
 protected:
  StatusOr<PodPlan> Plan(const char* pod_template) {
    return PlanPod(Parse(pod_template), {"reviews-v1-x", "default", "127.77.0.5"}, images_,
                   {"PATH=/bin", "HOME=/home/user"});
  }
  ImageMap images_ = *ImageMap::Parse(kImages, "/etc/images.yaml");
};

TEST_F(PlanTest, ImageBecomesACommand) {
  const auto plan = Plan(R"j({"metadata": {"labels": {"app": "reviews"}},
    "spec": {"serviceAccountName": "bookinfo-reviews", "terminationGracePeriodSeconds": 3,
    "containers": [{"name": "reviews", "image": "examples-reviews-v1", "args": ["--at=$(POD_IP)", "$$(X)", "$(NO)"],
    "env": [{"name": "MODE", "value": "fancy"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]}]
}
})j");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->app.argv,
              ElementsAre("python3", "reviews.py", "9080", "--at=127.77.0.5", "$(X)", "$(NO)"));
  EXPECT_EQ(plan->app.working_directory, "/etc/apps");
  for (const char* variable : {"PATH=/bin", "MODE=fancy", "COLOR=red", "POD_IP=127.77.0.5",
                               "APP=reviews", "HOSTNAME=reviews-v1-x"})
    EXPECT_THAT(plan->app.env, Contains(variable));
  EXPECT_THAT(plan->app.env, Not(Contains("MODE=plain")));
  EXPECT_EQ(plan->service_account, "bookinfo-reviews");
  EXPECT_EQ(plan->stop_max, std::chrono::seconds(3));
}

TEST_F(PlanTest, CommandReplacesTheEntryPoint) {
  const auto plan = Plan(
      R"j({"spec": {"containers": [{"image": "reviews-v1", "command": ["/bin/sh"], "args": ["-c"]}]}})j");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->app.argv, ElementsAre("/bin/sh", "-c"));
  EXPECT_EQ(plan->service_account, "default");
}

TEST_F(PlanTest, WithoutAReadinessProbeTheFirstTcpPortIsAwaitedOnce) {
  const auto plan = Plan(
      R"j({"spec": {"containers": [{"image": "sleep", "ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 8080}]}]}})j");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->readiness.kind, ProbeKind::kTcp);
  EXPECT_EQ(plan->readiness.port, 8080);
  EXPECT_TRUE(plan->readiness.is_once);
  const auto without = Plan(R"j({"spec": {"containers": [{"image": "sleep"}]}})j");
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->readiness.kind, ProbeKind::kNone);
}

TEST_F(PlanTest, ProbesAreRead) {
  const auto plan = Plan(
      R"j({"spec": {"containers": [{"image": "sleep", "ports": [{"name": "web", "containerPort": 8080}],
    "readinessProbe": {"httpGet": {"path": "health", "port": "web", "httpHeaders": [{"name": "X-A", "value": "b"}]},
                       "periodSeconds": 2, "failureThreshold": 5},
    "livenessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 7},
    "startupProbe": {"tcpSocket": {"port": 9}}}]}})j");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->readiness.kind, ProbeKind::kHttp);
  EXPECT_EQ(plan->readiness.port, 8080);
  EXPECT_EQ(plan->readiness.path, "/health");
  EXPECT_EQ(plan->readiness.headers, "X-A: b\r\n");
  EXPECT_EQ(plan->readiness.period, std::chrono::seconds(2));
  EXPECT_EQ(plan->readiness.failure_threshold, 5);
  EXPECT_EQ(plan->liveness.kind, ProbeKind::kExec);
  EXPECT_EQ(plan->liveness.initial_delay, std::chrono::seconds(7));
  EXPECT_EQ(plan->startup.kind, ProbeKind::kTcp);
}

TEST_F(PlanTest, WhatCannotBeRunIsRefusedWithARemedy) {
  for (
      const auto& [pod_template, what] : std::map<std::string, std::string>{
          {R"j({"spec": {"containers": [{"image": "nginx:1"}]}})j",
           "add to /etc/images.yaml:\n- image: \"nginx:1\""},
          {R"j({"spec": {}})j", "no container"},
          {R"j({"spec": 7})j", "no container"},
          {R"j({"spec": {"containers": [{"image": "sleep"}, {"image": "sleep"}]}})j",
           "several containers"},
          {R"j({"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": {"containers": [{"image": "sleep"}]}})j",
           "asks for no sidecar"},
          {R"j({"spec": {"containers": [{"image": "sleep", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}]}})j",
           "env A comes from a Secret"},
          {R"j({"spec": {"containers": [{"image": "sleep", "readinessProbe": {"httpGet": {"port": "nope"}}}]}})j",
           "no valid port"},
          {R"j({"spec": {"containers": [{"image": "sleep", "readinessProbe": {"httpGet": {"port": 1, "path": "/ HTTP/1.1\r\nX: y"}}}]}})j",
           "a line break"}}) {
    const auto plan = Plan(pod_template.c_str());
    ASSERT_FALSE(plan.ok()) << pod_template;
    EXPECT_THAT(MessageOf(plan.status()), HasSubstr(what));
    EXPECT_THAT(MessageOf(plan.status()), HasSubstr("\n")) << "a remedy is missing";
  }
}

Json Pod(const std::string& name, const std::string& ip, bool is_ready, int named_port = 0) {
  PodStatus status;
  status.is_ready = is_ready;
  Json pod_template = Parse(
      R"j({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}})j");
  if (named_port != 0)
    pod_template["spec"]["containers"][0]["ports"] =
        Json::array({Json{{"name", "http"}, {"containerPort", named_port}}});
  return PodObject(pod_template, {name, "default", ip}, "ReplicaSet", "web-1", "u1", "hash",
                   status);
}

TEST(PodObjectTest, HasWhatAControlPlaneReads) {
  const Json pod = Pod("web-1-a", "127.77.0.9", true);
  EXPECT_EQ(StringAt(pod, "status/podIP"), "127.77.0.9");
  EXPECT_EQ(pod["metadata"]["ownerReferences"][0]["name"], "web-1");
  EXPECT_EQ(StringAt(pod, "metadata/labels/pod-template-hash"), "hash");
  EXPECT_EQ(StringAt(pod, "spec/serviceAccountName"), "default");
  EXPECT_EQ(pod["status"]["conditions"][0]["status"], "True");
  EXPECT_EQ(pod["status"]["podIPs"][0]["ip"], "127.77.0.9");
}

TEST(EndpointSlicesTest, NamedPortsAreResolvedForEachPod) {
  const Json service = Parse(
      R"j({"kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
    "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})j");
  const Json a = Pod("a", "127.77.0.1", true, 8080), b = Pod("b", "127.77.0.2", false, 8080),
             c = Pod("c", "127.77.0.3", true, 9090);
  const auto slices = BuildEndpointSlices(service, {&a, &b, &c});
  ASSERT_EQ(slices.size(), 2u);
  EXPECT_EQ(slices[0]["ports"][0]["port"], 8080);
  ASSERT_EQ(slices[0]["endpoints"].size(), 2u);
  EXPECT_EQ(slices[0]["endpoints"][0]["addresses"][0], "127.77.0.1");
  EXPECT_EQ(slices[0]["endpoints"][0]["conditions"]["ready"], true);
  EXPECT_EQ(slices[0]["endpoints"][1]["conditions"]["ready"], false);
  EXPECT_EQ(slices[1]["ports"][0]["port"], 9090);
  EXPECT_EQ(StringAt(slices[1], "metadata/labels/kubernetes.io~service-name"), "");
  EXPECT_EQ(slices[1]["metadata"]["labels"]["kubernetes.io/service-name"], "web");
}

TEST(EndpointSlicesTest, ServicesWithoutASelectorAreLeftToOthers) {
  const Json service =
      Parse(R"j({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})j");
  EXPECT_TRUE(BuildEndpointSlices(service, {}).empty());
}

class DeploymentsTest : public ::testing::Test {
 protected:
  DeploymentsTest() : loop_(*runtime::Loop::Create()) {
    std::string name = ::testing::TempDir() + "/deployments-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    std::ofstream(folder_ + "/gate") << "open";
    PodsOptions options;
    options.directory = folder_ + "/pods";
    options.base_env = {"PATH=/usr/bin:/bin"};
    options.proxy_command = [this](const ProxyRequest& request) -> StatusOr<Command> {
      return Command{
          {"python3", "host/testing/fake_proxy.py", request.is_gateway ? "router" : "sidecar",
           "--ip", request.pod.ip, "--gate", folder_ + "/gate"},
          {"PATH=/usr/bin:/bin"},
          std::filesystem::current_path()};
    };
    pods_ = std::make_unique<Pods>(*loop_, objects_, images_, options);
    deployments_ = std::make_unique<Deployments>(objects_, *pods_);
    pods_->OnPodChange([this](const std::string& key) { deployments_->OnPodChange(key); });
    pods_->Start();
    deployments_->Start();
  }
  ~DeploymentsTest() override {
    deployments_->Close();
    pods_.reset();
    std::filesystem::remove_all(folder_);
  }

  static Json Deployment(int replicas, const std::string& color = "red",
                         const std::string& image = "sleep") {
    Json object = Parse(
        R"j({"kind": "Deployment", "metadata": {"name": "web", "namespace": "default", "uid": "u"},
      "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}}}})j");
    object["spec"]["replicas"] = replicas;
    object["spec"]["template"]["metadata"]["labels"]["color"] = color;
    object["spec"]["template"]["spec"]["containers"][0]["image"] = image;
    return object;
  }
  bool Until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop_->RunOnce(std::chrono::milliseconds(5));
    }
    return true;
  }
  size_t Endpoints(bool is_ready) {
    size_t count = 0;
    const Json slice = objects_.Find("EndpointSlice");
    for (const Json& endpoint : ArrayAt(slice, "endpoints"))
      if (BoolAt(endpoint, "conditions/ready") == is_ready) ++count;
    return count;
  }

  std::unique_ptr<runtime::Loop> loop_;
  std::string folder_;
  ImageMap images_ = *ImageMap::Parse(kImages, "/images.yaml");
  testing::FakeObjects objects_;
  std::unique_ptr<Pods> pods_;
  std::unique_ptr<Deployments> deployments_;
};

TEST_F(DeploymentsTest, RunsScalesRollsAndGoes) {
  objects_.Apply(Parse(R"j({"kind": "Service", "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}})j"));
  EXPECT_EQ(objects_.Count("EndpointSlice"), 1u) << "empty, but known";
  objects_.Apply(Deployment(1));
  ASSERT_TRUE(Until([&] { return Endpoints(true) == 1; }));
  const std::string first = NameOf(objects_.Find("Pod"));
  EXPECT_THAT(first, HasSubstr("web-"));
  EXPECT_EQ(objects_.Find("Pod")["metadata"]["labels"]["security.istio.io/tlsMode"], "istio");

  objects_.Apply(Deployment(2));
  ASSERT_TRUE(Until([&] { return Endpoints(true) == 2; }));
  EXPECT_EQ(objects_.Count("Pod"), 2u);
  EXPECT_EQ(NameOf(objects_.Find("Pod", first)), first) << "scaling leaves those that run alone";

  objects_.Apply(Deployment(1, "blue"));
  // At no moment is nothing ready.
  ASSERT_TRUE(Until([&] {
    EXPECT_GE(Endpoints(true), 1u);
    return objects_.Count("Pod") == 1 &&
           StringAt(objects_.Find("Pod"), "metadata/labels/color") == "blue";
  }));

  objects_.Remove(Deployment(1, "blue"));
  ASSERT_TRUE(Until([&] { return pods_->empty(); }));
  EXPECT_EQ(objects_.Count("Pod"), 0u);
  EXPECT_EQ(Endpoints(true) + Endpoints(false), 0u);
  EXPECT_TRUE(deployments_->counts().empty());
}

TEST_F(DeploymentsTest, AnImageWithoutAMappingIsAProblemUntilItIsCorrected) {
  objects_.Apply(Deployment(2, "red", "nginx"));
  ASSERT_EQ(deployments_->problems().size(), 1u);
  EXPECT_EQ(deployments_->problems()[0].object, "Deployment default/web");
  EXPECT_EQ(deployments_->problems()[0].what, "image nginx has no mapping to a local command");
  EXPECT_THAT(deployments_->problems()[0].remedy, HasSubstr("/images.yaml"));
  EXPECT_TRUE(pods_->empty());
  objects_.Apply(Deployment(2));
  EXPECT_TRUE(deployments_->problems().empty());
  ASSERT_TRUE(Until([&] { return deployments_->counts()[0].ready == 2; }));
}

TEST_F(DeploymentsTest, AGatewayRunsWithoutASandbox) {
  PodRequest request;
  request.name = "gateway-1";
  request.ns = "istio-system";
  request.pod_template = Parse(
      R"j({"metadata": {"labels": {"istio": "ingressgateway"}}, "spec": {"containers": []}})j");
  request.is_gateway = true;
  ASSERT_TRUE(pods_->Add(request).ok());
  Workload* gateway = pods_->Find("istio-system/gateway-1");
  ASSERT_NE(gateway, nullptr);
  EXPECT_EQ(gateway->sandbox_pid(), -1);
  ASSERT_TRUE(Until([&] { return gateway->state().is_ready; }));
  EXPECT_EQ(StringAt(objects_.Find("Pod"), "metadata/labels/istio"), "ingressgateway");
  EXPECT_FALSE(objects_.Find("Pod")["metadata"]["labels"].contains("security.istio.io/tlsMode"))
      << "a gateway takes no mutual TLS of the mesh";
  EXPECT_TRUE(absl::IsAlreadyExists(pods_->Add(request)));
  pods_->StopAll();
  EXPECT_TRUE(Until([&] { return pods_->empty(); }));
}

}  // namespace
}  // namespace meltemi::host
