// SPDX-License-Identifier: Apache-2.0
// PATCH in its three forms: JSON merge, strategic merge, server-side apply.
#include <gtest/gtest.h>

#include "galley/testing/api_fixture.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;

constexpr char kStrategic[] = "application/strategic-merge-patch+json";
constexpr char kApply[] = "application/apply-patch+yaml";

TEST_F(ApiTest, PatchesByMerging) {
  ASSERT_EQ(201, Post(kRoutes, Route("a")).status);
  const std::string path = std::string(kRoutes) + "/a";
  const Answer patched = Send(
      "PATCH", path,
      R"({"metadata":{"labels":{"x":"y"}},"spec":{"hosts":["ratings"],"gateways":["g"]}})", kMerge);
  ASSERT_EQ(200, patched.status) << patched.body;
  EXPECT_EQ(json::array({"ratings"}), patched.body["spec"]["hosts"]);
  EXPECT_EQ("y", patched.body["metadata"]["labels"]["x"]);
  const Answer removed = Send("PATCH", path, R"({"spec":{"gateways":null}})", kMerge);
  EXPECT_FALSE(removed.body["spec"].contains("gateways"));
  EXPECT_EQ(415, Send("PATCH", path, "[]", "application/json-patch+json").status);
  EXPECT_EQ(409, Send("PATCH", path, R"({"metadata":{"resourceVersion":"1"}})", kMerge).status);
  EXPECT_EQ(400, Send("PATCH", path, R"({"metadata":{"name":"b"}})", kMerge).status);
  EXPECT_EQ(404, Send("PATCH", std::string(kRoutes) + "/b", "{}", kMerge).status);
}

TEST_F(ApiTest, MergesListsOfCoreKindsByKey) {
  const json deployment = json::parse(R"({"metadata":{"name":"d"},"spec":{
    "selector":{"matchLabels":{"app":"d"}},
    "template":{"metadata":{"labels":{"app":"d"}},"spec":{"containers":[
      {"name":"one","image":"a:1","ports":[{"containerPort":80}]},
      {"name":"two","image":"b:1"}]}}}})");
  const std::string deployments = "/apis/apps/v1/namespaces/default/deployments";
  const Answer created = Post(deployments, deployment);
  ASSERT_EQ(201, created.status) << created.body;
  const Answer patched = Send("PATCH", deployments + "/d", R"({"spec":{"template":{"spec":{
    "$setElementOrder/containers":[{"name":"three"},{"name":"one"}],
    "containers":[{"name":"one","image":"a:2"},{"name":"two","$patch":"delete"},
                  {"name":"three","image":"c:1"}]}}}})",
                              kStrategic);
  ASSERT_EQ(200, patched.status) << patched.body;
  EXPECT_EQ(json::parse(R"([{"name":"three","image":"c:1"},
                            {"name":"one","image":"a:2","ports":[{"containerPort":80}]}])"),
            patched.body["spec"]["template"]["spec"]["containers"]);
}

// What `kubectl apply` sends for another port of a Service.
TEST_F(ApiTest, ReplacesAnElementOfAMergedList) {
  ASSERT_EQ(201, Post(kServices, Service("a")).status);
  const Answer patched = Send("PATCH", std::string(kServices) + "/a", R"({"spec":{
    "$setElementOrder/ports":[{"port":9081}],
    "ports":[{"name":"http","port":9081},{"$patch":"delete","port":9080}]}})",
                              kStrategic);
  ASSERT_EQ(200, patched.status) << patched.body;
  EXPECT_EQ(json::parse(R"([{"name":"http","port":9081,"protocol":"TCP","targetPort":9081}])"),
            patched.body["spec"]["ports"]);
  EXPECT_EQ(400, Send("PATCH", std::string(kServices) + "/a",
                      R"({"spec":{"ports":[{"port":1},{"name":"x"}]}})", kStrategic)
                     .status);
}

TEST_F(ApiTest, AppliesOnTheServer) {
  const std::string path = std::string(kRoutes) + "/a?fieldManager=kubectl&force=true";
  const std::string yaml =
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: a\n"
      "spec:\n  hosts: [reviews]\n  http:\n  - route:\n    - destination: {host: reviews}\n";
  EXPECT_EQ(201, Send("PATCH", path, yaml, kApply).status);
  EXPECT_EQ(200, Send("PATCH", path, yaml + "  gateways: [g]\n", kApply).status);
  EXPECT_EQ(json::array({"g"}), Get(std::string(kRoutes) + "/a").body["spec"]["gateways"]);
}

}  // namespace
}  // namespace meltemi::galley
