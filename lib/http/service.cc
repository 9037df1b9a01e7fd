// SPDX-License-Identifier: Apache-2.0
#include "lib/http/service.h"

#include <algorithm>
#include <utility>

#include "lib/net/listener_socket.h"

namespace meltemi::http {
namespace {

// A client that asks nothing for this long, or needs this long for one head, is let go.
constexpr Duration kIdleTimeout = std::chrono::seconds(60);
constexpr Duration kDrainTimeout = std::chrono::seconds(5);
constexpr size_t kConnectionsMax = 4096;

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// What is no valid escape stays as it is.
std::string PercentDecode(std::string_view text, bool is_query) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? HexValue(text[i + 1]) : -1;
    const int low = high >= 0 ? HexValue(text[i + 2]) : -1;
    if (low >= 0) {
      decoded.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      decoded.push_back(is_query && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return decoded;
}

std::multimap<std::string, std::string> ParseQuery(std::string_view query) {
  std::multimap<std::string, std::string> parsed;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    parsed.emplace(PercentDecode(pair.substr(0, equals), true),
                   PercentDecode(pair.substr(std::min(equals + 1, pair.size())), true));
  }
  return parsed;
}

ServiceRequest Describe(const RequestHead& head, net::Connection& connection) {
  ServiceRequest request;
  request.method = head.method;
  const size_t query = std::min(head.path.find('?'), head.path.size());
  request.path = PercentDecode(head.path.substr(0, query), false);
  request.query = ParseQuery(head.path.substr(std::min(query + 1, head.path.size())));
  for (const HeaderField& field : head.headers.fields()) {
    request.headers.emplace(field.name, field.value);
  }
  request.authority = head.authority;
  request.remote = connection.remote_address();
  if (const net::TlsPeer* peer = connection.tls_peer()) request.peer_uri_san = peer->uri_san;
  return request;
}

class ServiceConnection;

// Outlives the service for as long as a connection of it stands on the stack.
struct ServiceState {
  const ServiceHandler handler;
  const ServiceOptions options;
  net::BlockPool pool{};
};

// One request and its answer. The handler may keep it longer than the stream lives.
class ServiceExchange final : public Responder,
                              public StreamCallbacks,
                              public std::enable_shared_from_this<ServiceExchange> {
 public:
  ServiceExchange(ServiceConnection& owner, ServerStream& stream,
                  std::shared_ptr<const ServiceState> state)
      : owner_(&owner), stream_(&stream), state_(std::move(state)) {}

  // StreamCallbacks
  void OnHead(bool end_stream) override;
  void OnBody() override;
  void OnWritable() override { Pump(); }
  void OnReset(ResetReason) override { Leave(true); }
  void OnFinished() override { Leave(false); }

  // Responder
  void Send(ServiceResponse response) override;
  void StartStream(ServiceResponse head) override;
  bool SendChunk(std::string_view bytes) override;
  void EndStream() override;
  void OnCancelled(std::function<void()> cancelled) override { cancelled_ = std::move(cancelled); }

  void Leave(bool is_cancelled);
  // Ends the stream from our side.
  void Cut() {
    if (stream_ != nullptr) stream_->Reset(ResetReason::kLocal);
    Leave(true);
  }

 private:
  void Dispatch();
  void SendHead(const ServiceResponse& response, int64_t length, bool end_stream);
  void Pump();

  ServiceConnection* owner_;
  ServerStream* stream_;  // nullptr once the stream is over
  const std::shared_ptr<const ServiceState> state_;
  ServiceRequest request_;
  std::function<void()> cancelled_;
  std::string unsent_;
  size_t sent_ = 0;
  bool is_dispatched_ = false;
  bool is_answered_ = false;
  bool is_streaming_ = false;
  bool ends_ = false;
};

class ListeningService;

// One connection: first its protocol is found out, then requests come.
class ServiceConnection final : public net::ConnectionCallbacks, public ServerConnectionCallbacks {
 public:
  ServiceConnection(ListeningService& service, Fd socket);
  ~ServiceConnection() { Abandon(); }
  // The service goes: nobody is to be told of the end.
  void Abandon();

  void OnConnected() override;
  void OnInput() override;
  void OnClosed(net::CloseReason) override { End(); }
  void OnStream(ServerStream& stream) override;
  void OnConnectionClosed() override { End(); }

  // Returns what it held, to be freed when nobody stands on it.
  std::shared_ptr<ServiceExchange> Remove(ServiceExchange& exchange);

 private:
  void Begin(Protocol protocol);
  void End();
  void OnIdle();

  ListeningService* service_;  // nullptr once it has gone
  const std::shared_ptr<ServiceState> state_;
  std::unique_ptr<net::Connection> connection_;  // until the protocol is known
  std::unique_ptr<ServerConnection> server_;
  std::vector<std::shared_ptr<ServiceExchange>> exchanges_;
  runtime::Timer idle_;
  bool is_draining_ = false;
};

class ListeningService final : public Service {
 public:
  ListeningService(runtime::Loop& loop, ServiceHandler handler, ServiceOptions options)
      : loop_(loop), state_(new ServiceState{std::move(handler), std::move(options)}) {}
  ~ListeningService() override {
    for (auto& connection : connections_) {
      connection->Abandon();
      loop_.DeferDelete(std::move(connection));
    }
  }

  Status Open(const net::Address& address) {
    MELTEMI_ASSIGN_OR_RETURN(Fd socket, net::Listen(address));
    MELTEMI_ASSIGN_OR_RETURN(address_, net::BoundAddress(socket.get()));
    MELTEMI_ASSIGN_OR_RETURN(
        acceptor_,
        net::Acceptor::Create(loop_, std::move(socket), [this](Fd accepted, const net::Address&) {
          if (connections_.size() >= kConnectionsMax) return;
          connections_.push_back(std::make_shared<ServiceConnection>(*this, std::move(accepted)));
        }));
    return absl::OkStatus();
  }

  const net::Address& address() const override { return address_; }
  runtime::Loop& loop() { return loop_; }
  const std::shared_ptr<ServiceState>& state() { return state_; }

  void Remove(ServiceConnection& connection) {
    const auto at = std::find_if(connections_.begin(), connections_.end(),
                                 [&](const auto& one) { return one.get() == &connection; });
    if (at == connections_.end()) return;
    loop_.DeferDelete(std::move(*at));
    *at = std::move(connections_.back());
    connections_.pop_back();
  }

 private:
  runtime::Loop& loop_;
  const std::shared_ptr<ServiceState> state_;
  net::Address address_;
  std::unique_ptr<net::Acceptor> acceptor_;
  std::vector<std::shared_ptr<ServiceConnection>> connections_;
};

// -- connection

ServiceConnection::ServiceConnection(ListeningService& service, Fd socket)
    : service_(&service), state_(service.state()), idle_(service.loop(), [this] { OnIdle(); }) {
  const tls::ServerContext* tls = state_->options.tls.get();
  connection_ = std::make_unique<net::Connection>(service.loop(), state_->pool, std::move(socket),
                                                  tls != nullptr ? tls->NewSession() : nullptr);
  idle_.Arm(kIdleTimeout);
  connection_->SetCallbacks(this);
}

void ServiceConnection::Abandon() {
  service_ = nullptr;
  idle_.Disarm();
  const auto left = std::move(exchanges_);
  exchanges_.clear();
  for (const auto& exchange : left) exchange->Cut();
  if (server_ != nullptr) server_->Close();
  if (connection_ != nullptr) connection_->Close();
}

void ServiceConnection::OnConnected() {
  const net::TlsPeer* peer = connection_->tls_peer();
  if (peer != nullptr && peer->alpn == "h2") Begin(Protocol::kHttp2);
}

void ServiceConnection::OnInput() {
  switch (DetectProtocol(connection_->input().view())) {
    case Detected::kNeedMore:
      if (!connection_->input_ended()) return;
      connection_->Close();
      return End();
    case Detected::kHttp2:
      return Begin(Protocol::kHttp2);
    case Detected::kHttp10:
    case Detected::kHttp11:
    case Detected::kNotHttp:  // the codec answers 400
      return Begin(Protocol::kHttp11);
  }
}

void ServiceConnection::Begin(Protocol protocol) {
  server_ = NewServerConnection(protocol, std::move(connection_), *this, Limits());
}

void ServiceConnection::OnStream(ServerStream& stream) {
  idle_.Disarm();
  exchanges_.push_back(std::make_shared<ServiceExchange>(*this, stream, state_));
  stream.SetCallbacks(exchanges_.back().get());
}

std::shared_ptr<ServiceExchange> ServiceConnection::Remove(ServiceExchange& exchange) {
  const auto at = std::find_if(exchanges_.begin(), exchanges_.end(),
                               [&](const auto& one) { return one.get() == &exchange; });
  if (at == exchanges_.end()) return nullptr;
  std::shared_ptr<ServiceExchange> held = std::move(*at);
  exchanges_.erase(at);
  if (exchanges_.empty() && service_ != nullptr) idle_.Arm(kIdleTimeout);
  return held;
}

void ServiceConnection::OnIdle() {
  if (server_ == nullptr) {
    connection_->Close();
    return End();
  }
  if (std::exchange(is_draining_, true)) return server_->Close();
  server_->Drain();
  idle_.Arm(kDrainTimeout);
}

void ServiceConnection::End() {
  idle_.Disarm();
  if (service_ != nullptr) service_->Remove(*this);
}

// -- exchange

void ServiceExchange::OnHead(bool end_stream) {
  request_ = Describe(stream_->request(), *stream_->connection());
  if (end_stream) return Dispatch();
  if (stream_->request().content_length > static_cast<int64_t>(state_->options.body_bytes_max)) {
    return Send({.status = 413, .body = "request body too large\n"});
  }
  if (stream_->request().expects_continue) stream_->SendContinue();
}

void ServiceExchange::OnBody() {
  const std::string_view bytes = stream_->PeekBody();
  if (is_dispatched_ || is_answered_) {
    stream_->ConsumeBody(bytes.size());
    return;
  }
  if (request_.body.size() + bytes.size() > state_->options.body_bytes_max) {
    return Send({.status = 413, .body = "request body too large\n"});
  }
  request_.body.append(bytes);
  const bool ends = stream_->body_ended();
  stream_->ConsumeBody(bytes.size());
  if (ends) Dispatch();
}

void ServiceExchange::Dispatch() {
  is_dispatched_ = true;
  state_->handler(std::move(request_), shared_from_this());
}

void ServiceExchange::SendHead(const ServiceResponse& response, int64_t length, bool end_stream) {
  is_answered_ = true;
  ResponseHead head(stream_->arena());
  head.status = response.status;
  head.content_length = length;
  if (!response.content_type.empty())
    head.headers.Add(HeaderId::kContentType, response.content_type);
  for (const auto& [name, value] : response.headers) head.headers.Add(name, value);
  stream_->SendResponse(head, end_stream);
}

void ServiceExchange::Send(ServiceResponse response) {
  if (stream_ == nullptr || is_answered_) return;
  const bool is_empty = response.body.empty() || stream_->request().method == "HEAD";
  ends_ = true;
  SendHead(response, static_cast<int64_t>(response.body.size()), is_empty);
  if (is_empty) return;
  unsent_ = std::move(response.body);
  Pump();
}

void ServiceExchange::StartStream(ServiceResponse head) {
  if (stream_ == nullptr || is_answered_) return;
  is_streaming_ = stream_->request().method != "HEAD";
  SendHead(head, kLengthUnknown, !is_streaming_);
  if (is_streaming_ && !head.body.empty()) SendChunk(head.body);
}

bool ServiceExchange::SendChunk(std::string_view bytes) {
  if (stream_ == nullptr || !is_streaming_ || ends_) return false;
  size_t taken = 0;
  if (unsent_.empty()) taken = stream_->SendBody(bytes, false);
  if (taken == bytes.size()) return true;
  unsent_.append(bytes.substr(taken));
  if (unsent_.size() - sent_ <= state_->options.stream_backlog_bytes_max) return true;
  stream_->Reset(ResetReason::kOverload);
  Leave(false);
  return false;
}

void ServiceExchange::EndStream() {
  if (stream_ == nullptr || !is_streaming_ || ends_) return;
  ends_ = true;
  if (unsent_.empty()) {
    stream_->SendBody({}, true);
  } else {
    Pump();
  }
}

void ServiceExchange::Pump() {
  if (stream_ == nullptr || !is_answered_ || unsent_.empty()) return;
  sent_ += stream_->SendBody(std::string_view(unsent_).substr(sent_), ends_);
  if (sent_ == unsent_.size()) {
    unsent_.clear();
    sent_ = 0;
  } else if (sent_ >= 1024 * 1024 && sent_ * 2 > unsent_.size()) {
    unsent_.erase(0, sent_);
    sent_ = 0;
  }
}

void ServiceExchange::Leave(bool is_cancelled) {
  if (stream_ == nullptr) return;
  stream_ = nullptr;
  const std::shared_ptr<ServiceExchange> held = owner_->Remove(*this);
  const std::function<void()> cancelled = std::exchange(cancelled_, nullptr);
  if (is_cancelled && cancelled) cancelled();
}

}  // namespace

std::string ServiceRequest::Query(const std::string& name, const std::string& otherwise) const {
  const auto at = query.find(name);
  return at == query.end() ? otherwise : at->second;
}

std::string ServiceRequest::Header(const std::string& name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? std::string() : at->second;
}

StatusOr<std::unique_ptr<Service>> Service::Listen(runtime::Loop& loop, const net::Address& address,
                                                   ServiceHandler handler, ServiceOptions options) {
  auto service = std::make_unique<ListeningService>(loop, std::move(handler), std::move(options));
  MELTEMI_RETURN_IF_ERROR(WithContext(service->Open(address), "listening on " + address.text()));
  return std::unique_ptr<Service>(std::move(service));
}

}  // namespace meltemi::http
