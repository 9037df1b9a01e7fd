// SPDX-License-Identifier: Apache-2.0
// The C interface of the TLS engine; its Rust side is lib/tls/rust/src. Only lib/tls includes this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/net/connection.h"

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

// What Settings gather beside certificates and matchers. The numbers are the Rust side's.
enum class Item : int32_t {
  kTrustPem = 0,
  kCrlPem = 1,
  kAlpn = 2,
  kCertificatePin = 3,  // SHA-256
  kKeyPin = 4,          // SHA-256
  kTicketKey = 5,       // 80 bytes
};

struct Options {
  int32_t version_min;
  int32_t version_max;
  int32_t client_certificate = 0;  // server: 0 none, 1 optional, 2 required
  uint32_t tickets = 0;            // server
  uint32_t ticket_seconds = 0;     // server
  uint32_t sessions_max = 0;       // a server's are for TLS 1.2 without tickets
  uint32_t depth_max;
  bool is_chain_ignored;
  bool accepts_untrusted;
  bool allows_expired;
  bool checks_leaf_crl_only;
  bool matches_server_name = false;     // client
  bool prefers_client_ciphers = false;  // server
  bool scans_all_certificates = false;  // server
  bool requires_server_name = false;    // server
};

struct San {
  int32_t kind;
  int32_t type;
  bool ignores_case;
  Slice value;
  void* regex = nullptr;  // taken over
  bool (*matches)(const void*, Slice) = nullptr;
  void (*free)(void*) = nullptr;
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
  Slice alpn, server_name, version, cipher, group, certificate_der, certificate_hash;
  net::NameList uri_sans, dns_sans;
  Slice uri_san, dns_san, email_san, ip_san, subject;
  Slice own_uri_san, own_dns_san, own_subject;
  bool is_resumed = false;
  bool is_verified = false;
};

struct Settings;
struct ServerContext;
struct ClientContext;
struct Session;

extern "C" {
Settings* meltemi_tls_settings_new();
void meltemi_tls_settings_free(Settings*);
void meltemi_tls_settings_certificate(Settings*, Slice chain, Slice key);
bool meltemi_tls_settings_add(Settings*, int32_t item, Slice bytes);
void meltemi_tls_settings_cipher(Settings*, uint16_t number);
void meltemi_tls_settings_group(Settings*, uint16_t number);
void meltemi_tls_settings_san(Settings*, const San*);
ServerContext* meltemi_tls_server_context_new(Settings*, const Options*, Space error,
                                              size_t* error_size);
ClientContext* meltemi_tls_client_context_new(Settings*, const Options*, Space error,
                                              size_t* error_size);
void meltemi_tls_server_context_free(ServerContext*);
void meltemi_tls_client_context_free(ClientContext*);
Session* meltemi_tls_server_session_new(const ServerContext*);
Session* meltemi_tls_client_session_new(const ClientContext*, Slice server_name, const Slice* alpn,
                                        size_t alpn_count);
void meltemi_tls_session_free(Session*);
void meltemi_tls_session_run(Session*, Exchange*);
// The number is net::TlsFailure's.
int32_t meltemi_tls_session_failure(const Session*, Slice* text);
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
