// SPDX-License-Identifier: Apache-2.0
// The client half of service.h: one request on an HTTP/1.1 connection of its own.
#include <utility>

#include "fmt/format.h"
#include "lib/http/service.h"
#include "lib/net/listener_socket.h"

namespace meltemi::http {
namespace {

std::string_view Text(ResetReason reason) {
  switch (reason) {
    case ResetReason::kConnectFailed:
      return "connection refused or unreachable";
    case ResetReason::kConnectTimeout:
      return "connecting timed out";
    case ResetReason::kTlsFailed:
      return "TLS handshake failed";
    case ResetReason::kConnectionClosed:
      return "connection closed before an answer came";
    case ResetReason::kProtocolError:
      return "the answer is not valid HTTP";
    case ResetReason::kOverload:
      return "the answer's head is too large";
    default:
      return "connection lost";
  }
}

// The exchange itself; outlives its handle until the pass ends, because it may be ended from inside
// its own callbacks.
class Exchange final : public StreamCallbacks, public ClientConnectionCallbacks {
 public:
  Exchange(runtime::Loop& loop, const net::Address& to, ClientRequest request,
           StreamHandlers handlers, ClientOptions options)
      : loop_(loop),
        to_(to),
        request_(std::move(request)),
        handlers_(std::move(handlers)),
        options_(std::move(options)),
        timer_(loop, [this] { OnTimer(); }) {}

  void Start() {
    StatusOr<Fd> socket = net::StreamSocket(to_.family());
    if (!socket.ok()) {
      failure_ = socket.status();
      return timer_.Arm(Duration(0));  // callbacks come from the loop only
    }
    if (options_.timeout > Duration(0)) timer_.Arm(options_.timeout);
    const Duration connect_timeout =
        options_.timeout > Duration(0) ? options_.timeout : Duration(std::chrono::seconds(30));
    auto records = options_.tls != nullptr ? options_.tls->NewSession({"http/1.1"}) : nullptr;
    auto connection = net::Connection::Connect(loop_, pool_, *std::move(socket), to_,
                                               connect_timeout, std::move(records));
    client_ = NewClientConnection(Protocol::kHttp11, std::move(connection), *this, Limits());
    stream_ = &client_->OpenStream(*this);
    SendRequest();
  }

  // The handle is gone: nobody wants to hear more.
  void Abandon() {
    handlers_ = {};
    is_over_ = true;
    timer_.Disarm();
    if (client_ != nullptr) client_->Close();
  }

  const ResponseHead& response() { return stream_->response(); }

 private:
  void SendRequest() {
    RequestHead head(stream_->arena());
    head.method = request_.method;
    head.scheme = options_.tls != nullptr ? "https" : "http";
    const std::string authority = !request_.authority.empty() ? request_.authority
                                  : to_.is_ip()               ? to_.text()
                                                              : "localhost";
    head.authority = authority;
    head.path = request_.path;
    head.content_length = static_cast<int64_t>(request_.body.size());
    for (const auto& [name, value] : request_.headers) head.headers.Add(name, value);
    stream_->SendRequest(head, request_.body.empty());
    if (!request_.body.empty()) OnWritable();
  }

  void OnHead(bool end_stream) override {
    if (handlers_.on_head) handlers_.on_head(response().status);
    if (end_stream) End(absl::OkStatus());
  }
  void OnBody() override {
    if (is_over_) return;
    const std::string_view bytes = stream_->PeekBody();
    const bool ends = stream_->body_ended();
    if (!bytes.empty() && handlers_.on_chunk) handlers_.on_chunk(bytes);
    if (is_over_) return;
    stream_->ConsumeBody(bytes.size());
    if (ends) End(absl::OkStatus());
  }
  void OnWritable() override {
    if (is_over_ || sent_ == request_.body.size()) return;
    sent_ += stream_->SendBody(std::string_view(request_.body).substr(sent_), true);
  }
  void OnReset(ResetReason reason) override {
    End(absl::UnavailableError(ToAbsl(fmt::format("{}: {}", to_.text(), Text(reason)))));
  }
  void OnConnectionClosed(net::CloseReason) override {
    End(absl::UnavailableError(ToAbsl(fmt::format("{}: connection lost", to_.text()))));
  }
  void OnTimer() {
    if (!failure_.ok()) return End(failure_);
    End(absl::DeadlineExceededError(
        ToAbsl(fmt::format("{}: no complete answer in time", to_.text()))));
  }

  void End(Status status) {
    if (std::exchange(is_over_, true)) return;
    timer_.Disarm();
    if (client_ != nullptr) client_->Close();
    const auto on_end = std::move(handlers_.on_end);
    handlers_ = {};
    if (on_end) on_end(std::move(status));
  }

  runtime::Loop& loop_;
  const net::Address to_;
  const ClientRequest request_;
  StreamHandlers handlers_;
  const ClientOptions options_;
  runtime::Timer timer_;
  net::BlockPool pool_{1};
  Status failure_;
  std::unique_ptr<ClientConnection> client_;
  ClientStream* stream_ = nullptr;
  size_t sent_ = 0;
  bool is_over_ = false;
};

class Handle final : public ClientCall {
 public:
  Handle(runtime::Loop& loop, std::shared_ptr<Exchange> exchange)
      : loop_(loop), exchange_(std::move(exchange)) {}
  ~Handle() override {
    exchange_->Abandon();
    loop_.DeferDelete(std::move(exchange_));
  }

 private:
  runtime::Loop& loop_;
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace

std::unique_ptr<ClientCall> FetchStream(runtime::Loop& loop, const net::Address& to,
                                        ClientRequest request, StreamHandlers handlers,
                                        ClientOptions options) {
  auto exchange = std::make_shared<Exchange>(loop, to, std::move(request), std::move(handlers),
                                             std::move(options));
  exchange->Start();
  return std::make_unique<Handle>(loop, std::move(exchange));
}

std::unique_ptr<ClientCall> Fetch(runtime::Loop& loop, const net::Address& to,
                                  ClientRequest request,
                                  std::function<void(StatusOr<ClientResponse>)> done,
                                  ClientOptions options) {
  struct Whole {
    ClientResponse response;
    Exchange* exchange = nullptr;
    bool is_too_large = false;
  };
  auto whole = std::make_shared<Whole>();
  const size_t bytes_max = options.body_bytes_max;
  StreamHandlers handlers;
  handlers.on_head = [whole](int status) {
    whole->response.status = status;
    for (const HeaderField& field : whole->exchange->response().headers.fields()) {
      whole->response.headers.emplace(field.name, field.value);
    }
  };
  handlers.on_chunk = [whole, bytes_max](std::string_view bytes) {
    whole->is_too_large |= whole->response.body.size() + bytes.size() > bytes_max;
    if (!whole->is_too_large) whole->response.body.append(bytes);
  };
  handlers.on_end = [whole, done = std::move(done)](Status status) {
    if (!status.ok()) return done(std::move(status));
    if (whole->is_too_large) return done(absl::ResourceExhaustedError("the answer is too large"));
    done(std::move(whole->response));
  };
  auto exchange = std::make_shared<Exchange>(loop, to, std::move(request), std::move(handlers),
                                             std::move(options));
  whole->exchange = exchange.get();
  exchange->Start();
  return std::make_unique<Handle>(loop, std::move(exchange));
}

}  // namespace meltemi::http
