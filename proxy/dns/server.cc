// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace meltemi::proxy::dns {
namespace {

constexpr uint16_t kClassInternet = 1;
constexpr size_t kTcpBytesMax = 65535;

bool IsAddressQuery(const Question& question) {
  return question.klass == kClassInternet && (question.type == static_cast<uint16_t>(Type::kA) ||
                                              question.type == static_cast<uint16_t>(Type::kAaaa));
}

}  // namespace

class Server::Udp final : private runtime::FdHandler {
 public:
  Udp(Server& server, Fd socket)
      : server_(server), socket_(std::move(socket)), again_(server.loop_, [this] { Receive(); }) {}
  ~Udp() { server_.loop_.Unwatch(socket_.get(), this); }
  Status Start() { return server_.loop_.Watch(socket_.get(), this); }

 private:
  void OnReady(runtime::Ready) override { Receive(); }

  void Receive() {
    uint8_t packet[kUdpBytesMax];
    for (int i = 0; i < kPacketsPerPass; ++i) {
      sockaddr_storage from{};
      socklen_t length = sizeof(from);
      const ssize_t size = ::recvfrom(socket_.get(), packet, sizeof(packet), 0,
                                      reinterpret_cast<sockaddr*>(&from), &length);
      if (size < 0 && errno == EAGAIN) return;
      if (size < 0) continue;  // an ICMP error of an earlier answer
      const net::Address to =
          net::Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&from), length);
      server_.Handle({packet, static_cast<size_t>(size)}, 0,
                     [this, to](std::span<const uint8_t> answer) {
                       if (answer.empty()) return;
                       // A full buffer loses the answer, as any datagram may be; the asker asks
                       // again.
                       ::sendto(socket_.get(), answer.data(), answer.size(), MSG_NOSIGNAL,
                                to.data(), to.length());
                     });
    }
    again_.Arm(Duration::zero());  // edge-triggered: what is left would not be announced again
  }

  Server& server_;
  Fd socket_;
  runtime::Timer again_;
};

// One query at a time per connection (RFC 7766 section 6.2.1 allows more, resolvers do not need
// it): the next is read once the answer has gone.
class Server::TcpConnection final : private runtime::FdHandler,
                                    public std::enable_shared_from_this<TcpConnection> {
 public:
  TcpConnection(Server& server, Fd socket)
      : server_(server), socket_(std::move(socket)), idle_(server.loop_, [this] { End(); }) {}
  ~TcpConnection() { Close(); }

  bool Start() {
    idle_.Arm(server_.options_.tcp_idle_max);
    return server_.loop_.Watch(socket_.get(), this).ok();
  }

 private:
  void OnReady(runtime::Ready) override { Pump(); }

  void Pump() {
    while (socket_.valid() && !is_answering_) {
      if (!out_.empty() && !Write()) return;
      if (TakeQuery()) continue;
      if (!Read()) return;
    }
  }

  // False: nothing more now, or ended.
  bool Read() {
    uint8_t bytes[2048];
    const ssize_t size = ::recv(socket_.get(), bytes, sizeof(bytes), 0);
    if (size > 0) {
      in_.insert(in_.end(), bytes, bytes + size);
      return true;
    }
    if (size == 0 || errno != EAGAIN) End();
    return false;
  }

  bool Write() {
    const ssize_t size = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (size < 0) {
      if (errno != EAGAIN) End();
      return false;
    }
    out_.erase(out_.begin(), out_.begin() + size);
    return out_.empty();
  }

  bool TakeQuery() {
    if (in_.size() < 2) return false;
    const size_t size = Read16(in_, 0);
    if (size < kHeaderBytes || size > kUdpBytesMax) {
      End();
      return false;
    }
    if (in_.size() < size + 2) return false;
    const std::vector<uint8_t> packet(in_.begin() + 2,
                                      in_.begin() + 2 + static_cast<std::ptrdiff_t>(size));
    in_.erase(in_.begin(), in_.begin() + 2 + static_cast<std::ptrdiff_t>(size));
    is_answering_ = true;
    idle_.Arm(server_.options_.tcp_idle_max);
    server_.Handle(packet, kTcpBytesMax,
                   [weak = weak_from_this()](std::span<const uint8_t> answer) {
                     if (const auto self = weak.lock()) self->Answered(answer);
                   });
    return true;
  }

  void Answered(std::span<const uint8_t> answer) {
    if (!socket_.valid()) return;
    is_answering_ = false;
    if (answer.empty()) return End();
    out_ = {static_cast<uint8_t>(answer.size() >> 8), static_cast<uint8_t>(answer.size())};
    out_.insert(out_.end(), answer.begin(), answer.end());
    // Pump() goes on by itself when the answer came inside TakeQuery(); a later one needs this
    // push.
    again_.Arm(Duration::zero());
  }

  void End() {
    Close();
    server_.Remove(this);
  }

  void Close() {
    idle_.Disarm();
    again_.Disarm();
    if (!socket_.valid()) return;
    server_.loop_.Unwatch(socket_.get(), this);
    socket_.Reset();
  }

  Server& server_;
  Fd socket_;
  runtime::Timer idle_;
  runtime::Timer again_{server_.loop_, [this] { Pump(); }};
  std::vector<uint8_t> in_, out_;
  bool is_answering_ = false;
};

class Server::TcpListener final : private runtime::FdHandler {
 public:
  TcpListener(Server& server, Fd socket) : server_(server), socket_(std::move(socket)) {}
  ~TcpListener() { server_.loop_.Unwatch(socket_.get(), this); }
  Status Start() { return server_.loop_.Watch(socket_.get(), this); }

 private:
  void OnReady(runtime::Ready) override {
    for (;;) {
      Fd accepted(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!accepted.valid()) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        return;
      }
      if (server_.connections_.size() >= server_.options_.tcp_connections_max) continue;
      auto connection = std::make_shared<TcpConnection>(server_, std::move(accepted));
      if (connection->Start()) server_.connections_.emplace(connection.get(), connection);
    }
  }

  Server& server_;
  Fd socket_;
};

Server::Server(runtime::Loop& loop, ServerOptions options)
    : loop_(loop),
      options_(std::move(options)),
      forwarder_(loop, options_.resolvers, options_.forwarding) {}

// Forwarded queries hold replies that point at udp_; the forwarder goes first.
Server::~Server() {
  forwarder_.Clear();
}

StatusOr<std::unique_ptr<Server>> Server::Create(runtime::Loop& loop, Fd udp, Fd tcp,
                                                 ServerOptions options) {
  std::unique_ptr<Server> server(new Server(loop, std::move(options)));
  if (udp.valid()) {
    server->udp_ = std::make_unique<Udp>(*server, std::move(udp));
    MELTEMI_RETURN_IF_ERROR(server->udp_->Start());
  }
  if (tcp.valid()) {
    server->tcp_ = std::make_unique<TcpListener>(*server, std::move(tcp));
    MELTEMI_RETURN_IF_ERROR(server->tcp_->Start());
  }
  return server;
}

void Server::Handle(std::span<const uint8_t> packet, size_t bytes_max, Reply reply) {
  ++counters_.queries;
  const Parsed parsed = ParseQuery(packet);
  if (!parsed.code || *parsed.code != Code::kNoError) {
    ++counters_.malformed;
    if (!parsed.code) return reply({});
    return reply(Answer(packet, parsed.question, *parsed.code, {}, 0, kUdpBytesDefault));
  }
  const Question& question = parsed.question;
  if (bytes_max == 0) bytes_max = question.udp_bytes;
  const std::vector<Ip>* ips = names_ == nullptr ? nullptr : names_->Find(question.name);
  if (ips != nullptr) {
    // A name of ours asked for another type has no such records: no error and no answer (RFC 2308
    // section 2.2).
    ++counters_.answered;
    std::vector<Ip> turned;
    if (IsAddressQuery(question) && !ips->empty()) {
      turned = *ips;
      std::rotate(turned.begin(),
                  turned.begin() + static_cast<std::ptrdiff_t>(counters_.answered % ips->size()),
                  turned.end());
    }
    return reply(Answer(packet, question, Code::kNoError, turned, options_.ttl_s, bytes_max));
  }
  static const NameTable kNoNames;
  const NameTable& names = names_ == nullptr ? kNoNames : *names_;
  if (names.IsOwn(question.name)) {
    ++counters_.answered;
    const Code code = names_ == nullptr ? Code::kServerFailure : Code::kNoSuchName;
    return reply(Answer(packet, question, code, {}, 0, bytes_max));
  }
  Forward(packet, question, bytes_max, std::move(reply));
}

void Server::Forward(std::span<const uint8_t> packet, const Question& question, size_t bytes_max,
                     Reply reply) {
  ++counters_.forwarded;
  forwarder_.Ask(packet, question,
                 [this, question, bytes_max, reply = std::move(reply),
                  asked = std::vector<uint8_t>(packet.begin(), packet.end())](
                     std::span<const uint8_t> answer) {
                   if (!answer.empty() && answer.size() <= bytes_max) return reply(answer);
                   // Too long for the asker, or no answer: without records it asks again or
                   // elsewhere.
                   if (answer.empty()) ++counters_.failed;
                   std::vector<uint8_t> empty = Answer(
                       asked, question, answer.empty() ? Code::kServerFailure : Code::kNoError, {},
                       0, bytes_max);
                   if (!answer.empty()) empty[2] |= 0x02;  // TC: ask over TCP
                   reply(empty);
                 });
}

void Server::Remove(TcpConnection* connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  loop_.DeferDelete(std::move(found->second));
  connections_.erase(found);
}

}  // namespace meltemi::proxy::dns
