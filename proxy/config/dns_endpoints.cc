// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/dns_endpoints.h"

#include <algorithm>
#include <utility>

#include "lib/base/log.h"

namespace meltemi::proxy {

DnsEndpoints::DnsEndpoints(runtime::Loop& loop, net::Resolver& resolver,
                           std::shared_ptr<const ClusterPlan> plan,
                           std::function<void(const Assignment&)> changed)
    : resolver_(resolver),
      plan_(std::move(plan)),
      changed_(std::move(changed)),
      queries_(plan_->assignment.named.size()),
      known_(plan_->assignment.named.size()),
      refresh_(loop, [this] { Ask(); }) {
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
  const NamedEndpoint& named = plan_->assignment.named[name];
  if (!resolution.status.ok()) {
    MELTEMI_LOG(debug, "cluster {}: {}: {}", plan_->config.info.name, named.name,
                Message(resolution.status));
  } else {
    std::vector<net::Address> found;
    for (const net::Address& address : resolution.addresses)
      found.push_back(address.WithPort(named.port));
    if (plan_->config.discovery == Discovery::kLogicalDns && found.size() > 1) found.resize(1);
    if (found != known_[name]) {
      known_[name] = std::move(found);
      has_news_ = true;
    }
  }
  if (--waiting_ > 0) return;
  const Duration least = std::chrono::milliseconds(100);
  refresh_.Arm(std::max(least, plan_->dns_refresh));
  if (std::exchange(has_news_, false)) Report();
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
