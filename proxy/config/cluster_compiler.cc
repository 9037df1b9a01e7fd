// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/cluster_compiler.h"

#include <fmt/format.h>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.pb.h"
#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config/address_compiler.h"
#include "proxy/http/codec_options.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::config::cluster::v3;
namespace core = envoy::config::core::v3;
using ProxyTransport =
    envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
using HttpOptions = envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

constexpr std::string_view kHttpOptionsName =
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

Status Unsupported(std::string_view field) {
  return absl::UnimplementedError(fmt::format("{} is not supported", field));
}

Status RefuseUnsupported(const v3::Cluster& from) {
  if (from.has_cluster_type()) {
    return Unsupported(fmt::format("cluster_type {}", from.cluster_type().name()));
  }
  if (from.has_lb_subset_config()) return Unsupported("lb_subset_config");
  if (from.health_checks_size() > 0) return Unsupported("health_checks (active health checking)");
  if (from.filters_size() > 0) {
    for (const auto& filter : from.filters()) {
      // Peer metadata over ALPN: only observes.
      if (filter.name() != "istio.metadata_exchange") {
        return Unsupported(fmt::format("filters: upstream network filter {}", filter.name()));
      }
    }
  }
  return absl::OkStatus();
}

StatusOr<balance::Policy> TypedPolicy(const v3::Cluster& from) {
  // The first policy known here, as Envoy does.
  for (const auto& policy : from.load_balancing_policy().policies()) {
    const std::string& url = policy.typed_extension_config().typed_config().type_url();
    const auto ends = [&](std::string_view suffix) {
      return std::string_view(url).ends_with(suffix);
    };
    if (ends(".RoundRobin")) return balance::Policy::kRoundRobin;
    if (ends(".LeastRequest")) return balance::Policy::kLeastRequest;
    if (ends(".Random")) return balance::Policy::kRandom;
  }
  return Unsupported("load_balancing_policy: none of its policies");
}

StatusOr<balance::Policy> PolicyOf(const v3::Cluster& from) {
  if (from.has_load_balancing_policy()) return TypedPolicy(from);
  switch (from.lb_policy()) {
    case v3::Cluster::ROUND_ROBIN:
    case v3::Cluster::CLUSTER_PROVIDED:
      return balance::Policy::kRoundRobin;
    case v3::Cluster::LEAST_REQUEST:
      return balance::Policy::kLeastRequest;
    case v3::Cluster::RANDOM:
      return balance::Policy::kRandom;
    case v3::Cluster::RING_HASH:
      return balance::Policy::kRingHash;
    case v3::Cluster::MAGLEV:
      return balance::Policy::kMaglev;
    default:
      return Unsupported(fmt::format("lb_policy {}", static_cast<int>(from.lb_policy())));
  }
}

Status CompileBalancing(const v3::Cluster& from, ClusterConfig& to) {
  balance::BalancerConfig& balancing = to.balancing;
  MELTEMI_ASSIGN_OR_RETURN(balancing.policy, PolicyOf(from));
  if (from.has_ring_hash_lb_config()) {
    const auto& ring = from.ring_hash_lb_config();
    if (ring.has_minimum_ring_size()) balancing.ring_size_min = ring.minimum_ring_size().value();
    if (ring.has_maximum_ring_size()) balancing.ring_size_max = ring.maximum_ring_size().value();
    if (ring.hash_function() == v3::Cluster::RingHashLbConfig::MURMUR_HASH_2) {
      return Unsupported("ring_hash_lb_config.hash_function MURMUR_HASH_2");
    }
  }
  if (from.maglev_lb_config().has_table_size()) {
    balancing.maglev_table_size = from.maglev_lb_config().table_size().value();
  }
  if (from.least_request_lb_config().has_choice_count()) {
    balancing.choice_count = from.least_request_lb_config().choice_count().value();
  }
  const auto& common = from.common_lb_config();
  if (common.has_healthy_panic_threshold()) {
    balancing.panic_threshold_percent = common.healthy_panic_threshold().value();
  }
  balancing.is_locality_weighted = common.has_locality_weighted_lb_config();
  to.is_hashed_by_hostname = common.consistent_hashing_lb_config().use_hostname_for_hashing();
  // Parameters are judged now, not when the first endpoints come.
  return balance::Build({}, balancing).status();
}

net::LookupFamily FamilyOf(const v3::Cluster& from) {
  switch (from.dns_lookup_family()) {
    case v3::Cluster::V4_ONLY:
      return net::LookupFamily::kV4Only;
    case v3::Cluster::V6_ONLY:
      return net::LookupFamily::kV6Only;
    case v3::Cluster::V4_PREFERRED:
      return net::LookupFamily::kV4Preferred;
    case v3::Cluster::ALL:
      return net::LookupFamily::kAll;
    default:
      return net::LookupFamily::kAuto;
  }
}

// Which servers names are asked of: any of the three ways Envoy has had of saying so.
Status CompileResolver(const v3::Cluster& from, net::ResolverOptions& to) {
  envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig config;
  if (from.has_typed_dns_resolver_config()) {
    const auto& typed = from.typed_dns_resolver_config().typed_config();
    if (!typed.UnpackTo(&config)) {
      return Unsupported(fmt::format("typed_dns_resolver_config of type {}", typed.type_url()));
    }
  } else if (from.dns_resolution_config().resolvers_size() > 0) {
    *config.mutable_resolvers() = from.dns_resolution_config().resolvers();
  } else {
    *config.mutable_resolvers() = from.dns_resolvers();
  }
  if (config.use_resolvers_as_fallback()) {
    return Unsupported("typed_dns_resolver_config.use_resolvers_as_fallback");
  }
  for (int i = 0; i < config.resolvers_size(); ++i) {
    auto address = CompileAddress(config.resolvers(i));
    if (!address.ok()) return WithContext(address.status(), fmt::format("resolvers[{}]", i));
    to.servers.push_back(address->port() == 0 ? address->WithPort(53).text() : address->text());
  }
  if (config.has_query_timeout_seconds()) {
    to.timeout = std::chrono::seconds(config.query_timeout_seconds().value());
  }
  if (config.has_query_tries()) to.tries = static_cast<int>(config.query_tries().value());
  return absl::OkStatus();
}

Status CompileDiscovery(const v3::Cluster& from, ClusterPlan& to) {
  switch (from.type()) {
    case v3::Cluster::STATIC:
      to.config.discovery = Discovery::kStatic;
      break;
    case v3::Cluster::STRICT_DNS:
      to.config.discovery = Discovery::kStrictDns;
      break;
    case v3::Cluster::LOGICAL_DNS:
      to.config.discovery = Discovery::kLogicalDns;
      break;
    case v3::Cluster::EDS:
      to.config.discovery = Discovery::kEds;
      to.endpoint_name = from.eds_cluster_config().service_name().empty()
                             ? from.name()
                             : from.eds_cluster_config().service_name();
      to.fetch_timeout =
          from.eds_cluster_config().eds_config().has_initial_fetch_timeout()
              ? CompileDuration(from.eds_cluster_config().eds_config().initial_fetch_timeout())
              : std::chrono::seconds(15);
      return absl::OkStatus();
    case v3::Cluster::ORIGINAL_DST:
      to.config.discovery = Discovery::kOriginalDst;
      break;
    default:
      return Unsupported(fmt::format("type {}", static_cast<int>(from.type())));
  }
  if (to.config.discovery == Discovery::kOriginalDst) {
    const auto& original = from.original_dst_lb_config();
    if (original.has_metadata_key()) return Unsupported("original_dst_lb_config.metadata_key");
    to.config.uses_destination_header = original.use_http_header();
    if (original.has_upstream_port_override()) {
      to.config.port_override = static_cast<uint16_t>(original.upstream_port_override().value());
    }
    if (from.has_cleanup_interval()) {
      // istiod writes the greatest duration; anything beyond a day is as good as never.
      to.config.cleanup_interval = std::min<Duration>(
          std::chrono::hours(24),
          std::chrono::seconds(std::min<int64_t>(from.cleanup_interval().seconds(), 86400)));
    }
    return absl::OkStatus();
  }
  const bool is_dns = to.config.discovery != Discovery::kStatic;
  if (from.has_dns_refresh_rate()) to.dns_refresh = CompileDuration(from.dns_refresh_rate());
  to.dns_family = FamilyOf(from);
  if (is_dns) MELTEMI_RETURN_IF_ERROR(CompileResolver(from, to.dns_resolver));
  MELTEMI_ASSIGN_OR_RETURN(to.assignment, CompileAssignment(from.load_assignment(), is_dns));
  return absl::OkStatus();
}

void CompileCommonHttp(const core::HttpProtocolOptions& from, ClusterConfig& to) {
  if (from.has_idle_timeout()) to.idle_timeout = CompileDuration(from.idle_timeout());
  if (from.has_max_requests_per_connection()) {
    to.requests_per_connection_max = from.max_requests_per_connection().value();
  }
  if (from.has_max_response_headers_kb()) {
    to.http_limits.head_bytes_max = size_t{from.max_response_headers_kb().value()} * 1024;
  }
  if (from.has_max_headers_count()) {
    to.http_limits.header_fields_max = from.max_headers_count().value();
  }
}

// An upstream's connection is shared by many clients, and those that read nothing hold a stream's
// window (64 KB) each: 128 of them before the others feel it.
constexpr uint32_t kSharedWindowBytes = 8 * 1024 * 1024;

// Any of the three ways of saying which protocols an upstream speaks.
template <typename Options>
Status CompileCodec(const Options& from, ClusterConfig& to) {
  const auto& http2 = from.http2_protocol_options();
  if (!http2.has_initial_connection_window_size()) {
    to.http_limits.connection_window_bytes = kSharedWindowBytes;
  }
  MELTEMI_RETURN_IF_ERROR(CompileHttp1Options(from.http_protocol_options(), to.http_limits));
  return CompileHttp2Options(http2, to.http_limits);
}

Status CompileProtocol(const v3::Cluster& from, ClusterConfig& to) {
  CompileCommonHttp(from.common_http_protocol_options(), to);
  if (from.has_max_requests_per_connection()) {
    to.requests_per_connection_max = from.max_requests_per_connection().value();
  }
  MELTEMI_RETURN_IF_ERROR(CompileCodec(from, to));
  if (from.has_http2_protocol_options()) to.protocol = UpstreamProtocol::kHttp2;
  to.is_sni_from_authority = from.upstream_http_protocol_options().auto_sni();
  const auto found = from.typed_extension_protocol_options().find(std::string(kHttpOptionsName));
  if (found == from.typed_extension_protocol_options().end()) return absl::OkStatus();
  HttpOptions options;
  if (!found->second.UnpackTo(&options)) {
    return absl::InvalidArgumentError(fmt::format("{} cannot be decoded", kHttpOptionsName));
  }
  CompileCommonHttp(options.common_http_protocol_options(), to);
  const auto& names = options.upstream_http_protocol_options();
  to.is_sni_from_authority |= names.auto_sni();
  if (!names.override_auto_sni_header().empty() &&
      names.override_auto_sni_header() != ":authority") {
    return Unsupported(fmt::format("{}.upstream_http_protocol_options.override_auto_sni_header",
                                   kHttpOptionsName));
  }
  if (names.auto_san_validation() && !names.auto_sni()) {
    return Unsupported(
        fmt::format("{}.upstream_http_protocol_options.auto_san_validation without auto_sni",
                    kHttpOptionsName));
  }
  to.is_san_from_authority = names.auto_san_validation();
  switch (options.upstream_protocol_options_case()) {
    case HttpOptions::kExplicitHttpConfig:
      if (options.explicit_http_config().has_http3_protocol_options()) return Unsupported("HTTP/3");
      to.protocol = options.explicit_http_config().has_http2_protocol_options()
                        ? UpstreamProtocol::kHttp2
                        : UpstreamProtocol::kHttp1;
      MELTEMI_RETURN_IF_ERROR(CompileCodec(options.explicit_http_config(), to));
      break;
    case HttpOptions::kUseDownstreamProtocolConfig:
      to.protocol = UpstreamProtocol::kDownstream;
      MELTEMI_RETURN_IF_ERROR(CompileCodec(options.use_downstream_protocol_config(), to));
      break;
    case HttpOptions::kAutoConfig:
      to.protocol = UpstreamProtocol::kAuto;
      MELTEMI_RETURN_IF_ERROR(CompileCodec(options.auto_config(), to));
      break;
    case HttpOptions::UPSTREAM_PROTOCOL_OPTIONS_NOT_SET:
      return absl::InvalidArgumentError(
          fmt::format("{}: upstream_protocol_options is required", kHttpOptionsName));
  }
  return absl::OkStatus();
}

StatusOr<uint8_t> TlvType(uint32_t type) {
  if (type < 256) return static_cast<uint8_t>(type);
  return absl::InvalidArgumentError(
      fmt::format("ProxyProtocolConfig: TLV type {} is above 255", type));
}

StatusOr<std::shared_ptr<const ProxyProtocolOut>> CompileProxyProtocol(const ProxyTransport& from) {
  const core::ProxyProtocolConfig& config = from.config();
  auto to = std::make_shared<ProxyProtocolOut>();
  to->version = config.version() == core::ProxyProtocolConfig::V2 ? 2 : 1;
  to->allows_unspecified = from.allow_unspecified_address();
  const auto& passed = config.pass_through_tlvs();
  to->passes_all_tlvs = config.has_pass_through_tlvs() &&
                        passed.match_type() == core::ProxyProtocolPassThroughTLVs::INCLUDE_ALL;
  for (const uint32_t type : passed.tlv_type()) {
    MELTEMI_ASSIGN_OR_RETURN(uint8_t byte, TlvType(type));
    to->passed_tlvs.push_back(byte);
  }
  for (const auto& added : config.added_tlvs()) {
    if (added.has_format_string()) return Unsupported("config.added_tlvs.format_string");
    MELTEMI_ASSIGN_OR_RETURN(uint8_t byte, TlvType(added.type()));
    to->added.push_back({byte, added.value()});
  }
  MELTEMI_ASSIGN_OR_RETURN(const net::Address longest, net::Address::ParseIp("::1", 1));
  if (!net::EncodeProxyBinary(longest, longest, to->added)) {
    return absl::InvalidArgumentError("config.added_tlvs: together longer than one header holds");
  }
  return std::shared_ptr<const ProxyProtocolOut>(std::move(to));
}

Status AddTransport(std::string name, StringPairs match, const core::TransportSocket& from,
                    ClusterPlan& to);

// A PROXY header ahead of another transport.
Status AddProxyTransport(std::string name, StringPairs match, const core::TransportSocket& from,
                         ClusterPlan& to) {
  ProxyTransport wrapper;
  if (!wrapper.ParseFromString(from.typed_config().value())) {
    return absl::InvalidArgumentError("ProxyProtocolUpstreamTransport cannot be decoded");
  }
  if (wrapper.transport_socket().typed_config().type_url() == from.typed_config().type_url()) {
    return Unsupported("transport_socket: one PROXY header ahead of another");
  }
  auto proxy = CompileProxyProtocol(wrapper);
  if (!proxy.ok()) return WithContext(proxy.status(), "transport_socket " + from.name());
  MELTEMI_RETURN_IF_ERROR(
      AddTransport(std::move(name), std::move(match), wrapper.transport_socket(), to));
  to.config.transports.back().proxy = *std::move(proxy);
  return absl::OkStatus();
}

Status AddTransport(std::string name, StringPairs match, const core::TransportSocket& from,
                    ClusterPlan& to) {
  if (std::string_view(from.typed_config().type_url())
          .ends_with(".ProxyProtocolUpstreamTransport")) {
    return AddProxyTransport(std::move(name), std::move(match), from, to);
  }
  Transport transport;
  transport.name = std::move(name);
  transport.match = std::move(match);
  std::optional<TlsPlan> plan;
  const std::string_view url = from.typed_config().type_url();
  if (url.ends_with(".UpstreamTlsContext")) {
    auto compiled = CompileUpstreamTls(from.typed_config().value());
    if (!compiled.ok()) return WithContext(compiled.status(), "transport_socket " + transport.name);
    plan = *std::move(compiled);
    if (!plan->secrets().empty() && plan->fetch_timeout.count() > 0 &&
        (to.fetch_timeout.count() == 0 || plan->fetch_timeout < to.fetch_timeout)) {
      to.fetch_timeout = plan->fetch_timeout;
    }
    transport.is_tls = true;
    if (to.config.is_san_from_authority) {
      if (plan->client.verification.is_disabled) {
        return absl::InvalidArgumentError("auto_san_validation: the transport has no trusted_ca");
      }
      plan->client.verification.matches_server_name = true;
    }
    transport.is_sni_automatic = plan->is_server_name_automatic;
  } else if (!url.empty() && !url.ends_with(".RawBuffer")) {
    return Unsupported(fmt::format("transport_socket {} ({})", from.name(), url));
  } else if (url.empty() && !from.name().empty() &&
             from.name() != "envoy.transport_sockets.raw_buffer" && from.name() != "raw_buffer") {
    return Unsupported(fmt::format("transport_socket {} without typed_config", from.name()));
  }
  to.config.transports.push_back(std::move(transport));
  to.tls.push_back(std::move(plan));
  return absl::OkStatus();
}

Status CompileTransports(const v3::Cluster& from, ClusterPlan& to) {
  constexpr int kTransportsMax = 200;
  if (from.transport_socket_matches_size() > kTransportsMax) {
    return absl::InvalidArgumentError("more transport_socket_matches than 200");
  }
  for (const auto& candidate : from.transport_socket_matches()) {
    StringPairs match;
    for (const auto& [key, value] : candidate.match().fields()) {
      if (value.kind_case() == google::protobuf::Value::kBoolValue) {
        match.emplace_back(key, value.bool_value() ? "true" : "false");
      } else if (value.kind_case() == google::protobuf::Value::kStringValue) {
        match.emplace_back(key, value.string_value());
      } else {
        return Unsupported(fmt::format(
            "transport_socket_matches.{}: a match on {} that is no string", candidate.name(), key));
      }
    }
    const Status added =
        AddTransport(candidate.name(), std::move(match), candidate.transport_socket(), to);
    // Tunnels are not spoken yet; an endpoint that asks for one is told apart by its address, which
    // is refused, so the entry itself is harmless.
    if (absl::IsUnimplemented(added) && candidate.name() == "hbone") continue;
    MELTEMI_RETURN_IF_ERROR(added);
  }
  return AddTransport("", {}, from.transport_socket(), to);
}

void CompileBreakers(const v3::Cluster& from, ClusterConfig& to) {
  for (const auto& thresholds : from.circuit_breakers().thresholds()) {
    if (thresholds.priority() != core::DEFAULT) continue;
    const auto set = [](const google::protobuf::UInt32Value& value, bool has, uint32_t& limit) {
      if (has) limit = value.value();
    };
    set(thresholds.max_connections(), thresholds.has_max_connections(),
        to.breakers.connections_max);
    set(thresholds.max_pending_requests(), thresholds.has_max_pending_requests(),
        to.breakers.pending_max);
    set(thresholds.max_requests(), thresholds.has_max_requests(), to.breakers.requests_max);
    set(thresholds.max_retries(), thresholds.has_max_retries(), to.breakers.retries_max);
    to.breakers.tells_remaining = thresholds.track_remaining();
  }
}

void CompileInfo(const v3::Cluster& from, ClusterInfo& to) {
  to.name = from.name();
  to.stat_name = from.alt_stat_name().empty() ? from.name() : from.alt_stat_name();
  to.connect_timeout = from.has_connect_timeout() ? CompileDuration(from.connect_timeout())
                                                  : std::chrono::seconds(5);
  const auto& metadata = from.metadata().filter_metadata();
  const auto istio = metadata.find("istio");
  if (istio == metadata.end()) return;
  const auto& fields = istio->second.fields();
  const auto services = fields.find("services");
  if (services == fields.end() || services->second.list_value().values_size() == 0) return;
  const auto& service = services->second.list_value().values(0).struct_value().fields();
  const auto text = [&](const char* key) {
    const auto found = service.find(key);
    return found == service.end() ? std::string() : found->second.string_value();
  };
  to.service_host = text("host");
  to.service_name = text("name");
  to.service_namespace = text("namespace");
}

// What decides how a connection is made: all but endpoints, secrets, metadata and limits.
uint64_t ShapeOf(const v3::Cluster& from) {
  v3::Cluster shape;
  *shape.mutable_transport_socket() = from.transport_socket();
  *shape.mutable_transport_socket_matches() = from.transport_socket_matches();
  *shape.mutable_upstream_bind_config() = from.upstream_bind_config();
  // Map fields have no fixed order on the wire; the one entry that counts is added alone.
  const auto found = from.typed_extension_protocol_options().find(std::string(kHttpOptionsName));
  std::string bytes = shape.SerializePartialAsString();
  if (found != from.typed_extension_protocol_options().end()) bytes += found->second.value();
  if (from.has_http2_protocol_options()) bytes += "h2";
  return balance::HashKey(bytes);
}

Status CompileInto(const v3::Cluster& from, ClusterPlan& to) {
  MELTEMI_RETURN_IF_ERROR(RefuseUnsupported(from));
  CompileInfo(from, to.config.info);
  if (to.config.info.connect_timeout <= Duration::zero()) {
    return absl::InvalidArgumentError("connect_timeout must be greater than zero");
  }
  MELTEMI_RETURN_IF_ERROR(CompileBalancing(from, to.config));
  MELTEMI_RETURN_IF_ERROR(CompileDiscovery(from, to));
  MELTEMI_RETURN_IF_ERROR(CompileProtocol(from, to.config));
  MELTEMI_RETURN_IF_ERROR(CompileTransports(from, to));
  CompileBreakers(from, to.config);
  to.config.info.is_http2 = to.config.protocol == UpstreamProtocol::kHttp2;
  if (from.has_per_connection_buffer_limit_bytes()) {
    to.config.connection_buffer_bytes = from.per_connection_buffer_limit_bytes().value();
  }
  if (from.upstream_bind_config().has_source_address()) {
    MELTEMI_ASSIGN_OR_RETURN(to.config.bind,
                             CompileSocketAddress(from.upstream_bind_config().source_address()));
  }
  to.config.connection_shape = ShapeOf(from);
  return absl::OkStatus();
}

}  // namespace

std::set<std::string> ClusterPlan::secrets() const {
  std::set<std::string> names;
  for (const auto& plan : tls) {
    if (plan) names.merge(plan->secrets());
  }
  return names;
}

bool ClusterPlan::has_secrets(const Secrets& known) const {
  for (const auto& plan : tls) {
    if (plan && !plan->has_secrets(known)) return false;
  }
  return true;
}

StatusOr<std::shared_ptr<const ClusterPlan>> CompileCluster(std::string_view serialized) {
  v3::Cluster from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("Cluster cannot be decoded");
  }
  if (from.name().empty()) return absl::InvalidArgumentError("Cluster: name is required");
  auto plan = std::make_shared<ClusterPlan>();
  const Status compiled = CompileInto(from, *plan);
  if (!compiled.ok()) return WithContext(compiled, "cluster " + from.name());
  return std::shared_ptr<const ClusterPlan>(std::move(plan));
}

StatusOr<std::shared_ptr<const ClusterConfig>> BuildConfig(const ClusterPlan& plan,
                                                           const Secrets& secrets) {
  auto config = std::make_shared<ClusterConfig>(plan.config);
  for (size_t i = 0; i < plan.tls.size(); ++i) {
    if (!plan.tls[i] || !plan.tls[i]->has_secrets(secrets)) continue;
    auto context = BuildClient(*plan.tls[i], secrets);
    if (!context.ok()) {
      return WithContext(context.status(),
                         fmt::format("cluster {} transport_socket {}", config->info.name,
                                     config->transports[i].name));
    }
    config->transports[i].tls = *std::move(context);
  }
  return std::shared_ptr<const ClusterConfig>(std::move(config));
}

}  // namespace meltemi::proxy
