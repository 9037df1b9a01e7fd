// SPDX-License-Identifier: Apache-2.0
// A request after warm-up must not touch the heap. Counts every operator new of this program.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "proxy/http/exchange.h"
#include "proxy/http/http_date.h"
#include "proxy/http/mirror.h"
#include "proxy/http/testing/fakes.h"

namespace {
std::atomic<size_t> allocations = 0;

void* Count(size_t bytes) {
  ++allocations;
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(size_t bytes) {
  return Count(bytes);
}
void* operator new[](size_t bytes) {
  return Count(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}

namespace meltemi::proxy {
namespace {

// Streams as a codec keeps them: used again, with an arena and a header map that keep their memory.
template <typename Interface>
class QuietStream : public Interface {
 public:
  virtual ~QuietStream() = default;
  void SetCallbacks(http::StreamCallbacks* to) override { callbacks = to; }
  std::string_view PeekBody() const override { return body; }
  void ConsumeBody(size_t bytes) override { body.remove_prefix(bytes); }
  bool body_ended() const override { return true; }
  const http::HeaderMap* trailers() const override { return nullptr; }
  size_t SendBody(std::string_view bytes, bool) override { return bytes.size(); }
  void SendTrailers(const http::HeaderMap&) override {}
  void Reset(http::ResetReason) override {}
  Arena& arena() override { return arena_; }
  net::Connection* connection() override { return nullptr; }

  Arena arena_;
  http::StreamCallbacks* callbacks = nullptr;
  std::string_view body;
};

class QuietServerStream final : public QuietStream<http::ServerStream> {
 public:
  http::RequestHead& request() override { return head; }
  void SendContinue() override {}
  void SendInformational(const http::ResponseHead&) override {}
  void SendResponse(const http::ResponseHead& response, bool) override { status = response.status; }
  void Receive() {
    arena_.Reset();
    head.headers.Clear();
    head.method = "GET";
    head.authority = "reviews.default.svc.cluster.local:9080";
    head.path = "/reviews/0";
    head.headers.Add(http::HeaderId::kUserAgent, "curl/8");
    head.headers.Add(http::HeaderId::kAccept, "*/*");
    head.headers.Add("x-custom", "value");
  }
  http::RequestHead head{arena_};
  int status = 0;
};

class QuietClientStream final : public QuietStream<http::ClientStream> {
 public:
  void SendRequest(const http::RequestHead&, bool) override {}
  http::ResponseHead& response() override { return head; }
  http::ResponseHead head{arena_};
};

class QuietUpstreams final : public Upstreams {
 public:
  ClusterId Find(std::string_view) const override { return 0; }
  const ClusterInfo* Info(ClusterId) const override { return &cluster; }
  std::unique_ptr<PendingOpen> OpenStream(ClusterId, const PickContext&,
                                          http::StreamCallbacks& callbacks,
                                          StreamOpenCallbacks& open) override {
    stream.callbacks = &callbacks;
    open.OnStreamReady(stream, ActiveRequest(&host));
    return nullptr;
  }
  std::unique_ptr<PendingOpen> OpenTcp(ClusterId, const PickContext&, TcpOpenCallbacks&) override {
    return nullptr;
  }
  bool BeginRetry(ClusterId) override { return true; }
  void EndRetry(ClusterId) override {}

  class QuietHost final : public Host, public ActiveRequest::Owner {
   public:
    explicit QuietHost(ClusterInfo& cluster) : cluster_(cluster) {}
    const HostInfo& info() const override { return facts; }
    void Report(int) override {}
    Host& host() override { return *this; }
    const ClusterInfo& cluster() const override { return cluster_; }
    void Release() override {}
    HostInfo facts;

   private:
    ClusterInfo& cluster_;
  };
  ClusterInfo cluster;
  QuietHost host{cluster};
  QuietClientStream stream;
};

class QuietWorker final : public Worker {
 public:
  uint32_t index() const override { return 0; }
  runtime::Loop& loop() override { return *loop_; }
  net::BlockPool& blocks() override { return blocks_; }
  Upstreams& upstreams() override { return upstreams_; }
  Random& random() override { return random_; }
  const Clock& clock() const override { return RealClock(); }
  const std::shared_ptr<const Snapshot>& snapshot() const override { return snapshot_; }
  void End(ActiveConnection&) override {}
  telemetry::Recorder* recorder() override { return nullptr; }
  QuietUpstreams upstreams_;

 private:
  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  net::BlockPool blocks_;
  Random random_{1};
  std::shared_ptr<const Snapshot> snapshot_;
};

class QuietOwner final : public ExchangeOwner {
 public:
  QuietOwner() {
    routing::VirtualHost host;
    host.name = "reviews.default.svc.cluster.local:9080";
    host.domains = {"reviews.default.svc.cluster.local"};
    host.adds_attempt_count = true;
    routing::Route route;
    route.path.text = "/";
    routing::ForwardAction action;
    action.cluster = {"c", 0};
    action.timeout = Duration(0);
    routing::RetryPolicy policy =
        *routing::ParseRetryOn("connect-failure,refused-stream,unavailable,cancelled,503");
    policy.retries_max = 2;
    policy.avoids_previous_hosts = true;
    action.retry = std::make_shared<const routing::RetryPolicy>(policy);
    route.action = action;
    host.routes = {route};
    routing::RouteOptions route_options;
    route_options.ignores_port = true;
    auto pin = std::make_shared<RoutePin>();
    pin->routes =
        std::make_shared<const HttpRoutes>(*routing::RouteTable::Build(route_options, {host}));
    pin_ = pin;
    options_.normalizes_path = true;
    facts_.remote_ip = "10.0.0.9";
  }
  Worker& worker() override { return worker_; }
  const HttpOptions& options() const override { return options_; }
  const DownstreamFacts& downstream() override { return facts_; }
  const std::shared_ptr<const RoutePin>& pin() override { return pin_; }
  HttpDate& date() override { return date_; }
  HttpStats& stats() override { return stats_; }
  bool ShedsRequest() override { return false; }
  std::shared_ptr<MirrorStream> StartMirror(const StreamInfo&, const routing::Mirror&,
                                            bool) override {
    return nullptr;
  }
  void OnExchangeOver(Exchange&) override { ++over; }
  void EndWithResponse() override {}

  QuietWorker worker_;
  HttpOptions options_;
  DownstreamFacts facts_;
  std::shared_ptr<const RoutePin> pin_;
  HttpDate date_;
  HttpStats stats_{nullptr, nullptr, ""};
  int over = 0;
};

void RunOne(QuietOwner& owner, Exchange& exchange, QuietServerStream& down) {
  QuietClientStream& up = owner.worker_.upstreams_.stream;
  down.Receive();
  exchange.Begin(down);
  down.callbacks->OnHead(true);
  up.arena_.Reset();
  up.head.headers.Clear();
  up.head.status = 200;
  up.head.headers.Add(http::HeaderId::kContentType, "application/json");
  up.body = "{\"id\": 0}";
  up.callbacks->OnHead(false);
  up.callbacks->OnFinished();
  down.callbacks->OnFinished();
}

TEST(ExchangeHeap, IsNotTouchedByARequestAfterWarmUp) {
  QuietOwner owner;
  Exchange exchange(owner);
  QuietServerStream down;
  for (int i = 0; i < 10; ++i) RunOne(owner, exchange, down);
  const size_t before = allocations;
  constexpr int kRequests = 100'000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRequests; ++i) RunOne(owner, exchange, down);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(allocations - before, 0U);
  EXPECT_EQ(owner.over, kRequests + 10);
  EXPECT_EQ(down.status, 200);
  RecordProperty("nanoseconds_per_request", static_cast<int>(took.count() / kRequests));
  std::printf("%.0f ns per request, codec and sockets apart\n", took.count() / kRequests);
}

}  // namespace
}  // namespace meltemi::proxy
