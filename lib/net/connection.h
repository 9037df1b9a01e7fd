// SPDX-License-Identifier: Apache-2.0
// A connected byte stream on one loop: a socket, an optional record layer (TLS), an input and an
// output buffer. Worker-local. The owner pulls: what it does not consume is not read further.
//
// Invariants:
//  1. Reading stops while input() holds `input_bytes_max` or more; Consume + ResumeReading
//  continues it.
//  2. Everything appended to output() in a pass leaves in one write at the pass's end.
//  3. Callbacks never run inside a call the owner makes (Append, Close …): only from the loop.
//  4. OnClosed is the last callback and comes exactly once, unless the owner closes first (then
//  never).
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "lib/base/fd.h"
#include "lib/net/address.h"
#include "lib/net/buffer.h"
#include "lib/runtime/loop.h"

namespace meltemi::net {

enum class IoState : uint8_t { kOk, kWouldBlock, kEnd, kError };
struct IoResult {
  IoState state;
  size_t bytes;
};

// Names of a certificate; the record layer's, which keeps them as this lays them out.
class NameList final {
 public:
  size_t size() const { return size_; }
  std::string_view operator[](size_t at) const { return {names_[at].data, names_[at].size}; }

 private:
  struct Name {
    const char* data;
    size_t size;
  };
  const Name* names_ = nullptr;
  size_t size_ = 0;
};

// What a handshake learned of the peer; owned by the record layer.
struct TlsPeer {
  std::string_view alpn;         // negotiated protocol, "" when none
  std::string_view server_name;  // SNI: as the client sent it, or as we did
  std::string_view version;      // "TLSv1.3"
  std::string_view cipher;       // OpenSSL's name
  std::string_view group;        // of the key exchange: "X25519", "P-256"
  // Peer's leaf certificate (DER); empty when the peer showed none.
  std::string_view certificate_der;
  std::string_view certificate_hash;  // SHA-256 of it, 32 bytes
  NameList uri_sans, dns_sans;        // all; of a verified certificate only
  // First of each kind; empty too when the certificate was not verified: a claim is no identity.
  std::string_view uri_san;  // the SPIFFE identity
  std::string_view dns_san, email_san, ip_san;
  std::string_view subject;
  // Of the certificate a server showed.
  std::string_view own_uri_san, own_dns_san, own_subject;
  bool is_verified = false;
  bool resumed = false;
};

// Why TLS failed; the numbers are the engine's (lib/tls/rust/src/failure.rs).
enum class TlsFailure : uint8_t {
  kNone = 0,
  kPeerSpokeHttp = 1,
  kPeerSpokeNoTls = 2,
  kCertificateExpired = 3,
  kCertificateNotYetValid = 4,
  kUnknownIssuer = 5,
  kRevoked = 6,
  kSanMismatch = 7,
  kPinMismatch = 8,
  kCertificateRefused = 9,  // malformed, wrong usage, no revocation status …
  kNoCertificate = 10,
  kNoSharedVersion = 11,
  kNoSharedCipher = 12,  // or key exchange group, or signature algorithm
  kNoSharedProtocol = 13,
  kPeerClosed = 14,  // during the handshake
  kAlertReceived = 15,
  kNoCertificateForName = 16,
  kOther = 17,
};

// Between socket and buffers; absent for plain text. lib/tls implements it.
class RecordLayer {
 public:
  virtual ~RecordLayer() = default;
  // Drives the handshake; kOk = done, kWouldBlock = wait for readiness.
  virtual IoState Handshake(int fd) = 0;
  // Ciphertext already read from the socket by an inspector; comes before the first Handshake.
  virtual void AddPrefix(std::string_view bytes) = 0;
  virtual IoResult Read(int fd, char* to, size_t bytes) = 0;
  virtual IoResult Write(int fd, std::string_view bytes) = 0;
  // True when the last Read emptied the socket (a short read) and kept nothing back.
  virtual bool has_read_all() const { return false; }
  // True while encrypted bytes wait for the socket.
  virtual bool has_pending_output() const = 0;
  // Sends close_notify; best effort.
  virtual void ShutdownWrite(int fd) = 0;
  virtual const TlsPeer& peer() const = 0;
  // Why the handshake or a record failed, in a few words; static or owned by the layer.
  virtual std::string_view failure() const = 0;
  virtual TlsFailure failure_kind() const { return TlsFailure::kNone; }
};

enum class CloseReason : uint8_t {
  kRemoteEnd,      // orderly end from the peer, both halves done
  kReset,          // RST or a socket error
  kConnectFailed,  // refused, unreachable
  kConnectTimeout,
  kTlsFailed,
  kLocal,
};

class ConnectionCallbacks {
 public:
  // Connected, and the handshake done where there is a record layer. Not called for accepted plain
  // sockets.
  virtual void OnConnected() {}
  // New bytes in input(), or the peer ended its half (input_ended()).
  virtual void OnInput() = 0;
  // output() went from at least the high watermark to the low one: the owner may add more.
  virtual void OnOutputDrained() {}
  virtual void OnClosed(CloseReason reason) = 0;

 protected:
  ~ConnectionCallbacks() = default;
};

struct ConnectionLimits {
  size_t input_bytes_max = BlockPool::kBlockBytes;
  // The owner stops adding at this size. With one more block on top it is still one 64 KiB
  // allocation.
  size_t output_bytes_high = 48 * 1024;
  size_t output_bytes_low = 16 * 1024;
};

class Connection final : private runtime::StreamHandler, private runtime::Deferred {
 public:
  // Takes over a connected (or accepted) socket, non-blocking. `prefix` = bytes already read from
  // it (by an inspector); they are delivered, or handed to the record layer, first.
  Connection(runtime::Loop& loop, BlockPool& pool, Fd socket, std::unique_ptr<RecordLayer> records,
             ConnectionLimits limits = {}, std::string_view prefix = {});
  // Starts a connect. `from` binds the source address when set.
  static std::unique_ptr<Connection> Connect(runtime::Loop& loop, BlockPool& pool, Fd socket,
                                             const Address& to, Duration timeout,
                                             std::unique_ptr<RecordLayer> records,
                                             ConnectionLimits limits = {});
  ~Connection() override;  // closes at once, dropping what was not sent

  // The owner; set right after construction. Reading begins then.
  void SetCallbacks(ConnectionCallbacks* callbacks);

  Buffer& input() { return input_; }
  bool input_ended() const { return input_ended_; }
  // After Consume made room; also to ask again when a full input held less than the owner needs.
  void ResumeReading();
  // Lets input grow to `bytes` (one message head larger than a block).
  void set_input_bytes_max(size_t bytes) { limits_.input_bytes_max = bytes; }

  Buffer& output() { return output_; }
  // Sends output() at the end of this pass. Call after appending.
  void Flush();
  bool is_output_full() const { return unsent_bytes() >= limits_.output_bytes_high; }
  // Half-close after what is in output() has gone.
  void EndOutput();
  // Sends what is in output(), ends it, reads and drops until the peer ends or `linger` passes,
  // then calls OnClosed(kLocal). For a reply followed by a close that must not turn into a reset.
  void CloseAfterFlush(Duration linger);
  void Close();  // at once; no further callback

  bool is_connected() const { return state_ == State::kOpen; }
  const TlsPeer* tls_peer() const { return records_ ? &records_->peer() : nullptr; }
  std::string_view tls_failure() const { return records_ ? records_->failure() : ""; }
  TlsFailure tls_failure_kind() const {
    return records_ ? records_->failure_kind() : TlsFailure::kNone;
  }
  const Address& remote_address() const;  // asked of the kernel once, at the first call
  const Address& local_address() const;
  runtime::Loop& loop() { return loop_; }
  int fd() const { return socket_.get(); }
  uint64_t bytes_received() const { return bytes_received_; }
  uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  enum class State : uint8_t { kConnecting, kHandshaking, kOpen, kClosing, kClosed };
  void OnReady(runtime::Ready ready) override;
  void OnSent(ssize_t result) override;
  void RunDeferred() override;

  static constexpr int kReadsPerTurn = 8;

  void Start();
  Status WatchSocket();
  void ConnectNow(const Address& to);
  void FinishConnect();
  void Handshake();
  void Open();
  // Reads and tells the owner, until the socket is empty, the input full or the turn over.
  void ReadInput();
  IoResult ReadOnce(char* to, size_t bytes);
  void DropInput();
  // False when the connection ended (and `this` may be gone).
  bool DeliverInput();
  bool FlushOutput();
  void WriteOutput();
  void WriteRecords();
  void WritePlain();
  bool TookOutput(ssize_t result);
  size_t unsent_bytes() const { return output_.size() + sending_.size(); }
  bool FinishOutput();
  bool has_output_left() const;
  void DeferFailure(CloseReason reason);
  void EndAfterFailure();
  void Fail(CloseReason reason);
  void Detach();
  void ArmTimer(Duration after);
  void OnTimer();
  template <typename Function>
  bool Tell(Function function);
  struct Ends {
    Address remote, local;
  };
  Ends& ends() const;

  runtime::Loop& loop_;
  Fd socket_;
  std::unique_ptr<RecordLayer> records_;
  ConnectionLimits limits_;
  ConnectionCallbacks* callbacks_ = nullptr;
  Buffer input_;
  Buffer output_;
  Buffer sending_;  // plain bytes the loop is sending, or that a full socket left; before output_
  mutable std::unique_ptr<Ends> ends_;     // made when somebody asks
  std::unique_ptr<runtime::Timer> timer_;  // connect timeout, then linger
  Duration connect_timeout_{};
  bool* destroyed_ = nullptr;  // set while a callback runs
  uint64_t bytes_received_ = 0;
  uint64_t bytes_sent_ = 0;
  State state_ = State::kOpen;
  std::optional<CloseReason> failure_;  // found inside a call of the owner, told at the pass's end
  bool input_ended_ = false;
  bool has_new_input_ : 1 = false;  // in input_, not told to the owner yet
  bool wants_read_ : 1 = false;
  bool is_started_ : 1 = false;
  bool can_read_ : 1 = false;
  bool can_write_ : 1 = false;
  bool is_sending_ : 1 = false;  // until OnSent
  bool is_hung_up_ : 1 = false;
  bool was_output_full_ : 1 = false;
  bool wants_end_ : 1 = false;
  bool output_ended_ : 1 = false;
};

}  // namespace meltemi::net
