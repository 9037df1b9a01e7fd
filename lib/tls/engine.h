// SPDX-License-Identifier: Apache-2.0
// The C interface of the TLS engine; its Rust side is lib/tls/rust/src. Only lib/tls includes this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace meltemi::tls::engine {

struct Slice {
  const char* data = nullptr;
  size_t size = 0;
  Slice() = default;
  explicit Slice(std::string_view from) : data(from.data()), size(from.size()) {}
  std::string_view view() const { return {data, size}; }
};

struct Space {
  char* data = nullptr;
  size_t size = 0;
};

struct ServerOptions {
  int32_t client_certificate;  // 0 none, 1 optional, 2 required
  bool is_disabled;
  int32_t version_min;
  int32_t version_max;
  int32_t tickets;
};

struct ClientOptions {
  bool is_disabled;
  int32_t version_min;
  int32_t version_max;
};

enum class Status : int32_t { kHandshaking = 0, kOpen = 1, kPeerClosed = 2, kFailed = 3 };

struct Exchange {
  Space input;       // ciphertext from the peer
  Space plain;       // at least as large as `input`
  Slice to_encrypt;  // plaintext for the peer
  Space cipher;      // ciphertext for the peer
  bool is_closing = false;
  // Results.
  size_t consumed = 0;  // of `input`; the rest comes again, first, in the next call
  size_t plain_size = 0;
  size_t encrypted = 0;  // all of `to_encrypt` or nothing
  size_t cipher_size = 0;
  Status status = Status::kHandshaking;
};

struct Peer {
  Slice alpn, server_name, version, cipher, certificate_der, uri_san, dns_san, subject;
  bool is_resumed = false;
};

struct Settings;
struct ServerContext;
struct ClientContext;
struct Session;

extern "C" {
Settings* meltemi_tls_settings_new();
void meltemi_tls_settings_free(Settings*);
void meltemi_tls_settings_certificate(Settings*, Slice chain, Slice key);
void meltemi_tls_settings_trust(Settings*, Slice pem);
void meltemi_tls_settings_san(Settings*, int32_t kind, Slice value);
void meltemi_tls_settings_alpn(Settings*, Slice protocol);
ServerContext* meltemi_tls_server_context_new(Settings*, const ServerOptions*, Space error,
                                              size_t* error_size);
ClientContext* meltemi_tls_client_context_new(Settings*, const ClientOptions*, Space error,
                                              size_t* error_size);
void meltemi_tls_server_context_free(ServerContext*);
void meltemi_tls_client_context_free(ClientContext*);
Session* meltemi_tls_server_session_new(const ServerContext*);
Session* meltemi_tls_client_session_new(const ClientContext*, Slice server_name, const Slice* alpn,
                                        size_t alpn_count);
void meltemi_tls_session_free(Session*);
void meltemi_tls_session_run(Session*, Exchange*);
void meltemi_tls_session_failure(const Session*, Slice* text);
void meltemi_tls_session_peer(const Session*, Peer*);
}

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
using SettingsPointer = std::unique_ptr<Settings, Deleter<Settings, meltemi_tls_settings_free>>;
using ServerContextPointer =
    std::unique_ptr<ServerContext, Deleter<ServerContext, meltemi_tls_server_context_free>>;
using ClientContextPointer =
    std::unique_ptr<ClientContext, Deleter<ClientContext, meltemi_tls_client_context_free>>;
using SessionPointer = std::unique_ptr<Session, Deleter<Session, meltemi_tls_session_free>>;

}  // namespace meltemi::tls::engine
