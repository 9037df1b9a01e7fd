// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/http_filters.h"

#include <google/protobuf/unknown_field_set.h>

#include <algorithm>

#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "pilot/translate/messages.h"

namespace meltemi::pilot {
namespace {

namespace http = envoy::extensions::filters::http;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using google::protobuf::Any;
using google::protobuf::Struct;

void Add(const char* name, const Any& config, HttpConnectionManager& to) {
  auto& filter = *to.add_http_filters();
  filter.set_name(name);
  *filter.mutable_typed_config() = config;
}

// Who the peer is: asked of headers first, then of its address; told in headers.
Any PeerMetadata(bool is_inbound) {
  const std::string side = is_inbound ? "downstream" : "upstream";
  Struct value;
  const auto add = [&](const std::string& list, const char* method) {
    auto& item = *(*value.mutable_fields())[list].mutable_list_value()->add_values();
    (*item.mutable_struct_value()->mutable_fields())[method].mutable_struct_value();
  };
  add(side + "_discovery", "istio_headers");
  add(side + "_discovery", "workload_discovery");
  add(side + "_propagation", "istio_headers");
  Any any;
  PackTypedStruct("io.istio.http.peer_metadata.Config", std::move(value), any);
  return any;
}

// istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig, of which no code is generated:
// alpn_override (1) = { upstream_protocol (1), alpn_override (2) }. A sidecar on the other side
// tells by these words what is spoken inside TLS.
Any AlpnOverrides() {
  constexpr struct {
    uint64_t protocol;  // HTTP10, HTTP11, HTTP2
    const char* words[3];
  } kOverrides[] = {{0, {"istio-http/1.0", "istio", "http/1.0"}},
                    {1, {"istio-http/1.1", "istio", "http/1.1"}},
                    {2, {"istio-h2", "istio", "h2"}}};
  google::protobuf::UnknownFieldSet message;
  for (const auto& from : kOverrides) {
    google::protobuf::UnknownFieldSet entry;
    if (from.protocol != 0) entry.AddVarint(1, from.protocol);
    for (const char* word : from.words) entry.AddLengthDelimited(2, word);
    std::string bytes;
    entry.SerializeToString(&bytes);
    message.AddLengthDelimited(1, bytes);
  }
  Any any;
  any.set_type_url("type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig");
  message.SerializeToString(any.mutable_value());
  return any;
}

template <typename T>
Any Packed(const T& message) {
  Any any;
  Pack(message, any);
  return any;
}

// Packed once: every connection manager has these.
struct Constants {
  Any inbound_peer = PeerMetadata(true), outbound_peer = PeerMetadata(false);
  Any alpn = AlpnOverrides();
  Any grpc_stats;
  Any fault = Packed(http::fault::v3::HTTPFault());
  Any cors = Packed(http::cors::v3::Cors());
  Any router = Packed(http::router::v3::Router());
  Constants() {
    http::grpc_stats::v3::FilterConfig config;
    config.set_emit_filter_state(true);
    config.mutable_stats_for_all_methods()->set_value(false);
    Pack(config, grpc_stats);
  }
};
const Constants& Filters() {
  static const Constants kFilters;
  return kFilters;
}

}  // namespace

bool HasStats(Reader& reader, const ProxyFacts& proxy) {
  if (!proxy.has_istio_filters) return false;
  const auto mesh = reader.Mesh();
  const auto& providers = mesh->default_providers().metrics();
  return std::find(providers.begin(), providers.end(), "prometheus") != providers.end();
}

Any StatsConfig(Direction direction) {
  // As a struct, which Istio's proxy takes as well as the message: ours knows only this form.
  Struct value;
  if (direction != Direction::kOutbound) {
    // Hosts in requests from outside are what a stranger makes them.
    (*value.mutable_fields())["disable_host_header_fallback"].set_bool_value(true);
  }
  Any any;
  PackTypedStruct("stats.PluginConfig", std::move(value), any);
  return any;
}

void AddHttpFilters(Reader& reader, const ProxyFacts& proxy, Direction direction,
                    HttpConnectionManager& to) {
  const Constants& filters = Filters();
  const bool is_inbound = direction == Direction::kInbound;
  if (proxy.has_istio_filters) {
    Add("istio.metadata_exchange", is_inbound ? filters.inbound_peer : filters.outbound_peer, to);
  }
  Add("envoy.filters.http.grpc_stats", filters.grpc_stats, to);
  if (proxy.has_istio_filters && !is_inbound) Add("istio.alpn", filters.alpn, to);
  Add("envoy.filters.http.fault", filters.fault, to);
  Add("envoy.filters.http.cors", filters.cors, to);
  if (HasStats(reader, proxy)) Add("istio.stats", StatsConfig(direction), to);
  Add("envoy.filters.http.router", filters.router, to);
}

}  // namespace meltemi::pilot
