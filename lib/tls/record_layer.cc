// SPDX-License-Identifier: Apache-2.0
#include "lib/tls/record_layer.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

namespace meltemi::tls {
namespace {

using net::IoResult;
using net::IoState;

// A handshake message may span records up to 64 KiB, and is kept whole until its end has come.
constexpr size_t kInputBytes = 128 * 1024;
constexpr size_t kEncryptBytes = 64 * 1024;
// Room for the records' own bytes (RFC 8446 §5.2) and for a flight with a long certificate chain.
constexpr size_t kCipherBytes = kEncryptBytes + 32 * 1024;
constexpr size_t kReadBytesMin = 4 * 1024;

struct Scratch {
  std::array<char, kInputBytes> input;
  std::array<char, kInputBytes> plain;
  std::array<char, kCipherBytes> cipher;
};

// Used within one call only; nothing in it outlives that.
Scratch& ThreadScratch() {
  static thread_local const std::unique_ptr<Scratch> scratch(new Scratch);
  return *scratch;
}

void Release(std::string& text) {
  text.clear();
  text.shrink_to_fit();
}

}  // namespace

bool EngineRecordLayer::Fail(std::string_view why, net::TlsFailure kind) {
  is_failed_ = true;
  if (failure_kind_ == net::TlsFailure::kNone) {
    failure_ = why;
    failure_kind_ = kind;
  }
  return false;
}

EngineRecordLayer::Received EngineRecordLayer::Receive(int fd, size_t bytes) {
  Scratch& scratch = ThreadScratch();
  const size_t held = partial_.size();
  if (held + kReadBytesMin > kInputBytes) {
    Fail("record or handshake message too long");
    return {IoState::kError, 0, false};
  }
  const size_t asked = std::min(std::max(bytes, kReadBytesMin), kInputBytes - held);
  for (;;) {
    const ssize_t count = recv(fd, scratch.input.data() + held, asked, 0);
    if (count > 0) {
      std::memcpy(scratch.input.data(), partial_.data(), held);
      Release(partial_);
      const auto got = static_cast<size_t>(count);
      return {IoState::kOk, held + got, got < asked};
    }
    if (count == 0) return {IoState::kEnd, 0, false};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoState::kWouldBlock, 0, false};
    if (errno != EINTR) return {IoState::kError, 0, false};
  }
}

void EngineRecordLayer::Run(int fd, engine::Exchange& exchange, size_t input_bytes) {
  Scratch& scratch = ThreadScratch();
  exchange.input = {scratch.input.data(), input_bytes};
  if (exchange.plain.data == nullptr) exchange.plain = {scratch.plain.data(), scratch.plain.size()};
  exchange.cipher = {scratch.cipher.data(), scratch.cipher.size()};
  meltemi_tls_session_run(session_.get(), &exchange);
  partial_.assign(scratch.input.data() + exchange.consumed, input_bytes - exchange.consumed);
  if (exchange.cipher_size > 0) Send(fd, {scratch.cipher.data(), exchange.cipher_size});
  if (exchange.status == engine::Status::kPeerClosed) is_peer_closed_ = true;
  if (exchange.status == engine::Status::kFailed) {
    engine::Slice why;
    const int32_t kind = meltemi_tls_session_failure(session_.get(), &why);
    Fail(why.view(), static_cast<net::TlsFailure>(kind));
    Release(partial_);
  }
}

void EngineRecordLayer::Send(int fd, std::string_view cipher) {
  if (unsent_.empty()) {
    ssize_t count;
    do {
      count = send(fd, cipher.data(), cipher.size(), MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    if (count > 0) cipher.remove_prefix(count);
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      is_socket_broken_ = true;
      return;
    }
  }
  unsent_.append(cipher);
}

bool EngineRecordLayer::SendUnsent(int fd) {
  if (unsent_.empty()) return true;
  std::string waiting;
  waiting.swap(unsent_);
  Send(fd, waiting);
  return unsent_.empty() && !is_socket_broken_;
}

IoState EngineRecordLayer::Handshake(int fd) {
  if (session_ == nullptr) {
    Fail("the session could not be made");
    return IoState::kError;
  }
  SendUnsent(fd);
  // The first run makes a client speak, and takes in a server's prefix.
  bool has_input = !std::exchange(is_started_, true);
  size_t input_bytes = 0;
  if (has_input) {
    input_bytes = std::min(partial_.size(), kInputBytes);
    std::memcpy(ThreadScratch().input.data(), partial_.data(), input_bytes);
  }
  for (;;) {
    if (has_input) {
      engine::Exchange exchange;
      Run(fd, exchange, input_bytes);
      Keep({exchange.plain.data, exchange.plain_size});
      if (is_failed_) return IoState::kError;
      if (is_socket_broken_) break;
      if (exchange.status != engine::Status::kHandshaking) {
        LearnPeer();
        return IoState::kOk;
      }
    }
    const Received received = Receive(fd, kReadBytesMin);
    if (received.state == IoState::kWouldBlock) return IoState::kWouldBlock;
    if (received.state != IoState::kOk) break;
    input_bytes = received.input_bytes;
    has_input = true;
  }
  Fail("peer ended the connection during the handshake", net::TlsFailure::kPeerClosed);
  return IoState::kError;
}

void EngineRecordLayer::LearnPeer() {
  engine::Peer peer;
  meltemi_tls_session_peer(session_.get(), &peer);
  peer_.alpn = peer.alpn.view();
  peer_.server_name = peer.server_name.view();
  peer_.version = peer.version.view();
  peer_.cipher = peer.cipher.view();
  peer_.group = peer.group.view();
  peer_.certificate_der = peer.certificate_der.view();
  peer_.own_uri_san = peer.own_uri_san.view();
  peer_.own_dns_san = peer.own_dns_san.view();
  peer_.own_subject = peer.own_subject.view();
  peer_.certificate_hash = peer.certificate_hash.view();
  peer_.is_verified = peer.is_verified;
  peer_.resumed = peer.is_resumed;
  if (!peer.is_verified) return;
  peer_.uri_sans = peer.uri_sans;
  peer_.dns_sans = peer.dns_sans;
  peer_.uri_san = peer.uri_san.view();
  peer_.dns_san = peer.dns_san.view();
  peer_.email_san = peer.email_san.view();
  peer_.ip_san = peer.ip_san.view();
  peer_.subject = peer.subject.view();
}

size_t EngineRecordLayer::TakeKept(char* to, size_t bytes) {
  const size_t taken = std::min(bytes, plain_.size() - plain_taken_);
  std::memcpy(to, plain_.data() + plain_taken_, taken);
  plain_taken_ += taken;
  if (plain_taken_ == plain_.size()) {
    Release(plain_);
    plain_taken_ = 0;
  }
  return taken;
}

IoResult EngineRecordLayer::Read(int fd, char* to, size_t bytes) {
  has_read_all_ = false;
  if (!plain_.empty()) return {IoState::kOk, TakeKept(to, bytes)};
  for (;;) {
    if (is_failed_) return {IoState::kError, 0};
    if (is_peer_closed_) return {IoState::kEnd, 0};
    const Received received = Receive(fd, bytes);
    if (received.state != IoState::kOk) return {received.state, 0};
    engine::Exchange exchange;
    const bool fits = received.input_bytes <= bytes;
    if (fits) exchange.plain = {to, bytes};
    Run(fd, exchange, received.input_bytes);
    if (exchange.plain_size == 0) continue;
    has_read_all_ = received.is_short && !is_peer_closed_ && !is_failed_;
    if (fits) return {IoState::kOk, exchange.plain_size};
    const size_t taken = std::min(bytes, exchange.plain_size);
    std::memcpy(to, exchange.plain.data, taken);
    if (taken < exchange.plain_size) {
      Keep({exchange.plain.data + taken, exchange.plain_size - taken});
      has_read_all_ = false;
    }
    return {IoState::kOk, taken};
  }
}

IoResult EngineRecordLayer::Write(int fd, std::string_view bytes) {
  size_t written = 0;
  while (!is_failed_) {
    const bool is_sent = SendUnsent(fd);
    if (is_socket_broken_) break;
    if (!is_sent) return {IoState::kWouldBlock, written};
    if (written == bytes.size()) return {IoState::kOk, written};
    engine::Exchange exchange;
    exchange.to_encrypt = engine::Slice(bytes.substr(written, kEncryptBytes));
    const size_t held = partial_.size();
    std::memcpy(ThreadScratch().input.data(), partial_.data(), held);
    Run(fd, exchange, held);
    Keep({exchange.plain.data, exchange.plain_size});
    if (exchange.encrypted == 0) Fail("the engine took no plaintext");
    written += exchange.encrypted;
  }
  return {IoState::kError, written};
}

void EngineRecordLayer::ShutdownWrite(int fd) {
  if (is_failed_ || session_ == nullptr || !is_started_) return;
  engine::Exchange exchange;
  exchange.is_closing = true;
  const size_t held = partial_.size();
  std::memcpy(ThreadScratch().input.data(), partial_.data(), held);
  Run(fd, exchange, held);
}

}  // namespace meltemi::tls
