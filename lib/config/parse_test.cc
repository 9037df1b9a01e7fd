// SPDX-License-Identifier: Apache-2.0
#include "lib/config/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/core/v1/core.pb.h"
#include "api/mesh/v1alpha1/config.pb.h"
#include "api/networking/v1/virtual_service.pb.h"

namespace meltemi::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;

std::vector<ObjectPtr> Parse(std::string_view text) {
  StatusOr<std::vector<ObjectPtr>> objects = ParseObjects(text, {"f.yaml", "default"});
  EXPECT_TRUE(objects.ok()) << objects.status().message();
  return objects.ok() ? *std::move(objects) : std::vector<ObjectPtr>();
}

std::string Refusal(std::string_view text) {
  StatusOr<std::vector<ObjectPtr>> objects = ParseObjects(text, {"f.yaml", "default"});
  EXPECT_FALSE(objects.ok()) << text;
  return objects.ok() ? "" : std::string(objects.status().message());
}

constexpr std::string_view kFine =
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: fine\nspec:\n"
    "  hosts: [reviews]\n  http:\n  - route:\n    - destination: {host: reviews}\n";

std::string VirtualService(std::string_view http) {
  return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n"
         "  hosts: [reviews]\n  http:\n" +
         std::string(http);
}

TEST(Parse, DecodesSpecAndMetadata) {
  const auto objects = Parse(
      "apiVersion: networking.istio.io/v1beta1\nkind: VirtualService\nmetadata:\n  name: a\n"
      "  labels: {app: x}\n  creationTimestamp: '2026-11-28T08:00:00Z'\nspec:\n  hosts: [r]\n"
      "  http:\n  - timeout: 1m30.5s\n    route:\n    - destination: {host: r, port: {number: "
      "80}}\n"
      "      weight: 7\n    match: [{headers: {end-user: {exact: jason}}}]\n"
      "status: {observed: 1}\n");
  ASSERT_EQ(objects.size(), 1u);
  const Object& object = *objects[0];
  EXPECT_EQ(object.key().text(), "VirtualService default/a");
  EXPECT_EQ(object.source.file, "f.yaml");
  EXPECT_EQ(object.source.line, 1);
  EXPECT_EQ(object.meta.labels.at("app"), "x");
  EXPECT_EQ(TimeText(object.meta.created), "2026-11-28T08:00:00Z");
  const auto& http = object.Spec<istio::networking::v1::VirtualService>().http(0);
  EXPECT_EQ(http.timeout().seconds(), 90);
  EXPECT_EQ(http.timeout().nanos(), 500'000'000);
  EXPECT_EQ(http.route(0).weight(), 7);
  EXPECT_EQ(http.route(0).destination().port().number(), 80u);
  EXPECT_EQ(http.match(0).headers().at("end-user").exact(), "jason");
  EXPECT_EQ(object.document->at("metadata").at("namespace"), "default");
  EXPECT_EQ(object.document->at("status").at("observed"), 1);
}

TEST(Parse, DecodesCoreKindsAtTheRoot) {
  const auto objects = Parse(
      "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: ns}\nspec:\n  clusterIP: "
      "None\n"
      "  unknownToUs: 1\n  ports:\n  - {name: http, port: 80, targetPort: 8080}\n"
      "  - {name: web, port: 81, targetPort: web}\n---\n---\n# nothing\n---\napiVersion: v1\n"
      "kind: Secret\nmetadata: {name: s}\ntype: Opaque\ndata: {a: aGVsbG8=}\n---\napiVersion: v1\n"
      "kind: Namespace\nmetadata: {name: ns, namespace: dropped}\n");
  ASSERT_EQ(objects.size(), 3u);
  const auto& service = objects[0]->Spec<meltemi::api::core::v1::Service>().spec();
  EXPECT_EQ(service.cluster_ip(), "None");
  EXPECT_EQ(service.ports(0).target_port().int_value(), 8080);
  EXPECT_EQ(service.ports(1).target_port().string_value(), "web");
  EXPECT_EQ(objects[0]->document->at("spec").at("unknownToUs"), 1);
  EXPECT_EQ(objects[1]->Spec<meltemi::api::core::v1::Secret>().data().at("a"), "hello");
  EXPECT_EQ(objects[2]->meta.ns, "");
  EXPECT_FALSE(objects[2]->document->at("metadata").contains("namespace"));
}

TEST(Parse, TakesListsApart) {
  const auto objects = Parse(
      "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n"
      "- apiVersion: v1\n  kind: ServiceList\n  items:\n  - metadata: {name: s}\n");
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(objects[0]->key().text(), "Pod default/p");
  EXPECT_EQ(objects[0]->source.line, 4);
  EXPECT_EQ(objects[1]->key().text(), "Service default/s");
  EXPECT_EQ(objects[1]->document->at("apiVersion"), "v1");
}

TEST(Parse, AnUnknownFieldIsNamedWithItsPlaceAndItsNeighbour) {
  const std::string refusal = Refusal(
      std::string(kFine) +
      "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: typo\n"
      "spec:\n  hosts: [ratings]\n  http:\n  - rout:\n    - destination: {host: ratings}\n");
  EXPECT_EQ(refusal, "f.yaml:18:5: spec.http[0].rout: unknown field; did you mean route?");
}

TEST(Parse, SaysWhatWasExpected) {
  const auto refusal = [](std::string_view http) { return Refusal(VirtualService(http)); };
  EXPECT_THAT(refusal("  - timeout: soon\n"),
              StartsWith("f.yaml:7:14: spec.http[0].timeout: \"soon\" is no duration; expected a "
                         "duration such as 1.5s"));
  EXPECT_THAT(refusal("  - route: 7\n"),
              HasSubstr("spec.http[0].route: got a number; expected a list"));
  EXPECT_THAT(
      refusal("  - route: [{weight: x}]\n"),
      HasSubstr("spec.http[0].route[0].weight: got a string; expected a whole number from"));
  EXPECT_THAT(refusal("  - route: [null]\n"), HasSubstr("spec.http[0].route[0]: null in a list"));
  EXPECT_THAT(refusal("  - match: [{uri: {exact: a, prefix: b}}]\n"),
              HasSubstr("spec.http[0].match[0].uri.prefix: excludes exact"));
  EXPECT_THAT(refusal("  - corsPolicy: {unmatchedPreflights: NO_SUCH}\n"),
              HasSubstr("\"NO_SUCH\" is not known here; expected one of UNSPECIFIED, FORWARD"));
  EXPECT_THAT(
      refusal("  - headers: {request: {set: {a: 1}}}\n"),
      HasSubstr("spec.http[0].headers.request.set[\"a\"]: got a number; expected a string"));
  EXPECT_THAT(refusal("  - corsPolicy: {maxAge: 1s, max_age: 1s}\n"), HasSubstr("set twice"));
}

TEST(Parse, TellsAllProblemsInOrderOfLines) {
  const std::string refusal = Refusal(VirtualService("  - zzz: 1\n    aaa: 2\n"));
  EXPECT_LT(refusal.find("7:5"), refusal.find("8:5"));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "  - x: 1\n";
  const std::string limited = Refusal(VirtualService(many));
  EXPECT_EQ(std::count(limited.begin(), limited.end(), '\n') + 1, ptrdiff_t(kProblemsMax));
}

TEST(Parse, ChecksMetadata) {
  const auto refusal = [](std::string_view metadata) {
    return Refusal("apiVersion: v1\nkind: Pod\nmetadata: " + std::string(metadata) + "\n");
  };
  EXPECT_THAT(refusal("{}"), HasSubstr("f.yaml:3:11: metadata.name: missing"));
  EXPECT_THAT(refusal("{name: Caps}"), HasSubstr("metadata.name: \"Caps\" is no name"));
  EXPECT_THAT(refusal("{name: " + std::string(254, 'a') + "}"), HasSubstr("at most 253"));
  EXPECT_THAT(refusal("{name: a, namespace: a.b}"), HasSubstr("metadata.namespace"));
  EXPECT_THAT(refusal("{name: a, labels: {version: 1}}"),
              HasSubstr("metadata.labels[\"version\"]: got a number; expected a string"));
  EXPECT_THAT(refusal("{name: a, labels: {'a b': c}}"), HasSubstr("no such key"));
  EXPECT_THAT(refusal("{name: a, annotations: [b]}"), HasSubstr("expected a mapping of strings"));
  EXPECT_THAT(refusal("{name: a, lables: {}}"), HasSubstr("did you mean labels?"));
  EXPECT_THAT(Refusal("apiVersion: v1\nkind: Pod\n"), HasSubstr("f.yaml:1:1: metadata: missing"));
}

TEST(Parse, AnUnknownKindNamesTheNearest) {
  const auto refusal = [](std::string_view api_version, std::string_view kind) {
    return Refusal("apiVersion: " + std::string(api_version) + "\nkind: " + std::string(kind) +
                   "\nmetadata: {name: a}\n");
  };
  EXPECT_THAT(refusal("networking.istio.io/v1", "VirtualServic"),
              StartsWith("f.yaml:2:7: kind: unknown kind \"VirtualServic\" of"));
  EXPECT_THAT(refusal("networking.istio.io/v1", "VirtualServic"),
              HasSubstr("did you mean VirtualService?"));
  EXPECT_THAT(refusal("networking.istio.io/v9", "VirtualService"),
              HasSubstr("expected apiVersion networking.istio.io/v1"));
  EXPECT_THAT(refusal("v1", "Deployment"), HasSubstr("expected apiVersion apps/v1"));
  EXPECT_THAT(Refusal("hello: 1\n"), HasSubstr("apiVersion: missing"));
  EXPECT_THAT(Refusal("just text\n"), HasSubstr("got a string"));
}

TEST(Parse, RefusesAnObjectThatIsTooLarge) {
  const std::string big = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: " +
                          std::string(kObjectBytesMax, 'x') + "}\n";
  EXPECT_THAT(Refusal(big), HasSubstr("expected at most 3145728"));
}

TEST(DecodeObject, TellsPathsAndTheSource) {
  Json document = {{"apiVersion", "networking.istio.io/v1"},
                   {"kind", "VirtualService"},
                   {"metadata", {{"name", "a"}}},
                   {"spec", {{"hosts", {"r"}}, {"http", {{{"rout", 1}}}}}}};
  EXPECT_EQ(DecodeObject(document, "default").status().message(),
            "spec.http[0].rout: unknown field; did you mean route?");
  EXPECT_EQ(DecodeObject(document, "default", {"x.yaml", 3, 1}).status().message(),
            "x.yaml:3:1: spec.http[0].rout: unknown field; did you mean route?");
  Json deep;
  for (int i = 0; i < 100; ++i) deep = Json::array({deep});
  document["status"] = deep;
  EXPECT_THAT(std::string(DecodeObject(document, "default").status().message()),
              HasSubstr("nested too deeply"));
  EXPECT_FALSE(DecodeObject(Json(nullptr), "default").ok());
  EXPECT_FALSE(DecodeObject(Json::array(), "default").ok());
}

TEST(Object, MetadataAndStatusAreReplacedInTheDocumentToo) {
  const ObjectPtr pod =
      Parse("apiVersion: v1\nkind: Pod\nmetadata: {name: p, finalizers: [f]}\n")[0];
  Metadata meta = pod->meta;
  meta.uid = "u";
  meta.resource_version = "7";
  meta.generation = 2;
  meta.labels = {{"a", "b"}};
  meta.owners = {{"ReplicaSet", "rs", "o"}};
  const ObjectPtr changed = WithMetadata(*pod, meta);
  const Json& metadata = changed->document->at("metadata");
  EXPECT_EQ(metadata.at("resourceVersion"), "7");
  EXPECT_EQ(metadata.at("labels").at("a"), "b");
  EXPECT_EQ(metadata.at("finalizers").at(0), "f");
  EXPECT_EQ(metadata.at("ownerReferences").at(0).at("apiVersion"), "apps/v1");
  StatusOr<ObjectPtr> again = DecodeObject(*changed->document, "default");
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ((*again)->meta.uid, "u");
  EXPECT_EQ((*again)->meta.owners.at(0).name, "rs");

  const ObjectPtr running = WithStatus(*changed, {{"phase", "Running"}, {"podIP", "127.0.0.1"}});
  EXPECT_EQ(running->Spec<meltemi::api::core::v1::Pod>().status().pod_ip(), "127.0.0.1");
  EXPECT_EQ(running->document->at("status").at("phase"), "Running");
  EXPECT_EQ(running->meta.uid, "u");
  EXPECT_FALSE(WithStatus(*running, nullptr)->document->contains("status"));
  EXPECT_FALSE(pod->document->contains("status"));
}

TEST(ParseMessage, ReadsAMeshConfig) {
  istio::mesh::v1alpha1::MeshConfig mesh;
  const Status status = ParseMessage(
      "accessLogFile: /dev/stdout\nenableAutoMtls: false\noutbound_traffic_policy: {mode: "
      "REGISTRY_ONLY}\nunknown: 1\nconnectTimeout: 10s\ndefaultConfig: {concurrency: 2}\n",
      "mesh.yaml", Strictness::kLenient, mesh);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(mesh.access_log_file(), "/dev/stdout");
  EXPECT_TRUE(mesh.has_enable_auto_mtls());
  EXPECT_FALSE(mesh.enable_auto_mtls().value());
  EXPECT_EQ(mesh.connect_timeout().seconds(), 10);
  EXPECT_EQ(mesh.default_config().concurrency().value(), 2);
  EXPECT_FALSE(ParseMessage("unknown: 1\n", "m", Strictness::kStrict, mesh).ok());
  EXPECT_FALSE(ParseMessage("a: 1\n---\nb: 1\n", "m", Strictness::kLenient, mesh).ok());
  EXPECT_TRUE(ParseMessage("", "m", Strictness::kStrict, mesh).ok());
}

}  // namespace
}  // namespace meltemi::config
