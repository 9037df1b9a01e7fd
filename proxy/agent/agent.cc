// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/agent.h"

#include <fmt/format.h>

#include <utility>

#include "lib/base/log.h"
#include "lib/capture/client.h"
#include "lib/identity/spiffe_id.h"
#include "proxy/agent/gateway_sockets.h"
#include "proxy/agent/names.h"
#include "proxy/agent/secrets.h"
#include "proxy/agent/text_file.h"
#include "proxy/agent/xds_metrics.h"
#include "proxy/listener/captured_sockets.h"

namespace meltemi::proxy {
namespace {

constexpr uint16_t kDnsPort = 15053;
constexpr char kResolvConf[] = "/etc/resolv.conf";
// Istio's drainDuration: how long connections of a removed listener may go on.
constexpr Duration kConnectionDrainTime = std::chrono::seconds(45);

// Several proxies of one machine: each has a loopback address of its own.
bool IsSharedMachine(const WorkloadOptions& options) {
  return options.ip.starts_with("127.");
}

std::string IdentityOf(const WorkloadOptions& options) {
  return identity::SpiffeId{options.trust_domain, options.ns, options.service_account}.text();
}

}  // namespace

StatusOr<std::unique_ptr<Agent>> Agent::Start(runtime::Loop& loop, WorkloadOptions options) {
  std::unique_ptr<Agent> agent(new Agent(loop, std::move(options)));
  MELTEMI_RETURN_IF_ERROR(agent->StartAll());
  return agent;
}

Agent::Agent(runtime::Loop& loop, WorkloadOptions options)
    : loop_(loop),
      options_(std::move(options)),
      node_(MakeNode(options_)),
      started_(loop.Now()),
      random_(std::random_device{}()),
      tls_(RealClock(), options_.root_cert_path, options_.server_name) {}

Status Agent::StartAll() {
  MELTEMI_ASSIGN_OR_RETURN(process_, Process::Start(loop_, MakeSetup()));
  process_->SetReadiness([this] { return is_warm_; });
  process_->SetCertificates([this] {
    const bool has_certificate = identity_ != nullptr && identity_->current().has_value();
    return has_certificate ? CertificatesJson(*identity_->current(), RealClock().Wall())
                           : std::string("{\"certificates\": []}\n");
  });
  AddMetrics();
  MELTEMI_RETURN_IF_ERROR(StartStatus());
  if (!options_.is_gateway && !options_.capture_path.empty()) MELTEMI_RETURN_IF_ERROR(StartDns());
  MELTEMI_LOG(info, "{} on {}", node_.id, options_.ip);
  if (options_.is_plaintext) {
    StartDiscovery();
  } else {
    StartIdentity();
  }
  return absl::OkStatus();
}

Process::Setup Agent::MakeSetup() const {
  Process::Setup setup;
  setup.process = options_.process;
  setup.connection_drain_time = kConnectionDrainTime;
  setup.drain.time_max = options_.process.drain_time;
  setup.node_id = node_.id;
  setup.node_cluster = node_.cluster;
  setup.node_metadata_json = node_.metadata_json;
  const auto own = net::Address::ParseIp(options_.ip, 0);
  if (options_.is_gateway) {
    if (own.ok() && IsSharedMachine(options_)) setup.sockets = NewGatewaySockets(*own);
    return setup;
  }
  setup.drain.settle_time = std::min(kSettleTime, options_.process.drain_time);
  setup.drain.keeps_outbound_open = true;
  if (own.ok() && !options_.capture_path.empty())
    setup.sockets = NewCapturedSockets(options_.capture_path, *own);
  return setup;
}

Status Agent::StartStatus() {
  // Where the workload's address is on the network, the admin endpoint stays off it.
  const std::string admin_ip = IsSharedMachine(options_) ? options_.ip : "127.0.0.1";
  MELTEMI_ASSIGN_OR_RETURN(const net::Address admin,
                           net::Address::ParseIp(admin_ip, options_.admin_port));
  MELTEMI_RETURN_IF_ERROR(process_->ListenAdmin(admin));
  const StatusServers::Options ports{options_.ip, options_.status_port, options_.agent_port,
                                     options_.metrics_port};
  StatusServers::Sources sources;
  sources.why_not_ready = [this] { return WhyNotReady(); };
  sources.metrics = [this] { return process_->StatsPrometheus(); };
  sources.quit = [this] { process_->BeginDrain(); };
  MELTEMI_ASSIGN_OR_RETURN(pages_, StatusServers::Listen(loop_, ports, std::move(sources)));
  return absl::OkStatus();
}

Status Agent::StartDns() {
  MELTEMI_ASSIGN_OR_RETURN(capture::Client client, capture::Client::Connect(options_.capture_path));
  MELTEMI_ASSIGN_OR_RETURN(Fd udp, client.UdpSocket(kDnsPort));
  MELTEMI_ASSIGN_OR_RETURN(Fd tcp, client.TcpListener(kDnsPort));
  dns::ServerOptions options;
  auto conf = ReadTextFile(kResolvConf, "resolvers");
  if (conf.ok()) options.resolvers = ReadResolvers(*conf);
  if (options.resolvers.empty())
    MELTEMI_LOG(warn, "{} names no resolver: only names of the mesh are known", kResolvConf);
  MELTEMI_ASSIGN_OR_RETURN(
      dns_, dns::Server::Create(loop_, std::move(udp), std::move(tcp), std::move(options)));
  return absl::OkStatus();
}

void Agent::StartIdentity() {
  WorkloadIdentity::Options options;
  options.authority = options_.authority;
  options.token_path = options_.token_path;
  options.uri = IdentityOf(options_);
  options.lifetime = options_.secret_lifetime;
  options.grace_ratio = options_.grace_ratio;
  options.random = [this] { return Random(); };
  identity_ = std::make_unique<WorkloadIdentity>(
      loop_, RealClock(), tls_, std::move(options),
      [this](const IssuedCertificate& certificate) { OnIssued(certificate); });
  identity_->Start();
}

void Agent::OnIssued(const IssuedCertificate& certificate) {
  const std::string version = fmt::to_string(certificate.not_after.time_since_epoch().count());
  const std::string own = CertificateSecret(kWorkloadSecret, certificate);
  const std::string roots = ValidationSecret(kRootSecret, certificate.root_pem);
  const auto rejections = process_->server().config().Update(
      xds::Type::kSecret, {{kWorkloadSecret, own, version}, {kRootSecret, roots, version}}, {});
  for (const Rejection& rejection : rejections)
    MELTEMI_LOG(error, "secret {} of our own was refused: {}", rejection.name, rejection.reason);
  process_->server().config().Commit([this] { OnAdopted(); });
  if (client_ == nullptr) StartDiscovery();
}

void Agent::StartDiscovery() {
  ConfigReceiver::Options options;
  files_ = std::make_unique<FileSecrets>(loop_, process_->server().config());
  options.is_asked = [](xds::Type type, const std::string& name, const ConfigSource&) {
    return type != xds::Type::kSecret || !IsLocalSecret(name);
  };
  options.adopted = [this] { OnAdopted(); };
  if (dns_ != nullptr)
    options.take_names = [this](std::string_view serialized) { return TakeNames(serialized); };
  receiver_ = std::make_unique<ConfigReceiver>(process_->server().config(), std::move(options));

  channel_ = options_.is_plaintext
                 ? grpc::Channel::Create(loop_, options_.discovery)
                 : grpc::Channel::Create(loop_, tls_.TargetOf(options_.discovery));

  xds::ClientOptions client;
  client.node = node_.serialized;
  client.metadata = [this] { return StreamMetadata(); };
  client.random = [this] { return Random(); };
  client_ = xds::Client::Create(loop_, *channel_, *receiver_, std::move(client));
  process_->server().config().OnWantedChanged([this] { FollowWanted(); });
  receiver_->Attach(*client_);
  FollowWanted();
  client_->Start();
}

void Agent::FollowWanted() {
  const Wanted wanted = process_->server().config().wanted();
  files_->Want(wanted.secrets);
  receiver_->Follow(wanted);
}

StatusOr<std::multimap<std::string, std::string>> Agent::StreamMetadata() {
  std::multimap<std::string, std::string> metadata{{"clusterid", options_.cluster_id}};
  if (options_.is_plaintext) return metadata;  // a token is for checked servers only
  MELTEMI_RETURN_IF_ERROR(tls_.Context().status());
  MELTEMI_ASSIGN_OR_RETURN(const std::string token, ReadToken(options_.token_path));
  metadata.emplace("authorization", "Bearer " + token);
  return metadata;
}

Status Agent::TakeNames(std::string_view serialized) {
  MELTEMI_ASSIGN_OR_RETURN(auto names, ReadNameTable(serialized, options_.ns, options_.domain));
  MELTEMI_LOG(debug, "name table: {} names", names->size());
  dns_->Update(std::move(names));
  return absl::OkStatus();
}

std::string Agent::WhyNotWarm() const {
  if (identity_ != nullptr && !identity_->current().has_value()) return "no certificate yet";
  if (receiver_ == nullptr || !receiver_->has_adopted(xds::Type::kCluster))
    return "no clusters from the control plane yet";
  if (!receiver_->has_adopted(xds::Type::kListener))
    return "no listeners from the control plane yet";
  if (!process_->server().config().is_warm())
    return "clusters or listeners still wait for endpoints, routes or secrets";
  const bool waits_for_names = dns_ != nullptr && !dns_->has_names();
  if (waits_for_names && loop_.Now() - started_ < kNameTableWaitMax) return "no name table yet";
  return "";
}

void Agent::OnAdopted() {
  if (is_warm_ || !WhyNotWarm().empty()) return;
  is_warm_ = true;
  process_->EndStartup();
  MELTEMI_LOG(info, "ready after {} ms", (loop_.Now() - started_) / std::chrono::milliseconds(1));
}

std::string Agent::WhyNotReady() {
  OnAdopted();  // a wait may have ended without news
  if (process_->is_ready()) return "";
  if (process_->state() == ProcessState::kDraining) return "draining";
  return is_warm_ ? "failed by /healthcheck/fail" : WhyNotWarm();
}

void Agent::AddMetrics() {
  using telemetry::MetricType;
  telemetry::Registry& registry = process_->registry();
  const auto add = [&](const char* name, const char* help, MetricType type,
                       std::function<double()> source) {
    registry.AddSource(name, help, type, std::move(source));
  };
  AddXdsMetrics(registry, [this] {
    return client_ == nullptr ? XdsState{} : XdsState{client_->is_up(), client_->counters()};
  });
  add("meltemi_certificate_failures_total", "attempts to get a certificate that failed",
      MetricType::kCounter,
      [this] { return identity_ == nullptr ? 0.0 : static_cast<double>(identity_->failures()); });
  add("istio_agent_cert_expiry_seconds", "until the workload's certificate expires",
      MetricType::kGauge, [this] {
        if (identity_ == nullptr || !identity_->current()) return 0.0;
        const auto left = identity_->current()->not_after - RealClock().Wall();
        return std::chrono::duration<double>(left).count();
      });
}

}  // namespace meltemi::proxy
