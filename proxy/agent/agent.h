// SPDX-License-Identifier: Apache-2.0
// A workload's proxy: certificate, then configuration, then traffic, and pages that say how far it
// is. Control thread only.
//
// Invariants:
//  1. Nothing is sent to a control plane whose certificate was not checked, unless --plaintext says
//     so.
//  2. Once ready it stays ready until it drains: a control plane that is away takes nothing back.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>

#include "lib/grpc/client.h"
#include "lib/xds/client.h"
#include "proxy/agent/config_receiver.h"
#include "proxy/agent/control_tls.h"
#include "proxy/agent/file_secrets.h"
#include "proxy/agent/node.h"
#include "proxy/agent/options.h"
#include "proxy/agent/process.h"
#include "proxy/agent/status.h"
#include "proxy/agent/workload_identity.h"
#include "proxy/dns/server.h"

namespace meltemi::proxy {

class Agent final {
 public:
  static StatusOr<std::unique_ptr<Agent>> Start(runtime::Loop& loop, WorkloadOptions options);

  int Run() { return process_->Run(); }

  // "" = ready to serve; else what is missing.
  std::string WhyNotReady();
  Process& process() { return *process_; }
  const StatusServers& pages() const { return *pages_; }

 private:
  // A mesh without name tables (other control planes may have none) is not waited for longer.
  static constexpr Duration kNameTableWaitMax = std::chrono::seconds(3);
  // The mesh hears of our end within this; until then others may still connect.
  static constexpr Duration kSettleTime = std::chrono::milliseconds(300);

  Agent(runtime::Loop& loop, WorkloadOptions options);
  Status StartAll();
  Process::Setup MakeSetup() const;
  Status StartStatus();
  Status StartDns();
  void StartIdentity();
  void StartDiscovery();
  void OnIssued(const IssuedCertificate& certificate);
  void FollowWanted();
  Status TakeNames(std::string_view serialized);
  StatusOr<std::multimap<std::string, std::string>> StreamMetadata();
  std::string WhyNotWarm() const;
  void OnAdopted();
  void AddMetrics();
  double Random() { return std::uniform_real_distribution<double>(0, 1)(random_); }

  runtime::Loop& loop_;
  const WorkloadOptions options_;
  const NodeIdentity node_;
  const MonotonicTime started_;
  std::mt19937_64 random_;
  ControlTls tls_;
  bool is_warm_ = false;
  std::unique_ptr<WorkloadIdentity> identity_;
  std::unique_ptr<FileSecrets> files_;
  std::unique_ptr<ConfigReceiver> receiver_;
  std::unique_ptr<grpc::Channel> channel_;
  std::unique_ptr<xds::Client> client_;
  std::unique_ptr<dns::Server> dns_;
  std::unique_ptr<StatusServers> pages_;
  std::unique_ptr<Process> process_;  // goes first: its last callbacks use what stands above
};

}  // namespace meltemi::proxy
