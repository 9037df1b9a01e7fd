// SPDX-License-Identifier: Apache-2.0
// The API through real sockets: a Unix socket and a TCP listener on port zero.
#include "galley/api/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "galley/store/directory_store.h"
#include "galley/testing/api_fixture.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// -- who may

TEST_F(ApiTest, TheSocketIsTheUsersOwn) {
  struct stat info;
  ASSERT_EQ(0, stat((directory_ / "api.sock").c_str(), &info));
  EXPECT_EQ(0600u, info.st_mode & 0777);
  api_.reset();
  EXPECT_NE(0, stat((directory_ / "api.sock").c_str(), &info));
}

TEST_F(ApiTest, TcpAsksForTheToken) {
  const net::Address& tcp = api_->addresses()[1];
  EXPECT_NE(0, tcp.port());
  const auto get = [&](const std::string& path, const std::string& authorization) {
    http::ClientRequest request{.path = path};
    if (!authorization.empty()) request.headers = {{"authorization", authorization}};
    return Fetch(tcp, std::move(request))->status;
  };
  EXPECT_EQ(401, get(kPods, ""));
  EXPECT_EQ(401, get(kPods, "Bearer open sesam"));
  EXPECT_EQ(401, get("/nowhere", ""));
  EXPECT_EQ(200, get(kPods, "Bearer open sesame"));
  EXPECT_EQ(200, get("/healthz", ""));
  EXPECT_EQ(200, Get(kPods).status);
}

// -- discovery

TEST_F(ApiTest, TellsWhatItHas) {
  EXPECT_EQ(json::array({"v1"}), Get("/api").body["versions"]);
  const json groups = Get("/apis").body["groups"];
  const auto networking = std::find_if(groups.begin(), groups.end(), [](const json& group) {
    return group["name"] == "networking.istio.io";
  });
  ASSERT_NE(groups.end(), networking);
  EXPECT_EQ("v1", (*networking)["preferredVersion"]["version"]);
  EXPECT_EQ("v1beta1", (*networking)["versions"][1]["version"]);
  EXPECT_EQ("v1alpha3", (*networking)["versions"][2]["version"]);
  EXPECT_EQ("networking.istio.io", Get("/apis/networking.istio.io").body["name"]);
  const json resources = Get("/apis/networking.istio.io/v1").body["resources"];
  const auto routes = std::find_if(resources.begin(), resources.end(), [](const json& one) {
    return one["name"] == "virtualservices";
  });
  ASSERT_NE(resources.end(), routes);
  EXPECT_EQ("VirtualService", (*routes)["kind"]);
  EXPECT_EQ(json::array({"vs"}), (*routes)["shortNames"]);
  EXPECT_EQ(json::array({"istio-io", "networking-istio-io"}), (*routes)["categories"]);
  EXPECT_EQ(8u, (*routes)["verbs"].size());
  EXPECT_EQ("1", Get("/version").body["major"]);
  EXPECT_EQ(404, Get("/apis/networking.istio.io/v7").status);
  EXPECT_EQ(404, Get("/openapi/v2").status);
  EXPECT_EQ(405, Send("POST", "/version").status);
  const json schema = Get("/openapi/v3/apis/networking.istio.io/v1").body["paths"];
  const std::string path =
      "/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/{name}";
  ASSERT_TRUE(schema.contains(path));
  EXPECT_EQ("fieldValidation", schema[path]["patch"]["parameters"][0]["name"]);
}

// -- objects

TEST_F(ApiTest, CreatesReadsReplacesAndDeletes) {
  const Answer created = Post(kRoutes, Route("a"));
  ASSERT_EQ(201, created.status) << created.body;
  EXPECT_EQ("default", created.body["metadata"]["namespace"]);
  EXPECT_EQ(1, created.body["metadata"]["generation"]);
  const std::string path = std::string(kRoutes) + "/a";
  EXPECT_EQ(created.body, Get(path).body);

  const Answer again = Post(kRoutes, Route("a"));
  EXPECT_EQ(409, again.status);
  EXPECT_EQ("AlreadyExists", again.body["reason"]);
  EXPECT_EQ("virtualservices.networking.istio.io \"a\" already exists", again.body["message"]);

  json changed = created.body;
  changed["spec"]["hosts"] = json::array({"ratings"});
  const Answer replaced = Send("PUT", path, changed.dump());
  EXPECT_EQ(200, replaced.status) << replaced.body;
  EXPECT_EQ(2, replaced.body["metadata"]["generation"]);
  const Answer conflict = Send("PUT", path, changed.dump());
  EXPECT_EQ(409, conflict.status);
  EXPECT_EQ("Conflict", conflict.body["reason"]);

  const Answer deleted = Send("DELETE", path);
  EXPECT_EQ(200, deleted.status);
  EXPECT_EQ("Success", deleted.body["status"]);
  const Answer gone = Get(path);
  EXPECT_EQ(404, gone.status);
  EXPECT_EQ("virtualservices.networking.istio.io \"a\" not found", gone.body["message"]);
  EXPECT_EQ("virtualservices", gone.body["details"]["kind"]);
  EXPECT_EQ(404, Send("DELETE", path).status);
}

TEST_F(ApiTest, ServesEachVersionOfAKind) {
  json route = Route("a");
  route["apiVersion"] = "networking.istio.io/v1alpha3";
  const std::string old = "/apis/networking.istio.io/v1alpha3/namespaces/default/virtualservices";
  EXPECT_EQ("networking.istio.io/v1alpha3", Post(old, route).body["apiVersion"]);
  EXPECT_EQ("networking.istio.io/v1", Get(std::string(kRoutes) + "/a").body["apiVersion"]);
  EXPECT_EQ("networking.istio.io/v1alpha3", Get(old).body["items"][0]["apiVersion"]);
}

TEST_F(ApiTest, ListsByNamespaceAndSelector) {
  for (const std::string name : {"a", "b", "c"}) {
    json map = Map(name);
    map["metadata"]["labels"] = {{"app", name}, {"tier", name == "c" ? "back" : "front"}};
    ASSERT_EQ(201, Post(kMaps, map).status);
  }
  json elsewhere = Map("d");
  ASSERT_EQ(201, Post("/api/v1/namespaces/istio-system/configmaps", elsewhere).status);
  const auto names = [&](const std::string& path) {
    std::string all;
    const Answer list = Get(path);
    for (const json& item : list.body["items"]) {
      all += item["metadata"]["name"].get<std::string>();
    }
    return all;
  };
  const std::string maps = kMaps;
  EXPECT_EQ("abc", names(maps));
  EXPECT_EQ("abcd", names("/api/v1/configmaps"));
  EXPECT_EQ("ab", names(maps + "?labelSelector=tier%3Dfront"));
  EXPECT_EQ("c", names(maps + "?labelSelector=tier!%3Dfront"));
  EXPECT_EQ("ac", names(maps + "?labelSelector=app+in+(a,c)"));
  EXPECT_EQ("b", names(maps + "?labelSelector=app+notin+(a,c),tier"));
  EXPECT_EQ("d", names("/api/v1/configmaps?labelSelector=!tier"));
  EXPECT_EQ("b", names(maps + "?fieldSelector=metadata.name%3Db"));
  EXPECT_EQ("d", names("/api/v1/configmaps?fieldSelector=metadata.namespace!%3Ddefault"));
  EXPECT_EQ(400, Get(maps + "?labelSelector=%3D%3D").status);
  EXPECT_EQ("ConfigMapList", Get(maps).body["kind"]);
  EXPECT_EQ(json(std::to_string(store_->version())), Get(maps).body["metadata"]["resourceVersion"]);

  EXPECT_EQ(200, Send("DELETE", maps + "?labelSelector=tier%3Dfront").status);
  EXPECT_EQ("c", names(maps));
}

TEST_F(ApiTest, RefusesWhatIsWrong) {
  const auto refused = [&](const Answer& answer) {
    return std::to_string(answer.status) + " " + answer.body.value("reason", "");
  };
  EXPECT_EQ("400 BadRequest", refused(Send("POST", kMaps, "{")));
  EXPECT_EQ("400 BadRequest", refused(Send("POST", kMaps, "[]")));
  EXPECT_EQ("400 BadRequest", refused(Send("POST", kMaps, std::string(100'000, '['))));
  EXPECT_EQ("400 BadRequest", refused(Post(kMaps, Route("a"))));
  EXPECT_EQ("422 Invalid", refused(Post(kMaps, Map("Not_A_Name"))));
  EXPECT_EQ("413 RequestEntityTooLarge",
            refused(Post(kMaps, Map("a", std::string(config::kObjectBytesMax, 'x')))));
  EXPECT_EQ("400 BadRequest",
            refused(Send("POST", kMaps, "k8s", "application/vnd.kubernetes.protobuf")));
  json moved = Map("a");
  moved["metadata"]["namespace"] = "other";
  EXPECT_EQ("400 BadRequest", refused(Post(kMaps, moved)));
  EXPECT_EQ("404 NotFound", refused(Post("/api/v1/namespaces/nowhere/configmaps", Map("a"))));
  EXPECT_EQ("405 MethodNotAllowed", refused(Post("/api/v1/configmaps", Map("a"))));
  EXPECT_EQ("404 NotFound", refused(Get("/api/v1/namespaces/default/nonsense")));
  json unknown = Route("a");
  unknown["spec"]["httpp"] = json::array();
  const Answer field = Post(kRoutes, unknown);
  EXPECT_EQ("422 Invalid", refused(field));
  EXPECT_THAT(field.body["message"].get<std::string>(), HasSubstr("httpp"));
  // What kubectl prints.
  EXPECT_EQ("VirtualService", field.body["details"]["kind"]);
  EXPECT_EQ("a", field.body["details"]["name"]);
  EXPECT_EQ("spec.httpp", field.body["details"]["causes"][0]["field"]);
  json portless = Service("a");
  portless["spec"]["ports"][0].erase("port");
  EXPECT_EQ("422 Invalid", refused(Post(kServices, portless)));
  EXPECT_EQ("400 BadRequest", refused(Post(std::string(kMaps) + "?dryRun=Some", Map("a"))));
  EXPECT_EQ(0u, store_->List(&config::kinds::kConfigMap, "").objects.size());
}

TEST_F(ApiTest, ADryRunStoresNothing) {
  EXPECT_EQ(201, Post(std::string(kMaps) + "?dryRun=All", Map("a")).status);
  EXPECT_EQ(404, Get(std::string(kMaps) + "/a").status);
}

TEST_F(ApiTest, TheJudgeIsHeard) {
  options_.judge = [](const config::Object& object) -> Status {
    if (object.meta.name != "bad") return absl::OkStatus();
    return absl::InvalidArgumentError("no bad names here");
  };
  Start();
  const Answer refused = Post(kMaps, Map("bad"));
  EXPECT_EQ(422, refused.status);
  EXPECT_EQ("Invalid", refused.body["reason"]);
  EXPECT_EQ("no bad names here", refused.body["message"]);
  EXPECT_EQ(422, Apply({Map("good"), Map("bad")}).status);
  EXPECT_EQ(404, Get(std::string(kMaps) + "/good").status);
  EXPECT_EQ(201, Post(kMaps, Map("good")).status);
}

TEST_F(ApiTest, StatusIsASubresource) {
  const json pod = {{"metadata", {{"name", "p"}}}, {"spec", {{"nodeName", "n"}}}};
  ASSERT_EQ(201, Post(kPods, pod).status);
  const std::string path = std::string(kPods) + "/p";
  json with_status = Get(path).body;
  with_status["spec"]["nodeName"] = "ignored";
  with_status["status"] = {{"phase", "Running"}};
  EXPECT_EQ("Running", Send("PUT", path + "/status", with_status.dump()).body["status"]["phase"]);
  EXPECT_EQ("n", Get(path).body["spec"]["nodeName"]);
  EXPECT_EQ(409, Send("PUT", path + "/status",
                      [&] {
                        with_status["status"]["phase"] = "Failed";
                        return with_status.dump();
                      }())
                     .status);
  const Answer patched =
      Send("PATCH", path + "/status",
           R"({"status":{"podIP":"127.77.0.1"},"spec":{"nodeName":"x"}})", kMerge);
  EXPECT_EQ("Running", patched.body["status"]["phase"]);
  EXPECT_EQ("127.77.0.1", patched.body["status"]["podIP"]);
  EXPECT_EQ("n", patched.body["spec"]["nodeName"]);
  EXPECT_EQ(1, patched.body["metadata"]["generation"]);
  // A write of the rest keeps the status.
  EXPECT_EQ("Running",
            Send("PATCH", path, R"({"spec":{"nodeName":"m"}})", kMerge).body["status"]["phase"]);
}

TEST_F(ApiTest, DeletingANamespaceEmptiesIt) {
  ASSERT_EQ(201, Post("/api/v1/namespaces", {{"metadata", {{"name", "shop"}}}}).status);
  ASSERT_EQ(201, Post("/api/v1/namespaces/shop/configmaps", Map("a")).status);
  EXPECT_EQ(200, Send("DELETE", "/api/v1/namespaces/shop").status);
  EXPECT_EQ(0u, store_->List(nullptr, "shop").objects.size());
  EXPECT_EQ(404, Get("/api/v1/namespaces/shop").status);
  EXPECT_EQ(403, Send("DELETE", "/api/v1/namespaces/default").status);
}

TEST_F(ApiTest, DeletesOnlyWhatIsMeant) {
  const Answer created = Post(kMaps, Map("a"));
  const std::string path = std::string(kMaps) + "/a";
  EXPECT_EQ(409, Send("DELETE", path, R"({"preconditions":{"uid":"another"}})").status);
  EXPECT_EQ(200, Send("DELETE", path, R"({"dryRun":["All"]})").status);
  EXPECT_EQ(200, Get(path).status);
  const json options = {{"preconditions", {{"uid", created.body["metadata"]["uid"]}}},
                        {"propagationPolicy", "Background"}};
  EXPECT_EQ(200, Send("DELETE", path, options.dump()).status);
}

TEST_F(ApiTest, GeneratesNames) {
  json map = Map("");
  map["metadata"] = {{"generateName", "map-"}};
  const Answer created = Post(kMaps, map);
  ASSERT_EQ(201, created.status) << created.body;
  EXPECT_THAT(created.body["metadata"]["name"].get<std::string>(),
              ::testing::MatchesRegex("map-[0-9a-f]{5}"));
}

// -- services

TEST_F(ApiTest, ServicesGetAddressesThatLast) {
  const Answer first = Post(kServices, Service("a"));
  ASSERT_EQ(201, first.status) << first.body;
  const std::string ip = first.body["spec"]["clusterIP"];
  EXPECT_THAT(ip, ::testing::StartsWith("10."));
  EXPECT_EQ(json::array({ip}), first.body["spec"]["clusterIPs"]);
  EXPECT_EQ("ClusterIP", first.body["spec"]["type"]);
  EXPECT_EQ("TCP", first.body["spec"]["ports"][0]["protocol"]);
  EXPECT_EQ(9080, first.body["spec"]["ports"][0]["targetPort"]);

  const std::string path = std::string(kServices) + "/a";
  json other_port = Service("a");
  other_port["spec"]["ports"][0]["port"] = 9081;
  EXPECT_EQ(json(ip), Send("PUT", path, other_port.dump()).body["spec"]["clusterIP"]);
  EXPECT_EQ(422, Send("PATCH", path, R"({"spec":{"clusterIP":"10.96.7.7"}})", kMerge).status);

  json headless = Service("h");
  headless["spec"]["clusterIP"] = "None";
  EXPECT_EQ("None", Post(kServices, headless).body["spec"]["clusterIP"]);
  json taken = Service("t");
  taken["spec"]["clusterIP"] = ip;
  EXPECT_EQ(422, Post(kServices, taken).status);
  taken["spec"]["clusterIP"] = "192.168.0.1";
  EXPECT_EQ(422, Post(kServices, taken).status);
  json external = Service("e");
  external["spec"] = {{"type", "ExternalName"}, {"externalName", "example.com"}};
  EXPECT_FALSE(Post(kServices, external).body["spec"].contains("clusterIP"));
}

TEST_F(ApiTest, ServiceAddressesAreUniqueAndRunOut) {
  options_.service_range = "10.0.0.0/23";  // 512 addresses, of which 255 are given out
  Start();
  std::vector<json> services;
  for (int i = 0; i < 255; ++i) services.push_back(Service("s" + std::to_string(i)));
  ASSERT_EQ(200, Apply(services).status);
  std::set<std::string> ips;
  const Answer list = Get(kServices);
  for (const json& service : list.body["items"]) {
    ips.insert(service["spec"]["clusterIP"].get<std::string>());
  }
  EXPECT_EQ(255u, ips.size());
  EXPECT_EQ(507, Post(kServices, Service("one-more")).status);
  options_.service_range = "10.0.0.0/31";
  EXPECT_FALSE(Api::Start(*loop_, *store_, store_.get(), options_).ok());
}

// -- tokens

TEST_F(ApiTest, AsksTheIssuerForTokens) {
  std::string asked;
  options_.token_issuer = [&](const std::string& ns, const std::string& name,
                              const std::string& uid, const std::vector<std::string>& audiences,
                              Duration expiration) -> StatusOr<ServiceAccountToken> {
    asked = ns + "/" + name + " " + uid + " " + audiences.at(0) + " " +
            std::to_string(std::chrono::duration_cast<std::chrono::seconds>(expiration).count());
    return ServiceAccountToken{.token = "header.claims.signature",
                               .expires = WallTime(std::chrono::seconds(1'800'000'000))};
  };
  Start();
  const std::string accounts = "/api/v1/namespaces/default/serviceaccounts";
  const std::string uid =
      Post(accounts, {{"metadata", {{"name", "bookinfo"}}}}).body["metadata"]["uid"];
  const json request = {{"spec", {{"audiences", {"istio-ca"}}, {"expirationSeconds", 700}}}};
  const Answer answer = Post(accounts + "/bookinfo/token", request);
  EXPECT_EQ(201, answer.status) << answer.body;
  EXPECT_EQ("default/bookinfo " + uid + " istio-ca 700", asked);
  EXPECT_EQ("header.claims.signature", answer.body["status"]["token"]);
  EXPECT_EQ("2027-01-15T08:00:00Z", answer.body["status"]["expirationTimestamp"]);
  // Every namespace has an account `default`.
  EXPECT_EQ(201, Post(accounts + "/default/token", request).status);
  EXPECT_EQ(404, Post(accounts + "/unknown/token", request).status);
  EXPECT_EQ(404, Post("/api/v1/namespaces/nowhere/serviceaccounts/default/token", request).status);
  EXPECT_EQ(422, Post(accounts + "/default/token", {{"spec", {{"expirationSeconds", 1}}}}).status);
}

// -- a store of files

TEST_F(ApiTest, AReadOnlyStoreIsServedAndNotWritten) {
  directory_.Write("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
  auto files = *DirectoryStore::Open(*loop_, {directory_.path()});
  api_.reset();
  api_ = *Api::Start(*loop_, *files, nullptr, options_);
  EXPECT_EQ(1u, Get(kMaps).body["items"].size());
  const Answer refused = Post(kMaps, Map("b"));
  EXPECT_EQ(405, refused.status);
  EXPECT_THAT(refused.body["message"].get<std::string>(), HasSubstr("--state-dir"));
  EXPECT_EQ(405, Apply({Map("b")}).status);
  api_.reset();
}

}  // namespace
}  // namespace meltemi::galley
