// SPDX-License-Identifier: Apache-2.0
// envoy.extensions.transport_sockets.tls.v3 → lib/tls. Control thread only.
//
// A plan is the settings with the names of the secrets (SDS) they still need; with the secrets at
// hand it becomes a context. A rotation builds a new context from the same plan.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/tls/context.h"
#include "proxy/config/config_source.h"

namespace meltemi::proxy {

// A Secret as far as TLS needs it.
struct SecretValue {
  std::optional<tls::CertificateKey> certificate;
  std::optional<tls::PeerVerification> validation;
  std::vector<std::string> ticket_keys;
};
using Secrets = std::map<std::string, SecretValue, std::less<>>;

struct TlsPlan {
  bool is_server = false;
  tls::ServerSettings server;  // one of the two is used
  tls::ClientSettings client;
  bool is_server_name_automatic = false;
  std::vector<std::string> certificate_secrets;
  std::string validation_secret;  // "" = none needed
  std::string ticket_secret;
  // Where they are subscribed, by name; one that is not here is the bootstrap's.
  SourcedNames secret_sources;
  // How long a user waits for them before it starts without; 0 = for ever (initial_fetch_timeout).
  Duration fetch_timeout = std::chrono::seconds(15);

  std::set<std::string> secrets() const;
  bool has_secrets(const Secrets& secrets) const;
};

// Each takes the serialized message; errors name the field below it. What needs no secret is built
// once, so that a certificate that is none is refused here.
StatusOr<TlsPlan> CompileUpstreamTls(std::string_view upstream_tls_context);
StatusOr<TlsPlan> CompileDownstreamTls(std::string_view downstream_tls_context);
// A serialized Secret; gives its name too.
StatusOr<std::pair<std::string, SecretValue>> CompileSecret(std::string_view secret);

// Require: plan.has_secrets(secrets).
StatusOr<std::shared_ptr<const tls::ClientContext>> BuildClient(const TlsPlan& plan,
                                                                const Secrets& secrets);
StatusOr<std::shared_ptr<const tls::ServerContext>> BuildServer(const TlsPlan& plan,
                                                                const Secrets& secrets);

}  // namespace meltemi::proxy
