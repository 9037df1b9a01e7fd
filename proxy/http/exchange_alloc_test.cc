// SPDX-License-Identifier: Apache-2.0
// A request after warm-up must not touch the heap, and a connection without one holds little of it.
// Counts every operator new of this program.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "proxy/http/exchange.h"
#include "proxy/http/http_connection.h"
#include "proxy/http/http_date.h"
#include "proxy/http/mirror.h"
#include "proxy/http/testing/fakes.h"

namespace {
std::atomic<size_t> allocations = 0;
std::atomic<size_t> held_bytes = 0;  // with what malloc adds to each

size_t BytesOf(void* memory) {
  return memory == nullptr ? 0 : malloc_usable_size(memory) + sizeof(size_t);
}

void* Count(size_t bytes) {
  ++allocations;
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  held_bytes += BytesOf(memory);
  return memory;
}

void Free(void* memory) {
  held_bytes -= BytesOf(memory);
  std::free(memory);
}
}  // namespace

void* operator new(size_t bytes) {
  return Count(bytes);
}
void* operator new[](size_t bytes) {
  return Count(bytes);
}
void operator delete(void* memory) noexcept {
  Free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  Free(memory);
}
void operator delete[](void* memory) noexcept {
  Free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  Free(memory);
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
  WorkerHttp& http() override { return http_; }
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
  WorkerHttp http_{*this};
};

std::shared_ptr<const HttpRoutes> Routes() {
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
  return std::make_shared<const HttpRoutes>(*routing::RouteTable::Build(route_options, {host}));
}

class QuietOwner final : public ExchangeOwner {
 public:
  QuietOwner() {
    auto pin = std::make_shared<RoutePin>();
    pin->routes = Routes();
    pin_ = pin;
    options_.normalizes_path = true;
    facts_.remote = net::Address::Ipv4(0x0a000009, 1234);
  }
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
  void OnExchangeOver(Exchange&) override {
    ++over;
    worker_.http().GiveExchange(std::move(exchange_));
  }
  void Begin(http::ServerStream& stream) {
    exchange_ = worker_.http().TakeExchange();
    exchange_->Begin(*this, stream);
  }
  void EndWithResponse() override {}

  QuietWorker worker_;
  HttpOptions options_;
  DownstreamFacts facts_;
  std::shared_ptr<const RoutePin> pin_;
  HttpDate date_;
  HttpStats stats_{nullptr, nullptr, ""};
  std::unique_ptr<Exchange> exchange_;
  int over = 0;
};

// Each request gets its exchange from the worker, as on a connection that was idle.
void RunOne(QuietOwner& owner, QuietServerStream& down) {
  QuietClientStream& up = owner.worker_.upstreams_.stream;
  down.Receive();
  owner.Begin(down);
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
  QuietServerStream down;
  for (int i = 0; i < 10; ++i) RunOne(owner, down);
  const size_t before = allocations;
  constexpr int kRequests = 100'000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRequests; ++i) RunOne(owner, down);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(allocations - before, 0U);
  EXPECT_EQ(owner.over, kRequests + 10);
  EXPECT_EQ(down.status, 200);
  RecordProperty("nanoseconds_per_request", static_cast<int>(took.count() / kRequests));
  std::printf("%.0f ns per request, codec and sockets apart\n", took.count() / kRequests);
}

// A client on a socket pair that has asked once and stays.
class Visitor {
 public:
  Visitor(QuietWorker& worker, const HttpOptions& options) : worker_(worker) {
    int fds[2];
    EXPECT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    peer_ = Fd(fds[1]);
    AcceptedConnection accepted;
    accepted.connection =
        std::make_unique<net::Connection>(worker.loop(), worker.blocks(), Fd(fds[0]), nullptr);
    accepted.remote = accepted.direct_remote = net::Address::Ipv4(0x0a000009, 1234);
    accepted.original_destination = net::Address::Ipv4(0x0a000001, 9080);
    connection_ = std::make_unique<HttpConnection>(worker, options, stats_, std::move(accepted));
  }
  void Ask() {
    constexpr std::string_view kRequest =
        "GET / HTTP/1.1\r\nhost: reviews.default.svc.cluster.local:9080\r\n\r\n";
    ASSERT_EQ(write(peer_.get(), kRequest.data(), kRequest.size()), ssize_t{kRequest.size()});
    QuietClientStream& up = worker_.upstreams_.stream;
    up.callbacks = nullptr;
    while (up.callbacks == nullptr) worker_.loop().RunOnce(std::chrono::seconds(1));
    up.head.status = 200;
    up.callbacks->OnHead(true);
    up.callbacks->OnFinished();
    char answer[4096];
    while (read(peer_.get(), answer, sizeof answer) <= 0) {
      worker_.loop().RunOnce(std::chrono::seconds(1));
    }
    worker_.loop().RunOnce(Duration(0));
  }

 private:
  QuietWorker& worker_;
  HttpStats stats_{nullptr, nullptr, ""};
  Fd peer_;
  std::unique_ptr<HttpConnection> connection_;
};

// The goal is 1 KiB in all; the rest is the worker's: its tables of connections and descriptors.
TEST(IdleConnectionHeap, IsSmall) {
  constexpr size_t kBytesMax = 960;
  constexpr size_t kConnections = 100;
  QuietWorker worker;
  HttpOptions options;
  options.inline_routes = Routes();
  std::vector<std::unique_ptr<Visitor>> visitors;
  visitors.reserve(kConnections + 1);
  size_t before = 0;
  for (size_t i = 0; i <= kConnections; ++i) {
    if (i == 1) before = held_bytes;
    visitors.push_back(std::make_unique<Visitor>(worker, options));
    visitors.back()->Ask();
  }
  const size_t each = (held_bytes - before) / kConnections - sizeof(Visitor) - 2 * sizeof(size_t);
  RecordProperty("bytes_per_idle_connection", static_cast<int>(each));
  std::printf("%zu bytes per idle connection\n", each);
  EXPECT_LE(each, kBytesMax);
}

}  // namespace
}  // namespace meltemi::proxy
