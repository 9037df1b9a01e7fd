// SPDX-License-Identifier: Apache-2.0
// TLS settings compiled once and shared: certificates, trust, versions, ALPN. Thread-safe
// (immutable). Rotation makes a new context and swaps the pointer; connections keep the one they
// began with, so a rotation resets nothing. The engine is rustls with aws-lc-rs, through our crate
// lib/tls/rust.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/net/connection.h"

namespace meltemi::tls {

struct CertificateKey {
  std::string chain_pem = {};  // leaf first
  std::string key_pem = {};    // PKCS#8, SEC1 or PKCS#1; never logged
};

struct SanMatcher {
  enum class Kind { kExact, kPrefix, kSuffix, kContains, kRegex } kind = Kind::kExact;
  std::string value = {};  // kRegex: RE2, matches the whole name
  enum class Type { kAny, kEmail, kDns, kUri, kIp } type = Type::kAny;
  bool ignores_case = false;
};

// How the peer's certificate is judged.
struct PeerVerification {
  std::vector<std::string> trusted_pem = {};  // CA bundles
  bool is_system_trust = false;               // use the system's store instead
  // Any one must match a SAN of the leaf; none = any. An exact DNS name matches the certificate's
  // wildcard of its domain.
  std::vector<SanMatcher> subject_alt_names = {};
  // The name a client asks for must be among the SANs; takes the place of subject_alt_names.
  bool matches_server_name = false;
  // SHA-256, 32 raw bytes each, of the leaf and of its public key; any one must match.
  std::vector<std::string> certificate_pins = {}, key_pins = {};
  std::vector<std::string> crl_pem = {};  // with any, each issuer in the chain needs one
  bool checks_leaf_crl_only = false;
  bool allows_expired = false;
  bool accepts_untrusted = false;  // what fails is let in, without an identity
  uint32_t depth_max = 100;        // intermediate certificates
  // No chain, no names (Envoy: no trusted_ca); pins are looked at still. Without pins any
  // certificate is let in, and is no identity.
  bool is_disabled = false;
};

enum class ClientCertificate { kNone, kOptional, kRequired };

// Numbers of cipher suites and groups are IANA's, see names.h; the preferred first, none = the
// engine's defaults.
struct Algorithms {
  std::vector<uint16_t> ciphers = {};
  std::vector<uint16_t> groups = {};
};

struct ServerSettings {
  std::vector<CertificateKey> certificates = {};
  ClientCertificate client_certificate = ClientCertificate::kNone;
  PeerVerification verification = {};
  std::vector<std::string> alpn = {};
  int version_min = 12;  // 12 or 13
  int version_max = 13;
  int tickets = 1;  // per connection; 0 = none
  // Kept here for resumption by their id, of TLS 1.2 clients without tickets.
  uint32_t sessions_max = 0;
  Algorithms algorithms = {};
  std::vector<std::string> ticket_keys = {};  // 80 bytes each, the first seals; none = made here
  uint32_t ticket_seconds = 7200;             // of kept sessions too
  bool prefers_client_ciphers = false;
  bool scans_all_certificates = false;  // the client's abilities decide where no name matches
  bool requires_server_name = false;    // refuse a client that names none of the certificates
};

struct ClientSettings {
  std::optional<CertificateKey> certificate = {};
  PeerVerification verification = {};
  std::vector<std::string> alpn = {};
  std::string server_name = {};  // SNI; empty sends none
  int version_min = 12;
  int version_max = 13;
  Algorithms algorithms = {};
  uint32_t sessions_max = 8;  // kept for resumption; 0 = no resumption
};

class ServerContext {
 public:
  static StatusOr<std::shared_ptr<const ServerContext>> Build(const ServerSettings& settings);
  virtual ~ServerContext() = default;
  virtual std::unique_ptr<net::RecordLayer> NewSession() const = 0;
};

class ClientContext {
 public:
  static StatusOr<std::shared_ptr<const ClientContext>> Build(const ClientSettings& settings);
  virtual ~ClientContext() = default;
  // `alpn`, `server_name` override the settings when not empty.
  virtual std::unique_ptr<net::RecordLayer> NewSession(
      const std::vector<std::string>& alpn = {}, const std::string& server_name = "") const = 0;
};

}  // namespace meltemi::tls
