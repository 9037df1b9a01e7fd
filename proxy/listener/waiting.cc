// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/waiting.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/http/connection.h"
#include "proxy/listener/client_hello.h"

namespace meltemi::proxy {
namespace {

// SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; the kernel headers that name them clash with
// <netinet/in.h>.
constexpr int kOriginalDestination = 80;

net::Address LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

// What the connection was meant for before a redirect; unspecified when it was not redirected.
net::Address OriginalDestination(int fd, int family) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  const bool is_v6 = family == AF_INET6;
  if (::getsockopt(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, kOriginalDestination, &storage,
                   &length) != 0) {
    return {};
  }
  return net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

}  // namespace

WorkerListeners::Waiting::Waiting(WorkerListeners& owner, ListenerPtr listener, Fd socket,
                                  const net::Address& remote)
    : owner_(owner), listener_(std::move(listener)), socket_(std::move(socket)), remote_(remote) {}

WorkerListeners::Waiting::~Waiting() {
  Abandon();
}

void WorkerListeners::Waiting::Abandon() {
  if (std::exchange(is_watching_, false)) owner_.worker_.loop().Unwatch(socket_.get(), this);
  if (timer_) timer_->Disarm();
}

void WorkerListeners::Waiting::ResolveDestination() {
  destination_ = LocalAddress(socket_.get());
  if (!listener_->has_original_destination_filter && !listener_->uses_original_destination) return;
  const net::Address original = OriginalDestination(socket_.get(), destination_.family());
  if (original.is_ip()) destination_ = original;
  if (!listener_->uses_original_destination) return;
  if (ListenerPtr other = owner_.FindByAddress(destination_)) listener_ = std::move(other);
}

bool WorkerListeners::Waiting::StartInspection() {
  wants_tls_ = listener_->tls_inspector.AppliesTo(destination_.port());
  wants_http_ = listener_->http_inspector.AppliesTo(destination_.port());
  if (!wants_tls_ && !wants_http_) return true;
  const Verdict verdict = Look();  // a client that speaks first often has by now
  if (verdict == Verdict::kDone) return true;
  if (verdict == Verdict::kRefused || !owner_.worker_.loop().Watch(socket_.get(), this).ok()) {
    owner_.Forget(*this);
    return false;
  }
  is_watching_ = true;
  if (listener_->inspection_timeout.count() > 0) {
    timer_ = std::make_unique<runtime::Timer>(owner_.worker_.loop(), [this] { OnTimeout(); });
    timer_->Arm(listener_->inspection_timeout);
  }
  return false;
}

void WorkerListeners::Waiting::OnReady(runtime::Ready) {
  const Verdict verdict = Look();
  if (verdict == Verdict::kNeedMore) return;
  if (verdict == Verdict::kRefused) return owner_.Forget(*this);
  EndInspection();
}

void WorkerListeners::Waiting::EndInspection() {
  Abandon();
  owner_.ChooseChain(*this);
}

void WorkerListeners::Waiting::OnTimeout() {
  if (!listener_->continues_on_timeout) return owner_.Forget(*this);
  EndInspection();
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::Look() {
  // Peeked, so the handshake or codec reads the same bytes again from the socket.
  char buffer[kClientHelloBytesMax];
  const ssize_t count = ::recv(socket_.get(), buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
  if (count < 0) {
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? Verdict::kNeedMore
                                                                     : Verdict::kRefused;
  }
  if (count == 0) return Verdict::kRefused;  // gone without a word
  const std::string_view bytes(buffer, static_cast<size_t>(count));
  if (wants_tls_) {
    const Verdict verdict = LookForTls(bytes);
    if (verdict != Verdict::kDone) return verdict;
    wants_tls_ = false;
    if (transport_protocol_ == "tls") return Verdict::kDone;
  }
  return wants_http_ ? LookForHttp(bytes) : Verdict::kDone;
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::LookForTls(std::string_view bytes) {
  ClientHello hello = ParseClientHello(bytes);
  switch (hello.state) {
    case ClientHello::State::kNeedMore:
      return Verdict::kNeedMore;
    case ClientHello::State::kInvalid:
      return Verdict::kRefused;
    case ClientHello::State::kNotTls:
      transport_protocol_ = "raw_buffer";
      return Verdict::kDone;
    case ClientHello::State::kTls:
      break;
  }
  transport_protocol_ = "tls";
  server_name_ = std::move(hello.server_name);
  application_protocols_ = std::move(hello.alpn);
  return Verdict::kDone;
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::LookForHttp(std::string_view bytes) {
  switch (http::DetectProtocol(bytes)) {
    case http::Detected::kNeedMore:
      // A first line longer than this is not worth waiting for.
      return bytes.size() < 8192 ? Verdict::kNeedMore : Verdict::kDone;
    case http::Detected::kHttp10:
      application_protocols_ = {"http/1.0"};
      break;
    case http::Detected::kHttp11:
      application_protocols_ = {"http/1.1"};
      break;
    case http::Detected::kHttp2:
      application_protocols_ = {"h2c"};
      break;
    case http::Detected::kNotHttp:
      break;
  }
  return Verdict::kDone;
}

void WorkerListeners::Waiting::Take(const FilterChain& chain) {
  net::ConnectionLimits limits;
  limits.output_bytes_high = std::min(limits.output_bytes_high, listener_->connection_buffer_bytes);
  runtime::Loop& loop = owner_.worker_.loop();
  std::unique_ptr<net::RecordLayer> records;
  if (chain.is_tls) {
    records = chain.tls == nullptr ? nullptr : chain.tls->NewSession();
    if (records == nullptr) return owner_.Forget(*this);  // its certificate has not come
  }
  auto connection = std::make_unique<net::Connection>(
      loop, owner_.worker_.blocks(), std::move(socket_), std::move(records), limits);
  if (!chain.is_tls) return owner_.Establish(*this, chain, std::move(connection));
  chain_ = &chain;
  connection_ = std::move(connection);
  connection_->SetCallbacks(this);
  if (chain.handshake_timeout.count() > 0) {
    timer_ = std::make_unique<runtime::Timer>(loop, [this] { owner_.Forget(*this); });
    timer_->Arm(chain.handshake_timeout);
  }
}

void WorkerListeners::Waiting::OnConnected() {
  if (timer_) timer_->Disarm();
  if (const net::TlsPeer* peer = connection_->tls_peer()) {
    if (server_name_.empty()) server_name_ = std::string(peer->server_name);
    application_protocols_.clear();
    if (!peer->alpn.empty()) application_protocols_.emplace_back(peer->alpn);
  }
  owner_.Establish(*this, *chain_, std::move(connection_));
}

void WorkerListeners::Waiting::OnClosed(net::CloseReason) {
  owner_.Forget(*this);
}

AcceptedConnection WorkerListeners::Waiting::Describe(const FilterChain& chain,
                                                      std::unique_ptr<net::Connection> connection) {
  AcceptedConnection accepted;
  accepted.connection = std::move(connection);
  accepted.original_destination = destination_;
  accepted.listener_name = listener_->name;
  accepted.filter_chain_name = chain.name;
  accepted.stat_prefix = listener_->stat_prefix;
  accepted.direction = listener_->direction;
  accepted.is_tls = chain.is_tls;
  accepted.server_name = server_name_;
  accepted.transport_protocol = transport_protocol_;
  if (!application_protocols_.empty()) accepted.application_protocol = application_protocols_[0];
  return accepted;
}

}  // namespace meltemi::proxy
