// SPDX-License-Identifier: Apache-2.0
// The DNS server over real sockets on loopback, with a resolver of the test's own behind it.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "proxy/dns/server.h"

namespace meltemi::proxy::dns {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes Query(const std::string& name, uint16_t type = 1, uint16_t id = 0x1234) {
  Bytes packet = {
      static_cast<uint8_t>(id >> 8), static_cast<uint8_t>(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  size_t start = 0;
  while (start < name.size()) {
    const size_t dot = std::min(name.find('.', start), name.size());
    packet.push_back(static_cast<uint8_t>(dot - start));
    packet.insert(packet.end(), name.begin() + static_cast<std::ptrdiff_t>(start),
                  name.begin() + static_cast<std::ptrdiff_t>(dot));
    start = dot + 1;
  }
  for (const int byte : {0, type >> 8, type & 255, 0, 1})
    packet.push_back(static_cast<uint8_t>(byte));
  return packet;
}

struct Read {
  int code = -1;
  bool is_truncated = false;
  std::vector<std::string> ips;
};

// Reads what Answer() writes: records with a compressed name.
Read Decode(const Bytes& answer) {
  Read read;
  if (answer.size() < kHeaderBytes) return read;
  read.code = answer[3] & 15;
  read.is_truncated = (answer[2] & 2) != 0;
  size_t at = kHeaderBytes;
  if (Read16(answer, 4) == 1) {
    while (answer[at] != 0) at += answer[at] + 1u;
    at += 5;
  }
  for (int i = 0; i < Read16(answer, 6); ++i) {
    const size_t size = Read16(answer, at + 10);
    char text[INET6_ADDRSTRLEN];
    ::inet_ntop(size == 4 ? AF_INET : AF_INET6, &answer[at + 12], text, sizeof(text));
    read.ips.emplace_back(text);
    at += 12 + size;
  }
  return read;
}

Fd Socket(int type, net::Address* address) {
  Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)), 0);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(socket.get(), 8), 0);
  }
  socklen_t length = sizeof(any);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&any), &length);
  *address = net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&any), length);
  return socket;
}

class Dns : public ::testing::Test {
 protected:
  void Start(ServerOptions options = {}) {
    loop_ = *runtime::Loop::Create();
    resolver_ = Socket(SOCK_DGRAM, &resolver_address_);
    if (options.resolvers.empty()) options.resolvers = {resolver_address_};
    auto udp = Socket(SOCK_DGRAM, &udp_address_);
    auto tcp = Socket(SOCK_STREAM, &tcp_address_);
    auto server = Server::Create(*loop_, std::move(udp), std::move(tcp), std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_EQ(::connect(client_.get(), udp_address_.data(), udp_address_.length()), 0);
  }
  void GiveNames() {
    auto names = std::make_shared<NameTable>("default");
    names->Add("ratings.default.svc.cluster.local", {"240.240.0.7"}, "ratings", "default");
    names->Add("vault.safe.svc.cluster.local", {"240.240.0.8", "fd00::8"}, "vault", "safe");
    names->Add("*.wild.example", {"240.240.0.9"});
    names->Add("api.example.com", {"240.240.0.10"});
    server_->Update(names);
  }
  bool Passes(int fd) {
    for (int i = 0; i < 500; ++i) {
      pollfd ready{fd, POLLIN, 0};
      if (::poll(&ready, 1, 0) == 1) return true;
      loop_->RunOnce(std::chrono::milliseconds(10));
    }
    return false;
  }
  Bytes Receive(int fd) {
    Bytes bytes(65536);
    if (!Passes(fd)) return {};
    const ssize_t size = ::recv(fd, bytes.data(), bytes.size(), 0);
    bytes.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return bytes;
  }
  Read Ask(const Bytes& query) {
    EXPECT_GT(::send(client_.get(), query.data(), query.size(), 0), 0);
    return Decode(Receive(client_.get()));
  }
  std::vector<std::string> Ips(const std::string& name, uint16_t type = 1) {
    return Ask(Query(name, type)).ips;
  }

  std::unique_ptr<runtime::Loop> loop_;
  net::Address resolver_address_, udp_address_, tcp_address_;
  Fd resolver_, client_;
  std::unique_ptr<Server> server_;
};

using Strings = std::vector<std::string>;

TEST_F(Dns, AnswersEveryFormOfAServiceName) {
  Start();
  GiveNames();
  for (const char* name :
       {"ratings", "ratings.default", "ratings.default.svc", "ratings.default.svc.cluster.local",
        "RATINGS.Default.svc.cluster.LOCAL"})
    EXPECT_EQ(Ips(name), Strings{"240.240.0.7"}) << name;
  EXPECT_EQ(Ips("vault.safe"), Strings{"240.240.0.8"});
  EXPECT_EQ(Ips("vault.safe.svc.cluster.local", 28), Strings{"fd00::8"});
  EXPECT_EQ(Ips("a.b.wild.example"), Strings{"240.240.0.9"});
}

TEST_F(Dns, AnswersKnownHostsBelowTheSearchList) {
  Start();
  GiveNames();
  EXPECT_EQ(Ips("api.example.com.default.svc.cluster.local"), Strings{"240.240.0.10"});
}

TEST_F(Dns, RefusesUnknownNamesOfTheMeshItself) {
  Start();
  GiveNames();
  EXPECT_EQ(Ask(Query("nobody.default.svc.cluster.local")).code, 3);
  const Read other_type = Ask(Query("ratings.default.svc.cluster.local", 28));
  EXPECT_EQ(other_type.code, 0) << "the name exists, only not with such an address";
  EXPECT_TRUE(other_type.ips.empty());
  EXPECT_EQ(server_->counters().forwarded, 0u);
}

TEST_F(Dns, SaysTryAgainBeforeTheFirstTable) {
  Start();
  EXPECT_EQ(Ask(Query("ratings.default.svc.cluster.local")).code, 2);
}

TEST_F(Dns, ForwardsOtherNamesUnderAnIdOfItsOwn) {
  Start();
  GiveNames();
  const Bytes query = Query("example.org");
  ASSERT_GT(::send(client_.get(), query.data(), query.size(), 0), 0);
  ASSERT_TRUE(Passes(resolver_.get()));
  Bytes forwarded(512);
  sockaddr_in from{};
  socklen_t length = sizeof(from);
  const ssize_t size = ::recvfrom(resolver_.get(), forwarded.data(), forwarded.size(), 0,
                                  reinterpret_cast<sockaddr*>(&from), &length);
  forwarded.resize(static_cast<size_t>(size));
  const Parsed parsed = ParseQuery(forwarded);
  EXPECT_EQ(parsed.question.name, "example.org");
  const Ip ips[] = {*Ip::Parse("192.0.2.44")};
  // A forged answer first: another id. It must be passed over.
  Question forged = parsed.question;
  ++forged.id;
  for (const Question& question : {forged, parsed.question}) {
    const Bytes answer = Answer(forwarded, question, Code::kNoError, ips, 60, 512);
    ::sendto(resolver_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from),
             length);
  }
  const Bytes answer = Receive(client_.get());
  EXPECT_EQ(Decode(answer).ips, Strings{"192.0.2.44"});
  EXPECT_EQ(Read16(answer, 0), 0x1234);
}

TEST_F(Dns, FailsWhenNobodyAnswers) {
  ServerOptions options;
  options.forwarding.wait_per_server = std::chrono::milliseconds(5);
  Start(std::move(options));
  EXPECT_EQ(Ask(Query("example.org")).code, 2);
  EXPECT_EQ(server_->counters().failed, 1u);
}

TEST_F(Dns, BoundsQueriesInFlight) {
  ServerOptions options;
  options.forwarding.in_flight_max = 1;
  Start(std::move(options));
  const Bytes first = Query("one.example");
  ASSERT_GT(::send(client_.get(), first.data(), first.size(), 0), 0);
  EXPECT_EQ(Ask(Query("two.example")).code, 2) << "the first still waits for the resolver";
}

TEST_F(Dns, RefusesMalformedQueries) {
  Start();
  GiveNames();
  Bytes pointer = Query("ratings");
  pointer[kHeaderBytes] = 0xc0;  // compression in a question
  EXPECT_EQ(Ask(pointer).code, 1);
  Bytes two = Query("ratings");
  two[5] = 2;
  EXPECT_EQ(Ask(two).code, 1);
  Bytes status = Query("ratings");
  status[2] = 0x10;
  EXPECT_EQ(Ask(status).code, 4);
  Bytes cut = Query("ratings");
  cut.resize(kHeaderBytes + 3);
  EXPECT_EQ(Ask(cut).code, 1);
  // Answers and scraps get no reply at all; the next query shows that the server goes on.
  Bytes response = Query("ratings");
  response[2] |= 0x80;
  ::send(client_.get(), response.data(), response.size(), 0);
  ::send(client_.get(), response.data(), 5, 0);
  EXPECT_EQ(Ips("ratings"), Strings{"240.240.0.7"});
}

TEST_F(Dns, CutsLongAnswersOverUdpAndGivesThemOverTcp) {
  Start();
  auto names = std::make_shared<NameTable>();
  Strings many;
  for (int i = 0; i < 100; ++i) many.push_back("10.0.0." + std::to_string(i));
  names->Add("headless.default.svc.cluster.local", many, "headless", "default");
  server_->Update(names);
  const Read cut = Ask(Query("headless"));
  EXPECT_TRUE(cut.is_truncated);
  EXPECT_LT(cut.ips.size(), 100u);

  Fd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(tcp.get(), tcp_address_.data(), tcp_address_.length()), 0);
  const Bytes query = Query("headless");
  Bytes framed = {0, static_cast<uint8_t>(query.size())};
  framed.insert(framed.end(), query.begin(), query.end());
  const Bytes twice = [&] {
    Bytes both = framed;
    both.insert(both.end(), framed.begin(), framed.end());
    return both;
  }();
  ASSERT_GT(::send(tcp.get(), twice.data(), twice.size(), 0), 0);
  Bytes all;
  while (all.size() < 2 || all.size() < 2 * (2u + Read16(all, 0))) {
    const Bytes part = Receive(tcp.get());
    ASSERT_FALSE(part.empty());
    all.insert(all.end(), part.begin(), part.end());
  }
  EXPECT_EQ(Decode(Bytes(all.begin() + 2, all.begin() + 2 + Read16(all, 0))).ips.size(), 100u);
}

TEST_F(Dns, ClosesTcpConnectionsThatSendNoQuery) {
  Start();
  Fd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(tcp.get(), tcp_address_.data(), tcp_address_.length()), 0);
  ASSERT_GT(::send(tcp.get(), "GET / HTTP/1.1\r\n", 16, 0), 0);
  EXPECT_TRUE(Passes(tcp.get()));
  EXPECT_TRUE(Receive(tcp.get()).empty());
}

TEST(Resolvers, AreReadFromResolvConf) {
  const auto servers = ParseResolvers(
      "# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.2\nnameserver bad\nnameserver ::1\n"
      "nameserver 10.0.0.3\nnameserver 10.0.0.4\n");
  ASSERT_EQ(servers.size(), 3u);
  EXPECT_EQ(servers[0].text(), "10.0.0.2:53");
  EXPECT_EQ(servers[1].text(), "[::1]:53");
}

}  // namespace
}  // namespace meltemi::proxy::dns
