// SPDX-License-Identifier: Apache-2.0
// Real sandboxes, made as an ordinary user, with Python apps inside and a hand-made proxy outside.
#include "host/sandbox/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>

#include "host/sandbox/network.h"
#include "host/testing/ordinary_user.h"
#include "lib/capture/client.h"

namespace meltemi::host {
namespace {

constexpr int kWaitMs = 10000;
constexpr const char* kOwnIp = "127.77.9.9";

const ::testing::Environment* const ordinary_user =
    ::testing::AddGlobalTestEnvironment(new testing::OrdinaryUser);

bool IsReadable(int fd, int wait_ms = kWaitMs) {
  pollfd ready{fd, POLLIN, 0};
  return ::poll(&ready, 1, wait_ms) == 1;
}

sockaddr_in AddressOf(const char* ip, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, ip, &address.sin_addr);
  return address;
}

std::string Text(const sockaddr_in& address) {
  char ip[INET_ADDRSTRLEN];
  ::inet_ntop(AF_INET, &address.sin_addr, ip, sizeof(ip));
  return fmt::format("{}:{}", ip, ntohs(address.sin_port));
}

std::string OriginalDestination(int socket) {
  sockaddr_in seen{};
  socklen_t length = sizeof(seen);
  EXPECT_EQ(::getsockopt(socket, SOL_IP, SO_ORIGINAL_DST, &seen, &length), 0);
  return Text(seen);
}

// Connects a fresh socket from inside; errno, 0 = connected.
int ConnectFrom(int socket, const sockaddr_in& to) {
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd ready{socket, POLLOUT, 0};
  if (::poll(&ready, 1, kWaitMs) != 1) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

// One listening socket on the host's loopback.
struct HostListener {
  HostListener() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = AddressOf("127.0.0.1", 0);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(fd.get(), 8), 0);
    socklen_t length = sizeof(address);
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
  }
  Fd fd;
  uint16_t port = 0;
};

class SandboxTest : public ::testing::Test {
 protected:
  SandboxTest() {
    std::string name = ::testing::TempDir() + "/sandbox-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~SandboxTest() override { std::filesystem::remove_all(folder_); }

  SandboxOptions Options() const {
    return {.directory = folder_ + "/w", .hostname = "reviews-v1-abc", .ip = kOwnIp};
  }
  Sandbox Make() {
    StatusOr<Sandbox> sandbox = Sandbox::Create(Options());
    EXPECT_TRUE(sandbox.ok()) << sandbox.status();
    if (!sandbox.ok()) std::exit(1);
    return *std::move(sandbox);
  }

  // Starts a command whose output goes to output_.
  uint32_t Start(Sandbox& sandbox, std::vector<std::string> argv) {
    int pipe_ends[2];
    EXPECT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
    output_.Reset(pipe_ends[0]);
    const Fd write_end(pipe_ends[1]), null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const Command command{std::move(argv), {"PATH=/usr/bin:/bin", "GREETING=hello"}, "/"};
    const auto id = sandbox.Run(command, null.get(), write_end.get(), write_end.get());
    EXPECT_TRUE(id.ok()) << id.status();
    return id.ok() ? *id : 0;
  }
  uint32_t Python(Sandbox& sandbox, const std::string& code) {
    return Start(sandbox, {"python3", "-c", code});
  }

  std::string ReadOutput() {
    std::string all;
    char part[4096];
    ssize_t got;
    while (IsReadable(output_.get()) && (got = ::read(output_.get(), part, sizeof(part))) > 0)
      all.append(part, static_cast<size_t>(got));
    return all;
  }
  SandboxEvent Next(Sandbox& sandbox) {
    EXPECT_TRUE(IsReadable(sandbox.events()));
    StatusOr<SandboxEvent> event = sandbox.NextEvent();
    EXPECT_TRUE(event.ok()) << event.status();
    return event.ok() ? *event : SandboxEvent(Refused{0, 0});
  }
  Exited NextExit(Sandbox& sandbox) {
    SandboxEvent event = Next(sandbox);
    if (std::holds_alternative<Started>(event)) event = Next(sandbox);
    if (const auto* refused = std::get_if<Refused>(&event)) ADD_FAILURE() << refused->error;
    const auto* exited = std::get_if<Exited>(&event);
    return exited != nullptr ? *exited : Exited{0, -1, -1};
  }

  std::string folder_;
  Fd output_;
};

TEST_F(SandboxTest, RunsAsAnOrdinaryUser) {
  EXPECT_NE(::geteuid(), 0u);
}

TEST_F(SandboxTest, HttpClientInsideReachesTheProxyOutside) {
  Sandbox sandbox = Make();
  auto proxy = capture::Client::Connect(sandbox.capture_path());
  ASSERT_TRUE(proxy.ok()) << proxy.status();
  auto listener = proxy->TcpListener(capture::kOutboundPort);
  ASSERT_TRUE(listener.ok()) << listener.status();
  Python(sandbox,
         "import http.client\n"
         "for ip in ('198.51.100.7', '127.77.0.3'):\n"
         "  c = http.client.HTTPConnection(ip, 8080, timeout=10); c.request('GET', '/')\n"
         "  print(c.getresponse().read().decode())\n");
  for (const char* destination : {"198.51.100.7:8080", "127.77.0.3:8080"}) {
    ASSERT_TRUE(IsReadable(listener->get()));
    sockaddr_in from{};
    socklen_t length = sizeof(from);
    const Fd accepted(::accept(listener->get(), reinterpret_cast<sockaddr*>(&from), &length));
    EXPECT_EQ(OriginalDestination(accepted.get()), destination);
    EXPECT_EQ(Text(from).substr(0, Text(from).find(':')), kOwnIp);
    char request[4096];
    EXPECT_GT(::read(accepted.get(), request, sizeof(request)), 0);
    const std::string answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    EXPECT_GT(::write(accepted.get(), answer.data(), answer.size()), 0);
  }
  EXPECT_EQ(ReadOutput(), "hi\nhi\n");
  EXPECT_EQ(NextExit(sandbox).code, 0);
}

TEST_F(SandboxTest, ConnectionsMadeBeforeTheProxyWait) {
  Sandbox sandbox = Make();
  Python(sandbox,
         "import socket\n"
         "s = socket.create_connection(('198.51.100.7', 80), 10)\n"
         "print('connected', flush=True); print(s.recv(10).decode())\n");
  ASSERT_TRUE(IsReadable(output_.get()));  // it connected though nobody has asked for the listener
  auto proxy = capture::Client::Connect(sandbox.capture_path());
  ASSERT_TRUE(proxy.ok());
  auto listener = proxy->TcpListener(capture::kOutboundPort);
  ASSERT_TRUE(listener.ok());
  ASSERT_TRUE(IsReadable(listener->get()));
  const Fd accepted(::accept(listener->get(), nullptr, nullptr));
  EXPECT_EQ(OriginalDestination(accepted.get()), "198.51.100.7:80");
  EXPECT_EQ(::write(accepted.get(), "late", 4), 4);
  EXPECT_EQ(ReadOutput(), "connected\nlate\n");
}

TEST_F(SandboxTest, NamesAreAskedOfTheProxy) {
  Sandbox sandbox = Make();
  auto proxy = capture::Client::Connect(sandbox.capture_path());
  ASSERT_TRUE(proxy.ok());
  auto dns = proxy->UdpSocket(capture::kDnsPort);
  ASSERT_TRUE(dns.ok()) << dns.status();
  Python(sandbox, "import socket; print(socket.gethostbyname('ratings'))");
  ASSERT_TRUE(IsReadable(dns->get()));
  unsigned char query[512];
  sockaddr_in from{};
  socklen_t length = sizeof(from);
  const ssize_t size =
      ::recvfrom(dns->get(), query, sizeof(query), 0, reinterpret_cast<sockaddr*>(&from), &length);
  ASSERT_GT(size, 12);
  const std::string asked(reinterpret_cast<char*>(query) + 12, static_cast<size_t>(size) - 12);
  EXPECT_EQ(asked.substr(0, asked.find('\0')), "\7ratings\7default\3svc\7cluster\5local");
  std::string answer(reinterpret_cast<char*>(query), static_cast<size_t>(size));
  answer[2] |= '\x80';
  answer[7] = 1;
  answer += std::string("\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\xf0\xf0\0\7", 16);
  ::sendto(dns->get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
  EXPECT_EQ(ReadOutput(), "240.240.0.7\n");
}

TEST_F(SandboxTest, SocketsMadeInsideReachTheAppAndNotTheHost) {
  Sandbox sandbox = Make();
  Python(sandbox,
         "import socket\n"
         "s = socket.socket(); s.bind(('0.0.0.0', 80)); s.listen()\n"
         "print('up', flush=True)\n"
         "for i in range(2):\n"
         "  c, _ = s.accept(); print(c.getsockname()[0]); c.close()\n");
  ASSERT_TRUE(IsReadable(output_.get()));
  auto proxy = capture::Client::Connect(sandbox.capture_path());
  ASSERT_TRUE(proxy.ok());
  auto sockets = proxy->TcpSockets(3);
  ASSERT_TRUE(sockets.ok());
  HostListener host;
  EXPECT_EQ(ConnectFrom((*sockets)[0].get(), AddressOf("127.0.0.1", host.port)), ECONNREFUSED);
  EXPECT_EQ(ConnectFrom((*sockets)[1].get(), AddressOf("127.0.0.1", 80)), 0);
  EXPECT_EQ(ConnectFrom((*sockets)[2].get(), AddressOf(kOwnIp, 80)), 0);
  EXPECT_EQ(ReadOutput(), fmt::format("up\n127.0.0.1\n{}\n", kOwnIp));
  EXPECT_EQ(NextExit(sandbox).code, 0);
}

TEST_F(SandboxTest, AppCannotReachTheHost) {
  Sandbox sandbox = Make();
  HostListener host;
  Python(sandbox, fmt::format("import socket\n"
                              "def why(family, ip, port):\n"
                              "  s = socket.socket(family); s.settimeout(5)\n"
                              "  try: s.connect((ip, port)); return 'connected'\n"
                              "  except OSError as e: return str(e.errno)\n"
                              "print(why(socket.AF_INET, '127.0.0.1', {0}), "
                              "why(socket.AF_INET6, '2001:db8::1', {0}))\n",
                              host.port));
  EXPECT_EQ(ReadOutput(), fmt::format("{} {}\n", ECONNREFUSED, ENETUNREACH));
  EXPECT_FALSE(IsReadable(host.fd.get(), 0));
}

TEST_F(SandboxTest, AppHasNoCapabilitiesAndItsOwnUid) {
  Sandbox sandbox = Make();
  Start(sandbox, {"sh", "-c",
                  "id -u; grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' "
                  "/proc/self/status | tr -s '\\t\\n' ' '; nft list ruleset 2>&1 | head -1"});
  const std::string output = ReadOutput();
  EXPECT_EQ(output.substr(0, output.find('\n')), std::to_string(::geteuid()));
  const std::string none = "0000000000000000";
  EXPECT_NE(output.find(fmt::format("CapInh: {0} CapPrm: {0} CapEff: {0} CapBnd: {0} CapAmb: {0} "
                                    "NoNewPrivs: 1",
                                    none)),
            std::string::npos)
      << output;
  EXPECT_EQ(output.find("redirect"), std::string::npos) << "the app must not see or change rules";
}

TEST_F(SandboxTest, AppSeesItsOwnNameAndSearchList) {
  Sandbox sandbox = Make();
  Start(sandbox, {"sh", "-c", "uname -n; cat /etc/resolv.conf /etc/hosts; echo $GREETING; pwd"});
  EXPECT_EQ(ReadOutput(),
            "reviews-v1-abc\n"
            "nameserver 127.0.0.1\n"
            "search default.svc.cluster.local svc.cluster.local cluster.local\n"
            "options ndots:5 timeout:5\n"
            "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
            "127.77.9.9 reviews-v1-abc\nhello\n/\n");
}

TEST_F(SandboxTest, ExitCodesAndSignalsPassThrough) {
  Sandbox sandbox = Make();
  Start(sandbox, {"sh", "-c", "exit 7"});
  const Exited by_itself = NextExit(sandbox);
  EXPECT_EQ(by_itself.code, 7);
  EXPECT_EQ(by_itself.signal, 0);

  const uint32_t sleeping = Start(sandbox, {"sleep", "1000"});
  EXPECT_TRUE(std::holds_alternative<Started>(Next(sandbox)));
  EXPECT_TRUE(sandbox.Signal(sleeping, SIGTERM).ok());
  const Exited ended = NextExit(sandbox);
  EXPECT_EQ(ended.id, sleeping);
  EXPECT_EQ(ended.signal, SIGTERM);
}

TEST_F(SandboxTest, AMissingProgramIsRefused) {
  Sandbox sandbox = Make();
  Start(sandbox, {"no-such-program"});
  const SandboxEvent event = Next(sandbox);
  ASSERT_TRUE(std::holds_alternative<Refused>(event));
  EXPECT_EQ(std::get<Refused>(event).error, ENOENT);
}

TEST_F(SandboxTest, NothingIsLeftWhenItEnds) {
  {
    Sandbox sandbox = Make();
    // A daemon: its parent ends, it has a session of its own and keeps the output open.
    Start(sandbox, {"sh", "-c", "setsid sleep 1000 & echo up"});
    EXPECT_EQ(NextExit(sandbox).code, 0);
  }
  EXPECT_EQ(ReadOutput(), "up\n");  // ends: nobody holds the pipe any more
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/w"));
}

TEST_F(SandboxTest, NothingIsLeftWhenItsOwnerIsKilled) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  const pid_t owner = ::fork();
  if (owner == 0) {
    Sandbox sandbox = Make();
    const Command command{{"sh", "-c", "echo up; exec sleep 1000"}, {"PATH=/usr/bin:/bin"}, "/"};
    (void)sandbox.Run(command, 0, pipe_ends[1], pipe_ends[1]);
    ::pause();
  }
  ::close(pipe_ends[1]);
  output_.Reset(pipe_ends[0]);
  ASSERT_TRUE(IsReadable(output_.get()));
  ::kill(owner, SIGKILL);
  ::waitpid(owner, nullptr, 0);
  EXPECT_EQ(ReadOutput(), "up\n");
}

TEST_F(SandboxTest, AKernelThatForbidsNamespacesIsNamedWithItsRemedy) {
  // A user namespace whose own limit is zero stands for such a kernel.
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(1);
    const Fd limit(::open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC));
    if (::write(limit.get(), "0", 1) != 1) ::_exit(2);
    const std::string message(Message(Sandbox::Create(Options()).status()));
    const bool is_right =
        message.starts_with("this kernel forbids namespaces to ordinary users (") &&
        message.find("\nallow them: sysctl user.max_user_namespaces") != std::string::npos;
    ::_exit(is_right ? 0 : 3);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(SandboxTest, ABadAddressIsRefused) {
  SandboxOptions options = Options();
  options.ip = "127.77.0";
  EXPECT_TRUE(absl::IsInvalidArgument(Sandbox::Create(options).status()));
  EXPECT_FALSE(std::filesystem::exists(options.directory));
}

}  // namespace
}  // namespace meltemi::host
