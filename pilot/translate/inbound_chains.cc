// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/inbound_chains.h"

#include <fmt/format.h>

#include <span>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/translate/http_connection.h"

namespace meltemi::pilot {
namespace {

using envoy::config::listener::v3::FilterChain;
using envoy::config::route::v3::RouteConfiguration;
using Words = std::span<const char* const>;

// ALPN words of sidecars. A port whose protocol is declared takes any of them; one whose protocol
// is detected tells HTTP from TCP by them.
constexpr const char* kMeshAlpn[] = {"istio", "istio-peer-exchange", "istio-http/1.0",
                                     "istio-http/1.1", "istio-h2"};
constexpr const char* kMeshHttpAlpn[] = {"istio-http/1.0", "istio-http/1.1", "istio-h2"};
constexpr const char* kMeshTcpAlpn[] = {"istio-peer-exchange", "istio"};
constexpr const char* kPlainHttpAlpn[] = {"http/1.1", "h2c"};  // the HTTP inspector's words

RouteConfiguration RoutesOf(const InboundChains& from) {
  RouteConfiguration to;
  to.set_name(from.cluster);
  to.mutable_validate_clusters()->set_value(false);
  auto& host = *to.add_virtual_hosts();
  host.set_name(fmt::format("inbound|http|{}", from.service_port));
  host.add_domains("*");
  auto& route = *host.add_routes();
  route.set_name("default");
  route.mutable_match()->set_prefix("/");
  route.mutable_decorator()->set_operation(fmt::format("{}:{}/*", from.host, from.service_port));
  auto& action = *route.mutable_route();
  action.set_cluster(from.cluster);
  // 0 throughout: the client's proxy keeps the time.
  action.mutable_timeout();
  action.mutable_max_stream_duration()->mutable_max_stream_duration();
  action.mutable_max_stream_duration()->mutable_grpc_timeout_header_max();
  const bool is_grpc = from.protocol == Protocol::kGrpc || from.protocol == Protocol::kGrpcWeb;
  if (!is_grpc) {
    // The app may have closed an idle connection: then the request never reached it.
    action.mutable_retry_policy()->set_retry_on("reset-before-request");
    action.mutable_retry_policy()->mutable_num_retries()->set_value(2);
  }
  return to;
}

class ChainBuilder {
 public:
  ChainBuilder(Reader& reader, const InboundChains& from, FilterChains& to)
      : reader_(reader), from_(from), to_(to) {}

  // Filters are the same whether TLS ends here or not: made once, copied.
  void BuildHttp(const ProxyFacts& proxy) {
    const RouteConfiguration routes = RoutesOf(from_);
    HttpConnection settings;
    settings.direction = Direction::kInbound;
    settings.stat_prefix = from_.stat_prefix;
    settings.routes = &routes;
    settings.is_http2 = IsHttp2(from_.protocol);
    AddHttpConnection(reader_, proxy, settings, http_);
    http_.set_name(from_.http_name);
  }
  void BuildTcp(const ProxyFacts& proxy) {
    AddTcpProxy(reader_, proxy, {Direction::kInbound, from_.cluster, from_.cluster, {}}, tcp_);
    tcp_.set_name(from_.tcp_name);
  }

  void AddMutual(bool is_http, Words alpn) {
    SetWorkloadTls(reader_, is_http, Add(is_http, "tls", alpn));
  }
  void AddPlain(bool is_http, Words alpn = {}) { Add(is_http, "raw_buffer", alpn); }
  // TLS of the client's own, which goes through as it is.
  void AddOpaque() { Add(false, "tls", {}); }

 private:
  FilterChain& Add(bool is_http, const char* transport, Words alpn) {
    FilterChain& chain = *to_.Add();
    chain = is_http ? http_ : tcp_;
    auto& match = *chain.mutable_filter_chain_match();
    if (from_.port != 0) match.mutable_destination_port()->set_value(from_.port);
    match.set_transport_protocol(transport);
    for (const char* word : alpn) match.add_application_protocols(word);
    return chain;
  }

  Reader& reader_;
  const InboundChains& from_;
  FilterChains& to_;
  FilterChain http_, tcp_;
};

void AddHttp(MutualTls mode, ChainBuilder& to) {
  if (mode == MutualTls::kStrict) to.AddMutual(true, {});
  if (mode == MutualTls::kPermissive) to.AddMutual(true, kMeshAlpn);
  if (mode != MutualTls::kStrict) to.AddPlain(true);
}

void AddTcp(MutualTls mode, ChainBuilder& to) {
  if (mode == MutualTls::kStrict) to.AddMutual(false, {});
  if (mode == MutualTls::kPermissive) {
    to.AddMutual(false, kMeshAlpn);
    to.AddOpaque();
  }
  if (mode != MutualTls::kStrict) to.AddPlain(false);
}

void AddDetected(MutualTls mode, ChainBuilder& to) {
  if (mode == MutualTls::kStrict) {
    to.AddMutual(true, kMeshHttpAlpn);
    to.AddMutual(false, {});
    return;
  }
  if (mode == MutualTls::kPermissive) to.AddMutual(true, kMeshHttpAlpn);
  to.AddPlain(true, kPlainHttpAlpn);
  if (mode == MutualTls::kPermissive) to.AddMutual(false, kMeshTcpAlpn);
  to.AddPlain(false);
  if (mode == MutualTls::kPermissive) to.AddOpaque();
}

}  // namespace

void AddInboundChains(Reader& reader, const ProxyFacts& proxy, const InboundChains& from,
                      FilterChains& to) {
  ChainBuilder builder(reader, from, to);
  if (!IsTcp(from.protocol)) builder.BuildHttp(proxy);
  if (!IsHttp(from.protocol)) builder.BuildTcp(proxy);
  if (IsHttp(from.protocol)) {
    AddHttp(from.tls, builder);
  } else if (IsTcp(from.protocol)) {
    AddTcp(from.tls, builder);
  } else {
    AddDetected(from.tls, builder);
  }
}

}  // namespace meltemi::pilot
