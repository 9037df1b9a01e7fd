// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/cluster_state.h"

#include <algorithm>
#include <utility>

namespace meltemi::proxy {
namespace {

constexpr std::string_view kPreambleTooLong = "PROXY header: its TLVs are too long";

}  // namespace

// A TCP connection on its way to one host.
class ClusterState::PendingTcp final : public PendingOpen, private net::ConnectionCallbacks {
 public:
  PendingTcp(HostState& host, std::unique_ptr<net::Connection> connection, std::string preamble,
             TcpOpenCallbacks& callbacks)
      : host_(host),
        connection_(std::move(connection)),
        preamble_(std::move(preamble)),
        callbacks_(callbacks) {
    host_.BeginAttempt();
    host_.AddPending();
    host_.cluster().stats().Count(ClusterStat::kConnections);
    host_.cluster().stats().Count(ClusterStat::kConnectionsActive);
    connection_->SetCallbacks(this);
  }
  ~PendingTcp() override {
    host_.RemovePending();
    if (connection_ != nullptr) host_.cluster().stats().CountClosed(reason_);
    host_.EndAttempt();
  }

 private:
  void OnConnected() override {
    host_.CountConnected(*connection_);
    HostState::SendPreamble(*connection_, preamble_);
    // The callback destroys this attempt; the request keeps the host from then on.
    callbacks_.OnTcpReady(std::move(connection_), host_.BeginTcp());
  }
  void OnInput() override {}
  void OnClosed(net::CloseReason reason) override {
    reason_ = reason;
    host_.CountFailed(*connection_, reason);
    const std::string detail(reason == net::CloseReason::kTlsFailed ? connection_->tls_failure()
                                                                    : CloseReasonText(reason));
    callbacks_.OnTcpFailure({FailureOf(reason), &host_, detail});
  }

  HostState& host_;
  std::unique_ptr<net::Connection> connection_;
  const std::string preamble_;
  TcpOpenCallbacks& callbacks_;
  net::CloseReason reason_ = net::CloseReason::kLocal;
};

ClusterState::ClusterState(UpstreamResources resources,
                           std::shared_ptr<const CompiledCluster> compiled)
    : resources_(resources),
      compiled_(std::move(compiled)),
      stats_(resources.stats, resources.recorder, compiled_->config->info.stat_name),
      cleanup_(resources.loop, [this] { CleanOriginal(); }) {
  BindBreakers();
  if (compiled_->endpoints) by_index_.resize(compiled_->endpoints->hosts.size());
  cursor = resources_.random.Next() >> 16;  // workers do not march in step
}

ClusterState::~ClusterState() = default;

void ClusterState::BindBreakers() {
  const std::shared_ptr<SharedBreakers> before = std::exchange(shared_, compiled_->shared);
  const Breakers& limits = config().breakers;
  const auto bind = [this](BreakerCount& count, runtime::SharedCount SharedBreakers::* of,
                           uint32_t limit) {
    const bool is_alone = shared_ == nullptr || limit == BreakerCount::kNoLimit;
    count.Bind(is_alone ? nullptr : &((*shared_).*of));
  };
  bind(counts_.connections, &SharedBreakers::connections, limits.connections_max);
  bind(counts_.pending, &SharedBreakers::pending, limits.pending_max);
  bind(counts_.requests, &SharedBreakers::requests, limits.requests_max);
  bind(counts_.retries, &SharedBreakers::retries, limits.retries_max);
}

namespace {

// "a.test:80" → "a.test", "[::1]:80" → "::1" (RFC 3986 §3.2).
std::string_view HostOf(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.rfind(':'));
}

}  // namespace

void ClusterState::Update(std::shared_ptr<const CompiledCluster> compiled) {
  const std::shared_ptr<const CompiledCluster> before =
      std::exchange(compiled_, std::move(compiled));
  const bool has_new_shape =
      before->config->connection_shape != compiled_->config->connection_shape;
  BindBreakers();
  const bool is_used = counts_.requests.own() > 0 || counts_.connections.own() > 0;
  if (before->config != compiled_->config && is_used) {
    earlier_.push_back(before->config);
  }
  std::vector<HostState*> moved(compiled_->endpoints ? compiled_->endpoints->hosts.size() : 0);
  std::vector<HostState*> gone;
  const bool is_original = compiled_->config->discovery == Discovery::kOriginalDst;
  for (const auto& [host, owner] : used_) {
    if (host->is_removed()) continue;
    const uint32_t index =
        compiled_->endpoints ? compiled_->endpoints->Find(host->info()) : balance::kNoHost;
    if (index != balance::kNoHost) {
      moved[index] = host;
      host->Update(compiled_->endpoints->hosts[index], compiled_->endpoints->transport[index]);
    } else if (!is_original || before->config->discovery != Discovery::kOriginalDst) {
      gone.push_back(host);
    }
    if (has_new_shape) host->DrainPools();
  }
  by_index_ = std::move(moved);
  for (HostState* host : gone) host->Remove();
  if (!is_original) original_.clear();
}

void ClusterState::Remove() {
  std::vector<HostState*> hosts;
  for (const auto& [host, owner] : used_) hosts.push_back(host);
  by_index_.assign(by_index_.size(), nullptr);
  original_.clear();
  cleanup_.Disarm();
  for (HostState* host : hosts) host->Remove();
}

void ClusterState::OnUnused(HostState& host) {
  auto found = used_.find(&host);
  if (found == used_.end()) return;
  std::shared_ptr<HostState> last = std::move(found->second);
  used_.erase(found);
  resources_.loop.DeferDelete(std::move(last));
  if (counts_.requests.own() == 0 && counts_.connections.own() == 0) earlier_.clear();
}

HostState& ClusterState::HostAt(uint32_t index) {
  if (by_index_[index] == nullptr) {
    auto host = std::make_unique<HostState>(static_cast<HostOwner&>(*this),
                                            compiled_->endpoints->hosts[index],
                                            compiled_->endpoints->transport[index]);
    by_index_[index] = host.get();
    used_.emplace(host.get(), std::move(host));
  }
  return *by_index_[index];
}

HostState* ClusterState::Pick(const PickContext& context) {
  if (config().discovery == Discovery::kOriginalDst) return PickOriginal(context);
  if (compiled_->endpoints == nullptr) return nullptr;
  // Envoy's host_selection_retry_max_attempts as Istio sets it: five picks to find a fresh host.
  constexpr int kAvoidPicksMax = 5;
  balance::PickKey key{context.hash, context.has_hash};
  uint32_t index = balance::kNoHost;
  for (int i = 0; i <= kAvoidPicksMax; ++i) {
    index = compiled_->endpoints->balancer->Pick(key, *this);
    if (index == balance::kNoHost) return nullptr;
    const Host* host = by_index_[index];
    if (std::find(context.avoid.begin(), context.avoid.end(), host) == context.avoid.end()) break;
    key.has_hash = false;  // a hash would choose the same host for ever
  }
  return &HostAt(index);
}

HostState* ClusterState::PickOriginal(const PickContext& context) {
  if (context.original_destination == nullptr || !context.original_destination->is_ip()) {
    return nullptr;
  }
  net::Address address = *context.original_destination;
  if (config().port_override) address = address.WithPort(*config().port_override);
  std::string text = address.text();
  if (auto found = original_.find(text); found != original_.end()) return found->second;
  if (original_.size() >= kOriginalHostsMax) return nullptr;
  auto info = std::make_shared<HostInfo>();
  info->address = address;
  const size_t transports = config().transports.size();
  auto host =
      std::make_unique<HostState>(static_cast<HostOwner&>(*this), std::move(info),
                                  static_cast<uint8_t>(transports == 0 ? 0 : transports - 1));
  HostState* chosen = host.get();
  used_.emplace(chosen, std::move(host));
  original_.emplace(std::move(text), chosen);
  if (!cleanup_.is_armed()) cleanup_.Arm(config().cleanup_interval);
  return chosen;
}

void ClusterState::CleanOriginal() {
  std::vector<HostState*> stale;
  for (auto at = original_.begin(); at != original_.end();) {
    HostState* host = at->second;
    const bool is_recent = loop().Now() - host->last_used() < config().cleanup_interval;
    if (host->active() > 0 || is_recent || !host->is_unused()) {
      ++at;
      continue;
    }
    stale.push_back(host);
    original_.erase(at++);
  }
  for (HostState* host : stale) host->Remove();
  if (!original_.empty()) cleanup_.Arm(config().cleanup_interval);
}

PoolKey ClusterState::KeyFor(const PickContext& context) const {
  PoolKey key;
  key.protocol = config().protocol;
  if (key.protocol == UpstreamProtocol::kDownstream) {
    key.protocol = context.downstream_protocol == http::Protocol::kHttp2 ? UpstreamProtocol::kHttp2
                                                                         : UpstreamProtocol::kHttp1;
  }
  key.alpn.assign(context.alpn.begin(), context.alpn.end());
  if (config().is_sni_from_authority) key.server_name = std::string(HostOf(context.authority));
  return key;
}

std::unique_ptr<PendingOpen> ClusterState::OpenStream(const PickContext& context,
                                                      http::StreamCallbacks& stream,
                                                      StreamOpenCallbacks& callbacks) {
  HostState* host = Pick(context);
  if (host == nullptr) {
    stats_.Count(ClusterStat::kNoneHealthy);
    callbacks.OnStreamFailure({OpenFailure::kNoHealthyHost, nullptr, ""});
    return nullptr;
  }
  PoolKey key = KeyFor(context);
  if (host->proxy() != nullptr) {
    auto preamble = PreambleFor(*host, context);
    if (!preamble) {
      callbacks.OnStreamFailure({OpenFailure::kConnectFailed, host, kPreambleTooLong});
      return nullptr;
    }
    key.preamble = *std::move(preamble);
  }
  return host->PoolFor(std::move(key)).Open(stream, callbacks);
}

std::optional<std::string> ClusterState::PreambleFor(const HostState& host,
                                                     const PickContext& context) {
  if (host.proxy() == nullptr) return std::string();
  return MakePreamble(*host.proxy(), context.on_behalf);
}

std::unique_ptr<PendingOpen> ClusterState::OpenTcp(const PickContext& context,
                                                   TcpOpenCallbacks& callbacks) {
  HostState* host = Pick(context);
  if (host == nullptr) {
    stats_.Count(ClusterStat::kNoneHealthy);
    callbacks.OnTcpFailure({OpenFailure::kNoHealthyHost, nullptr, ""});
    return nullptr;
  }
  const uint32_t limit = config().breakers.connections_max;
  if (limit != BreakerCount::kNoLimit &&
      counts_.connections.all() + counts_.pending.all() >= limit) {
    stats_.Count(ClusterStat::kConnectionsOverflow);
    stats_.Count(ClusterStat::kPendingOverflow);
    callbacks.OnTcpFailure({OpenFailure::kOverflow, host, "max_connections"});
    return nullptr;
  }
  auto preamble = PreambleFor(*host, context);
  if (!preamble) {
    callbacks.OnTcpFailure({OpenFailure::kConnectFailed, host, kPreambleTooLong});
    return nullptr;
  }
  auto connection = host->Connect({context.alpn.begin(), context.alpn.end()}, "", *preamble);
  if (connection == nullptr) {
    callbacks.OnTcpFailure({OpenFailure::kConnectFailed, host, host->connect_error()});
    return nullptr;
  }
  return std::make_unique<PendingTcp>(*host, std::move(connection), *std::move(preamble),
                                      callbacks);
}

}  // namespace meltemi::proxy
