// SPDX-License-Identifier: Apache-2.0
// Both ends of the capture protocol against each other, and each against a peer that breaks it.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <functional>

#include "lib/capture/client.h"
#include "lib/capture/server.h"
#include "lib/capture/stock.h"

namespace meltemi::capture {
namespace {

uint16_t PortOf(int socket) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

// Answers one connection at `listener` with `answer` until that returns false, in a process of its
// own, as the sandbox's first process is one.
class Peer final {
 public:
  Peer(Fd listener, const std::function<bool(int)>& answer) : pid_(::fork()) {
    if (pid_ != 0) return;
    pollfd ready{listener.get(), POLLIN, 0};
    ::poll(&ready, 1, 5000);
    Fd connection(::accept(listener.get(), nullptr, nullptr));
    while (answer(connection.get())) {
    }
    ::_exit(0);
  }
  ~Peer() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

class Capture : public ::testing::Test {
 protected:
  Capture() {
    std::string name = ::testing::TempDir() + "/capture-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~Capture() override { std::filesystem::remove_all(folder_); }

  Fd Listener() {
    StatusOr<Fd> listener = ListenAt(path());
    EXPECT_TRUE(listener.ok()) << listener.status();
    return listener.ok() ? *std::move(listener) : Fd();
  }
  std::string path() const { return folder_ + "/capture.sock"; }

  std::string folder_;
};

TEST_F(Capture, HandsOutListenersAndSockets) {
  StatusOr<Server> server = Server::Open({0}, {0});
  ASSERT_TRUE(server.ok()) << server.status();
  const uint16_t tcp_port = PortOf(server->tcp_listener(0));
  Peer peer(Listener(), [&](int connection) { return server->ServeOne(connection); });
  StatusOr<Client> client = Client::Connect(path());
  ASSERT_TRUE(client.ok()) << client.status();

  StatusOr<Fd> listener = client->TcpListener(0);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(PortOf(listener->get()), tcp_port);
  StatusOr<Fd> udp = client->UdpSocket(0);
  ASSERT_TRUE(udp.ok()) << udp.status();
  EXPECT_EQ(PortOf(udp->get()), PortOf(server->udp_socket(0)));
  StatusOr<std::vector<Fd>> sockets = client->TcpSockets(kSocketsMax);
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_EQ(sockets->size(), static_cast<size_t>(kSocketsMax));
}

TEST_F(Capture, RefusesAPortThatIsNotOpen) {
  StatusOr<Server> server = Server::Open({0}, {});
  ASSERT_TRUE(server.ok());
  Peer peer(Listener(), [&](int connection) { return server->ServeOne(connection); });
  StatusOr<Client> client = Client::Connect(path());
  ASSERT_TRUE(client.ok());
  EXPECT_FALSE(client->TcpListener(22).ok());
  EXPECT_FALSE(client->UdpSocket(0).ok());
  EXPECT_FALSE(client->TcpSockets(kSocketsMax + 1).ok());
  EXPECT_TRUE(client->TcpSockets(1).ok()) << "the connection lives on after refusals";
}

TEST_F(Capture, ServerClosesOnWhatIsNoRequest) {
  StatusOr<Server> server = Server::Open({}, {});
  ASSERT_TRUE(server.ok());
  for (const std::string& bytes : {std::string("x"), std::string(8, '\0'), std::string(300, 'y')}) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    Fd ours(pair[0]), theirs(pair[1]);
    ASSERT_TRUE(SendPacket(ours.get(), bytes.data(), bytes.size(), {}).ok());
    EXPECT_FALSE(server->ServeOne(theirs.get())) << bytes.size() << " bytes";
  }
}

TEST_F(Capture, ServerKeepsAConnectionThatIsSilent) {
  StatusOr<Server> server = Server::Open({}, {});
  ASSERT_TRUE(server.ok());
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
  Fd ours(pair[0]), theirs(pair[1]);
  EXPECT_TRUE(server->ServeOne(theirs.get()));
  ours.Reset();
  EXPECT_FALSE(server->ServeOne(theirs.get()));
}

TEST_F(Capture, ClientRefusesAForgedAnswer) {
  Peer peer(Listener(), [](int connection) {
    Request request;
    const auto size = ReceivePacket(connection, &request, sizeof(request), nullptr);
    Reply reply;
    reply.count = 16;  // announced, not sent
    return size.ok() && *size > 0 && SendPacket(connection, &reply, sizeof(reply), {}).ok();
  });
  StatusOr<Client> client = Client::Connect(path());
  ASSERT_TRUE(client.ok());
  EXPECT_FALSE(client->TcpSockets(16).ok());
  EXPECT_FALSE(client->TcpListener(kOutboundPort).ok());
}

TEST_F(Capture, ClientGivesUpOnASilentSandbox) {
  Fd listener = Listener();
  StatusOr<Client> client = Client::Connect(path(), std::chrono::milliseconds(20));
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(client->TcpSockets(1).status()));
}

TEST_F(Capture, StockRefillsItselfAndTellsWhenTheSandboxGoes) {
  StatusOr<Server> server = Server::Open({}, {});
  ASSERT_TRUE(server.ok());
  const auto loop = *runtime::Loop::Create();
  auto peer = std::make_unique<Peer>(Listener(),
                                     [&](int connection) { return server->ServeOne(connection); });
  auto stock = SocketStock::Open(*loop, path());
  ASSERT_TRUE(stock.ok()) << stock.status();
  int told = 0;
  (*stock)->OnStocked([&] { ++told; });
  const auto until = [&](const std::function<bool()>& condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) loop->RunOnce(std::chrono::milliseconds(10));
    return condition();
  };
  EXPECT_FALSE((*stock)->Take().valid()) << "nothing has come yet, and it does not wait";
  ASSERT_TRUE(until([&] { return (*stock)->size() >= SocketStock::kLowWater; }));
  std::vector<Fd> taken;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(until([&] { return (*stock)->size() > 0; }));
    taken.push_back((*stock)->Take());
    ASSERT_TRUE(taken.back().valid());
  }
  const int before = told;
  peer.reset();
  ASSERT_TRUE(until([&] { return (*stock)->is_broken(); }));
  EXPECT_GT(told, before);
  EXPECT_FALSE((*stock)->Take().valid());
}

TEST_F(Capture, WorksBelowALongPath) {
  folder_ += "/" + std::string(120, 'd');
  std::filesystem::create_directories(folder_);
  Fd listener = Listener();
  ASSERT_TRUE(listener.valid());
  struct stat info{};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_TRUE(Client::Connect(path()).ok());
  folder_ = std::filesystem::path(folder_).parent_path();
}

}  // namespace
}  // namespace meltemi::capture
