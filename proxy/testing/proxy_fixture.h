// SPDX-License-Identifier: Apache-2.0
// A whole data path inside a test, blocking sockets to talk to it, and an upstream that echoes. The
// test's thread is the control thread.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/base/fd.h"
#include "proxy/config/bootstrap.h"
#include "proxy/server.h"

namespace meltemi::proxy::testing {

inline sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A bound, listening socket on a port of the kernel's choice.
inline Fd ListenAnywhere(uint16_t& port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  EXPECT_EQ(::listen(fd.get(), 128), 0);
  port = ntohs(address.sin_port);
  return fd;
}

inline uint16_t UnusedPort() {
  uint16_t port = 0;
  ListenAnywhere(port);
  return port;
}

// Sends back what it gets, a thread per connection.
class EchoServer {
 public:
  EchoServer() : listener_(ListenAnywhere(port_)), thread_([this] { Run(); }) {}
  ~EchoServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    for (std::thread& connection : connections_) connection.join();
  }
  uint16_t port() const { return port_; }
  int accepted() const { return accepted_; }
  std::string last_peer() const { return net::Address::Ipv4(last_peer_, 0).ip(); }

 private:
  void Run() {
    for (;;) {
      sockaddr_in peer{};
      socklen_t length = sizeof peer;
      Fd socket(
          ::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC));
      if (!socket.valid()) return;
      last_peer_ = ntohl(peer.sin_addr.s_addr);
      ++accepted_;
      connections_.emplace_back([socket = std::move(socket)] {
        char buffer[16384];
        for (ssize_t count; (count = ::recv(socket.get(), buffer, sizeof buffer, 0)) > 0;) {
          if (::send(socket.get(), buffer, static_cast<size_t>(count), MSG_NOSIGNAL) < 0) return;
        }
        ::shutdown(socket.get(), SHUT_WR);
      });
    }
  }

  uint16_t port_ = 0;
  Fd listener_;
  std::atomic<int> accepted_ = 0;
  std::atomic<uint32_t> last_peer_ = 0;
  std::vector<std::thread> connections_;
  std::thread thread_;
};

// With a time limit set, the kernel does not restart a call that something interrupts (signal(7)).
template <typename Call>
ssize_t Uninterrupted(Call call) {
  for (;;) {
    const ssize_t result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class ClientSocket {
 public:
  explicit ClientSocket(uint16_t port, const char* ip = "127.0.0.1")
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{10, 0};  // a lost byte fails the test instead of hanging it
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address = Loopback(port);
    ::inet_pton(AF_INET, ip, &address.sin_addr);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~ClientSocket() {
    if (sender_.joinable()) sender_.join();
  }
  static bool CanConnect(uint16_t port) {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = Loopback(port);
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = Uninterrupted(
          [&] { return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); });
      if (count <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }
  void SendInBackground(std::string bytes, bool then_ends) {
    sender_ = std::thread([this, bytes = std::move(bytes), then_ends] {
      Send(bytes);
      if (then_ends) EndOutput();
    });
  }
  void EndOutput() { ::shutdown(fd_.get(), SHUT_WR); }
  std::string Read(size_t bytes) {
    std::string text(bytes, '\0');
    size_t have = 0;
    while (have < bytes) {
      const ssize_t count =
          Uninterrupted([&] { return ::recv(fd_.get(), text.data() + have, bytes - have, 0); });
      if (count <= 0) break;
      have += static_cast<size_t>(count);
    }
    text.resize(have);
    return text;
  }
  std::string ReadToEnd() {
    std::string text;
    char buffer[16384];
    for (;;) {
      const ssize_t count =
          Uninterrupted([&] { return ::recv(fd_.get(), buffer, sizeof buffer, 0); });
      if (count <= 0) break;
      text.append(buffer, static_cast<size_t>(count));
    }
    return text;
  }
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
  std::thread sender_;
};

class ProxyFixture {
 public:
  explicit ProxyFixture(ServerOptions options = {}) : control_(*runtime::Loop::Create()) {
    options.socket_io = runtime::StreamEngine::kBest;  // as the program's default
    auto built = ProxyServer::Build(*control_, std::move(options));
    EXPECT_TRUE(built.ok()) << built.status();
    server_ = *std::move(built);
  }
  ~ProxyFixture() {
    server_->Stop();
    control_->RunOnce(Duration::zero());
  }

  ProxyServer& server() { return *server_; }
  ConfigSink& sink() { return server_->config(); }

  void Load(const std::string& bootstrap_text) {
    auto bootstrap = ParseBootstrap(bootstrap_text);
    ASSERT_TRUE(bootstrap.ok()) << bootstrap.status();
    bool is_adopted = false;
    const Status applied = ApplyStatic(*bootstrap, sink(), [&] { is_adopted = true; });
    ASSERT_TRUE(applied.ok()) << applied;
    WaitFor(is_adopted);
  }
  // The same resources as a control plane would bring them.
  void LoadDynamic(const std::string& bootstrap_text) { Load(bootstrap_text); }
  void Remove(xds::Type type, const std::string& name) {
    EXPECT_TRUE(sink().Update(type, {}, {name}).empty());
    Commit();
  }
  void Commit() {
    bool is_adopted = false;
    sink().Commit([&] { is_adopted = true; });
    WaitFor(is_adopted);
  }
  void WaitUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      control_->RunOnce(std::chrono::milliseconds(50));
    }
  }
  void WaitFor(const bool& condition) {
    WaitUntil([&] { return condition; });
  }
  uint16_t port(const std::string& listener) {
    const auto json = nlohmann::json::parse(server_->ListenersJson(), nullptr, false);
    for (const auto& status : json["listener_statuses"]) {
      if (status["name"] == listener)
        return status["local_address"]["socket_address"]["port_value"];
    }
    ADD_FAILURE() << "no listener " << listener;
    return 0;
  }

 private:
  std::unique_ptr<runtime::Loop> control_;
  std::unique_ptr<ProxyServer> server_;
};

}  // namespace meltemi::proxy::testing
