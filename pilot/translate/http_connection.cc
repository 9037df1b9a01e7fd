// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/http_connection.h"

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"
#include "pilot/translate/access_log.h"
#include "pilot/translate/http_filters.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/tracing.h"

namespace meltemi::pilot {
namespace {

using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

constexpr const char* kServerName = "istio-envoy";

void SetRequestId(HttpConnectionManager& to) {
  static const google::protobuf::Any kConfig = [] {
    envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig config;
    config.mutable_use_request_id_for_trace_sampling()->set_value(true);
    google::protobuf::Any any;
    Pack(config, any);
    return any;
  }();
  *to.mutable_request_id_extension()->mutable_typed_config() = kConfig;
}

// What every direction has.
void SetCommon(const istio::mesh::v1alpha1::MeshConfig& mesh, const ProxyFacts& proxy,
               const HttpConnection& settings, HttpConnectionManager& to) {
  to.set_stat_prefix(settings.stat_prefix);
  to.mutable_normalize_path()->set_value(true);
  to.set_path_with_escaped_slashes_action(HttpConnectionManager::KEEP_UNCHANGED);
  to.set_proxy_100_continue(true);
  to.mutable_stream_idle_timeout();  // 0: streams may be silent for as long as they like
  to.mutable_use_remote_address()->set_value(settings.direction == Direction::kGateway);
  to.add_upgrade_configs()->set_upgrade_type("websocket");
  if (settings.is_http10_accepted) to.mutable_http_protocol_options()->set_accept_http_10(true);
  if (settings.is_http2) to.mutable_http2_protocol_options();
  SetRequestId(to);
  SetTracing(mesh, proxy, to);
  AddAccessLogs(mesh, *to.mutable_access_log());
}

// The caller's certificate for the app: an inbound proxy adds it to what a gateway passed on, a
// gateway starts anew, since its clients may claim anything.
void SetClientCertificate(Direction direction, HttpConnectionManager& to) {
  if (direction == Direction::kOutbound) return;
  const bool is_gateway = direction == Direction::kGateway;
  to.set_forward_client_cert_details(is_gateway ? HttpConnectionManager::SANITIZE_SET
                                                : HttpConnectionManager::APPEND_FORWARD);
  auto& details = *to.mutable_set_current_client_cert_details();
  details.mutable_subject()->set_value(true);
  details.set_uri(true);
  details.set_dns(true);
  if (is_gateway) details.set_cert(true);
  to.set_server_name(kServerName);
}

void SetRoutes(const HttpConnection& settings, HttpConnectionManager& to) {
  if (settings.routes != nullptr) {
    *to.mutable_route_config() = *settings.routes;
    return;
  }
  to.mutable_rds()->set_route_config_name(settings.route_name);
  SetAds(*to.mutable_rds()->mutable_config_source());
}

}  // namespace

void AddHttpConnection(Reader& reader, const ProxyFacts& proxy, const HttpConnection& settings,
                       envoy::config::listener::v3::FilterChain& chain) {
  const auto mesh = reader.Mesh();
  if (settings.direction == Direction::kInbound && proxy.has_istio_filters) {
    auto& exchange = *chain.add_filters();
    exchange.set_name("istio.metadata_exchange");
    *exchange.mutable_typed_config() = ConnectionMetadataExchange();
  }
  HttpConnectionManager manager;
  SetCommon(*mesh, proxy, settings, manager);
  SetClientCertificate(settings.direction, manager);
  if (settings.direction == Direction::kGateway) {
    manager.mutable_http_protocol_options();
    const auto& topology = mesh->default_config().gateway_topology();
    manager.set_xff_num_trusted_hops(topology.num_trusted_proxies());
  }
  SetRoutes(settings, manager);
  AddHttpFilters(reader, proxy, settings.direction, manager);
  auto& filter = *chain.add_filters();
  filter.set_name("envoy.filters.network.http_connection_manager");
  Pack(manager, *filter.mutable_typed_config());
}

void AddListenerAccessLog(Reader& reader, envoy::config::listener::v3::Listener& listener) {
  AddUnmatchedAccessLogs(*reader.Mesh(), *listener.mutable_access_log());
}

}  // namespace meltemi::pilot
