// SPDX-License-Identifier: Apache-2.0
#include "lib/net/connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <functional>

#include "lib/net/listener_socket.h"

namespace meltemi::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Owner final : public ConnectionCallbacks {
 public:
  void OnConnected() override {
    connected = true;
    if (on_connected) on_connected();
  }
  void OnInput() override {
    ++inputs;
    if (on_input) on_input();
  }
  void OnOutputDrained() override { ++drained; }
  void OnClosed(CloseReason why) override {
    closed = why;
    if (on_closed) on_closed();
  }
  std::function<void()> on_connected, on_input, on_closed;
  bool connected = false;
  int inputs = 0;
  int drained = 0;
  std::optional<CloseReason> closed;
};

struct Engine {
  const char* name;
  runtime::StreamEngine engine;
  runtime::SendQueueing queueing;
};

// Every test runs on each engine the machine has.
class ConnectionTest : public testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    auto loop = runtime::Loop::Create(GetParam().engine, GetParam().queueing);
    if (!loop.ok()) GTEST_SKIP() << "this kernel admits no io_uring: " << loop.status();
    loop_ = *std::move(loop);
  }

  // A connection on one end of a socket pair; peer_ is the other, plain end.
  std::unique_ptr<Connection> MakePair(ConnectionLimits limits = {}, std::string_view prefix = {}) {
    int fds[2];
    EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    peer_.Reset(fds[1]);
    auto connection =
        std::make_unique<Connection>(*loop_, pool_, Fd(fds[0]), nullptr, limits, prefix);
    connection->SetCallbacks(&owner_);
    return connection;
  }
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 10'000 && !done(); ++passes) loop_->RunOnce(milliseconds(500));
    EXPECT_TRUE(done());
  }
  std::string ReadPeer() {
    std::string all;
    char bytes[65536];
    ssize_t count;
    while ((count = read(peer_.get(), bytes, sizeof bytes)) > 0) all.append(bytes, count);
    return all;
  }
  void WritePeer(std::string_view text) {
    ASSERT_EQ(static_cast<ssize_t>(text.size()), write(peer_.get(), text.data(), text.size()));
  }

  std::unique_ptr<runtime::Loop> loop_;
  BlockPool pool_;
  Owner owner_;
  Fd peer_;
};

TEST_P(ConnectionTest, EchoHoldsNoMemoryWhenIdle) {
  auto connection = MakePair();
  owner_.on_input = [&] {
    connection->output().Append(connection->input().view());
    connection->input().Consume(connection->input().size());
    connection->Flush();
  };
  WritePeer("hello");
  RunUntil([&] { return connection->bytes_sent() == 5; });
  EXPECT_EQ("hello", ReadPeer());
  EXPECT_EQ(1, owner_.inputs);
  EXPECT_EQ(0u, pool_.blocks_in_use());
}

TEST_P(ConnectionTest, PrefixComesFirst) {
  auto connection = MakePair({}, "first ");
  WritePeer("second");
  RunUntil([&] { return connection->input().size() == 12; });
  EXPECT_EQ("first second", connection->input().view());
}

TEST_P(ConnectionTest, InputStopsAtItsLimitAndGoesOnWhenAsked) {
  auto connection = MakePair({.input_bytes_max = 1000});
  WritePeer(std::string(2500, 'x'));
  RunUntil([&] { return connection->input().size() == 1000; });
  loop_->RunOnce(Duration::zero());
  EXPECT_EQ(1000u, connection->input().size());
  EXPECT_EQ(1, owner_.inputs);
  connection->input().Consume(600);
  connection->ResumeReading();
  EXPECT_EQ(1, owner_.inputs) << "no callback inside a call of the owner";
  RunUntil([&] { return connection->input().size() == 1000; });
  connection->set_input_bytes_max(4000);
  connection->ResumeReading();
  RunUntil([&] { return connection->input().size() == 1900; });
}

TEST_P(ConnectionTest, PartialWritesArriveWholeAndDrainIsTold) {
  auto connection = MakePair();
  std::string sent;
  for (int i = 0; sent.size() < 3'000'000; ++i) sent += std::to_string(i);
  connection->output().Append(sent);
  connection->Flush();
  EXPECT_TRUE(connection->is_output_full());
  std::string got;
  RunUntil([&] {
    got += ReadPeer();
    return got.size() >= sent.size();
  });
  EXPECT_EQ(sent, got);
  RunUntil([&] { return owner_.drained == 1; });
}

TEST_P(ConnectionTest, ManySmallAppendsLeaveInOneWrite) {
  int fds[2];
  ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds));
  peer_.Reset(fds[1]);
  Connection connection(*loop_, pool_, Fd(fds[0]), nullptr);
  connection.SetCallbacks(&owner_);
  loop_->RunOnce(Duration::zero());
  for (int i = 0; i < 10; ++i) {
    connection.output().Append("ab");
    connection.Flush();
  }
  loop_->RunOnce(Duration::zero());
  char bytes[100];
  EXPECT_EQ(20, read(peer_.get(), bytes, sizeof bytes));
}

TEST_P(ConnectionTest, HalfCloseLetsTheReplyThrough) {
  auto connection = MakePair();
  owner_.on_input = [&] {
    if (!connection->input_ended()) return;
    connection->output().Append("reply");
    connection->EndOutput();
  };
  WritePeer("request");
  shutdown(peer_.get(), SHUT_WR);
  RunUntil([&] { return owner_.closed.has_value(); });
  EXPECT_EQ(CloseReason::kRemoteEnd, *owner_.closed);
  EXPECT_EQ("reply", ReadPeer());
  EXPECT_EQ("request", connection->input().view());
}

TEST_P(ConnectionTest, EndedInputAloneDoesNotClose) {
  auto connection = MakePair();
  shutdown(peer_.get(), SHUT_WR);
  RunUntil([&] { return connection->input_ended(); });
  loop_->RunOnce(Duration::zero());
  EXPECT_FALSE(owner_.closed.has_value());
  connection->output().Append("still here");
  connection->Flush();
  loop_->RunOnce(Duration::zero());
  EXPECT_EQ("still here", ReadPeer());
}

TEST_P(ConnectionTest, CloseAfterFlushWaitsForThePeersEnd) {
  auto connection = MakePair();
  loop_->RunOnce(Duration::zero());
  connection->output().Append("bye");
  connection->CloseAfterFlush(seconds(5));
  WritePeer("late body that nobody reads");
  loop_->RunOnce(Duration::zero());
  EXPECT_EQ("bye", ReadPeer());
  EXPECT_FALSE(owner_.closed.has_value());
  peer_.Reset();
  RunUntil([&] { return owner_.closed.has_value(); });
  EXPECT_EQ(CloseReason::kLocal, *owner_.closed);
  EXPECT_EQ(0, owner_.inputs);
}

TEST_P(ConnectionTest, CloseAfterFlushEndsAtItsLinger) {
  auto connection = MakePair();
  loop_->RunOnce(Duration::zero());
  connection->CloseAfterFlush(milliseconds(3));
  RunUntil([&] { return owner_.closed.has_value(); });
  EXPECT_EQ(CloseReason::kLocal, *owner_.closed);
}

TEST_P(ConnectionTest, DestroyedInEveryCallback) {
  for (int callback = 0; callback < 2; ++callback) {
    auto connection = MakePair();
    const auto destroy = [&] { connection.reset(); };
    if (callback == 0) owner_.on_input = destroy;
    if (callback == 1) owner_.on_closed = destroy;
    WritePeer("x");
    if (callback == 1) {
      owner_.on_input = [&] { connection->EndOutput(); };
      peer_.Reset();
    }
    RunUntil([&] { return connection == nullptr; });
    owner_.on_input = nullptr;
  }
  EXPECT_EQ(0u, pool_.blocks_in_use());
}

TEST_P(ConnectionTest, OwnersCloseIsSilent) {
  auto connection = MakePair();
  owner_.on_input = [&] { connection->Close(); };
  WritePeer("x");
  peer_.Reset();
  RunUntil([&] { return owner_.inputs == 1; });
  loop_->RunOnce(Duration::zero());
  EXPECT_FALSE(owner_.closed.has_value());
}

TEST_P(ConnectionTest, WriteToAGonePeerTellsReset) {
  auto connection = MakePair();
  loop_->RunOnce(Duration::zero());
  peer_.Reset();
  connection->output().Append("x");
  connection->Flush();
  EXPECT_FALSE(owner_.closed.has_value()) << "no callback inside a call of the owner";
  RunUntil([&] { return owner_.closed.has_value(); });
  EXPECT_EQ(CloseReason::kReset, *owner_.closed);
}

TEST_P(ConnectionTest, ConnectsAcceptsAndKnowsItsAddresses) {
  Fd listening = *Listen(*Address::Parse("127.0.0.1:0"));
  const Address at = *BoundAddress(listening.get());
  std::unique_ptr<Connection> accepted;
  Owner server;
  auto acceptor =
      *Acceptor::Create(*loop_, std::move(listening), [&](Fd socket, const Address& peer) {
        EXPECT_EQ("127.0.0.1", peer.ip());
        accepted = std::make_unique<Connection>(*loop_, pool_, std::move(socket), nullptr);
        accepted->SetCallbacks(&server);
      });
  auto client = Connection::Connect(*loop_, pool_, *StreamSocket(AF_INET), at, seconds(5), nullptr);
  client->SetCallbacks(&owner_);
  client->output().Append("before it is connected");
  client->Flush();
  RunUntil([&] { return accepted != nullptr && accepted->input().size() == 22; });
  EXPECT_TRUE(owner_.connected);
  EXPECT_EQ(at, client->remote_address());
  EXPECT_EQ(client->local_address(), accepted->remote_address());
}

TEST_P(ConnectionTest, APausedAcceptorLeavesConnectionsInTheQueue) {
  Fd listening = *Listen(*Address::Parse("127.0.0.1:0"));
  const Address at = *BoundAddress(listening.get());
  int accepted = 0;
  auto acceptor =
      *Acceptor::Create(*loop_, std::move(listening), [&](Fd, const Address&) { ++accepted; });
  acceptor->Pause();
  auto client = Connection::Connect(*loop_, pool_, *StreamSocket(AF_INET), at, seconds(5), nullptr);
  client->SetCallbacks(&owner_);
  RunUntil([&] { return owner_.connected; });
  EXPECT_EQ(0, accepted);
  acceptor->Resume();
  RunUntil([&] { return accepted == 1; });
}

TEST_P(ConnectionTest, RefusedConnectIsTold) {
  const Address at = *BoundAddress(Listen(*Address::Parse("127.0.0.1:0"))->get());
  auto client = Connection::Connect(*loop_, pool_, *StreamSocket(AF_INET), at, seconds(5), nullptr);
  client->SetCallbacks(&owner_);
  EXPECT_FALSE(owner_.closed.has_value());
  RunUntil([&] { return owner_.closed.has_value(); });
  EXPECT_EQ(CloseReason::kConnectFailed, *owner_.closed);
}

TEST_P(ConnectionTest, AConnectThatGetsNoAnswerTimesOut) {
  // A full accept queue drops the SYN.
  Fd listening = *Listen(*Address::Parse("127.0.0.1:0"), {.backlog = 0});
  const Address at = *BoundAddress(listening.get());
  std::vector<Fd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.push_back(*StreamSocket(AF_INET));
    connect(fillers.back().get(), at.data(), at.length());
  }
  auto client =
      Connection::Connect(*loop_, pool_, *StreamSocket(AF_INET), at, milliseconds(20), nullptr);
  client->SetCallbacks(&owner_);
  RunUntil([&] { return owner_.closed.has_value(); });
  EXPECT_EQ(CloseReason::kConnectTimeout, *owner_.closed);
}

// After the events of a pass have been told: what the peer does in `act` is seen by nobody before
// the connection writes.
void ActAfterEvents(runtime::Loop& loop, std::function<void()> act) {
  loop.Post(std::move(act));
}

TEST_P(ConnectionTest, AnAnswerBeforeAResetIsDelivered) {
  for (const size_t size : {6U, 5'000U, 150'000U}) {
    auto connection = MakePair({.input_bytes_max = 1'000'000});
    owner_ = Owner{};
    loop_->RunOnce(Duration::zero());
    const std::string answer(size, 'a');
    bool has_acted = false;
    ActAfterEvents(*loop_, [&] {
      has_acted = true;
      WritePeer(answer);
      peer_.Reset();
      connection->output().Append("the peer is gone, so this cannot be sent");
      connection->Flush();
    });
    RunUntil([&] { return owner_.closed.has_value(); });
    EXPECT_TRUE(has_acted);
    EXPECT_EQ(CloseReason::kReset, *owner_.closed);
    EXPECT_EQ(answer, connection->input().view());
  }
}

TEST_P(ConnectionTest, AnAnswerBeforeAResetOfTcpIsDelivered) {
  Fd listening = *Listen(*Address::Parse("127.0.0.1:0"));
  const Address at = *BoundAddress(listening.get());
  Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(0, connect(client.get(), at.data(), at.length()));
  pollfd arriving{.fd = listening.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(1, poll(&arriving, 1, 5'000));
  peer_.Reset(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  fcntl(client.get(), F_SETFL, O_NONBLOCK);
  Connection connection(*loop_, pool_, std::move(client), nullptr);
  connection.SetCallbacks(&owner_);
  loop_->RunOnce(Duration::zero());
  ActAfterEvents(*loop_, [&] {
    WritePeer("answer");
    const linger now{1, 0};
    ASSERT_EQ(0, setsockopt(peer_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now));
    peer_.Reset();
    connection.output().Append("x");
    connection.Flush();
  });
  RunUntil([&] { return owner_.closed.has_value(); });
  EXPECT_EQ(CloseReason::kReset, *owner_.closed);
  EXPECT_EQ("answer", connection.input().view());
}

TEST_P(ConnectionTest, APeerThatEndsWhileOurOutputIsBlockedLosesNothing) {
  std::string sent, answer;
  for (int i = 0; sent.size() < 2'000'000; ++i) sent += std::to_string(i);
  for (int i = 0; answer.size() < 100'000; ++i) answer += std::to_string(i * 7);
  for (const size_t input_max : {1'000U, 4'096U, 16'384U}) {
    owner_ = Owner{};
    auto connection = MakePair({.input_bytes_max = input_max});
    std::string got, arrived;
    owner_.on_input = [&] {
      got += connection->input().view();
      connection->input().Clear();
      connection->ResumeReading();
      if (connection->input_ended()) connection->EndOutput();
    };
    connection->output().Append(sent);
    connection->Flush();
    loop_->RunOnce(Duration::zero());
    WritePeer(answer);
    shutdown(peer_.get(), SHUT_WR);
    RunUntil([&] { return connection->input_ended(); });
    EXPECT_EQ(answer, got);
    RunUntil([&] {
      arrived += ReadPeer();
      return owner_.closed.has_value();
    });
    arrived += ReadPeer();
    EXPECT_EQ(sent, arrived);
    EXPECT_EQ(CloseReason::kRemoteEnd, *owner_.closed);
    owner_.on_input = nullptr;
  }
}

// More sends fail in one pass than a ring of completions holds.
TEST_P(ConnectionTest, SendsThatMeetFullSocketsAreAllNoticed) {
  constexpr size_t kPairs = 1'200;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 2 * kPairs + 100) GTEST_SKIP() << "too few descriptors allowed";
  const std::string sent(15'000, 's');
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<Fd> peers;
  for (size_t i = 0; i < kPairs; ++i) {
    connections.push_back(MakePair());
    const int room = 4'096;
    setsockopt(connections.back()->fd(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    peers.push_back(std::move(peer_));
  }
  loop_->RunOnce(Duration::zero());
  for (auto& connection : connections) {
    connection->output().Append(sent);
    connection->Flush();
  }
  std::vector<std::string> got(kPairs);
  size_t whole = 0;
  RunUntil([&] {
    for (size_t i = 0; i < kPairs; ++i) {
      if (got[i].size() == sent.size()) continue;
      char bytes[4'096];
      const ssize_t count = read(peers[i].get(), bytes, sizeof bytes);
      if (count > 0) got[i].append(bytes, static_cast<size_t>(count));
      if (got[i].size() == sent.size()) ++whole;
    }
    return whole == kPairs;
  });
  for (const std::string& text : got) ASSERT_EQ(sent, text);
}

INSTANTIATE_TEST_SUITE_P(
    Engines, ConnectionTest,
    testing::Values(
        Engine{"Epoll", runtime::StreamEngine::kEpoll, runtime::SendQueueing::kByPace},
        Engine{"Uring", runtime::StreamEngine::kUring, runtime::SendQueueing::kByPace},
        Engine{"UringQueued", runtime::StreamEngine::kUring, runtime::SendQueueing::kAlways},
        Engine{"UringDirect", runtime::StreamEngine::kUring, runtime::SendQueueing::kNever}),
    [](const auto& engine) { return engine.param.name; });

TEST(Buffer, GrowsBeyondABlockAndComesBack) {
  BlockPool pool;
  Buffer buffer(pool);
  const std::string big(50'000, 'b');
  buffer.Append("a");
  EXPECT_EQ(1u, pool.blocks_in_use());
  buffer.Append(big);
  EXPECT_EQ(0u, pool.blocks_in_use());
  EXPECT_EQ("a" + big, buffer.view());
  buffer.Consume(50'000);
  EXPECT_EQ("b", buffer.view());
  buffer.Consume(1);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(0u, buffer.writable_bytes());
}

TEST(Buffer, CompactsBeforeItGrows) {
  BlockPool pool;
  Buffer buffer(pool);
  buffer.Append(std::string(16'000, 'x'));
  buffer.Consume(15'000);
  buffer.Append(std::string(10'000, 'y'));
  EXPECT_EQ(11'000u, buffer.size());
  EXPECT_EQ(1u, pool.blocks_in_use());
}

TEST(Address, ReadsAndWrites) {
  for (const char* text : {"1.2.3.4:80", "[::1]:443", "unix:/run/x.sock", "unix:@abstract"}) {
    const auto address = Address::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(text, address->text());
    EXPECT_EQ(*address, *Address::Parse(text));
    EXPECT_EQ(address->Hash(), Address::Parse(text)->Hash());
  }
  EXPECT_EQ("::1", Address::Parse("[::1]:443")->ip());
  EXPECT_TRUE(Address::Parse("0.0.0.0:1")->is_any());
  EXPECT_TRUE(Address::Parse("[::]:1")->is_any());
  EXPECT_FALSE(Address::Parse("127.0.0.1:1")->is_any());
  EXPECT_EQ(81, Address::Parse("1.2.3.4:80")->WithPort(81).port());
  EXPECT_NE(*Address::Parse("1.2.3.4:80"), *Address::Parse("1.2.3.4:81"));
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text : {"", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "::1:80",
                           "[1.2.3.4]:80", "host:80", "unix:", "1.2.3.4:8o"}) {
    EXPECT_FALSE(Address::Parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace meltemi::net
