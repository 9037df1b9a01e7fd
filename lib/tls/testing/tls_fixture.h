// SPDX-License-Identifier: Apache-2.0
// Two connections on one loop with TLS between them, and certificates for both. For tests of this
// folder.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lib/net/connection.h"
#include "lib/tls/context.h"
#include "lib/tls/testing/certificates.h"

namespace meltemi::tls::testing {

using net::CloseReason;
using net::Connection;
using std::chrono::milliseconds;

inline constexpr char kApp[] = "spiffe://cluster.local/ns/default/sa/app";

struct Side final : net::ConnectionCallbacks {
  void OnConnected() override { is_connected = true; }
  void OnInput() override {
    if (!is_consuming) return;
    got.append(connection->input().view());
    connection->input().Consume(connection->input().size());
  }
  void OnClosed(CloseReason why) override {
    closed = why;
    failure = connection->tls_failure();
  }
  std::string failure_now() const { return std::string(connection->tls_failure()); }

  std::unique_ptr<Connection> connection;
  bool is_connected = false;
  bool is_consuming = true;
  std::string got;
  std::optional<CloseReason> closed;
  std::string failure;
};

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() : loop_(*runtime::Loop::Create()) {}

  ServerSettings Server() {
    return {.certificates = {ca_.Issue()},
            .client_certificate = ClientCertificate::kRequired,
            .verification = {.trusted_pem = {ca_.pem()}},
            .alpn = {"istio", "h2"}};
  }
  ClientSettings Client() {
    return {.certificate = ca_.Issue(),
            .verification = {.trusted_pem = {ca_.pem()},
                             .subject_alt_names = {{SanMatcher::Kind::kExact, kApp}}},
            .alpn = {"istio"},
            .server_name = "outbound_.80_._.app.default.svc.cluster.local"};
  }

  static void Pair(int type, Fd* a, Fd* b) {
    int fds[2];
    ASSERT_EQ(0, socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    a->Reset(fds[0]);
    b->Reset(fds[1]);
  }
  void Put(Side* side, Fd socket, std::unique_ptr<net::RecordLayer> records,
           std::string_view prefix = {}) {
    *side = Side();
    side->connection = std::make_unique<Connection>(
        *loop_, pool_, std::move(socket), std::move(records), net::ConnectionLimits{}, prefix);
    side->connection->SetCallbacks(side);
  }
  void Start(const std::shared_ptr<const ServerContext>& server,
             const std::shared_ptr<const ClientContext>& client) {
    Fd a, b;
    Pair(SOCK_STREAM, &a, &b);
    Put(&server_, std::move(a), server->NewSession());
    Put(&client_, std::move(b), client->NewSession());
  }
  void Start(const ServerSettings& server, const ClientSettings& client) {
    auto server_context = ServerContext::Build(server);
    auto client_context = ClientContext::Build(client);
    ASSERT_TRUE(server_context.ok()) << server_context.status();
    ASSERT_TRUE(client_context.ok()) << client_context.status();
    Start(*server_context, *client_context);
  }
  // `wait`: no event of ours comes while the peer alone has something to do.
  void RunUntil(const std::function<bool()>& done, Duration wait = milliseconds(200)) {
    for (int passes = 0; passes < 100'000 && !done(); ++passes) loop_->RunOnce(wait);
    EXPECT_TRUE(done());
  }
  void RunToConnected() {
    RunUntil([&] { return server_.is_connected && client_.is_connected; });
  }
  // TLS 1.3 clients finish before the server judges them: the verdict comes as a closed connection.
  void RunToClosed() {
    RunUntil([&] { return server_.closed.has_value() || client_.closed.has_value(); });
    for (int i = 0; i < 5; ++i) loop_->RunOnce(Duration::zero());
  }
  void Echo(std::string_view text) {
    client_.connection->output().Append(text);
    client_.connection->Flush();
    RunUntil([&] { return server_.got.size() >= text.size(); });
    EXPECT_EQ(text, server_.got);
    server_.got.clear();
  }

  std::unique_ptr<runtime::Loop> loop_;
  net::BlockPool pool_;
  CertificateAuthority ca_;
  Side server_, client_;
};

}  // namespace meltemi::tls::testing
