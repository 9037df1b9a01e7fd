// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/network_gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lib/runtime/shared_count.h"
#include "lib/telemetry/metrics.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

telemetry::Family* AddCounter(telemetry::Registry* registry, std::string name, std::string text,
                              std::string help, std::string label) {
  if (registry == nullptr) return nullptr;
  telemetry::FamilyOptions options;
  options.name = std::move(name);
  options.help = std::move(help);
  options.type = telemetry::MetricType::kCounter;
  options.labels = {std::move(label)};
  options.text = std::move(text);
  return registry->Add(std::move(options));
}

void Count(Worker& worker, telemetry::Family* family, std::string_view label) {
  if (family == nullptr || worker.recorder() == nullptr) return;
  worker.recorder()->Find(family, std::array{label}).Add();
}

// URI SANs if there are any, else DNS SANs, else the subject, as Envoy has it.
bool IsAuthenticated(const AcceptedConnection& connection,
                     const std::vector<routing::StringMatch>& name) {
  const net::TlsPeer* peer = connection.connection->tls_peer();
  // What an unverified certificate says is a claim, no identity.
  if (peer == nullptr || peer->certificate_der.empty() || !peer->is_verified) return false;
  if (name.empty()) return true;
  if (!peer->uri_san.empty()) return name[0].Matches(peer->uri_san);
  return name[0].Matches(peer->dns_san.empty() ? peer->subject : peer->dns_san);
}

class AccessGate final : public ConnectionGate {
 public:
  AccessGate(AccessGateConfig config, telemetry::Registry* registry)
      : config_(std::move(config)),
        results_(Families(registry, "")),
        shadow_results_(Families(registry, "shadow_")) {}

  Verdict Judge(Worker& worker, AcceptedConnection& connection) const override {
    if (config_.shadow_rules != nullptr) {
      const auto judgement = config_.shadow_rules->Judge(connection);
      Count(worker, shadow_results_[judgement.is_allowed],
            config_.stat_prefix + "rbac." + config_.shadow_stat_prefix);
    }
    if (config_.rules == nullptr) return {};
    auto judgement = config_.rules->Judge(connection);
    Count(worker, results_[judgement.is_allowed], config_.stat_prefix + "rbac.");
    if (judgement.is_allowed) return {};
    Verdict verdict;
    verdict.is_passed = false;
    verdict.delay = config_.denial_delay;
    verdict.detail = fmt::format("rbac_access_denied_matched_policy[{}]", judgement.policy);
    return verdict;
  }

 private:
  // Denied, allowed.
  static std::array<telemetry::Family*, 2> Families(telemetry::Registry* registry,
                                                    std::string_view kind) {
    std::array<telemetry::Family*, 2> families;
    for (const bool is_allowed : {false, true}) {
      const char* result = is_allowed ? "allowed" : "denied";
      families[is_allowed] = AddCounter(
          registry, fmt::format("envoy_rbac_{}{}", kind, result),
          fmt::format("{{}}{}{}", kind, result),
          fmt::format("Connections that access rules {}{}.", kind, result), "envoy_rbac_prefix");
    }
    return families;
  }

  const AccessGateConfig config_;
  const std::array<telemetry::Family*, 2> results_, shadow_results_;
};

class ConnectionLimit final : public ConnectionGate {
 public:
  ConnectionLimit(ConnectionLimitConfig config, telemetry::Registry* registry)
      : config_(std::move(config)),
        limited_(AddCounter(registry, "envoy_connection_limit_limited_connections",
                            "connection_limit.{}.limited_connections",
                            "Connections closed for being too many.",
                            "envoy_connection_limit_prefix")) {}

  Verdict Judge(Worker& worker, AcceptedConnection&) const override {
    Verdict verdict;
    verdict.hold = runtime::SharedCount::Take(count_, config_.connections_max);
    if (verdict.hold != nullptr) return verdict;
    Count(worker, limited_, config_.stat_prefix);
    verdict.is_passed = false;
    verdict.delay = config_.delay;
    return verdict;
  }

 private:
  const ConnectionLimitConfig config_;
  telemetry::Family* const limited_;
  const std::shared_ptr<runtime::SharedCount> count_ = std::make_shared<runtime::SharedCount>();
};

class ServerNameCluster final : public ConnectionGate {
 public:
  Verdict Judge(Worker&, AcceptedConnection& connection) const override {
    connection.cluster_name = connection.server_name;
    return {};
  }
};

// -- direct_response

class DirectSession final : public ActiveConnection,
                            private net::ConnectionCallbacks,
                            private runtime::Deferred {
 public:
  DirectSession(Worker& worker, std::unique_ptr<net::Connection> connection, std::string_view text)
      : worker_(worker), connection_(std::move(connection)) {
    connection_->SetCallbacks(this);
    connection_->output().Append(text);
    connection_->Flush();
    worker_.loop().Defer(this);
  }
  void Drain() override {}

 private:
  static constexpr Duration kLinger = std::chrono::seconds(1);
  void RunDeferred() override { connection_->CloseAfterFlush(kLinger); }
  void OnInput() override { connection_->input().Clear(); }
  void OnClosed(net::CloseReason) override { worker_.End(*this); }

  Worker& worker_;
  const std::unique_ptr<net::Connection> connection_;
};

class DirectResponse final : public ChainHandler {
 public:
  explicit DirectResponse(std::string text) : text_(std::move(text)) {}
  std::unique_ptr<ActiveConnection> Accept(Worker& worker,
                                           AcceptedConnection accepted) const override {
    return std::make_unique<DirectSession>(worker, std::move(accepted.connection), text_);
  }

 private:
  const std::string text_;
};

}  // namespace

bool AccessRule::Matches(const AcceptedConnection& connection) const {
  const auto matches = [&](const AccessRule& part) { return part.Matches(connection); };
  const net::Address& destination = connection.original_destination;
  switch (kind) {
    case Kind::kAny:
      return true;
    case Kind::kAnd:
      return std::all_of(parts.begin(), parts.end(), matches);
    case Kind::kOr:
      return std::any_of(parts.begin(), parts.end(), matches);
    case Kind::kNot:
      return !parts[0].Matches(connection);
    case Kind::kDestinationIp:
      return prefix.Contains(destination.ip_bytes());
    case Kind::kDestinationPorts:
      return destination.port() >= port_begin && destination.port() < port_end;
    case Kind::kServerName:
      return name[0].Matches(connection.server_name);
    case Kind::kAuthenticated:
      return IsAuthenticated(connection, name);
    case Kind::kRemoteIp:
      return prefix.Contains(connection.remote.ip_bytes());
    case Kind::kDirectRemoteIp:
      return prefix.Contains(connection.direct_remote.ip_bytes());
  }
  return false;
}

AccessRules::Judgement AccessRules::Judge(const AcceptedConnection& connection) const {
  Judgement judgement;
  bool is_matched = false;
  for (const auto& [name, policy] : policies) {
    if (!policy.permission.Matches(connection) || !policy.principal.Matches(connection)) continue;
    is_matched = true;
    judgement.policy = name;
    break;
  }
  if (action == Action::kAllow) judgement.is_allowed = is_matched;
  if (action == Action::kDeny) judgement.is_allowed = !is_matched;
  return judgement;
}

std::shared_ptr<const ConnectionGate> NewAccessGate(AccessGateConfig config,
                                                    telemetry::Registry* registry) {
  return std::make_shared<const AccessGate>(std::move(config), registry);
}

std::shared_ptr<const ConnectionGate> NewConnectionLimit(ConnectionLimitConfig config,
                                                         telemetry::Registry* registry) {
  return std::make_shared<const ConnectionLimit>(std::move(config), registry);
}

std::shared_ptr<const ConnectionGate> NewServerNameCluster() {
  return std::make_shared<const ServerNameCluster>();
}

std::shared_ptr<const ChainHandler> NewDirectResponse(std::string text) {
  return std::make_shared<const DirectResponse>(std::move(text));
}

}  // namespace meltemi::proxy
