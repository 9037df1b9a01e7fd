// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/outbound_listeners.h"

#include <fmt/format.h>

#include <utility>

#include "envoy/config/listener/v3/listener.pb.h"
#include "pilot/translate/host_domains.h"
#include "pilot/translate/http_connection.h"
#include "pilot/translate/listener_chains.h"
#include "pilot/translate/names.h"
#include "pilot/translate/outbound_binds.h"
#include "pilot/translate/tcp_routes.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::listener::v3;

class OutboundListener final {
 public:
  OutboundListener(Reader& reader, const ProxyFacts& proxy, const OutboundBind& bind)
      : reader_(reader),
        proxy_(proxy),
        bind_(bind),
        listener_(std::make_unique<v3::Listener>()),
        chains_(*listener_) {}

  ListenerPtr Build() {
    SetListenerAddress(bind_.address, bind_.port, *listener_);
    listener_->mutable_bind_to_port()->set_value(false);
    listener_->set_continue_on_listener_filters_timeout(true);
    AddHttpChain();
    for (const BoundPort& use : bind_.uses) {
      if (!IsHttp(use.port->protocol)) AddTcpChains(use);
    }
    chains_.SetDefault(reader_, proxy_);
    // 0 = no limit: there is no need to go on without what an inspector found out.
    auto& timeout = *listener_->mutable_listener_filters_timeout();
    if (chains_.AddInspectors()) timeout = reader_.Mesh()->protocol_detection_timeout();
    return std::move(listener_);
  }

 private:
  // One for all services here that speak HTTP, or may.
  void AddHttpChain() {
    const BoundPort* found = nullptr;
    for (const BoundPort& use : bind_.uses) {
      const Protocol protocol = use.port->protocol;
      if (!IsHttp(protocol) && protocol != Protocol::kUnsupported) continue;
      found = &use;
      break;
    }
    if (found == nullptr) return;
    v3::FilterChain chain;
    auto& match = *chain.mutable_filter_chain_match();
    match.set_transport_protocol("raw_buffer");
    match.add_application_protocols("http/1.1");
    match.add_application_protocols("h2c");
    HttpConnection settings;
    settings.stat_prefix = fmt::format("outbound_{};", listener_->name());
    settings.route_name = bind_.is_wildcard()
                              ? fmt::format("{}", bind_.port)
                              : fmt::format("{}:{}", found->service->host, bind_.port);
    AddHttpConnection(reader_, proxy_, settings, chain);
    chain.mutable_transport_socket_connect_timeout()->set_seconds(kHandshakeSeconds);
    chains_.Add(std::move(chain));
  }

  void AddTcpChains(const BoundPort& use) {
    const RouteScope scope{proxy_, {"mesh"}, bind_.port, false};
    const TcpService service{*use.service, *use.port, use.cidr, !bind_.is_wildcard()};
    for (v3::FilterChain& chain :
         BuildTcpChains(reader_, scope, RoutingsOf(*use.service), service)) {
      chains_.Add(std::move(chain));
    }
  }

  // Those with something to say about connections to the service.
  RoutingList RoutingsOf(const Service& service) {
    if (routings_ == nullptr) routings_ = reader_.Routings(proxy_.ns, "mesh");
    RoutingList named;
    for (const RoutingPtr& routing : *routings_) {
      if (routing->spec.tcp().empty() && routing->spec.tls().empty()) continue;
      for (const std::string& host : routing->spec.hosts()) {
        if (!IsHostWithin(service.host, host)) continue;
        named.push_back(routing);
        break;
      }
    }
    return named;
  }

  Reader& reader_;
  const ProxyFacts& proxy_;
  const OutboundBind& bind_;
  ListenerPtr listener_;
  ListenerChains chains_;
  std::shared_ptr<const RoutingList> routings_;
};

}  // namespace

std::vector<std::string> OutboundListenerNames(Reader& reader, const ProxyFacts& proxy) {
  std::vector<std::string> names;
  for (const auto& [name, bind] : FindBinds(reader, proxy)) names.push_back(name);
  return names;
}

ListenerPtr BuildOutboundListener(Reader& reader, const ProxyFacts& proxy,
                                  const std::string& address, uint32_t port) {
  const OutboundBind bind = FindBind(reader, proxy, address, port);
  if (bind.uses.empty()) return nullptr;
  return OutboundListener(reader, proxy, bind).Build();
}

ListenerPtr BuildVirtualOutbound(Reader& reader, const ProxyFacts& proxy) {
  auto listener = std::make_unique<v3::Listener>();
  SetListenerAddress(std::string(kWildcard), kOutboundPort, *listener);
  listener->set_name(std::string(kVirtualOutbound));
  listener->mutable_use_original_dst()->set_value(true);
  listener->mutable_max_connections_to_accept_per_socket_event()->set_value(1);
  // A connection that was made to this very port would come back to it for ever.
  v3::FilterChain& blackhole = *listener->add_filter_chains();
  blackhole.set_name("virtualOutbound-blackhole");
  blackhole.mutable_filter_chain_match()->mutable_destination_port()->set_value(kOutboundPort);
  TcpProxy settings;
  settings.cluster = std::string(kBlackHole);
  settings.stat_prefix = settings.cluster;
  AddTcpProxy(reader, proxy, settings, blackhole);
  v3::FilterChain& rest = *listener->add_filter_chains();
  rest.set_name("virtualOutbound-catchall-tcp");
  AddPassthrough(reader, proxy, rest);
  AddListenerAccessLog(reader, *listener);
  return listener;
}

}  // namespace meltemi::pilot
