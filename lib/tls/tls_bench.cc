// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>
#include <sys/socket.h>

#include "lib/net/connection.h"
#include "lib/tls/context.h"
#include "lib/tls/testing/certificates.h"

namespace meltemi::tls {
namespace {

struct Side final : net::ConnectionCallbacks {
  void OnConnected() override { is_connected = true; }
  void OnInput() override {
    got += connection->input().size();
    if (is_echoing) {
      connection->output().Append(connection->input().view());
      connection->Flush();
    }
    connection->input().Consume(connection->input().size());
  }
  void OnClosed(net::CloseReason) override {}
  std::unique_ptr<net::Connection> connection;
  bool is_connected = false;
  bool is_echoing = false;
  size_t got = 0;
};

struct Mesh {
  explicit Mesh(bool is_resuming = false) : loop(*runtime::Loop::Create()) {
    const testing::CertificateAuthority ca;
    server = *ServerContext::Build({.certificates = {ca.Issue()},
                                    .client_certificate = ClientCertificate::kRequired,
                                    .verification = {.trusted_pem = {ca.pem()}},
                                    .alpn = {"istio"},
                                    .tickets = is_resuming ? 2 : 0});
    client = *ClientContext::Build({.certificate = ca.Issue(),
                                    .verification = {.trusted_pem = {ca.pem()}},
                                    .alpn = {"istio"},
                                    .server_name = "app.test"});
  }
  void Connect(bool is_plain) {
    int fds[2];
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
    for (Side* side : {&a, &b}) {
      *side = Side();
      std::unique_ptr<net::RecordLayer> records;
      if (!is_plain) records = side == &a ? client->NewSession() : server->NewSession();
      side->connection =
          std::make_unique<net::Connection>(*loop, pool, Fd(fds[side == &b]), std::move(records));
      side->connection->SetCallbacks(side);
    }
    while (!is_plain && !(a.is_connected && b.is_connected)) loop->RunOnce(Duration::zero());
  }
  std::unique_ptr<runtime::Loop> loop;
  net::BlockPool pool;
  std::shared_ptr<const ServerContext> server;
  std::shared_ptr<const ClientContext> client;
  Side a, b;
};

// Both sides of a mutual handshake with P-256 certificates.
void Handshake(benchmark::State& state) {
  Mesh mesh(state.range(0) == 1);
  mesh.Connect(false);
  for (auto _ : state) {
    mesh.Connect(false);
    if (state.range(0) == 0) continue;
    // Takes in the tickets.
    mesh.b.connection->output().Append("x");
    mesh.b.connection->Flush();
    while (mesh.a.got == 0) mesh.loop->RunOnce(Duration::zero());
  }
}
BENCHMARK(Handshake)->ArgName("resumed")->Arg(0)->Arg(1);

// One message there and back, both sides on one thread: four system calls for reads and writes and
// the waits.
void PingPong(benchmark::State& state) {
  Mesh mesh;
  mesh.Connect(state.range(0) == 0);
  mesh.b.is_echoing = true;
  const std::string message(state.range(1), 'm');
  size_t expected = 0;
  for (auto _ : state) {
    mesh.a.connection->output().Append(message);
    mesh.a.connection->Flush();
    expected += message.size();
    while (mesh.a.got < expected) mesh.loop->RunOnce(Duration::zero());
  }
  state.SetBytesProcessed(2 * expected);
}
BENCHMARK(PingPong)->ArgNames({"tls", "bytes"})->ArgsProduct({{0, 1}, {256, 16384, 262144}});

void TimerRearm(benchmark::State& state) {
  auto loop = *runtime::Loop::Create();
  runtime::Timer timer(*loop, [] {});
  int64_t after = 0;
  for (auto _ : state) timer.Arm(std::chrono::milliseconds(1 + (after += 97) % 15'000));
}
BENCHMARK(TimerRearm);

}  // namespace
}  // namespace meltemi::tls
