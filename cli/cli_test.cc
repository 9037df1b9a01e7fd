// SPDX-License-Identifier: Apache-2.0
// What commands are made of: words, ports, files, edges, tables, logs. Whole commands are tested
// against a real mesh in tests/mesh.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/actions.h"
#include "cli/command.h"
#include "cli/edges.h"
#include "cli/live.h"
#include "cli/log_reader.h"
#include "cli/manifests.h"
#include "cli/nearest.h"
#include "cli/output/mesh.h"
#include "cli/output/objects.h"
#include "cli/service_ports.h"
#include "cli/up.h"
#include "lib/config/parse.h"

namespace meltemi::cli {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

std::string TextOf(const Status& status) {
  return std::string(Message(status));
}

int RunMain(std::vector<std::string> words, std::string* out, std::string* err) {
  words.insert(words.begin(), "meltemi");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = Main(static_cast<int>(argv.size()), argv.data());
  std::fflush(stdout);
  *out = ::testing::internal::GetCapturedStdout();
  *err = ::testing::internal::GetCapturedStderr();
  return code;
}

class Folder {
 public:
  Folder() {
    std::string name = ::testing::TempDir() + "/cli-XXXXXX";
    path = std::filesystem::path(::mkdtemp(name.data())).lexically_normal();
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string Write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = std::filesystem::path(path) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file;
  }
  std::string path;
};

constexpr const char* kService =
    "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: 80}]}\n";

std::string ServiceNamed(const std::string& name) {
  std::string text = kService;
  return text.replace(text.find("NAME"), 4, name);
}

TEST(NearestTest, FindsSlipsAndLeavesStrangersAlone) {
  const std::vector<std::string> words = {"apply", "delete", "status", "virtualservices"};
  EXPECT_EQ(Nearest("aply", words), "apply");
  EXPECT_EQ(Nearest("STATSU", words), "status");
  EXPECT_EQ(Nearest("virtualservicez", words), "virtualservices");
  EXPECT_EQ(Nearest("banana", words), "");
  EXPECT_EQ(Nearest(std::string(10000, 'a'), words), "");
}

TEST(MainTest, ATypoNamesTheNearestCommandAndFlag) {
  std::string out, err;
  EXPECT_EQ(RunMain({"aply"}, &out, &err), kExitFailed);
  EXPECT_EQ(err, "meltemi: there is no command aply\n  did you mean `meltemi apply`?\n");
  EXPECT_EQ(RunMain({"status", "--otput", "json"}, &out, &err), kExitFailed);
  EXPECT_THAT(err, HasSubstr("did you mean --output?"));
  EXPECT_EQ(RunMain({"get"}, &out, &err), kExitFailed);
  EXPECT_THAT(err, HasSubstr("`meltemi help get` shows its arguments"));
  EXPECT_EQ(RunMain({"proxy-config", "rout", "x"}, &out, &err), kExitFailed);
  EXPECT_THAT(err, HasSubstr("did you mean route?"));
}

TEST(MainTest, HelpListsEveryCommandAndShowsFlags) {
  std::string out, err;
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{}, {"help"}, {"--help"}}) {
    EXPECT_EQ(RunMain(words, &out, &err), kExitOk);
    for (const Command* command : AllCommands())
      EXPECT_THAT(out, HasSubstr("  " + std::string(command->name) + " "));
  }
  EXPECT_EQ(RunMain({"help", "up"}, &out, &err), kExitOk);
  EXPECT_THAT(out, HasSubstr("--gateway-port"));
  EXPECT_EQ(RunMain({"--mesh", "m", "version"}, &out, &err), kExitOk) << err;
  EXPECT_THAT(out, HasSubstr("meltemi "));
}

TEST(MainTest, WithoutAMeshCommandsSayHowToStartOne) {
  const Folder folder;
  ::setenv("XDG_STATE_HOME", folder.path.c_str(), 1);
  std::string out, err;
  EXPECT_EQ(RunMain({"status", "--mesh", "absent"}, &out, &err), kExitFailed);
  EXPECT_EQ(err, "meltemi: the mesh absent is not up\n  start it with `meltemi up`\n");
  ::setenv("MELTEMI_MESH", "other", 1);
  EXPECT_EQ(RunMain({"exec", "web", "--", "ls", "-l", "--", "-x"}, &out, &err), kExitFailed);
  EXPECT_THAT(err, HasSubstr("the mesh other is not up"));
  ::unsetenv("MELTEMI_MESH");
  EXPECT_EQ(RunMain({"get", "virtualservicez"}, &out, &err), kExitFailed);
  EXPECT_THAT(err, HasSubstr("did you mean virtualservices?"));
}

TEST(ManifestsTest, ADirectoryIsItsOwnYamlByNameWithoutTheImageMap) {
  const Folder folder;
  folder.Write("set/b.yaml", ServiceNamed("b"));
  folder.Write("set/a.yml", ServiceNamed("a"));
  folder.Write("set/images.yaml", "images: []\n");
  folder.Write("set/notes.txt", "no");
  folder.Write("set/deeper/c.yaml", ServiceNamed("c"));
  const auto files = FilesOf({folder.path + "/set"});
  ASSERT_TRUE(files.ok());
  EXPECT_THAT(*files, ElementsAre(EndsWith("/a.yml"), EndsWith("/b.yaml")));
  EXPECT_EQ(FindImages({folder.path + "/set/deeper/"}), folder.path + "/set/images.yaml");
  EXPECT_EQ(FindImages({folder.path + "/set/b.yaml"}), folder.path + "/set/images.yaml");
  EXPECT_EQ(FindImages({folder.path}), "");
  EXPECT_THAT(TextOf(FilesOf({folder.path + "/none"}).status()), HasSubstr("there is no file"));
  EXPECT_THAT(TextOf(FilesOf({folder.path}).status()), HasSubstr("holds no YAML"));
}

TEST(ManifestsTest, EveryProblemOfEveryFileIsTold) {
  const Folder folder;
  const std::string good = folder.Write("good.yaml", ServiceNamed("good"));
  const std::string bad = folder.Write("bad.yaml", "apiVersion: v1\nkind: Servise\n");
  const std::string worse = folder.Write("worse.yaml", "a: [\n");
  const auto objects = ReadObjects({good, bad, worse}, "default");
  EXPECT_TRUE(absl::IsInvalidArgument(objects.status()));
  EXPECT_THAT(TextOf(objects.status()), HasSubstr("\n" + bad + ":2:"));
  EXPECT_THAT(TextOf(objects.status()), HasSubstr("\n" + worse + ":"));
  const auto fine = ReadObjects({good}, "there");
  ASSERT_TRUE(fine.ok());
  EXPECT_EQ((*fine)[0]->meta.ns, "there");
  const Status refused = WithPlaces(
      absl::InvalidArgumentError("Service there/good: spec.ports: no\nService there/x: no"), *fine);
  EXPECT_THAT(TextOf(refused), HasSubstr("\n" + good + ":1:1: Service there/good: spec.ports"));
  EXPECT_THAT(TextOf(refused), HasSubstr("\nService there/x: no"));
}

TEST(UpTest, AnImageWithoutAMappingIsToldWithItsPlace) {
  const Folder folder;
  const std::string file = folder.Write(
      "web.yaml",
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: "
      "{matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: "
      "{containers: [{name: web, image: nginx}]}\n");
  const std::string images =
      folder.Write("images.yaml", "images:\n- image: other\n  command: [sleep, infinity]\n");
  const auto objects = ReadObjects({file}, "default");
  ASSERT_TRUE(objects.ok()) << objects.status();
  EXPECT_EQ(DeploymentsOf(*objects), std::set<std::string>{"default/web"});
  const std::string text = TextOf(JudgeDeployments(*objects, images));
  EXPECT_THAT(text, HasSubstr(file + ":1: Deployment web: image nginx has no mapping"));
  EXPECT_THAT(text, HasSubstr("\nadd to " + images));
  folder.Write("images.yaml", "images:\n- image: ngin*\n  command: [sleep, infinity]\n");
  EXPECT_TRUE(JudgeDeployments(*objects, images).ok());
}

TEST(ServicePortsTest, ReadsPortsAndNamesThemForIstio) {
  const auto ports = ReadPorts({"9080", "9000/tcp", "50051/grpc"});
  ASSERT_TRUE(ports.ok());
  const json service = ServiceFor("n", "reviews", *ports);
  EXPECT_EQ(service["spec"]["ports"][0]["name"], "http");
  EXPECT_EQ(service["spec"]["ports"][1]["name"], "tcp-9000");
  EXPECT_EQ(service["spec"]["ports"][2]["targetPort"], 50051);
  EXPECT_EQ(service["spec"]["selector"]["app"], "reviews");
  EXPECT_THAT(TextOf(ReadPorts({"80/htp"}).status()), HasSubstr("did you mean http?"));
  for (const char* bad : {"", "0", "65536", "80x", "-1", "/http"})
    EXPECT_FALSE(ReadPorts({bad}).ok()) << bad;
  for (const char* bad : {"", "Upper", "1st", "a-", "a.b"}) EXPECT_FALSE(IsServiceName(bad)) << bad;
}

TEST(LiveTest, ReadsDurations) {
  EXPECT_EQ(*ReadDuration("1m30s"), std::chrono::seconds(90));
  EXPECT_THAT(TextOf(ReadDuration("soon").status()), HasSubstr("\nwrite it as"));
}

TEST(EdgesTest, CountsWhatDestinationsSay) {
  const std::string text =
      "# TYPE istio_requests_total counter\n"
      "istio_requests_total{reporter=\"destination\",source_workload=\"page\",destination_workload="
      "\"reviews-v1\",request_protocol=\"http\",response_code=\"200\",connection_security_policy="
      "\"mutual_tls\"} 3\n"
      "istio_requests_total{reporter=\"destination\",source_workload=\"page\",destination_workload="
      "\"reviews-v1\",request_protocol=\"http\",response_code=\"503\",connection_security_policy="
      "\"none\"} 1\n"
      "istio_requests_total{reporter=\"source\",source_workload=\"page\",destination_workload="
      "\"reviews-v1\",request_protocol=\"http\",response_code=\"200\"} 9\n"
      "istio_tcp_connections_opened_total{reporter=\"destination\",source_workload=\"a\\\"}b\","
      "destination_workload=\"echo\",connection_security_policy=\"mutual_tls\"} 2\n"
      "istio_requests_total{broken\n";
  std::vector<Edge> edges;
  AddEdges(text, &edges);
  ASSERT_EQ(edges.size(), 2u);
  EXPECT_EQ(edges[0].count, 4);
  EXPECT_EQ(edges[0].mutual_tls, 3);
  EXPECT_EQ(edges[0].failed, 1);
  EXPECT_EQ(edges[1].from, "a\"}b");
  EXPECT_EQ(edges[1].protocol, "tcp");
  EXPECT_THAT(EdgeTable(edges), HasSubstr("75 %"));
}

TEST(MeshOutputTest, ShowsWhyAWorkloadIsNotReady) {
  const json status = {
      {"mesh", "m"},
      {"started", "2026-01-01T00:00:00Z"},
      {"controlPlane", {{"ready", false}, {"message", "it is starting\nsee log"}}},
      {"gateway", {{"port", 8080}}},
      {"workloads",
       {{{"namespace", "istio-system"}, {"name", "gate"}, {"gateway", true}, {"ready", true}},
        {{"namespace", "default"},
         {"name", "web"},
         {"phase", "running"},
         {"restarts", 2},
         {"message", "its readiness probe fails: 503\nsee log"}}}}};
  const WallTime now = std::chrono::system_clock::from_time_t(1767225600 + 300);
  EXPECT_EQ(GatewayUrl(status), "http://127.0.0.1:8080");
  EXPECT_EQ(GatewayUrl(json::object()), "");
  EXPECT_EQ(MeshSummary(status, now),
            "mesh           m, up 5m\ncontrol plane  it is starting\n"
            "gateway        http://127.0.0.1:8080\n");
  const std::string table = WorkloadTable(status, now);
  EXPECT_LT(table.find("web"), table.find("gate")) << "the gateway comes last";
  EXPECT_THAT(table, EndsWith("web: its readiness probe fails: 503\n"));
}

TEST(ObjectTableTest, HasTheColumnsOfTheKind) {
  const json rule = {
      {"metadata", {{"name", "r"}, {"namespace", "n"}, {"labels", {{"k", "v"}}}}},
      {"spec", {{"host", "reviews"}, {"subsets", {{{"name", "v1"}}, {{"name", "v2"}}}}}}};
  ObjectTableOptions options;
  EXPECT_EQ(ObjectTable(config::kinds::kDestinationRule, {rule}, options),
            "NAME   HOST      SUBSETS   AGE\nr      reviews   v1,v2     -\n");
  options.has_namespaces = options.is_wide = true;
  EXPECT_THAT(ObjectTable(config::kinds::kDestinationRule, {rule}, options), HasSubstr("k=v"));
  EXPECT_EQ(ObjectTable(config::kinds::kDestinationRule, {}, options), "");
  const json odd = {{"metadata", {{"name", 7}}}, {"spec", "no object"}};
  for (const config::Kind* kind : config::AllKinds())
    EXPECT_THAT(ObjectTable(*kind, {odd}, options), Not("")) << kind->kind;
}

TEST(ActionsTest, NamesAsKubectlDoes) {
  EXPECT_EQ(NameOfObject(config::kinds::kVirtualService, "a"),
            "virtualservice.networking.istio.io/a");
  EXPECT_EQ(NameOfObject(config::kinds::kService, "a"), "service/a");
  EXPECT_EQ(*KindByWord("vs"), &config::kinds::kVirtualService);
}

TEST(LogReaderTest, TailsAndFollowsARotation) {
  const Folder folder;
  const std::string path = folder.Write("app.log", "one\ntwo\nthree\n");
  const auto read = [&](LogReader& reader) {
    ::testing::internal::CaptureStdout();
    EXPECT_TRUE(reader.PrintNew());
    return ::testing::internal::GetCapturedStdout();
  };
  auto all = LogReader::Open(path, -1);
  auto tail = LogReader::Open(path, 2);
  auto none = LogReader::Open(path, 0);
  ASSERT_TRUE(all.ok() && tail.ok() && none.ok());
  EXPECT_EQ(read(*all), "one\ntwo\nthree\n");
  EXPECT_EQ(read(*tail), "two\nthree\n");
  EXPECT_EQ(read(*none), "");
  std::ofstream(path, std::ios::app) << "four\n";
  std::filesystem::rename(path, path + ".1");
  folder.Write("app.log", "five\n");
  EXPECT_EQ(read(*none), "four\nfive\n");
  EXPECT_FALSE(LogReader::Open(folder.path + "/none", -1).ok());
}

}  // namespace
}  // namespace meltemi::cli
