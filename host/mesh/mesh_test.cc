// SPDX-License-Identifier: Apache-2.0
// Whole meshes in a process of their own, as `meltemi up` starts them, with the small proxy and a
// control plane that is only ready. The sandboxes are real.
#include "host/mesh/mesh.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "host/mesh/control_socket.h"
#include "host/testing/fake_objects.h"

namespace meltemi::host {
namespace {

using ::testing::HasSubstr;

constexpr Duration kPatience = std::chrono::seconds(30);

constexpr const char* kDeployment =
    R"j({"kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
  "spec": {"template": {"metadata": {"labels": {"app": "web"}},
  "spec": {"containers": [{"name": "web", "image": "IMAGE", "env": [{"name": "GREETING", "value": "hello"}]}]}}}})j";

// Holds one Deployment from the start.
class OneDeployment final : public Objects {
 public:
  explicit OneDeployment(Json deployment) : deployment_(std::move(deployment)) {}
  void Watch(const std::string& kind, OnChanges on_changes) override {
    if (kind == "Deployment") on_changes({{false, deployment_}});
  }
  void Put(const Json&) override {}
  void Delete(const std::string&, const std::string&, const std::string&) override {}

 private:
  Json deployment_;
};

std::string MessageOf(const Status& status) {
  return std::string(Message(status));
}

// A port that was free a moment ago.
uint16_t FreePort() {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t length = sizeof(address);
  ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

bool IsAlive(int64_t pid) {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  return ::kill(static_cast<pid_t>(pid), 0) == 0;
}

bool Until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::usleep(5000);  // a poll interval: the deadline decides
  }
  return true;
}

class MeshTest : public ::testing::Test {
 protected:
  MeshTest() : folder_(MakeFolder()), state_(StateDirectory::At("test", folder_ + "/state")) {
    const std::string here = std::filesystem::current_path();
    std::ofstream(folder_ + "/gate") << "open";
    Script("meltemi-proxy",
           fmt::format("exec python3 {}/host/testing/fake_proxy.py \"$@\" --gate {}/gate", here,
                       folder_));
    Script("meltemid", fmt::format("exec python3 {}/host/testing/fake_meltemid.py \"$@\"", here));
    std::ofstream(folder_ + "/images.yaml")
        << "images:\n- image: web\n  command: [sleep, infinity]\n";
  }
  ~MeshTest() override {
    (void)Mesh::DownAt(state_, kPatience);
    std::filesystem::remove_all(folder_);
  }
  static std::string MakeFolder() {
    std::string name = ::testing::TempDir() + "/mesh-XXXXXX";
    return ::mkdtemp(name.data());
  }
  void Script(const std::string& name, const std::string& line) const {
    std::filesystem::create_directories(folder_ + "/bin");
    std::ofstream(folder_ + "/bin/" + name) << "#!/bin/sh\n" << line << "\n";
    std::filesystem::permissions(folder_ + "/bin/" + name, std::filesystem::perms::owner_all);
  }
  MeshOptions Options(const std::string& image = "web") const {
    MeshOptions options;
    options.name = "test";
    options.images_path = folder_ + "/images.yaml";
    options.programs_directory = folder_ + "/bin";
    options.gateway_port = FreePort();
    options.gateway_tls_port = FreePort();
    options.ready_wait_max = kPatience;
    std::string text = kDeployment;
    text.replace(text.find("IMAGE"), 5, image);
    options.open_objects = [text](runtime::Loop&,
                                  const std::string&) -> StatusOr<std::unique_ptr<Objects>> {
      return std::make_unique<OneDeployment>(Json::parse(text));
    };
    options.request_token = [](const std::string&, const std::string& ns,
                               const std::string& account) {
      return StatusOr<std::string>("token of " + ns + "/" + account);
    };
    return options;
  }
  StatusOr<ControlClient> Client() const {
    return ControlClient::ConnectAt(state_.control_socket(), "test");
  }
  Json GetStatus() const {
    auto client = Client();
    if (!client.ok()) return {};
    const auto status = client->Call({{"do", "status"}}, {}, kPatience);
    return status.ok() ? *status : Json();
  }
  // Waits until `count` workloads, gateway included, are ready.
  bool AwaitReady(size_t count) {
    return Until([&] {
      status_ = GetStatus();
      size_t ready = 0;
      for (const Json& workload : ArrayAt(status_, "workloads"))
        if (BoolAt(workload, "ready") &&
            (BoolAt(workload, "gateway") || NumberAt(workload, "appPid") > 0))
          ++ready;
      return ready == count;
    });
  }
  std::set<int64_t> Pids() const {
    std::set<int64_t> pids = {NumberAt(status_, "supervisorPid"),
                              NumberAt(status_, "controlPlane/pid")};
    for (const Json& workload : ArrayAt(status_, "workloads"))
      for (const char* field : {"proxyPid", "sandboxPid"})
        if (NumberAt(workload, field) > 0) pids.insert(NumberAt(workload, field));
    return pids;
  }
  std::vector<std::string> Leftovers() const {
    std::vector<std::string> left;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(state_.path()))
      if (entry.is_socket() || entry.path().filename() == "token" ||
          entry.path().filename() == "sandbox")
        left.push_back(entry.path());
    return left;
  }

  const std::string folder_;
  const StateDirectory state_;
  Json status_;
};

TEST_F(MeshTest, GoesUpRunsCommandsAndLeavesNothing) {
  const auto up = Mesh::UpAt(state_, Options());
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_EQ(StringAt(*up, "mesh"), "test");
  ASSERT_TRUE(AwaitReady(2)) << status_.dump(1);
  EXPECT_EQ(status_["deployments"][0]["ready"], 1);
  EXPECT_EQ(StringAt(status_, "controlPlane/api"), "unix:" + *state_.ApiSocket());
  for (const Json& workload : ArrayAt(status_, "workloads"))
    EXPECT_EQ(NumberAt(workload, "appPid") > 0, !BoolAt(workload, "gateway")) << workload.dump(1);
  EXPECT_EQ(status_["problems"].size(), 0u);

  const std::string out = folder_ + "/out";
  const Fd file(::open(out.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  auto client = Client();
  ASSERT_TRUE(client.ok()) << client.status();
  const Json request = {{"do", "exec"},
                        {"workload", "web"},
                        {"argv", {"sh", "-c", "uname -n; echo $GREETING; exit 6"}}};
  const auto started = client->Call(request, {file.get(), file.get(), file.get()}, kPatience);
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_THAT(StringAt(*started, "started"), HasSubstr("default/web-"));
  const auto ended = client->Next(kPatience);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(NumberAt(*ended, "exit"), 6);
  std::stringstream text;
  text << std::ifstream(out).rdbuf();
  EXPECT_EQ("default/" + text.str(), StringAt(*started, "started") + "\nhello\n");

  const std::set<int64_t> pids = Pids();
  EXPECT_EQ(pids.size(), 5u) << "supervisor, control plane, gateway, proxy, sandbox";
  ASSERT_TRUE(Mesh::DownAt(state_, kPatience).ok());
  for (const int64_t pid : pids) EXPECT_TRUE(Until([&] { return !IsAlive(pid); })) << pid;
  EXPECT_THAT(Leftovers(), ::testing::IsEmpty());
  EXPECT_THAT(MessageOf(Mesh::DownAt(state_, kPatience)), HasSubstr("is not up\n"));
}

TEST_F(MeshTest, SignalsReachACommandAndItsUserGoing) {
  ASSERT_TRUE(Mesh::UpAt(state_, Options()).ok());
  ASSERT_TRUE(AwaitReady(2)) << status_.dump(1);
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::vector<int> stdio(3, null.get());
  const Json request = {{"do", "exec"}, {"workload", "web"}, {"argv", {"sleep", "1000"}}};
  auto client = Client();
  ASSERT_TRUE(client->Call(request, stdio, kPatience).ok());
  ASSERT_TRUE(client->Send({{"do", "signal"}, {"number", SIGINT}}).ok());
  EXPECT_EQ(NumberAt(*client->Next(kPatience), "signal"), SIGINT);

  auto missing = Client();
  const Json unknown = {{"do", "exec"}, {"workload", "web"}, {"argv", {"/no/such/program"}}};
  ASSERT_TRUE(missing->Call(unknown, stdio, kPatience).ok());
  const auto refused = missing->Next(kPatience);
  ASSERT_TRUE(refused.ok()) << refused.status();
  EXPECT_EQ(NumberAt(*refused, "exit"), 127);
  EXPECT_EQ(StringAt(*refused, "refused"), "No such file or directory");

  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd read_end(ends[0]);
  {
    const Fd write_end(ends[1]);
    auto leaver = Client();
    ASSERT_TRUE(leaver->Call(request, {null.get(), write_end.get(), null.get()}, kPatience).ok());
  }
  char byte;
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 0) << "the command has ended";
}

TEST_F(MeshTest, ASecondUpAndAPortInUseAreRefusedWithARemedy) {
  const MeshOptions options = Options();
  ASSERT_TRUE(Mesh::UpAt(state_, options).ok());
  const std::string second = MessageOf(Mesh::UpAt(state_, Options()).status());
  EXPECT_THAT(second, HasSubstr("the mesh test is running already (process "));
  EXPECT_THAT(second, HasSubstr("\nend it with `meltemi down`"));

  const Fd holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t length = sizeof(address);
  ASSERT_EQ(::bind(holder.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(holder.get(), 1), 0);
  ::getsockname(holder.get(), reinterpret_cast<sockaddr*>(&address), &length);
  MeshOptions taken = Options();
  taken.gateway_port = ntohs(address.sin_port);
  const std::string message =
      MessageOf(Mesh::UpAt(StateDirectory::At("other", folder_ + "/other"), taken).status());
  EXPECT_THAT(message,
              HasSubstr(fmt::format("port {} of the gateway is in use\n", taken.gateway_port)));
}

TEST_F(MeshTest, AnImageWithoutAMappingIsShown) {
  ASSERT_TRUE(Mesh::UpAt(state_, Options("nginx")).ok());
  const Json status = GetStatus();
  ASSERT_EQ(ArrayAt(status, "problems").size(), 1u) << status.dump(1);
  EXPECT_EQ(StringAt(ArrayAt(status, "problems")[0], "what"),
            "image nginx has no mapping to a local command");
}

TEST_F(MeshTest, AKilledControlPlaneComesBackAndWorkloadsStay) {
  ASSERT_TRUE(Mesh::UpAt(state_, Options()).ok());
  ASSERT_TRUE(AwaitReady(2)) << status_.dump(1);
  const Json before = status_;
  ASSERT_EQ(::kill(static_cast<pid_t>(NumberAt(before, "controlPlane/pid")), SIGKILL), 0);
  ASSERT_TRUE(Until([&] {
    status_ = GetStatus();
    return NumberAt(status_, "controlPlane/restarts") == 1 && BoolAt(status_, "controlPlane/ready");
  }));
  EXPECT_EQ(StringAt(status_, "controlPlane/discovery"),
            StringAt(before, "controlPlane/discovery"));
  EXPECT_EQ(status_["workloads"], before["workloads"]) << "the same processes, never not ready";
}

TEST_F(MeshTest, AKilledSupervisorLeavesNoProcessAndTheNextUpWorks) {
  ASSERT_TRUE(Mesh::UpAt(state_, Options()).ok());
  ASSERT_TRUE(AwaitReady(2)) << status_.dump(1);
  const std::set<int64_t> pids = Pids();
  ASSERT_EQ(::kill(static_cast<pid_t>(NumberAt(status_, "supervisorPid")), SIGKILL), 0);
  for (const int64_t pid : pids) EXPECT_TRUE(Until([&] { return !IsAlive(pid); })) << pid;
  EXPECT_THAT(Leftovers(), ::testing::Not(::testing::IsEmpty()));
  const auto up = Mesh::UpAt(state_, Options());
  ASSERT_TRUE(up.ok()) << up.status();
  EXPECT_TRUE(AwaitReady(2));
}

TEST_F(MeshTest, AControlPlaneThatFailsIsReportedAndLeavesNothing) {
  Script("meltemid", "echo no; exit 1");
  MeshOptions options = Options();
  const auto up = Mesh::UpAt(state_, options);
  EXPECT_THAT(MessageOf(up.status()), HasSubstr("the control plane does not start: no\nsee "));
  EXPECT_EQ(state_.LockHolder(), 0);
  Script("meltemid", "sleep 1000");
  options.ready_wait_max = std::chrono::milliseconds(200);
  EXPECT_THAT(MessageOf(Mesh::UpAt(state_, options).status()), HasSubstr("was not up within"));
  const Fd interrupted(::eventfd(1, EFD_CLOEXEC));
  options.interrupt_fd = interrupted.get();
  EXPECT_TRUE(absl::IsCancelled(Mesh::UpAt(state_, options).status()));
  EXPECT_EQ(state_.LockHolder(), 0);
  std::filesystem::remove(folder_ + "/bin/meltemid");
  EXPECT_THAT(MessageOf(Mesh::UpAt(state_, options).status()),
              HasSubstr("bin/meltemid is missing\n"));
}

TEST_F(MeshTest, ACommandOfTheUserJoinsAndItsExitCodeComesBack) {
  ASSERT_TRUE(Mesh::UpAt(state_, Options()).ok());
  auto client = Client();
  const Json request = {{"do", "run"},
                        {"name", "guest"},
                        {"labels", {{"app", "guest"}}},
                        {"argv", {"sh", "-c", "echo $HOSTNAME; exit 4"}}};
  const auto started = client->Call(request, {}, kPatience);
  ASSERT_TRUE(started.ok()) << started.status();
  const auto ended = client->Next(kPatience);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(NumberAt(*ended, "exit"), 4);
  std::stringstream text;
  text << std::ifstream(StringAt(*started, "appLog")).rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("guest\n"));
  EXPECT_TRUE(AwaitReady(2)) << "gateway and web: the guest has gone";
}

TEST(StateDirectoryTest, AnApiSocketsPathFitsTheKernel) {
  const std::string folder = ::testing::TempDir();
  EXPECT_EQ(*StateDirectory::At("m", "/s/m").ApiSocket(), "/s/m/meltemid/api.sock");
  const std::string deep = "/s/" + std::string(100, 'd');
  ::setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
  const auto one = StateDirectory::At("m", deep + "/m").ApiSocket();
  const auto other = StateDirectory::At("n", deep + "/n").ApiSocket();
  ASSERT_TRUE(one.ok() && other.ok()) << one.status() << other.status();
  EXPECT_LE(one->size(), 100u);
  EXPECT_NE(*one, *other);
  const std::string made = std::filesystem::path(*one).parent_path();
  std::filesystem::permissions(made, std::filesystem::perms::all);
  EXPECT_THAT(MessageOf(StateDirectory::At("m", deep + "/m").ApiSocket().status()),
              HasSubstr("not a folder of yours alone"));
  std::filesystem::remove_all(made);
}

TEST(StateDirectoryTest, RefusesNamesThatAreNoLabel) {
  for (const char* name : {"", "..", "a/b", "Upper", "-a"})
    EXPECT_TRUE(absl::IsInvalidArgument(StateDirectory::Of(name).status())) << name;
}

}  // namespace
}  // namespace meltemi::host
