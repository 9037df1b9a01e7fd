// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/dns_endpoints.h"

#include <algorithm>
#include <utility>

#include "lib/base/log.h"

namespace meltemi::proxy {

namespace {

telemetry::Family* Add(telemetry::Registry& registry, std::string_view what, std::string help) {
  return registry.Add({.name = "envoy_cluster_" + std::string(what),
                       .help = std::move(help),
                       .type = telemetry::MetricType::kCounter,
                       .labels = {"envoy_cluster_name"}});
}

}  // namespace

DnsStats::DnsStats(telemetry::Registry& registry)
    : recorder_(registry),
      attempts_(Add(registry, "update_attempt", "Questions to DNS")),
      successes_(Add(registry, "update_success", "Questions to DNS that were answered")),
      failures_(Add(registry, "update_failure", "Questions to DNS without an answer of use")) {}

DnsStats::Of DnsStats::Find(std::string_view cluster) {
  const std::string_view labels[] = {cluster};
  return {recorder_.Find(attempts_, labels), recorder_.Find(successes_, labels),
          recorder_.Find(failures_, labels)};
}

DnsEndpoints::DnsEndpoints(runtime::Loop& loop, net::Resolver& resolver,
                           std::shared_ptr<const ClusterPlan> plan, DnsStats* stats,
                           std::function<void(const Assignment&)> changed)
    : loop_(loop),
      resolver_(resolver),
      plan_(std::move(plan)),
      changed_(std::move(changed)),
      queries_(plan_->assignment.named.size()),
      known_(plan_->assignment.named.size()),
      refresh_(loop, [this] { Ask(); }) {
  if (stats != nullptr) stats_.emplace(stats->Find(plan_->config.info.stat_name));
  Ask();
}

void DnsEndpoints::Ask() {
  waiting_ = queries_.size();
  for (size_t i = 0; i < queries_.size(); ++i) {
    queries_[i] = resolver_.Resolve(
        plan_->assignment.named[i].name, plan_->dns_family,
        [this, i](net::Resolution resolution) { OnAnswer(i, std::move(resolution)); });
  }
}

void DnsEndpoints::OnAnswer(size_t name, net::Resolution resolution) {
  if (stats_) {
    stats_->attempts.Add();
    (resolution.status.ok() ? stats_->successes : stats_->failures).Add();
  }
  if (resolution.status.ok()) {
    Take(name, resolution);
  } else {
    Failed(plan_->assignment.named[name].name, resolution.status);
  }
  if (--waiting_ > 0) return;
  const Duration least = std::chrono::milliseconds(100);
  refresh_.Arm(std::max(least, plan_->dns_refresh));
  if (std::exchange(has_news_, false)) Report();
}

void DnsEndpoints::Take(size_t name, const net::Resolution& resolution) {
  std::vector<net::Address> found;
  for (const net::Address& address : resolution.addresses) {
    found.push_back(address.WithPort(plan_->assignment.named[name].port));
  }
  if (plan_->config.discovery == Discovery::kLogicalDns && found.size() > 1) found.resize(1);
  if (found != known_[name]) {
    known_[name] = std::move(found);
    has_news_ = true;
  }
  Succeeded();
}

void DnsEndpoints::Failed(const std::string& name, const Status& status) {
  ++failures_;
  const MonotonicTime now = loop_.Now();
  if (logged_ && now - *logged_ < kLogInterval) return;
  logged_ = now;
  is_told_ = true;
  MELTEMI_LOG(warn, "cluster {}: {}: {} (failure {}; what was known before stays in use)",
              plan_->config.info.name, name, Message(status), failures_);
}

void DnsEndpoints::Succeeded() {
  if (std::exchange(is_told_, false)) {
    MELTEMI_LOG(info, "cluster {}: DNS answers again after {} failures", plan_->config.info.name,
                failures_);
  }
  failures_ = 0;
}

void DnsEndpoints::Report() {
  Assignment assignment = plan_->assignment.assignment;
  for (size_t i = 0; i < known_.size(); ++i) {
    for (const net::Address& address : known_[i]) {
      assignment.endpoints.push_back(plan_->assignment.named[i].like);
      assignment.endpoints.back().info.address = address;
    }
  }
  changed_(assignment);
}

}  // namespace meltemi::proxy
