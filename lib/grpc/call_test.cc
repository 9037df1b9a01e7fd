// SPDX-License-Identifier: Apache-2.0
// Our client against our server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "lib/grpc/client.h"
#include "lib/grpc/server.h"
#include "lib/tls/testing/certificates.h"

namespace meltemi::grpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Probe;

class Handler final : public CallHandler {
 public:
  Handler(ServerCall& call, Probe& probe) : call_(call), probe_(probe) {}
  void OnMessage(std::string_view message) override;
  void OnClientDone() override;
  void OnDrained() override;
  void OnEnd() override;

 private:
  ServerCall& call_;
  Probe& probe_;
};

// What a test wants to happen, and what did.
struct Probe {
  std::function<void(ServerCall&, std::string_view)> on_message;
  std::function<void(ServerCall&)> on_done;
  int drained = 0;
  int ended = 0;
  ServerCall* call = nullptr;
};

void Handler::OnMessage(std::string_view message) {
  if (probe_.on_message) probe_.on_message(call_, message);
}
void Handler::OnClientDone() {
  if (probe_.on_done) probe_.on_done(call_);
}
void Handler::OnDrained() {
  ++probe_.drained;
}
void Handler::OnEnd() {
  ++probe_.ended;
}

class Listener final : public ClientCallHandler {
 public:
  void OnMessage(std::string_view message) override {
    messages.emplace_back(message);
    if (on_message) on_message();
  }
  void OnStatus(const CallStatus& ended) override {
    EXPECT_FALSE(status.has_value());
    status = ended;
    if (on_status) on_status();
  }
  std::vector<std::string> messages;
  std::optional<CallStatus> status;
  std::function<void()> on_message, on_status;
};

class GrpcCall : public ::testing::Test {
 protected:
  void Start(ServerOptions server = {}, ChannelOptions client = {},
             std::shared_ptr<const tls::ClientContext> tls = nullptr) {
    MethodTable methods;
    methods["/test.Echo/Talk"] = [this](ServerCall& call) {
      probe_.call = &call;
      return std::make_unique<Handler>(call, probe_);
    };
    auto made = Server::Listen(*loop_, *net::Address::ParseIp("127.0.0.1", 0), methods, server);
    ASSERT_TRUE(made.ok());
    server_ = *std::move(made);
    channel_ = Channel::Create(
        *loop_, [to = server_->address(), tls]() -> StatusOr<Target> { return Target{to, tls}; },
        client);
  }
  void Echo() {
    probe_.on_message = [](ServerCall& call, std::string_view message) {
      call.Send(std::string(message));
    };
    probe_.on_done = [](ServerCall& call) { call.Finish({0, ""}); };
  }
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 50'000 && !done(); ++passes) {
      loop_->RunOnce(std::chrono::milliseconds(100));
    }
    ASSERT_TRUE(done());
  }

  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  Probe probe_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Channel> channel_;
  Listener listener_;
};

TEST_F(GrpcCall, EchoesBothWays) {
  Start();
  Echo();
  auto call = channel_->Start("/test.Echo/Talk", {{"x-token", "abc"}}, listener_);
  call->Send("one");
  RunUntil([&] { return listener_.messages.size() == 1; });
  EXPECT_EQ("abc", probe_.call->peer().metadata.find("x-token")->second);
  EXPECT_EQ("127.0.0.1", probe_.call->peer().remote.ip());
  call->Send("");
  call->Send("three");
  call->HalfClose();
  RunUntil([&] { return listener_.status.has_value(); });
  EXPECT_TRUE(listener_.status->ok());
  EXPECT_THAT(listener_.messages, ElementsAre("one", "", "three"));
  EXPECT_EQ(0, probe_.ended);
}

TEST_F(GrpcCall, UnaryAndManyAtOnceOnOneConnection) {
  Start();
  Echo();
  int done = 0;
  std::vector<std::unique_ptr<ClientCall>> calls;
  for (int i = 0; i < 200; ++i) {
    const std::string text = std::to_string(i);
    calls.push_back(Unary(*channel_, "/test.Echo/Talk", {}, text,
                          [&, text](CallStatus status, std::string response) {
                            EXPECT_TRUE(status.ok()) << status.message;
                            EXPECT_EQ(text, response);
                            ++done;
                          }));
  }
  RunUntil([&] { return done == 200; });
}

TEST_F(GrpcCall, LargeMessagesOfSharedSlices) {
  Start();
  const auto slice = std::make_shared<const std::string>(std::string(1'000'000, 's'));
  size_t queued = 0;
  probe_.on_message = [&](ServerCall& call, std::string_view) {
    call.Send(std::vector<Slice>(20, slice));
    queued = call.queued_bytes();
    call.Finish({0, ""});
  };
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send("go");
  RunUntil([&] { return listener_.status.has_value(); });
  ASSERT_EQ(1u, listener_.messages.size());
  EXPECT_EQ(20'000'000u, listener_.messages[0].size());
  EXPECT_GT(queued, 19'000'000u);
}

TEST_F(GrpcCall, TellsWhenTheQueueDrained) {
  Start();
  probe_.on_message = [&](ServerCall& call, std::string_view) {
    call.Send(std::string(5'000'000, 'x'));
  };
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send("go");
  RunUntil([&] { return probe_.drained == 1; });
  EXPECT_LE(probe_.call->queued_bytes(), 64u * 1024);
}

TEST_F(GrpcCall, StatusesArrive) {
  Start();
  auto unknown = channel_->Start("/test.Echo/None", {}, listener_);
  RunUntil([&] { return listener_.status.has_value(); });
  EXPECT_EQ(12, listener_.status->code);
  EXPECT_THAT(listener_.status->message, HasSubstr("/test.Echo/None"));

  probe_.on_message = [](ServerCall& call, std::string_view) {
    call.Send("partial");
    call.Finish({9, "100% caf\xc3\xa9\n"});
  };
  Listener second;
  auto call = channel_->Start("/test.Echo/Talk", {}, second);
  call->Send("x");
  RunUntil([&] { return second.status.has_value(); });
  EXPECT_EQ(9, second.status->code);
  EXPECT_EQ("100% caf\xc3\xa9\n", second.status->message);
  EXPECT_THAT(second.messages, ElementsAre("partial"));
}

TEST_F(GrpcCall, LimitsMessages) {
  Start({.message_bytes_max = 100});
  Echo();
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send(std::string(101, 'x'));
  RunUntil([&] { return listener_.status.has_value(); });
  EXPECT_EQ(8, listener_.status->code);
}

TEST_F(GrpcCall, CancellingEndsTheServersCall) {
  Start();
  Echo();
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send("x");
  RunUntil([&] { return listener_.messages.size() == 1; });
  call.reset();
  RunUntil([&] { return probe_.ended == 1; });
  EXPECT_FALSE(listener_.status.has_value());
}

TEST_F(GrpcCall, CallMayGoInItsOwnCallbacks) {
  Start();
  Echo();
  std::unique_ptr<ClientCall> call = channel_->Start("/test.Echo/Talk", {}, listener_);
  listener_.on_message = [&] { call.reset(); };
  call->Send("x");
  call->Send("y");
  RunUntil([&] { return probe_.ended == 1; });
  EXPECT_EQ(1u, listener_.messages.size());
  Listener second;
  auto other = channel_->Start("/test.Echo/None", {}, second);
  second.on_status = [&] {
    other.reset();
    channel_.reset();
  };
  RunUntil([&] { return second.status.has_value(); });
}

TEST_F(GrpcCall, LossIsUnavailableAndTheNextCallConnectsAgain) {
  Start();
  Echo();
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send("x");
  RunUntil([&] { return listener_.messages.size() == 1; });
  server_.reset();
  EXPECT_EQ(1, probe_.ended);
  RunUntil([&] { return listener_.status.has_value(); });
  EXPECT_EQ(14, listener_.status->code);
  Listener refused;
  auto again = channel_->Start("/test.Echo/Talk", {}, refused);
  RunUntil([&] { return refused.status.has_value(); });
  EXPECT_EQ(14, refused.status->code);
  EXPECT_THAT(refused.status->message, HasSubstr("refused"));
}

TEST_F(GrpcCall, DrainLetsCallsEnd) {
  Start();
  Echo();
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send("x");
  RunUntil([&] { return listener_.messages.size() == 1; });
  server_->Drain();
  call->Send("y");
  call->HalfClose();
  RunUntil([&] { return listener_.status.has_value(); });
  EXPECT_TRUE(listener_.status->ok());
  EXPECT_EQ(2u, listener_.messages.size());
}

TEST_F(GrpcCall, KeepaliveKeepsAQuietCall) {
  Start({}, {.keepalive = std::chrono::milliseconds(5)});
  Echo();
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send("x");
  RunUntil([&] { return listener_.messages.size() == 1; });
  // Many keepalive periods pass, each with an answered PING: the call lives on.
  const MonotonicTime until = loop_->Now() + std::chrono::milliseconds(60);
  RunUntil([&] { return loop_->Now() >= until; });
  call->Send("y");
  RunUntil([&] { return listener_.messages.size() == 2; });
  EXPECT_FALSE(listener_.status.has_value());
}

TEST_F(GrpcCall, MutualTls) {
  const tls::testing::CertificateAuthority authority;
  tls::ServerSettings server;
  server.certificates.push_back(authority.Issue());
  server.client_certificate = tls::ClientCertificate::kRequired;
  server.verification.trusted_pem.push_back(authority.pem());
  server.alpn = {"h2"};
  tls::ClientSettings client;
  client.certificate = authority.Issue({.san = "URI:spiffe://cluster.local/ns/a/sa/b"});
  client.verification.trusted_pem.push_back(authority.pem());
  const auto server_context = *tls::ServerContext::Build(server);
  const auto client_context = *tls::ClientContext::Build(client);
  Start({.tls_source = [&] { return server_context; }}, {}, client_context);
  Echo();
  auto call = channel_->Start("/test.Echo/Talk", {}, listener_);
  call->Send(std::string(300'000, 't'));
  RunUntil([&] { return listener_.messages.size() == 1; });
  EXPECT_TRUE(probe_.call->peer().is_tls);
  EXPECT_EQ("spiffe://cluster.local/ns/a/sa/b", probe_.call->peer().uri_san);
}

}  // namespace
}  // namespace meltemi::grpc
