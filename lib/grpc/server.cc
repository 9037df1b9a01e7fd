// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/server.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "fmt/format.h"
#include "lib/grpc/message.h"
#include "lib/http/connection.h"
#include "lib/net/listener_socket.h"

namespace meltemi::grpc {
namespace {

constexpr size_t kLowWatermarkBytes = 64 * 1024;
// Proxies hold one connection each; ten thousand of them are in scope.
constexpr size_t kConnectionsMax = 32'768;
constexpr uint32_t kStreamsMax = 1000;  // per connection

class Peer;

// One call: queue of slices outwards, messages inwards.
class Call final : public ServerCall, public http::StreamCallbacks {
 public:
  Call(Peer& peer, http::ServerStream& stream, const ServerOptions& options)
      : peer_(&peer), stream_(&stream), reader_(options.message_bytes_max) {}

  // ServerCall
  const PeerInfo& peer() const override { return info_; }
  bool Send(std::vector<Slice> message) override;
  size_t queued_bytes() const override { return queued_bytes_; }
  void Finish(CallStatus status) override;

  // StreamCallbacks
  void OnHead(bool end_stream) override;
  void OnBody() override;
  void OnWritable() override;
  void OnReset(http::ResetReason) override { Leave(); }
  void OnFinished() override { Leave(); }

  // The stream is gone.
  void Leave();

 private:
  void DescribePeer();
  void SendHead(const CallStatus* status);
  void Pump();

  Peer* peer_;
  http::ServerStream* stream_;
  PeerInfo info_;
  MessageReader reader_;
  std::unique_ptr<CallHandler> handler_;
  std::deque<Slice> queue_;
  size_t front_sent_ = 0;  // bytes of the first slice that have gone
  size_t queued_bytes_ = 0;
  CallStatus status_;
  bool was_high_ = false;
  bool is_head_sent_ = false;
  bool is_finished_ = false;  // Finish was called
  bool is_client_done_ = false;
};

class ListeningServer;

class Peer final : public http::ServerConnectionCallbacks {
 public:
  Peer(ListeningServer& server, std::shared_ptr<net::BlockPool> pool, Fd socket,
       std::unique_ptr<net::RecordLayer> records);
  ~Peer();
  void OnStream(http::ServerStream& stream) override;
  void OnConnectionClosed() override;
  void Drain() { connection_->Drain(); }
  ListeningServer& server() { return server_; }
  void Remove(Call& call);

 private:
  ListeningServer& server_;
  const std::shared_ptr<net::BlockPool> pool_;
  std::unique_ptr<http::ServerConnection> connection_;
  std::vector<std::shared_ptr<Call>> calls_;
};

class ListeningServer final : public Server {
 public:
  ListeningServer(runtime::Loop& loop, MethodTable methods, ServerOptions options)
      : loop_(loop), methods_(std::move(methods)), options_(std::move(options)) {}

  Status Open(const net::Address& address) {
    MELTEMI_ASSIGN_OR_RETURN(Fd socket, net::Listen(address));
    MELTEMI_ASSIGN_OR_RETURN(address_, net::BoundAddress(socket.get()));
    MELTEMI_ASSIGN_OR_RETURN(
        acceptor_,
        net::Acceptor::Create(loop_, std::move(socket), [this](Fd accepted, const net::Address&) {
          Accept(std::move(accepted));
        }));
    return absl::OkStatus();
  }

  const net::Address& address() const override { return address_; }
  void Drain() override {
    acceptor_.reset();
    for (const auto& peer : peers_) peer->Drain();
  }
  runtime::Loop& loop() { return loop_; }
  const MethodTable& methods() const { return methods_; }
  const ServerOptions& options() const { return options_; }

  void Remove(Peer& peer) {
    const auto at = std::find_if(peers_.begin(), peers_.end(),
                                 [&](const auto& one) { return one.get() == &peer; });
    if (at == peers_.end()) return;
    loop_.DeferDelete(std::move(*at));
    *at = std::move(peers_.back());
    peers_.pop_back();
  }

 private:
  void Accept(Fd socket) {
    if (peers_.size() >= kConnectionsMax) return;
    const auto tls = options_.tls_source ? options_.tls_source() : options_.tls;
    // A server whose certificate has not come yet must not fall back to plain text.
    if (options_.tls_source && tls == nullptr) return;
    peers_.push_back(std::make_shared<Peer>(*this, pool_, std::move(socket),
                                            tls != nullptr ? tls->NewSession() : nullptr));
  }

  runtime::Loop& loop_;
  const MethodTable methods_;
  const ServerOptions options_;
  const std::shared_ptr<net::BlockPool> pool_ = std::make_shared<net::BlockPool>();
  net::Address address_;
  std::unique_ptr<net::Acceptor> acceptor_;
  std::vector<std::shared_ptr<Peer>> peers_;
};

// -- peer

Peer::Peer(ListeningServer& server, std::shared_ptr<net::BlockPool> pool, Fd socket,
           std::unique_ptr<net::RecordLayer> records)
    : server_(server), pool_(std::move(pool)) {
  http::Limits limits;
  limits.streams_max = kStreamsMax;
  connection_ =
      http::NewServerConnection(http::Protocol::kHttp2,
                                std::make_unique<net::Connection>(
                                    server.loop(), *pool_, std::move(socket), std::move(records)),
                                *this, limits);
}

Peer::~Peer() {
  const auto left = std::move(calls_);
  calls_.clear();
  for (const auto& call : left) call->Leave();
}

void Peer::OnStream(http::ServerStream& stream) {
  calls_.push_back(std::make_shared<Call>(*this, stream, server_.options()));
  stream.SetCallbacks(calls_.back().get());
}

void Peer::OnConnectionClosed() {
  server_.Remove(*this);
}

void Peer::Remove(Call& call) {
  const auto at = std::find_if(calls_.begin(), calls_.end(),
                               [&](const auto& one) { return one.get() == &call; });
  if (at == calls_.end()) return;
  server_.loop().DeferDelete(std::move(*at));
  *at = std::move(calls_.back());
  calls_.pop_back();
}

// -- call

void Call::DescribePeer() {
  net::Connection& connection = *stream_->connection();
  info_.remote = connection.remote_address();
  if (const net::TlsPeer* tls = connection.tls_peer()) {
    info_.is_tls = true;
    info_.uri_san = tls->uri_san;
  }
  for (const http::HeaderField& field : stream_->request().headers.fields()) {
    info_.metadata.emplace(field.name, field.value);
  }
}

void Call::OnHead(bool end_stream) {
  const http::RequestHead& request = stream_->request();
  const std::string_view type = request.headers.Get(http::HeaderId::kContentType);
  if (request.method != "POST" || !type.starts_with("application/grpc")) {
    is_finished_ = is_head_sent_ = true;
    http::ResponseHead head(stream_->arena());
    head.status = 415;
    stream_->SendResponse(head, true);
    return;
  }
  DescribePeer();
  const MethodTable& methods = peer_->server().methods();
  const auto method = methods.find(std::string(request.path));
  if (method == methods.end()) {
    return Finish({kUnimplemented, fmt::format("unknown method {}", request.path)});
  }
  handler_ = method->second(*this);
  if (handler_ == nullptr && !is_finished_) Finish({kInternal, "the method cannot be served"});
  if (end_stream && !is_finished_) {
    is_client_done_ = true;
    handler_->OnClientDone();
  }
}

void Call::OnBody() {
  const std::string_view bytes = stream_->PeekBody();
  const bool ends = stream_->body_ended();
  if (is_finished_) return stream_->ConsumeBody(bytes.size());
  const MessageReader::Verdict verdict = reader_.Take(bytes, [this](std::string_view message) {
    handler_->OnMessage(message);
    return !is_finished_ && stream_ != nullptr;
  });
  if (stream_ == nullptr) return;
  stream_->ConsumeBody(bytes.size());
  if (verdict == MessageReader::Verdict::kTooLarge) {
    Finish({kResourceExhausted, "message larger than this server takes"});
  } else if (verdict == MessageReader::Verdict::kCompressed) {
    Finish({kUnimplemented,
            "compressed messages are not supported; send them with identity encoding"});
  }
  if (is_finished_ || !ends || std::exchange(is_client_done_, true)) return;
  if (!reader_.is_between_messages())
    return Finish({kInternal, "the request ends within a message"});
  handler_->OnClientDone();
}

void Call::SendHead(const CallStatus* status) {
  is_head_sent_ = true;
  http::ResponseHead head(stream_->arena());
  head.status = 200;
  head.headers.AddBorrowed(http::HeaderId::kContentType, "content-type", "application/grpc");
  if (status != nullptr) AddStatus(*status, head.headers);
  stream_->SendResponse(head, status != nullptr);
}

bool Call::Send(std::vector<Slice> message) {
  if (stream_ == nullptr || is_finished_) return false;
  size_t bytes = 0;
  for (const Slice& slice : message) bytes += slice->size();
  queue_.push_back(std::make_shared<const std::string>(MessagePrefix(bytes)));
  queued_bytes_ += kPrefixBytes + bytes;
  for (Slice& slice : message) {
    if (!slice->empty()) queue_.push_back(std::move(slice));
  }
  if (!is_head_sent_) SendHead(nullptr);
  Pump();
  was_high_ |= queued_bytes_ > kLowWatermarkBytes;
  return true;
}

void Call::Pump() {
  if (stream_ == nullptr) return;
  while (!queue_.empty()) {
    const std::string_view rest = std::string_view(*queue_.front()).substr(front_sent_);
    const size_t taken = stream_->SendBody(rest, false);
    queued_bytes_ -= taken;
    front_sent_ += taken;
    if (taken < rest.size()) return;
    queue_.pop_front();
    front_sent_ = 0;
  }
  if (!is_finished_) return;
  http::HeaderMap trailers(stream_->arena());
  AddStatus(status_, trailers);
  stream_->SendTrailers(trailers);
}

void Call::Finish(CallStatus status) {
  if (stream_ == nullptr || std::exchange(is_finished_, true)) return;
  status_ = std::move(status);
  // With nothing sent yet, head and trailers are one (Trailers-Only).
  if (!is_head_sent_) return SendHead(&status_);
  if (queue_.empty()) Pump();
}

void Call::OnWritable() {
  Pump();
  if (!was_high_ || queued_bytes_ > kLowWatermarkBytes) return;
  was_high_ = false;
  if (!is_finished_ && handler_ != nullptr) handler_->OnDrained();
}

void Call::Leave() {
  if (stream_ == nullptr) return;
  stream_ = nullptr;
  queue_.clear();
  queued_bytes_ = 0;
  if (!std::exchange(is_finished_, true) && handler_ != nullptr) handler_->OnEnd();
  peer_->Remove(*this);
}

}  // namespace

StatusOr<std::unique_ptr<Server>> Server::Listen(runtime::Loop& loop, const net::Address& address,
                                                 MethodTable methods, ServerOptions options) {
  auto server = std::make_unique<ListeningServer>(loop, std::move(methods), std::move(options));
  MELTEMI_RETURN_IF_ERROR(WithContext(server->Open(address), "listening on " + address.text()));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace meltemi::grpc
