// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/inbound_listener.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "pilot/translate/http_connection.h"
#include "pilot/translate/inbound_chains.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/names.h"

namespace meltemi::pilot {
namespace {

namespace filters = envoy::extensions::filters::listener;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::Listener;
using envoy::config::listener::v3::ListenerFilter;
using Predicate = envoy::config::listener::v3::ListenerFilterChainMatchPredicate;

constexpr uint32_t kTlsReadBytes = 512;  // a first read that holds most client hellos, as Istio's

// Connections to the listener's own port came without redirection: going on would loop.
void AddBlackHole(Reader& reader, const ProxyFacts& proxy, Listener& listener) {
  FilterChain& chain = *listener.add_filter_chains();
  chain.set_name("virtualInbound-blackhole");
  chain.mutable_filter_chain_match()->mutable_destination_port()->set_value(kInboundPort);
  const std::string cluster(kBlackHole);
  AddTcpProxy(reader, proxy, {Direction::kInbound, cluster, cluster, {}}, chain);
}

InboundChains PassthroughChains(uint32_t port, MutualTls mode) {
  InboundChains chains;
  chains.port = port;
  chains.cluster = kInboundPassthrough;
  chains.stat_prefix = std::string(kInboundPassthrough) + ";";
  chains.http_name = "virtualInbound-catchall-http";
  chains.tcp_name = "virtualInbound";
  chains.tls = mode;
  return chains;
}

InboundChains ServiceChains(const InboundPort& from, MutualTls mode) {
  InboundChains chains;
  chains.port = from.target_port;
  chains.service_port = from.port.number;
  chains.host = from.service->host;
  chains.cluster = ClusterName{true, from.target_port, "", ""}.text();
  chains.stat_prefix = fmt::format("inbound_0.0.0.0_{};", from.target_port);
  chains.http_name = chains.tcp_name = fmt::format("0.0.0.0_{}", from.target_port);
  chains.protocol = from.port.protocol;
  chains.tls = mode;
  return chains;
}

// All chains' settings in order: any port, ports that only a policy names, ports of services.
std::vector<InboundChains> ChainsOf(Reader& reader, const ProxyFacts& proxy) {
  const auto tls = reader.TlsOf(proxy.ns, proxy.labels);
  const auto ports = reader.InboundPortsOf(proxy);
  std::map<uint32_t, const InboundPort*> services;
  for (const InboundPort& port : *ports) {
    if (port.port.protocol == Protocol::kUdp || port.target_port == kInboundPort) continue;
    services.emplace(port.target_port, &port);  // the first, the oldest service's, decides
  }
  std::vector<InboundChains> all{PassthroughChains(0, tls->mode)};
  for (const auto& [port, mode] : tls->ports) {
    if (!services.contains(port)) all.push_back(PassthroughChains(port, mode));
  }
  for (const auto& [port, service] : services) {
    all.push_back(ServiceChains(*service, tls->ModeOf(port)));
  }
  return all;
}

void SetPorts(const std::set<uint32_t>& ports, Predicate& to) {
  const auto set = [](uint32_t port, Predicate& predicate) {
    predicate.mutable_destination_port_range()->set_start(static_cast<int32_t>(port));
    predicate.mutable_destination_port_range()->set_end(static_cast<int32_t>(port) + 1);
  };
  if (ports.size() == 1) return set(*ports.begin(), to);
  for (const uint32_t port : ports) set(port, *to.mutable_or_match()->add_rules());
}

// An inspector reads the first bytes, which a server-first protocol never sends: it stays away from
// ports that need nothing of it.
template <typename Config>
void AddInspector(const char* name, const Config& config, const std::vector<InboundChains>& chains,
                  bool (InboundChains::*needs)() const, Listener& listener) {
  std::set<uint32_t> with, without{kInboundPort};
  bool is_needed_elsewhere = false;
  for (const InboundChains& chain : chains) {
    const bool is_needed = (chain.*needs)();
    if (chain.port == 0) {
      is_needed_elsewhere = is_needed;
    } else {
      (is_needed ? with : without).insert(chain.port);
    }
  }
  if (!is_needed_elsewhere && with.empty()) return;
  ListenerFilter& filter = *listener.add_listener_filters();
  filter.set_name(name);
  Pack(config, *filter.mutable_typed_config());
  if (is_needed_elsewhere) {
    SetPorts(without, *filter.mutable_filter_disabled());
  } else {
    SetPorts(with, *filter.mutable_filter_disabled()->mutable_not_match());
  }
}

void AddListenerFilters(const std::vector<InboundChains>& chains, Listener& listener) {
  ListenerFilter& destination = *listener.add_listener_filters();
  destination.set_name("envoy.filters.listener.original_dst");
  Pack(filters::original_dst::v3::OriginalDst(), *destination.mutable_typed_config());
  filters::tls_inspector::v3::TlsInspector tls;
  tls.mutable_initial_read_buffer_size()->set_value(kTlsReadBytes);
  AddInspector("envoy.filters.listener.tls_inspector", tls, chains,
               &InboundChains::needs_tls_inspector, listener);
  AddInspector("envoy.filters.listener.http_inspector",
               filters::http_inspector::v3::HttpInspector(), chains,
               &InboundChains::needs_http_inspector, listener);
}

}  // namespace

std::unique_ptr<Listener> BuildVirtualInbound(Reader& reader, const ProxyFacts& proxy) {
  if (proxy.role != Role::kSidecar) return nullptr;
  const auto mesh = reader.Mesh();
  auto listener = std::make_unique<Listener>();
  listener->set_name(std::string(kVirtualInbound));
  listener->set_traffic_direction(envoy::config::core::v3::INBOUND);
  SetAddress("0.0.0.0", kInboundPort, *listener->mutable_address());
  listener->set_continue_on_listener_filters_timeout(true);
  *listener->mutable_listener_filters_timeout() = mesh->protocol_detection_timeout();
  // One at a time, so that all threads get their share of new connections.
  listener->mutable_max_connections_to_accept_per_socket_event()->set_value(1);
  const std::vector<InboundChains> chains = ChainsOf(reader, proxy);
  AddListenerFilters(chains, *listener);
  AddBlackHole(reader, proxy, *listener);
  for (const InboundChains& chain : chains) {
    AddInboundChains(reader, proxy, chain, *listener->mutable_filter_chains());
  }
  AddListenerAccessLog(reader, *listener);
  return listener;
}

}  // namespace meltemi::pilot
