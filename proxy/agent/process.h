// SPDX-License-Identifier: Apache-2.0
// What every form of the proxy process has: workers, counters, the admin endpoint, and an end by
// signal. Control thread only.
//
// SIGTERM or SIGINT drains and ends with status 0; a second one ends at once.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "lib/runtime/loop.h"
#include "lib/runtime/signal.h"
#include "lib/telemetry/metrics.h"
#include "proxy/admin/admin.h"
#include "proxy/agent/drain.h"
#include "proxy/agent/options.h"
#include "proxy/server.h"

namespace meltemi::proxy {

enum class ProcessState { kStarting, kInitializing, kLive, kDraining };

class Process final {
 public:
  struct Setup {
    ProcessOptions process;
    std::shared_ptr<SocketSource> sockets;                       // nullptr: the host's network
    Duration connection_drain_time = std::chrono::seconds(600);  // of a removed listener or chain
    Drain::Options drain;
    std::string node_id, node_cluster, node_metadata_json = "{}";
    OverloadConfig overload;
    bool has_envoy_stats = false;  // ServerOptions
    bool rejects_path_fragments = false;
  };

  static StatusOr<std::unique_ptr<Process>> Start(runtime::Loop& loop, Setup setup);
  ~Process();

  Status ListenAdmin(const net::Address& address);
  // Requires: ListenAdmin succeeded.
  const net::Address& admin_address() const { return admin_->address(); }

  ProxyServer& server() { return *server_; }
  telemetry::Registry& registry() { return registry_; }

  // Asked for each readiness page; the process's own conditions are added.
  void SetReadiness(std::function<bool()> is_ready) { is_serving_ = std::move(is_ready); }
  void SetCertificates(std::function<std::string()> json) { certificates_ = std::move(json); }
  bool is_ready() const;
  ProcessState state() const;
  std::string StatsPrometheus() {
    server_->RefreshGauges();
    return registry_.Prometheus();
  }

  // Nothing more is to come that only the start needs.
  void EndStartup() { startup_timer_.Arm(kStartupTime); }
  void BeginDrain();
  void Quit();  // no drain
  // Until the end; the exit status.
  int Run();

 private:
  static constexpr Duration kStartupTime = std::chrono::milliseconds(500);
  Process(runtime::Loop& loop, Setup setup);
  Status StartAll();
  void OnSignal(int number);
  AdminSources Sources();
  std::string ConfigDump(const std::string& resource, const std::string& name_regex);
  nlohmann::ordered_json NodeJson() const;
  std::string ServerInfo() const;
  void TellSocketIo() const;
  void AddOwnMetrics();

  runtime::Loop& loop_;
  const Setup setup_;
  const WallTime started_ = RealClock().Wall();
  telemetry::Registry registry_;  // outlives the server
  std::unique_ptr<runtime::SignalWatcher> signals_;
  std::unique_ptr<ProxyServer> server_;
  std::unique_ptr<Drain> drain_;
  runtime::Timer startup_timer_;
  std::unique_ptr<Admin> admin_;
  std::function<bool()> is_serving_;
  std::function<std::string()> certificates_;
  bool is_health_failed_ = false;
};

// Processors this process may run on, at least one.
size_t CountProcessors();

}  // namespace meltemi::proxy
