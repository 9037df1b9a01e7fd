// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/process.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/log.h"
#include "proxy/agent/memory.h"
#include "proxy/agent/secrets.h"

namespace meltemi::proxy {
namespace {

using Json = nlohmann::ordered_json;

// Each connection takes a descriptor: what the system grants is taken.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) MELTEMI_LOG(debug, "descriptor limit not raised");
}

const char* StateText(ProcessState state) {
  switch (state) {
    case ProcessState::kStarting:
      return "PRE_INITIALIZING";
    case ProcessState::kInitializing:
      return "INITIALIZING";
    case ProcessState::kLive:
      return "LIVE";
    case ProcessState::kDraining:
      return "DRAINING";
  }
  return "";
}

// Envoy's number for the state (envoy.admin.v3.ServerInfo.State), the gauge server.state.
int StateNumber(ProcessState state) {
  switch (state) {
    case ProcessState::kLive:
      return 0;
    case ProcessState::kDraining:
      return 1;
    case ProcessState::kStarting:
      return 2;
    case ProcessState::kInitializing:
      return 3;
  }
  return 2;
}

}  // namespace

size_t CountProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<size_t>(std::max(1, CPU_COUNT(&set)));
}

Process::Process(runtime::Loop& loop, Setup setup)
    : loop_(loop), setup_(std::move(setup)), startup_timer_(loop, [] { ReturnStartupMemory(); }) {}

StatusOr<std::unique_ptr<Process>> Process::Start(runtime::Loop& loop, Setup setup) {
  std::unique_ptr<Process> process(new Process(loop, std::move(setup)));
  MELTEMI_RETURN_IF_ERROR(process->StartAll());
  return process;
}

Process::~Process() {
  if (server_ == nullptr) return;
  server_->Stop();
  // Workers hand their last references back to this loop.
  loop_.RunOnce(Duration::zero());
}

Status Process::StartAll() {
  RaiseDescriptorLimit();
  ::signal(SIGPIPE, SIG_IGN);
  // Before the first worker: threads inherit what is blocked.
  MELTEMI_ASSIGN_OR_RETURN(
      signals_, runtime::SignalWatcher::Create(loop_, {SIGTERM, SIGINT},
                                               [this](int number) { OnSignal(number); }));
  ServerOptions options;
  options.socket_io = setup_.process.socket_io;
  options.concurrency =
      setup_.process.concurrency == 0 ? CountProcessors() : setup_.process.concurrency;
  options.sockets = setup_.sockets;
  options.registry = &registry_;
  options.process.node_id = setup_.node_id;
  options.process.node_metadata_json = setup_.node_metadata_json;
  options.process.rejects_path_fragments = setup_.rejects_path_fragments;
  options.limits.drain_time = setup_.connection_drain_time;
  options.overload = setup_.overload;
  options.has_envoy_stats = setup_.has_envoy_stats;
  MELTEMI_ASSIGN_OR_RETURN(server_, ProxyServer::Build(loop_, std::move(options)));
  TellSocketIo();
  drain_ = std::make_unique<Drain>(loop_, *server_, setup_.drain, [this] {
    MELTEMI_LOG(info, "drained; ending");
    loop_.Stop();
  });
  AddOwnMetrics();
  return absl::OkStatus();
}

void Process::TellSocketIo() const {
  using runtime::StreamEngine;
  if (server_->socket_io() == StreamEngine::kUring) {
    MELTEMI_LOG(info, "workers move bytes through io_uring");
  } else if (setup_.process.socket_io == StreamEngine::kEpoll) {
    MELTEMI_LOG(info, "workers move bytes through epoll");
  } else {
    MELTEMI_LOG(info, "workers move bytes through epoll; io_uring: {}",
                Message(runtime::Loop::Create(StreamEngine::kUring).status()));
  }
}

void Process::AddOwnMetrics() {
  using telemetry::MetricType;
  registry_.AddSource(
      "envoy_server_live", "1 while the proxy serves and does not drain", MetricType::kGauge,
      [this] { return state() == ProcessState::kLive ? 1.0 : 0.0; }, "server.live");
  registry_.AddSource(
      "envoy_server_state", "0 live, 1 draining, 2 and 3 starting", MetricType::kGauge,
      [this] { return static_cast<double>(StateNumber(state())); }, "server.state");
  registry_.AddSource(
      "envoy_server_uptime", "seconds since the start", MetricType::kGauge,
      [this] {
        const auto up = RealClock().Wall() - started_;
        return static_cast<double>(std::chrono::duration_cast<std::chrono::seconds>(up).count());
      },
      "server.uptime");
  registry_.AddSource(
      "envoy_listener_manager_workers_started", "1 once the workers run", MetricType::kGauge,
      [this] { return is_ready() ? 1.0 : 0.0; }, "listener_manager.workers_started");
  registry_.AddSource(
      "meltemi_server_io_uring", "1 where workers move bytes through io_uring, 0 through epoll",
      MetricType::kGauge,
      [this] { return server_->socket_io() == runtime::StreamEngine::kUring ? 1.0 : 0.0; });
}

Status Process::ListenAdmin(const net::Address& address) {
  MELTEMI_ASSIGN_OR_RETURN(admin_, Admin::Listen(loop_, address, Sources()));
  MELTEMI_LOG(info, "admin on {}", admin_->address().text());
  return absl::OkStatus();
}

bool Process::is_ready() const {
  return state() == ProcessState::kLive && !is_health_failed_;
}

ProcessState Process::state() const {
  if (drain_ != nullptr && drain_->has_begun()) return ProcessState::kDraining;
  if (server_ == nullptr || !is_serving_) return ProcessState::kStarting;
  return is_serving_() ? ProcessState::kLive : ProcessState::kInitializing;
}

void Process::OnSignal(int number) {
  if (drain_->has_begun()) {
    MELTEMI_LOG(info, "second signal {}: ending at once", number);
    return loop_.Stop();
  }
  MELTEMI_LOG(info, "signal {}: draining", number);
  BeginDrain();
}

void Process::BeginDrain() {
  drain_->Begin();
}

void Process::Quit() {
  loop_.Stop();
}

int Process::Run() {
  EndStartup();
  loop_.Run();
  return 0;
}

AdminSources Process::Sources() {
  AdminSources sources;
  sources.config_dump = [this](const std::string& resource, const std::string& regex) {
    return ConfigDump(resource, regex);
  };
  sources.clusters_text = [this] { return server_->ClustersText(); };
  sources.clusters_json = [this] { return server_->ClustersJson(); };
  sources.listeners_text = [this] { return server_->ListenersText(); };
  sources.listeners_json = [this] { return server_->ListenersJson(); };
  sources.certs_json = [this] {
    const auto in_use = server_->Certificates();
    // Before the first listener wants it, the workload's own is known to its agent alone.
    if (in_use.empty() && certificates_) return certificates_();
    return CertificatesJson(in_use, RealClock().Wall());
  };
  sources.stats_text = [this] {
    server_->RefreshGauges();
    return registry_.Text();
  };
  sources.stats_prometheus = [this] { return StatsPrometheus(); };
  sources.server_info = [this] { return ServerInfo(); };
  sources.is_ready = [this] { return is_ready(); };
  sources.state = [this] { return std::string(StateText(state())); };
  sources.drain_listeners = [this] { server_->Drain(Direction::kUnspecified, true); };
  sources.fail_health_check = [this](bool is_failed) { is_health_failed_ = is_failed; };
  sources.quit = [this] { Quit(); };
  return sources;
}

// Envoy's dump begins with the bootstrap. Ours has the node alone: static resources stand in the
// other parts, without their keys.
std::string Process::ConfigDump(const std::string& resource, const std::string& name_regex) {
  std::string text = server_->ConfigDump(resource, name_regex);
  if (!resource.empty() && resource != "bootstrap") return text;
  const size_t list = text.find('[');
  if (list == std::string::npos) return text;
  const bool is_alone = text.find_first_not_of(" \n", list + 1) == text.find(']', list);
  const Json bootstrap = {{"@type", "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"},
                          {"bootstrap", {{"node", NodeJson()}}}};
  const std::string first = bootstrap.dump(1, ' ', false, Json::error_handler_t::replace);
  return text.insert(list + 1, first + (is_alone ? "" : ","));
}

nlohmann::ordered_json Process::NodeJson() const {
  const Json metadata = Json::parse(setup_.node_metadata_json, nullptr, false);
  return {{"id", setup_.node_id},
          {"cluster", setup_.node_cluster},
          {"metadata", metadata.is_object() ? metadata : Json::object()}};
}

std::string Process::ServerInfo() const {
  const auto up = std::chrono::duration_cast<std::chrono::seconds>(RealClock().Wall() - started_);
  const Json info = {
      {"version", fmt::format("meltemi/{}", MELTEMI_VERSION)},
      {"state", StateText(state())},
      {"hot_restart_version", "disabled"},
      {"uptime_current_epoch", fmt::format("{}s", up.count())},
      {"uptime_all_epochs", fmt::format("{}s", up.count())},
      {"command_line_options",
       {{"concurrency",
         setup_.process.concurrency == 0 ? CountProcessors() : setup_.process.concurrency},
        {"drain_time", fmt::format("{}s", setup_.process.drain_time / std::chrono::seconds(1))},
        {"arguments", setup_.process.command_line}}},
      {"node", NodeJson()},
  };
  return info.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace meltemi::proxy
