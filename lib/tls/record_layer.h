// SPDX-License-Identifier: Apache-2.0
// One connection's TLS over the engine. Worker-local.
// Ciphertext passes through buffers of the thread, so an idle connection holds none: what stays
// here is a record that came in part, ciphertext the socket did not take, and plaintext beyond what
// the reader had room for.
#pragma once

#include <string>

#include "lib/net/connection.h"
#include "lib/tls/engine.h"

namespace meltemi::tls {

class EngineRecordLayer final : public net::RecordLayer {
 public:
  // A null session (a server name that is none) fails its handshake.
  explicit EngineRecordLayer(engine::SessionPointer session) : session_(std::move(session)) {}

  net::IoState Handshake(int fd) override;
  void AddPrefix(std::string_view bytes) override { partial_.append(bytes); }
  net::IoResult Read(int fd, char* to, size_t bytes) override;
  bool has_read_all() const override { return has_read_all_; }
  net::IoResult Write(int fd, std::string_view bytes) override;
  bool has_pending_output() const override { return !unsent_.empty(); }
  void ShutdownWrite(int fd) override;
  const net::TlsPeer& peer() const override { return peer_; }
  std::string_view failure() const override { return failure_; }
  net::TlsFailure failure_kind() const override { return failure_kind_; }

 private:
  struct Received {
    net::IoState state;
    size_t input_bytes;  // in the thread's input buffer, with what was partial before
    bool is_short;
  };
  Received Receive(int fd, size_t bytes);
  // Runs the engine over the thread's input buffer, sends what comes of it.
  void Run(int fd, engine::Exchange& exchange, size_t input_bytes);
  void Send(int fd, std::string_view cipher);
  bool SendUnsent(int fd);
  void Keep(std::string_view plain) { plain_.append(plain); }
  size_t TakeKept(char* to, size_t bytes);
  void LearnPeer();
  bool Fail(std::string_view why, net::TlsFailure kind = net::TlsFailure::kOther);

  engine::SessionPointer session_;
  std::string partial_;
  std::string unsent_;
  std::string plain_;
  size_t plain_taken_ = 0;
  net::TlsPeer peer_;
  std::string_view failure_;
  net::TlsFailure failure_kind_ = net::TlsFailure::kNone;
  bool is_started_ = false;
  bool is_failed_ = false;
  bool is_peer_closed_ = false;
  bool is_socket_broken_ = false;
  bool has_read_all_ = false;
};

}  // namespace meltemi::tls
