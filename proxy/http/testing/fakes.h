// SPDX-License-Identifier: Apache-2.0
// Streams, upstreams and a worker in memory, to drive exchanges without sockets. Callbacks are made
// by the test, as a codec makes them from the loop.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/http/stream.h"
#include "proxy/http/worker_http.h"
#include "proxy/upstream/upstream.h"
#include "proxy/worker.h"

namespace meltemi::proxy::testing {

template <typename Interface>
class FakeStream : public Interface {
 public:
  virtual ~FakeStream() = default;
  // -- what the test does
  void Receive(std::string_view bytes, bool is_last) {
    received += bytes;
    has_ended = has_ended || is_last;
    if (callbacks != nullptr) callbacks->OnBody();
  }

  // -- what the test sees
  std::string sent;
  bool is_sent_ended = false;
  bool is_reset = false;
  size_t room = std::string::npos;  // bytes SendBody still takes

  void SetCallbacks(http::StreamCallbacks* to) override { callbacks = to; }
  std::string_view PeekBody() const override { return received; }
  void ConsumeBody(size_t bytes) override { received.erase(0, bytes); }
  bool body_ended() const override { return has_ended; }
  const http::HeaderMap* trailers() const override {
    return has_ended ? received_trailers.get() : nullptr;
  }
  size_t SendBody(std::string_view bytes, bool end_stream) override {
    const size_t taken = std::min(bytes.size(), room);
    sent += bytes.substr(0, taken);
    if (room != std::string::npos) room -= taken;
    if (taken == bytes.size() && end_stream) is_sent_ended = true;
    return taken;
  }
  void SendTrailers(const http::HeaderMap& trailers) override {
    for (const auto& field : trailers.fields()) {
      sent_trailers += std::string(field.name) + "=" + std::string(field.value) + ";";
    }
    is_sent_ended = true;
  }
  void Reset(http::ResetReason) override { is_reset = true; }
  Arena& arena() override { return arena_; }
  net::Connection* connection() override { return nullptr; }

  Arena arena_;
  http::StreamCallbacks* callbacks = nullptr;
  std::string received;
  bool has_ended = false;
  std::unique_ptr<http::HeaderMap> received_trailers;
  std::string sent_trailers;
};

class FakeServerStream final : public FakeStream<http::ServerStream> {
 public:
  FakeServerStream() : head(arena_) {
    head.method = "GET";
    head.scheme = "http";
    head.authority = "a.example";
    head.path = "/";
  }
  http::RequestHead& request() override { return head; }
  void SendContinue() override { ++continues; }
  void SendInformational(const http::ResponseHead&) override {}
  void SendResponse(const http::ResponseHead& response, bool end_stream) override {
    status = response.status;
    for (const auto& field : response.headers.fields()) {
      headers.emplace_back(field.name, field.value);
    }
    is_sent_ended = is_sent_ended || end_stream;
  }
  std::string Header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }

  http::RequestHead head;
  int status = 0;
  int continues = 0;
  std::vector<std::pair<std::string, std::string>> headers;
};

class FakeClientStream final : public FakeStream<http::ClientStream> {
 public:
  FakeClientStream() : head(arena_) {}
  void SendRequest(const http::RequestHead& request, bool end_stream) override {
    method = request.method;
    authority = request.authority;
    path = request.path;
    for (const auto& field : request.headers.fields()) {
      headers.emplace_back(field.name, field.value);
    }
    is_sent_ended = is_sent_ended || end_stream;
  }
  http::ResponseHead& response() override { return head; }
  void Respond(int status, bool end_stream) {
    head.status = status;
    has_ended = has_ended || end_stream;
    callbacks->OnHead(end_stream);
  }
  std::string Header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }

  http::ResponseHead head;
  std::string method, authority, path;
  std::vector<std::pair<std::string, std::string>> headers;
};

class FakeHost final : public Host, public ActiveRequest::Owner {
 public:
  explicit FakeHost(ClusterInfo& cluster) : cluster_(cluster) {
    facts.address = net::Address::Ipv4(0x7f000001, 8080);
  }
  const HostInfo& info() const override { return facts; }
  void Report(int status) override { reports.push_back(status); }
  Host& host() override { return *this; }
  const ClusterInfo& cluster() const override { return cluster_; }
  void Release() override { --active; }

  HostInfo facts;
  std::vector<int> reports;
  int active = 0;

 private:
  ClusterInfo& cluster_;
};

// One cluster, id 0. Each open is answered by the next of `failures`, or by a new stream.
class FakeUpstreams final : public Upstreams {
 public:
  FakeUpstreams() : host(cluster) { cluster.name = "c"; }
  ClusterId Find(std::string_view name) const override { return name == "c" ? 0 : kNoId; }
  const ClusterInfo* Info(ClusterId id) const override { return id == 0 ? &cluster : nullptr; }
  std::unique_ptr<PendingOpen> OpenStream(ClusterId, const PickContext& context,
                                          http::StreamCallbacks& stream,
                                          StreamOpenCallbacks& callbacks) override {
    avoided.push_back(context.avoid.size());
    hash = context.has_hash ? context.hash : 0;
    if (!failures.empty()) {
      const OpenFailureInfo failure{failures.front(), &host, detail};
      failures.pop_front();
      callbacks.OnStreamFailure(failure);
      return nullptr;
    }
    streams.push_back(std::make_unique<FakeClientStream>());
    streams.back()->SetCallbacks(&stream);
    ++host.active;
    callbacks.OnStreamReady(*streams.back(), ActiveRequest(&host));
    return nullptr;
  }
  std::unique_ptr<PendingOpen> OpenTcp(ClusterId, const PickContext&, TcpOpenCallbacks&) override {
    return nullptr;
  }
  bool BeginRetry(ClusterId) override {
    if (retries_allowed == 0) return false;
    --retries_allowed;
    ++retries_active;
    return true;
  }
  void EndRetry(ClusterId) override {
    ++retries_allowed;
    --retries_active;
  }
  FakeClientStream& last() { return *streams.back(); }

  ClusterInfo cluster;
  FakeHost host;
  std::deque<OpenFailure> failures;
  std::string detail;
  std::vector<std::unique_ptr<FakeClientStream>> streams;
  std::vector<size_t> avoided;
  uint64_t hash = 0;
  int retries_allowed = 3;
  int retries_active = 0;
};

class FakeWorker final : public Worker {
 public:
  FakeWorker() : loop_(*runtime::Loop::Create()), random_(1) {}
  uint32_t index() const override { return 0; }
  runtime::Loop& loop() override { return *loop_; }
  net::BlockPool& blocks() override { return blocks_; }
  Upstreams& upstreams() override { return fake_upstreams; }
  WorkerHttp& http() override { return http_; }
  Random& random() override { return random_; }
  const Clock& clock() const override { return RealClock(); }
  const std::shared_ptr<const Snapshot>& snapshot() const override { return snapshot_; }
  void End(ActiveConnection&) override {}
  telemetry::Recorder* recorder() override { return fake_recorder; }
  telemetry::Recorder* fake_recorder = nullptr;

  FakeUpstreams fake_upstreams;

 private:
  std::unique_ptr<runtime::Loop> loop_;
  net::BlockPool blocks_;
  Random random_;
  std::shared_ptr<const Snapshot> snapshot_;
  WorkerHttp http_{*this};
};

}  // namespace meltemi::proxy::testing
