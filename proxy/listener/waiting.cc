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

// Bytes of the UTF-8 character at the front (RFC 3629 §4), 0 when there is none.
size_t Utf8Length(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return 1;
  const size_t length = first < 0xc2   ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || bytes.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const bool is_overlong = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
  const bool is_surrogate = first == 0xed && at(1) > 0x9f;
  const bool is_beyond = first == 0xf4 && at(1) > 0x8f;
  return is_overlong || is_surrogate || is_beyond ? 0 : length;
}

// Values go into logs and metadata: what is no UTF-8 becomes '!', as Envoy has it.
std::string PrintableUtf8(std::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = Utf8Length(bytes.substr(at));
    if (length == 0) {
      text += '!';
      ++at;
    } else {
      text += bytes.substr(at, length);
      at += length;
    }
  }
  return text;
}

}  // namespace

WorkerListeners::Waiting::Waiting(WorkerListeners& owner, ListenerPtr listener, Fd socket,
                                  const net::Address& remote)
    : owner_(owner),
      listener_(std::move(listener)),
      socket_(std::move(socket)),
      direct_remote_(remote),
      remote_(remote) {}

WorkerListeners::Waiting::~Waiting() {
  Abandon();
}

void WorkerListeners::Waiting::Abandon() {
  if (std::exchange(is_watching_, false)) owner_.worker_.loop().Unwatch(socket_.get(), this);
  if (timer_) timer_->Disarm();
}

void WorkerListeners::Waiting::ResolveDestination() {
  const bool is_told = proxy_header_ != nullptr && proxy_header_->destination.is_ip();
  destination_ = is_told ? proxy_header_->destination : LocalAddress(socket_.get());
  if (listener_->has_original_destination_filter || listener_->uses_original_destination) {
    const net::Address original =
        is_told ? destination_ : OriginalDestination(socket_.get(), destination_.family());
    if (original.is_ip()) destination_ = original;
    ListenerPtr other =
        listener_->uses_original_destination ? owner_.FindByAddress(destination_) : nullptr;
    if (other != nullptr) listener_ = std::move(other);
  }
  wants_tls_ = listener_->tls_inspector.AppliesTo(destination_.port());
  wants_http_ = listener_->http_inspector.AppliesTo(destination_.port());
}

bool WorkerListeners::Waiting::Begin() {
  wants_proxy_header_ = listener_->proxy_protocol.is_used;
  if (!wants_proxy_header_) ResolveDestination();
  const Verdict verdict = Look();  // a client that speaks first often has by now
  if (verdict == Verdict::kDone) return true;
  if (verdict != Verdict::kNeedMore) {
    Fail(verdict);
    return false;
  }
  if (!owner_.worker_.loop().Watch(socket_.get(), this).ok()) {
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
  if (verdict != Verdict::kDone) return Fail(verdict);
  EndInspection();
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::VerdictOfRead(ssize_t count) {
  const bool is_early = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
  return is_early ? Verdict::kNeedMore : Verdict::kGone;
}

void WorkerListeners::Waiting::Fail(Verdict verdict) {
  owner_.Refuse(*this, verdict == Verdict::kGone ? ListenerEvent::kInspectionGone
                                                 : ListenerEvent::kInspectionError);
}

void WorkerListeners::Waiting::EndInspection() {
  Abandon();
  owner_.ChooseChain(*this);
}

void WorkerListeners::Waiting::OnTimeout() {
  // Whoever has to say for whom it speaks may not get around it by silence.
  const bool must_speak = wants_proxy_header_ && !listener_->proxy_protocol.is_optional;
  if (!listener_->continues_on_timeout || must_speak || !proxy_bytes_.empty()) {
    return owner_.Refuse(*this, ListenerEvent::kInspectionTimeout);
  }
  owner_.counters_.Count(ListenerEvent::kInspectionTimeout, listener_->stat_name);
  if (std::exchange(wants_proxy_header_, false)) ResolveDestination();
  EndInspection();
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::TakeProxyBytes(size_t bytes) {
  while (proxy_bytes_.size() < bytes) {
    const size_t have = proxy_bytes_.size();
    proxy_bytes_.resize(bytes);
    const ssize_t count =
        ::recv(socket_.get(), proxy_bytes_.data() + have, bytes - have, MSG_DONTWAIT);
    proxy_bytes_.resize(have + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (count <= 0) return VerdictOfRead(count);
  }
  return Verdict::kDone;
}

// Text and marks are looked at in the socket and taken when whole; a binary header is taken as it
// comes, as it may be larger than the socket's buffer.
WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::ReadProxyHeader() {
  char buffer[256];
  static_assert(sizeof buffer > net::kProxyTextBytesMax);
  const ssize_t count = ::recv(socket_.get(), buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
  if (count <= 0) return VerdictOfRead(count);
  const std::string_view peeked(buffer, static_cast<size_t>(count));
  if (proxy_bytes_.empty()) {
    net::ParsedProxyHeader parsed = net::ParseProxyHeader(peeked);
    if (parsed.state != net::ParsedProxyHeader::State::kNeedMore) {
      return JudgeProxyHeader(std::move(parsed));
    }
    if (parsed.bytes == 0) return Verdict::kNeedMore;
  }
  // The length is known once the fixed part is here.
  size_t needed = net::kProxyBinaryHeadBytes;
  for (;;) {
    if (const Verdict taken = TakeProxyBytes(needed); taken != Verdict::kDone) return taken;
    net::ParsedProxyHeader parsed = net::ParseProxyHeader(proxy_bytes_);
    if (parsed.state != net::ParsedProxyHeader::State::kNeedMore) {
      return JudgeProxyHeader(std::move(parsed));
    }
    needed = parsed.bytes;
  }
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::JudgeProxyHeader(
    net::ParsedProxyHeader parsed) {
  using State = net::ParsedProxyHeader::State;
  const ProxyProtocolIn& settings = listener_->proxy_protocol;
  ListenerCounters& counters = owner_.counters_;
  const int version = parsed.header.version;
  if (parsed.state == State::kNone) {
    counters.CountNoProxyHeader(settings.is_optional, settings.stat_prefix);
    return settings.is_optional ? Verdict::kDone : Verdict::kRefused;
  }
  if (version == 1 ? settings.refuses_text : settings.refuses_binary) {
    counters.CountProxyHeader(ProxyHeaderEvent::kDisallowed, version, settings.stat_prefix);
    return Verdict::kRefused;
  }
  if (parsed.state == State::kInvalid || TakeProxyBytes(parsed.bytes) != Verdict::kDone) {
    counters.CountProxyHeader(ProxyHeaderEvent::kError, version, settings.stat_prefix);
    return Verdict::kRefused;
  }
  counters.CountProxyHeader(ProxyHeaderEvent::kFound, version, settings.stat_prefix);
  AdoptProxyHeader(std::move(parsed.header));
  return Verdict::kDone;
}

void WorkerListeners::Waiting::AdoptProxyHeader(net::ProxyHeader header) {
  const ProxyProtocolIn& settings = listener_->proxy_protocol;
  for (const ProxyProtocolIn::Rule& rule : settings.rules) {
    for (const net::ProxyTlv& tlv : header.tlvs) {
      if (tlv.type == rule.tlv_type) {
        header.facts.push_back({rule.space, rule.key, PrintableUtf8(tlv.value)});
        break;
      }
    }
  }
  if (!settings.keeps_all_tlvs) {
    std::erase_if(header.tlvs, [&](const net::ProxyTlv& tlv) {
      const auto& kept = settings.kept_tlvs;
      return std::find(kept.begin(), kept.end(), tlv.type) == kept.end();
    });
  }
  if (header.source.is_ip()) remote_ = header.source;
  proxy_header_ = std::make_shared<const net::ProxyHeader>(std::move(header));
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::Look() {
  if (wants_proxy_header_) {
    const Verdict verdict = ReadProxyHeader();
    if (verdict != Verdict::kDone) return verdict;
    wants_proxy_header_ = false;
    proxy_bytes_ = {};
    ResolveDestination();
  }
  return wants_tls_ || wants_http_ ? Inspect() : Verdict::kDone;
}

WorkerListeners::Waiting::Verdict WorkerListeners::Waiting::Inspect() {
  // Peeked, so the handshake or codec reads the same bytes again from the socket.
  char buffer[kClientHelloBytesMax];
  const ssize_t count = ::recv(socket_.get(), buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
  if (count <= 0) return VerdictOfRead(count);
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
  const bool is_long = bytes.size() >= listener_->tls_inspector.hello_bytes_max;
  if (is_long && hello.state == ClientHello::State::kNeedMore) return Verdict::kRefused;
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
  if (listener_->connection_buffer_bytes > 0) {  // 0 = no limit of its own
    limits.output_bytes_high =
        std::min(limits.output_bytes_high, listener_->connection_buffer_bytes);
  }
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
    timer_ = std::make_unique<runtime::Timer>(
        loop, [this] { owner_.Refuse(*this, ListenerEvent::kTransportTimeout); });
    const OverloadLevels& overload = owner_.worker_.overload();
    timer_->Arm(listener_->bypasses_overload
                    ? chain.handshake_timeout
                    : overload.Scaled(ScaledTimer::kTransportConnect, chain.handshake_timeout));
  }
}

void WorkerListeners::Waiting::OnConnected() {
  if (timer_) timer_->Disarm();
  if (const net::TlsPeer* peer = connection_->tls_peer()) {
    owner_.tls_counters_.CountHandshake(*peer, listener_->stat_name);
    if (server_name_.empty()) server_name_ = std::string(peer->server_name);
    application_protocols_.clear();
    if (!peer->alpn.empty()) application_protocols_.emplace_back(peer->alpn);
  }
  owner_.Establish(*this, *chain_, std::move(connection_));
}

void WorkerListeners::Waiting::OnClosed(net::CloseReason) {
  owner_.tls_counters_.CountFailure(connection_->tls_failure_kind(), listener_->stat_name);
  // Who leaves early is no failure of TLS (Envoy).
  const bool has_left = connection_->tls_failure_kind() == net::TlsFailure::kPeerClosed;
  owner_.Refuse(*this, ListenerEvent::kTransportError, "",
                has_left ? std::string_view() : connection_->tls_failure());
}

AcceptedConnection WorkerListeners::Waiting::Describe(const FilterChain& chain,
                                                      std::unique_ptr<net::Connection> connection) {
  AcceptedConnection accepted;
  accepted.connection = std::move(connection);
  accepted.original_destination = destination_;
  accepted.remote = remote_;
  accepted.direct_remote = direct_remote_;
  accepted.listener_logs = listener_->access_logs;
  accepted.proxy_header = proxy_header_;
  accepted.listener_name = listener_->name;
  accepted.filter_chain_name = chain.name;
  accepted.stat_prefix = listener_->stat_prefix;
  accepted.direction = listener_->direction;
  accepted.is_tls = chain.is_tls;
  accepted.bypasses_overload = listener_->bypasses_overload;
  accepted.server_name = server_name_;
  accepted.transport_protocol = transport_protocol_;
  if (!application_protocols_.empty()) accepted.application_protocol = application_protocols_[0];
  return accepted;
}

}  // namespace meltemi::proxy
