// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/client.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "lib/grpc/message.h"
#include "lib/http/connection.h"
#include "lib/net/listener_socket.h"

namespace meltemi::grpc {
namespace {

// A PING not answered in this time means that the peer or the path is dead.
constexpr Duration kPingTimeout = std::chrono::seconds(20);
// Requests are acknowledgements and identities: small. A peer that takes none stops us here.
constexpr size_t kUnsentBytesMax = 64 * 1024 * 1024;

std::string_view Text(http::ResetReason reason) {
  switch (reason) {
    case http::ResetReason::kConnectFailed:
      return "connection refused or unreachable";
    case http::ResetReason::kConnectTimeout:
      return "connecting timed out";
    case http::ResetReason::kTlsFailed:
      return "TLS handshake failed";
    case http::ResetReason::kRefused:
      return "the server refused the stream";
    case http::ResetReason::kRemoteReset:
      return "the server reset the stream or the connection was lost";
    case http::ResetReason::kConnectionClosed:
      return "connection lost";
    case http::ResetReason::kProtocolError:
      return "the server broke the protocol";
    case http::ResetReason::kOverload:
      return "the answer's head is too large";
    case http::ResetReason::kLocal:
      return "connection closed";
  }
  return "";
}

// A call; shared by its handle and, until the end of the pass, by whoever runs its callbacks.
class Call final : public http::StreamCallbacks {
 public:
  Call(runtime::Loop& loop, ClientCallHandler& handler, std::string peer, size_t message_bytes_max)
      : handler_(&handler),
        peer_(std::move(peer)),
        reader_(message_bytes_max),
        failure_(loop, [this] { End({kUnavailable, failure_text_}); }) {}

  void Start(http::ClientConnection& connection, const http::RequestHead& head) {
    stream_ = &connection.OpenStream(*this);
    stream_->SendRequest(head, false);
  }
  // Callbacks come only from the loop.
  void FailLater(std::string text) {
    failure_text_ = std::move(text);
    failure_.Arm(Duration(0));
  }

  void Send(std::string_view message) {
    if (handler_ == nullptr || is_half_closed_) return;
    if (unsent_.size() - sent_ + message.size() > kUnsentBytesMax) {
      return FailLater(fmt::format("{}: the server reads nothing", peer_));
    }
    unsent_.append(MessagePrefix(message.size()));
    unsent_.append(message);
    Pump();
  }
  void HalfClose() {
    if (std::exchange(is_half_closed_, true)) return;
    Pump();
  }
  void Abandon() {
    handler_ = nullptr;
    failure_.Disarm();
    if (http::ClientStream* const stream = std::exchange(stream_, nullptr)) {
      stream->Reset(http::ResetReason::kLocal);
    }
  }

 private:
  void OnHead(bool end_stream) override {
    const http::ResponseHead& head = stream_->response();
    CallStatus status = ReadStatus(head.headers);
    if (end_stream && status.code >= 0) return End(std::move(status));
    if (head.status != 200) {
      return End({CodeForHttp(head.status), fmt::format("{}: HTTP status {}", peer_, head.status)});
    }
    if (!head.headers.Get(http::HeaderId::kContentType).starts_with("application/grpc")) {
      return End({kUnknown, fmt::format("{}: the answer is not gRPC", peer_)});
    }
    if (end_stream) End({kUnknown, fmt::format("{}: answer without status", peer_)});
  }

  void OnBody() override {
    if (stream_ == nullptr) return;
    const std::string_view bytes = stream_->PeekBody();
    const bool ends = stream_->body_ended();
    const MessageReader::Verdict verdict = reader_.Take(bytes, [this](std::string_view message) {
      handler_->OnMessage(message);
      return handler_ != nullptr;
    });
    if (stream_ == nullptr || handler_ == nullptr) return;
    stream_->ConsumeBody(bytes.size());
    if (verdict == MessageReader::Verdict::kTooLarge) {
      return End({kResourceExhausted, fmt::format("{}: message too large", peer_)});
    }
    if (verdict == MessageReader::Verdict::kCompressed) {
      return End({kUnimplemented, fmt::format("{}: compressed message", peer_)});
    }
    if (!ends) return;
    CallStatus status{.code = -1, .message = ""};
    if (const http::HeaderMap* trailers = stream_->trailers()) status = ReadStatus(*trailers);
    if (status.code < 0) status = {kUnknown, fmt::format("{}: answer without status", peer_)};
    End(std::move(status));
  }

  void OnWritable() override { Pump(); }
  void OnReset(http::ResetReason reason) override {
    stream_ = nullptr;
    const bool is_size = reason == http::ResetReason::kOverload;
    const bool is_protocol = reason == http::ResetReason::kProtocolError;
    const int code = is_size ? kResourceExhausted : is_protocol ? kInternal : kUnavailable;
    End({code, fmt::format("{}: {}", peer_, Text(reason))});
  }
  void OnFinished() override { stream_ = nullptr; }

  void Pump() {
    if (stream_ == nullptr) return;
    const std::string_view rest = std::string_view(unsent_).substr(sent_);
    sent_ += stream_->SendBody(rest, is_half_closed_);
    if (sent_ < unsent_.size()) return;
    unsent_.clear();
    sent_ = 0;
  }

  // Last statement of whoever calls it.
  void End(CallStatus status) {
    ClientCallHandler* const handler = std::exchange(handler_, nullptr);
    failure_.Disarm();
    // What is left of the request interests nobody.
    if (http::ClientStream* const stream = std::exchange(stream_, nullptr)) {
      stream->Reset(http::ResetReason::kLocal);
    }
    if (handler != nullptr) handler->OnStatus(status);
  }

  ClientCallHandler* handler_;  // nullptr once the call is over
  const std::string peer_;
  http::ClientStream* stream_ = nullptr;
  MessageReader reader_;
  std::string unsent_;
  size_t sent_ = 0;
  runtime::Timer failure_;
  std::string failure_text_;
  bool is_half_closed_ = false;
};

class CallHandle final : public ClientCall {
 public:
  CallHandle(runtime::Loop& loop, std::shared_ptr<Call> call)
      : loop_(loop), call_(std::move(call)) {}
  ~CallHandle() override {
    call_->Abandon();
    loop_.DeferDelete(std::move(call_));
  }
  void Send(std::string_view message) override { call_->Send(message); }
  void HalfClose() override { call_->HalfClose(); }

 private:
  runtime::Loop& loop_;
  std::shared_ptr<Call> call_;
};

class ChannelCore;

// One connection; kept by the channel until it is gone.
class Link final : public http::ClientConnectionCallbacks {
 public:
  // `pool` is the connection's.
  Link(ChannelCore& channel, runtime::Loop& loop, std::shared_ptr<net::BlockPool> pool,
       std::unique_ptr<net::Connection> connection, const Target& target, Duration keepalive);

  bool is_usable() const { return is_usable_ && connection_->can_open(); }
  http::ClientConnection& connection() { return *connection_; }
  const std::string& peer() const { return peer_; }
  bool is_secure() const { return is_secure_; }
  bool is_ip() const { return is_ip_; }
  void Close() { connection_->Close(); }

  void OnConnected() override { is_connected_ = true; }
  void OnGoAway() override { is_usable_ = false; }
  void OnPingAnswered() override {
    is_waiting_ = false;
    Arm();
  }
  void OnConnectionClosed(net::CloseReason reason) override;

 private:
  void Arm() {
    if (keepalive_ > Duration(0)) timer_.Arm(keepalive_);
  }
  void OnTimer() {
    if (is_waiting_) return connection_->Close();
    const uint64_t received = connection_->connection().bytes_received();
    const bool is_quiet = received == std::exchange(received_, received);
    if (!is_connected_ || !is_quiet) return Arm();
    is_waiting_ = connection_->SendPing();
    timer_.Arm(kPingTimeout);
  }

  ChannelCore& channel_;
  const std::shared_ptr<net::BlockPool> pool_;
  const Duration keepalive_;
  const std::string peer_;
  const bool is_secure_, is_ip_;
  std::unique_ptr<http::ClientConnection> connection_;
  runtime::Timer timer_;
  uint64_t received_ = 0;
  bool is_usable_ = true;
  bool is_connected_ = false;
  bool is_waiting_ = false;  // for a PING's answer
};

// What a channel consists of; outlives its handle until the end of the pass, since a call's last
// callback may destroy the channel.
class ChannelCore final {
 public:
  ChannelCore(runtime::Loop& loop, TargetSource target, ChannelOptions options)
      : loop_(loop), target_(std::move(target)), options_(std::move(options)) {}

  runtime::Loop& loop() { return loop_; }
  // Every open call is abandoned: no callback comes any more.
  void Shutdown() {
    for (const auto& call : calls_) {
      if (const auto held = call.lock()) held->Abandon();
    }
    for (const auto& link : links_) link->Close();
  }

  std::unique_ptr<ClientCall> Start(const std::string& method,
                                    const std::multimap<std::string, std::string>& metadata,
                                    ClientCallHandler& handler) {
    const StatusOr<Link*> link = UsableLink();
    auto call = std::make_shared<Call>(loop_, handler, link.ok() ? (*link)->peer() : std::string(),
                                       options_.message_bytes_max);
    std::erase_if(calls_, [](const auto& one) { return one.expired(); });
    calls_.push_back(call);
    if (link.ok()) {
      Begin(**link, *call, method, metadata);
    } else {
      call->FailLater(std::string(Message(link.status())));
    }
    return std::make_unique<CallHandle>(loop_, std::move(call));
  }

  void Forget(Link& link) {
    const auto at = std::find_if(links_.begin(), links_.end(),
                                 [&](const auto& one) { return one.get() == &link; });
    if (at == links_.end()) return;
    loop_.DeferDelete(std::move(*at));
    links_.erase(at);
  }

 private:
  void Begin(Link& link, Call& call, const std::string& method,
             const std::multimap<std::string, std::string>& metadata) {
    Arena arena;
    http::RequestHead head(arena);
    const std::string authority = !options_.authority.empty() ? options_.authority
                                  : link.is_ip()              ? link.peer()
                                                              : "localhost";
    head.method = "POST";
    head.scheme = link.is_secure() ? "https" : "http";
    head.authority = authority;
    head.path = method;
    head.headers.AddBorrowed(http::HeaderId::kTe, "te", "trailers");
    head.headers.AddBorrowed(http::HeaderId::kContentType, "content-type", "application/grpc");
    head.headers.AddBorrowed(http::HeaderId::kUserAgent, "user-agent", "meltemi/" MELTEMI_VERSION);
    for (const auto& [name, value] : metadata) head.headers.Add(name, value);
    call.Start(link.connection(), head);
  }

  StatusOr<Link*> UsableLink() {
    for (const auto& link : links_) {
      if (link->is_usable()) return link.get();
    }
    MELTEMI_ASSIGN_OR_RETURN(const Target to, target_());
    MELTEMI_ASSIGN_OR_RETURN(Fd socket, net::StreamSocket(to.address.family()));
    auto connection = net::Connection::Connect(
        loop_, *pool_, std::move(socket), to.address, options_.connect_timeout,
        to.tls != nullptr ? to.tls->NewSession({"h2"}) : nullptr);
    links_.push_back(
        std::make_shared<Link>(*this, loop_, pool_, std::move(connection), to, options_.keepalive));
    return links_.back().get();
  }

  runtime::Loop& loop_;
  const TargetSource target_;
  const ChannelOptions options_;
  const std::shared_ptr<net::BlockPool> pool_ = std::make_shared<net::BlockPool>();
  std::vector<std::shared_ptr<Link>> links_;
  std::vector<std::weak_ptr<Call>> calls_;
};

class OneChannel final : public Channel {
 public:
  explicit OneChannel(std::shared_ptr<ChannelCore> core) : core_(std::move(core)) {}
  ~OneChannel() override {
    runtime::Loop& loop = core_->loop();
    core_->Shutdown();
    loop.DeferDelete(std::move(core_));
  }
  std::unique_ptr<ClientCall> Start(const std::string& method,
                                    const std::multimap<std::string, std::string>& metadata,
                                    ClientCallHandler& handler) override {
    return core_->Start(method, metadata, handler);
  }

 private:
  std::shared_ptr<ChannelCore> core_;
};

http::Limits ClientLimits() {
  http::Limits limits;
  // Configuration comes in answers of many megabytes; a window of 64 KiB would make them crawl.
  limits.stream_buffer_bytes = 1024 * 1024;
  limits.connection_window_bytes = 8 * 1024 * 1024;
  return limits;
}

Link::Link(ChannelCore& channel, runtime::Loop& loop, std::shared_ptr<net::BlockPool> pool,
           std::unique_ptr<net::Connection> connection, const Target& target, Duration keepalive)
    : channel_(channel),
      pool_(std::move(pool)),
      keepalive_(keepalive),
      peer_(target.address.text()),
      is_secure_(target.tls != nullptr),
      is_ip_(target.address.is_ip()),
      connection_(http::NewClientConnection(http::Protocol::kHttp2, std::move(connection), *this,
                                            ClientLimits())),
      timer_(loop, [this] { OnTimer(); }) {
  Arm();
}

void Link::OnConnectionClosed(net::CloseReason) {
  is_usable_ = false;
  timer_.Disarm();
  channel_.Forget(*this);
}

// One message each way.
class UnaryCall final : public ClientCall, private ClientCallHandler {
 public:
  using Done = std::function<void(CallStatus, std::string)>;
  UnaryCall(Channel& channel, const std::string& method,
            const std::multimap<std::string, std::string>& metadata, const std::string& request,
            Done done)
      : done_(std::move(done)), call_(channel.Start(method, metadata, *this)) {
    call_->Send(request);
    call_->HalfClose();
  }
  void Send(std::string_view) override {}
  void HalfClose() override {}

 private:
  void OnMessage(std::string_view message) override { response_ = message; }
  void OnStatus(const CallStatus& status) override {
    const Done done = std::move(done_);
    if (done) done(status, std::move(response_));
  }

  Done done_;
  std::string response_;
  std::unique_ptr<ClientCall> call_;
};

}  // namespace

std::unique_ptr<Channel> Channel::Create(runtime::Loop& loop, TargetSource target,
                                         ChannelOptions options) {
  return std::make_unique<OneChannel>(
      std::make_shared<ChannelCore>(loop, std::move(target), std::move(options)));
}

std::unique_ptr<Channel> Channel::Create(runtime::Loop& loop, const net::Address& to,
                                         ChannelOptions options) {
  return Create(
      loop, [to]() -> StatusOr<Target> { return Target{to, nullptr}; }, std::move(options));
}

std::unique_ptr<ClientCall> Unary(Channel& channel, const std::string& method,
                                  const std::multimap<std::string, std::string>& metadata,
                                  std::string request,
                                  std::function<void(CallStatus, std::string response)> done) {
  return std::make_unique<UnaryCall>(channel, method, metadata, request, std::move(done));
}

}  // namespace meltemi::grpc
