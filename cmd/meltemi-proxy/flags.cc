// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemi-proxy/flags.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>

#include "lib/base/status.h"
#include "lib/config/duration.h"

namespace meltemi::cmd {
namespace {

constexpr size_t kConcurrencyMax = 256;
constexpr uint32_t kDrainSecondsMax = 24 * 3600;

// As typed, before addresses are judged.
struct Raw {
  std::string admin_address, discovery, authority, labels, mode = "serve";
  uint32_t drain_s = static_cast<uint32_t>(proxy::kProcessDrainTime.count());
  size_t concurrency = 0;
  std::string secret_ttl = "24h";
  std::string socket_io = "best";
  std::vector<std::string> unused_values;
  bool unused_switch = false;
};

// Envoy flags that Envoy's starters pass and that change nothing here: no hot restart, one log.
constexpr const char* kIgnoredSwitches[] = {
    "--allow-unknown-fields",
    "--allow-unknown-static-fields",
    "--cpuset-threads",
    "--disable-extensions-check",
    "--disable-hot-restart",
    "--enable-core-dump",
    "--enable-fine-grain-logging",
    "--ignore-unknown-dynamic-fields",
    "--reject-unknown-dynamic-fields",
    "--skip-deprecated-logs",
    "--skip-hot-restart-on-no-parent",
    "--use-dynamic-base-id",
};
constexpr const char* kIgnoredValues[] = {
    "--admin-address-path",
    "--base-id",
    "--base-id-path",
    "--component-log-level",
    "--disable-extensions",
    "--drain-strategy",
    "--file-flush-interval-msec",
    "--local-address-ip-version",
    "--log-format",
    "--log-format-escaped",
    "--log-path",
    "--parent-shutdown-time-s",
    "--restart-epoch",
    "--service-zone",
    "--socket-mode",
    "--socket-path",
    "--stats-tag",
    "--file-flush-min-size-kb",
};

void AddCommon(CLI::App& app, Raw& raw, std::string& log_level) {
  app.add_option("--concurrency", raw.concurrency, "worker threads; 0 = one per processor")
      ->check(CLI::Range(size_t{0}, kConcurrencyMax));
  app.add_option("--drain-time-s", raw.drain_s, "seconds to let connections finish after SIGTERM")
      ->check(CLI::Range(0U, kDrainSecondsMax));
  app.add_option(
         "--socket-io", raw.socket_io,
         "how workers move bytes: epoll, io_uring, or best: io_uring where the kernel admits it")
      ->check(CLI::IsMember({"best", "epoll", "io_uring"}));
  app.add_option("-l,--log-level", log_level, "trace, debug, info, warning, error, critical, off");
}

void AddBootstrap(CLI::App& app, Raw& raw, proxy::BootstrapOptions& to) {
  app.add_option("-c,--config-path", to.path, "Envoy bootstrap, YAML or JSON");
  app.add_option("--config-yaml", to.text, "the same as text; only without -c");
  app.add_option("--mode", raw.mode, "serve, or validate: judge the file and end")
      ->check(CLI::IsMember({"serve", "validate", "init_only"}));
  app.add_option("--admin-address", raw.admin_address, "IP:PORT instead of the bootstrap's");
  app.add_option("--service-node", to.node_id, "node id instead of the bootstrap's");
  app.add_option("--service-cluster", to.node_cluster, "node cluster instead of the bootstrap's");
  for (const char* name : kIgnoredSwitches)
    app.add_flag(name, raw.unused_switch)->group("Accepted, without effect");
  for (const char* name : kIgnoredValues)
    app.add_option(name, raw.unused_values)->group("Accepted, without effect");
}

void AddWorkload(CLI::App& app, Raw& raw, proxy::WorkloadOptions& to) {
  app.add_option("--discovery", raw.discovery, "IP:PORT of the control plane")->required();
  app.add_option("--ca-address", raw.authority,
                 "IP:PORT of the CSR service; --discovery's if absent");
  app.add_flag("--plaintext", to.is_plaintext, "discovery without TLS, and no identity");
  app.add_option("--server-name", to.server_name, "name in the control plane's certificate");
  app.add_option("--root-cert", to.root_cert_path, "PEM file of the roots of the control plane");
  app.add_option("--token", to.token_path, "file with the service-account token");
  app.add_option("--namespace", to.ns, "of the workload");
  app.add_option("--name", to.name, "of the workload's Pod")->required();
  app.add_option("--service-account", to.service_account, "of the workload");
  app.add_option("--workload-name", to.workload_name,
                 "of its Deployment; made from --name if absent");
  app.add_option("--labels", raw.labels, "key=value,key=value");
  app.add_option("--ip", to.ip, "the workload's address")->required();
  app.add_option("--admin-port", to.admin_port, "admin endpoint");
  app.add_option("--status-port", to.status_port, "readiness");
  app.add_option("--agent-port", to.agent_port, "merged health and metrics");
  app.add_option("--metrics-port", to.metrics_port, "the proxy's metrics");
  app.add_option("--capture", to.capture_path, "socket of the sandbox that holds the app");
  app.add_option("--trust-domain", to.trust_domain, "realm of the workload's identity");
  app.add_option("--domain", to.domain, "DNS domain of the mesh");
  app.add_option("--cluster-id", to.cluster_id, "cluster the workload is in");
  app.add_option("--secret-ttl", raw.secret_ttl, "lifetime of certificates to ask for")
      ->envname("SECRET_TTL")
      ->capture_default_str();
  app.add_option("--secret-grace-period-ratio", to.grace_ratio,
                 "renew a certificate when this share of its lifetime is left")
      ->envname("SECRET_GRACE_PERIOD_RATIO")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--mesh-id", to.mesh_id, "mesh the workload is in; the trust domain if absent");
}

StatusOr<std::map<std::string, std::string>> ParseLabels(const std::string& text) {
  std::map<std::string, std::string> labels;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string pair = text.substr(at, end - at);
    const size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string::npos)
      return absl::InvalidArgumentError(fmt::format("--labels: '{}' is not key=value", pair));
    labels[pair.substr(0, equals)] = pair.substr(equals + 1);
    at = end + 1;
  }
  return labels;
}

StatusOr<net::Address> ParseAddress(const char* flag, const std::string& text) {
  auto address = net::Address::Parse(text);
  if (!address.ok()) return WithContext(address.status(), flag);
  return address;
}

Status Judge(const Raw& raw, proxy::BootstrapOptions& to) {
  if (to.path.empty() && to.text.empty())
    return absl::InvalidArgumentError(
        "no configuration: give -c FILE, or use `sidecar` or `router` (see --help)");
  if (!to.path.empty() && !to.text.empty())
    return absl::InvalidArgumentError("-c and --config-yaml together are not supported: give one");
  to.only_validates = raw.mode != "serve";
  if (raw.admin_address.empty()) return absl::OkStatus();
  MELTEMI_ASSIGN_OR_RETURN(to.admin, ParseAddress("--admin-address", raw.admin_address));
  return absl::OkStatus();
}

Status Judge(const Raw& raw, proxy::WorkloadOptions& to) {
  MELTEMI_ASSIGN_OR_RETURN(to.discovery, ParseAddress("--discovery", raw.discovery));
  to.authority = to.discovery;
  if (!raw.authority.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(to.authority, ParseAddress("--ca-address", raw.authority));
  }
  MELTEMI_ASSIGN_OR_RETURN(to.labels, ParseLabels(raw.labels));
  auto ip = net::Address::ParseIp(to.ip, 0);
  if (!ip.ok()) return WithContext(ip.status(), "--ip");
  const auto ttl = config::ParseDuration(raw.secret_ttl);
  if (!ttl.has_value() || *ttl < std::chrono::seconds(1))
    return absl::InvalidArgumentError(fmt::format(
        "--secret-ttl: \"{}\" is no lifetime of a second or more; write it as 24h or 30m",
        raw.secret_ttl));
  to.secret_lifetime = std::chrono::duration_cast<std::chrono::seconds>(*ttl);
  if (to.is_plaintext) return absl::OkStatus();
  if (to.root_cert_path.empty() || to.token_path.empty())
    return absl::InvalidArgumentError(
        "--root-cert and --token are needed: a control plane is only trusted by its certificate "
        "(--plaintext does without)");
  return absl::OkStatus();
}

}  // namespace

std::optional<ProxyFlags> ParseProxyFlags(int argc, char** argv, int& exit_code) {
  CLI::App app(
      "Meltemi's data plane: starts from an Envoy bootstrap (-c), or as a workload's proxy.");
  app.set_version_flag("--version", fmt::format("meltemi-proxy {}", MELTEMI_VERSION));
  ProxyFlags flags;
  Raw raw;
  proxy::BootstrapOptions bootstrap;
  proxy::WorkloadOptions workload;
  AddCommon(app, raw, flags.log_level);
  AddBootstrap(app, raw, bootstrap);
  CLI::App* const sidecar = app.add_subcommand("sidecar", "proxy of one workload");
  CLI::App* const router = app.add_subcommand("router", "gateway");
  for (CLI::App* form : {sidecar, router}) {
    AddCommon(*form, raw, flags.log_level);
    AddWorkload(*form, raw, workload);
  }
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? 0 : 1;
    return std::nullopt;
  }
  for (const CLI::Option* option : app.get_options())
    if (option->get_group() == "Accepted, without effect" && option->count() > 0)
      flags.ignored.push_back(option->get_name());
  const bool is_workload = sidecar->parsed() || router->parsed();
  const Status status = is_workload ? Judge(raw, workload) : Judge(raw, bootstrap);
  if (!status.ok()) {
    fmt::print(stderr, "meltemi-proxy: {}\n", Message(status));
    exit_code = 1;
    return std::nullopt;
  }
  proxy::ProcessOptions process;
  process.concurrency = raw.concurrency;
  process.drain_time = std::chrono::seconds(raw.drain_s);
  process.socket_io = raw.socket_io == "epoll"      ? runtime::StreamEngine::kEpoll
                      : raw.socket_io == "io_uring" ? runtime::StreamEngine::kUring
                                                    : runtime::StreamEngine::kBest;
  process.command_line.assign(argv, argv + argc);
  workload.process = bootstrap.process = process;
  workload.is_gateway = router->parsed();
  is_workload ? void(flags.form = std::move(workload)) : void(flags.form = std::move(bootstrap));
  return flags;
}

}  // namespace meltemi::cmd
