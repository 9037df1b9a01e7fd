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
  enum class Kind { kExact, kPrefix, kSuffix, kContains } kind = Kind::kExact;
  std::string value = {};
};

// How the peer's certificate is judged.
struct PeerVerification {
  std::vector<std::string> trusted_pem = {};  // CA bundles
  bool is_system_trust = false;               // use the system's store instead
  std::vector<SanMatcher> subject_alt_names =
      {};                    // any one must match a URI or DNS SAN; empty = any
  bool is_disabled = false;  // accept anything (Envoy: no validation context)
};

enum class ClientCertificate { kNone, kOptional, kRequired };

struct ServerSettings {
  std::vector<CertificateKey> certificates = {};
  ClientCertificate client_certificate = ClientCertificate::kNone;
  PeerVerification verification = {};
  std::vector<std::string> alpn = {};
  int version_min = 12;  // 12 or 13
  int version_max = 13;
  int tickets = 2;
};

struct ClientSettings {
  std::optional<CertificateKey> certificate = {};
  PeerVerification verification = {};
  std::vector<std::string> alpn = {};
  std::string server_name = {};  // SNI; empty sends none
  int version_min = 12;
  int version_max = 13;
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
