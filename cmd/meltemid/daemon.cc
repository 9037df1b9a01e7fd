// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemid/daemon.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "citadel/files.h"
#include "cmd/meltemid/mesh_file.h"
#include "galley/api/token.h"
#include "galley/judge.h"
#include "lib/base/log.h"

namespace meltemi::cmd {
namespace {

constexpr Duration kDrainMax = std::chrono::seconds(1);
// A reconnecting client names what it holds: some hundred bytes for each of many thousand
// resources.
constexpr size_t kDiscoveryMessageBytesMax = 16 * 1024 * 1024;

Status CannotListen(const char* flag, const net::Address& address, const Status& why) {
  return Status(why.code(),
                fmt::format("{} {}: {}\nend the program that holds the address, or give "
                            "another one with {}",
                            flag, address.text(), Message(why), flag));
}

std::string Trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// What a node says of itself: its namespace and service account, "" = nothing.
struct NodeClaims {
  std::string ns, service_account;
};

NodeClaims ReadClaims(const xds::NodeInfo& node) {
  NodeClaims claims;
  const auto metadata = nlohmann::json::parse(node.metadata_json, nullptr, false);
  const auto text = [&](const char* name) -> std::string {
    if (!metadata.is_object()) return "";
    const auto found = metadata.find(name);
    return found != metadata.end() && found->is_string() ? found->get<std::string>() : "";
  };
  claims.ns = text("NAMESPACE");
  claims.service_account = text("SERVICE_ACCOUNT");
  if (!claims.ns.empty()) return claims;
  // The first label of the id's last part: "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local".
  const std::string domain = node.id.substr(node.id.rfind('~') + 1);
  claims.ns = domain.substr(0, domain.find('.'));
  return claims;
}

}  // namespace

Daemon::Daemon(runtime::Loop& loop, Flags flags)
    : loop_(loop), flags_(std::move(flags)), drain_timer_(loop, [this] { on_drained_(); }) {}

StatusOr<std::unique_ptr<Daemon>> Daemon::Start(runtime::Loop& loop, Flags flags) {
  std::unique_ptr<Daemon> daemon(new Daemon(loop, std::move(flags)));
  MELTEMI_RETURN_IF_ERROR(daemon->Open());
  return daemon;
}

Status Daemon::Open() {
  MELTEMI_ASSIGN_OR_RETURN(mesh_, LoadMeshConfig(flags_.mesh_config));
  if (!flags_.trust_domain.empty()) mesh_.set_trust_domain(flags_.trust_domain);
  std::string trust_domain = mesh_.trust_domain();
  std::replace(trust_domain.begin(), trust_domain.end(), '@', '.');  // as Istio does
  if (!identity::IsIdentityPart(trust_domain)) {
    return absl::InvalidArgumentError(
        fmt::format("trust domain \"{}\" is no DNS name\nset another with --trust-domain or "
                    "trustDomain of the mesh configuration",
                    mesh_.trust_domain()));
  }
  mesh_.set_trust_domain(trust_domain);
  MELTEMI_RETURN_IF_ERROR(OpenStores());
  MELTEMI_RETURN_IF_ERROR(OpenAuthority());
  pilot_ =
      pilot::Pilot::Create({.domain = flags_.domain, .cluster_id = "Kubernetes", .mesh = mesh_});
  xds::AdsOptions options;
  options.admit = [this](const auto& peer, const auto& node) { return Admit(peer, node); };
  options.is_ready = [this] { return is_ready_; };
  options.on_progress = [this] {
    if (waits_ != nullptr) waits_->Poke();
    if (on_drained_ != nullptr) EndWhenIdle();
  };
  ads_ = std::make_unique<xds::AdsServer>(*pilot_, RealClock(), std::move(options));
  std::vector<ConfigFeed::Input> inputs;
  if (embedded_ != nullptr) inputs.push_back({embedded_.get(), true});
  if (directory_ != nullptr) inputs.push_back({directory_.get(), false});
  MELTEMI_ASSIGN_OR_RETURN(feed_, ConfigFeed::Start(inputs, *pilot_, [this] {
                             if (waits_ != nullptr) waits_->Poke();
                           }));
  waits_ = std::make_unique<LiveWaits>(loop_, *feed_, *ads_);
  is_ready_ = true;
  MELTEMI_RETURN_IF_ERROR(StartApi());
  return StartDiscovery();
}

Status Daemon::OpenStores() {
  if (!flags_.state_dir.empty()) {
    MELTEMI_RETURN_IF_ERROR(citadel::MakeDirectory(flags_.state_dir));
    MELTEMI_ASSIGN_OR_RETURN(embedded_, galley::EmbeddedStore::Open(loop_, flags_.state_dir));
  }
  if (!flags_.config_dirs.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(directory_, galley::DirectoryStore::Open(loop_, flags_.config_dirs));
  }
  return absl::OkStatus();
}

Status Daemon::OpenAuthority() {
  const bool is_kept = !flags_.state_dir.empty();
  const citadel::AuthorityOptions options{.trust_domain = mesh_.trust_domain(),
                                          .workload_lifetime = flags_.certificate_ttl,
                                          .workload_lifetime_max = flags_.certificate_ttl_max};
  auto authority = flags_.ca_dir.empty()
                       ? citadel::Authority::SelfSigned(
                             is_kept ? flags_.state_dir + "/ca" : std::string(), options)
                       : citadel::Authority::PluggedIn(flags_.ca_dir, options);
  if (!authority.ok()) return authority.status();
  authority_ = *std::move(authority);
  MELTEMI_ASSIGN_OR_RETURN(
      tokens_, citadel::TokenIssuer::Open(is_kept ? flags_.state_dir + "/token-key.pem" : ""));
  authenticator_ = std::make_unique<citadel::Authenticator>(
      *tokens_, mesh_.trust_domain(),
      [this](const std::string& ns, const std::string& name, const std::string& uid) {
        return galley::IsAccountPresent(store(), ns, name, uid);
      });
  csr_ = std::make_unique<citadel::CsrService>(*authority_, *authenticator_);

  identity::AltNames names{.uris = {}, .dns = {"localhost"}, .ips = {"127.0.0.1", "::1"}};
  for (const char* name : {"istiod", "meltemid"}) {
    names.dns.push_back(fmt::format("{}.istio-system.svc", name));
    names.dns.push_back(fmt::format("{}.istio-system.svc.{}", name, flags_.domain));
  }
  const net::Address& own = flags_.discovery_address;
  if (own.is_ip() && !own.is_any() && own.ip() != "127.0.0.1") names.ips.push_back(own.ip());
  MELTEMI_ASSIGN_OR_RETURN(identity_,
                           citadel::ServerIdentity::Create(loop_, *authority_, std::move(names)));
  if (!is_kept) return absl::OkStatus();
  return citadel::WriteSmallFile(flags_.state_dir + "/root-cert.pem", authority_->root_pem(), 0644);
}

config::Store& Daemon::store() const {
  if (embedded_ != nullptr) return *embedded_;
  return *directory_;
}

Status Daemon::StartApi() {
  if (flags_.api_addresses.empty()) return absl::OkStatus();
  galley::ApiOptions options;
  options.addresses = flags_.api_addresses;
  options.judge = galley::JudgeEnforced;
  if (!flags_.api_token_file.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(const auto text, citadel::ReadSmallFile(flags_.api_token_file));
    options.bearer_token = Trimmed(text.value_or(""));
    if (options.bearer_token.empty()) {
      return absl::FailedPreconditionError(fmt::format(
          "--api-token-file: {} is missing or empty\nwrite a token of your choice there",
          flags_.api_token_file));
    }
  }
  options.token_issuer = [this](const std::string& ns, const std::string& name,
                                const std::string& uid, const std::vector<std::string>& audiences,
                                Duration expiration) -> StatusOr<galley::ServiceAccountToken> {
    MELTEMI_ASSIGN_OR_RETURN(citadel::IssuedToken issued,
                             tokens_->Issue({.ns = ns,
                                             .service_account = name,
                                             .service_account_uid = uid,
                                             .audiences = audiences,
                                             .lifetime = expiration}));
    return galley::ServiceAccountToken{std::move(issued.token), issued.expires};
  };
  auto api = galley::Api::Start(loop_, store(), embedded_.get(), std::move(options));
  if (!api.ok()) return CannotListen("--api-address", flags_.api_addresses.front(), api.status());
  api_ = *std::move(api);
  for (const net::Address& address : api_->addresses()) {
    MELTEMI_LOG(info, "api on {}", address.text());
  }
  return absl::OkStatus();
}

Status Daemon::StartDiscovery() {
  grpc::ServerOptions options;
  options.message_bytes_max = kDiscoveryMessageBytesMax;
  if (flags_.plaintext_address.has_value()) {
    const net::Address& address = *flags_.plaintext_address;
    auto plaintext = grpc::Server::Listen(loop_, address, ads_->Methods(), options);
    if (!plaintext.ok()) return CannotListen("--plaintext-address", address, plaintext.status());
    plaintext_ = *std::move(plaintext);
    MELTEMI_LOG(info, "xds without TLS on {}", plaintext_->address().text());
  }
  grpc::MethodTable methods = ads_->Methods();
  methods.merge(csr_->Methods());
  options.tls_source = [this] { return identity_->context(); };
  auto secure = grpc::Server::Listen(loop_, flags_.discovery_address, std::move(methods), options);
  if (!secure.ok()) {
    return CannotListen("--discovery-address", flags_.discovery_address, secure.status());
  }
  secure_ = *std::move(secure);
  MELTEMI_LOG(info, "xds and certificates on {}", secure_->address().text());
  auto monitoring = Monitoring::Listen(loop_, flags_.monitoring_address,
                                       {.feed = *feed_,
                                        .pilot = *pilot_,
                                        .ads = *ads_,
                                        .authority = *authority_,
                                        .csr = *csr_,
                                        .directory = directory_.get(),
                                        .mesh = flags_.mesh,
                                        .started = loop_.Now()},
                                       *waits_, [this] { return is_ready_; });
  if (!monitoring.ok()) {
    return CannotListen("--monitoring-address", flags_.monitoring_address, monitoring.status());
  }
  monitoring_ = *std::move(monitoring);
  MELTEMI_LOG(info, "mesh {} is ready; monitoring on {}", flags_.mesh,
              flags_.monitoring_address.text());
  return absl::OkStatus();
}

StatusOr<std::string> Daemon::Admit(const grpc::PeerInfo& peer, const xds::NodeInfo& node) const {
  const NodeClaims claims = ReadClaims(node);
  return authenticator_->Admit(peer, claims.ns, claims.service_account);
}

void Daemon::Drain(std::function<void()> done) {
  if (on_drained_ != nullptr) return;
  is_ready_ = false;
  on_drained_ = std::move(done);
  api_.reset();
  secure_->Drain();
  if (plaintext_ != nullptr) plaintext_->Drain();
  drain_timer_.Arm(kDrainMax);
  EndWhenIdle();
}

// From the timer, because this runs inside a session's end.
void Daemon::EndWhenIdle() {
  if (ads_->Status().empty()) drain_timer_.Arm(Duration::zero());
}

}  // namespace meltemi::cmd
