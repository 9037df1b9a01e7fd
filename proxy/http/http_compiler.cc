// SPDX-License-Identifier: Apache-2.0
// HttpConnectionManager → HttpOptions and the handler of its connections. Control thread only.
#include <fmt/format.h>

#include <algorithm>

#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "proxy/filters/registry.h"
#include "proxy/http/access_log_compiler.h"
#include "proxy/http/client_compiler.h"
#include "proxy/http/codec_options.h"
#include "proxy/http/compile.h"
#include "proxy/http/http_connection.h"
#include "proxy/http/http_options.h"
#include "proxy/http/http_stats.h"
#include "proxy/http/known_fields.h"
#include "proxy/http/local_reply_mapping.h"
#include "proxy/http/node_facts.h"
#include "proxy/http/route_compiler.h"
#include "proxy/http/scoped_routes_compiler.h"

namespace meltemi::proxy {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;

namespace {

class HttpChainHandler final : public ChainHandler {
 public:
  HttpChainHandler(HttpOptions options, HttpStatsByWorker stats)
      : options_(std::move(options)), stats_(std::move(stats)) {}
  std::unique_ptr<ActiveConnection> Accept(Worker& worker,
                                           AcceptedConnection accepted) const override {
    HttpStats& stats = stats_.For(worker);
    const OverloadLevels& overload = worker.overload();
    if (overload.is_any() && !accepted.bypasses_overload &&
        overload.Chooses(OverloadLever::kHttpOnDataCreatingCodec, worker.random())) {
      stats.Count(HttpStat::kRequestsOverload);
      return nullptr;
    }
    return std::make_unique<HttpConnection>(worker, options_, stats, std::move(accepted));
  }

 private:
  HttpOptions options_;
  HttpStatsByWorker stats_;
};

// Tracing, flushing of logs and the like may be less than asked for; what decides about requests
// may not (data-plane.md §1.23).
constexpr std::string_view kManagerFields[] = {"codec_type",
                                               "stat_prefix",
                                               "rds",
                                               "route_config",
                                               "scoped_routes",
                                               "http_filters",
                                               "tracing",
                                               "common_http_protocol_options",
                                               "http1_safe_max_connection_duration",
                                               "http_protocol_options",
                                               "http2_protocol_options",
                                               "http3_protocol_options",
                                               "server_name",
                                               "server_header_transformation",
                                               "scheme_header_transformation",
                                               "max_request_headers_kb",
                                               "stream_idle_timeout",
                                               "request_timeout",
                                               "request_headers_timeout",
                                               "drain_timeout",
                                               "delayed_close_timeout",
                                               "access_log",
                                               "access_log_flush_interval",
                                               "flush_access_log_on_new_request",
                                               "access_log_options",
                                               "use_remote_address",
                                               "xff_num_trusted_hops",
                                               "original_ip_detection_extensions",
                                               "internal_address_config",
                                               "skip_xff_append",
                                               "via",
                                               "generate_request_id",
                                               "preserve_external_request_id",
                                               "always_set_request_id_in_response",
                                               "forward_client_cert_details",
                                               "set_current_client_cert_details",
                                               "proxy_100_continue",
                                               "upgrade_configs",
                                               "normalize_path",
                                               "merge_slashes",
                                               "path_with_escaped_slashes_action",
                                               "request_id_extension",
                                               "local_reply_config",
                                               "strip_matching_host_port",
                                               "strip_any_host_port",
                                               "strip_trailing_host_dot",
                                               "append_x_forwarded_port",
                                               "add_proxy_protocol_connection_state"};
constexpr std::string_view kCommonFields[] = {
    "idle_timeout",        "max_connection_duration",         "max_headers_count",
    "max_stream_duration", "headers_with_underscores_action", "max_requests_per_connection"};
constexpr std::string_view kHttp1Fields[] = {
    "allow_absolute_url", "accept_http_10",   "default_host_for_http_10", "header_key_format",
    "enable_trailers",    "use_balsa_parser", "allow_custom_methods"};
constexpr std::string_view kRouterFields[] = {
    "dynamic_stats",        "start_child_span",       "upstream_log",
    "upstream_log_options", "suppress_envoy_headers", "suppress_grpc_request_failure_code_stats",
    "strict_check_headers"};
// Envoy's list of what strict_check_headers may name.
constexpr std::string_view kStrictHeaders[] = {
    "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-retry-grpc-on"};

Status CheckSupported(const hcm::HttpConnectionManager& from) {
  MELTEMI_RETURN_IF_ERROR(RefuseUnknownFields(from, kManagerFields, ""));
  if (from.codec_type() == hcm::HttpConnectionManager::HTTP3)
    return Unsupported("codec_type HTTP3");
  MELTEMI_RETURN_IF_ERROR(RefuseUnknownFields(from.common_http_protocol_options(), kCommonFields,
                                              "common_http_protocol_options."));
  const auto& http1 = from.http_protocol_options();
  MELTEMI_RETURN_IF_ERROR(RefuseUnknownFields(http1, kHttp1Fields, "http_protocol_options."));
  if (http1.has_allow_absolute_url() && !http1.allow_absolute_url().value()) {
    return Unsupported("http_protocol_options.allow_absolute_url: false");
  }
  if (from.http1_safe_max_connection_duration()) {
    return Unsupported("http1_safe_max_connection_duration: true");
  }
  if (from.scheme_header_transformation().match_upstream()) {
    return Unsupported("scheme_header_transformation.match_upstream");
  }
  if (from.internal_address_config().unix_sockets()) {
    return Unsupported("internal_address_config.unix_sockets");
  }
  for (const auto& upgrade : from.upgrade_configs()) {
    if (upgrade.filters_size() > 0) return Unsupported("upgrade_configs.filters");
  }
  return absl::OkStatus();
}

Status CompileCodec(const hcm::HttpConnectionManager& from, HttpOptions& to) {
  using Codec = HttpOptions::Codec;
  to.codec = from.codec_type() == hcm::HttpConnectionManager::HTTP1   ? Codec::kHttp1
             : from.codec_type() == hcm::HttpConnectionManager::HTTP2 ? Codec::kHttp2
                                                                      : Codec::kAuto;
  to.accepts_http10 = from.http_protocol_options().accept_http_10();
  to.default_host_http10 = from.http_protocol_options().default_host_for_http_10();
  if (from.has_max_request_headers_kb()) {
    to.limits.head_bytes_max = size_t{from.max_request_headers_kb().value()} * 1024;
  }
  const auto& common = from.common_http_protocol_options();
  if (common.has_max_headers_count())
    to.limits.header_fields_max = common.max_headers_count().value();
  MELTEMI_RETURN_IF_ERROR(CompileHttp1Options(from.http_protocol_options(), to.limits));
  MELTEMI_RETURN_IF_ERROR(CompileHttp2Options(from.http2_protocol_options(), to.limits));
  if (from.has_drain_timeout()) to.limits.http2.drain_time = ToDuration(from.drain_timeout());
  using Common = envoy::config::core::v3::HttpProtocolOptions;
  to.rejects_underscores = common.headers_with_underscores_action() == Common::REJECT_REQUEST;
  to.drops_underscores = common.headers_with_underscores_action() == Common::DROP_HEADER;
  if (common.has_idle_timeout()) to.idle_timeout = ToDuration(common.idle_timeout());
  to.requests_max = common.max_requests_per_connection().value();
  to.connection_duration_max = ToDuration(common.max_connection_duration());
  to.stream_duration_max = ToDuration(common.max_stream_duration());
  if (from.has_stream_idle_timeout())
    to.stream_idle_timeout = ToDuration(from.stream_idle_timeout());
  to.request_timeout = ToDuration(from.request_timeout());
  to.limits.request_head_time = ToDuration(from.request_headers_timeout());
  if (from.has_delayed_close_timeout()) {
    to.limits.delayed_close = ToDuration(from.delayed_close_timeout());
  }
  return absl::OkStatus();
}

void CompileTarget(const hcm::HttpConnectionManager& from, HttpOptions& to) {
  using From = hcm::HttpConnectionManager;
  using Slashes = HttpOptions::EscapedSlashes;
  to.normalizes_path = from.normalize_path().value();
  to.merges_slashes = from.merge_slashes();
  to.strips_any_port = from.strip_any_host_port();
  to.strips_matching_port = from.strip_matching_host_port();
  to.strips_trailing_dot = from.strip_trailing_host_dot();
  switch (from.path_with_escaped_slashes_action()) {
    case From::REJECT_REQUEST:
      to.escaped_slashes = Slashes::kReject;
      break;
    case From::UNESCAPE_AND_REDIRECT:
      to.escaped_slashes = Slashes::kRedirect;
      break;
    case From::UNESCAPE_AND_FORWARD:
      to.escaped_slashes = Slashes::kForward;
      break;
    default:
      to.escaped_slashes = Slashes::kKeep;
  }
  to.stat_prefix = from.stat_prefix();
  if (!from.server_name().empty()) to.server_name = from.server_name();
  if (from.server_header_transformation() == From::APPEND_IF_ABSENT) {
    to.server_header = HttpOptions::ServerHeader::kAppendIfAbsent;
  }
  if (from.server_header_transformation() == From::PASS_THROUGH) {
    to.server_header = HttpOptions::ServerHeader::kPassThrough;
  }
  to.scheme_overwrite = from.scheme_header_transformation().scheme_to_overwrite();
  to.via = from.via();
  to.proxies_continue = from.proxy_100_continue();
  for (const auto& upgrade : from.upgrade_configs()) {
    to.upgrades.emplace_back(routing::LowerCase(upgrade.upgrade_type()),
                             !upgrade.has_enabled() || upgrade.enabled().value());
  }
}

Status CompileRoutesOf(const hcm::HttpConnectionManager& from, const ChainContext& context,
                       HttpOptions& to) {
  if (from.has_rds()) {
    if (from.rds().route_config_name().empty()) {
      return absl::InvalidArgumentError("rds: route_config_name is empty");
    }
    const auto id =
        context.routes.Subscribe(from.rds().route_config_name(), from.rds().config_source());
    if (!id.ok()) return WithContext(id.status(), "rds.config_source");
    to.rds = *id;
    return absl::OkStatus();
  }
  if (from.has_scoped_routes()) {
    auto scopes = CompileScopedRoutes(from.scoped_routes(), context);
    if (!scopes.ok()) return WithContext(scopes.status(), "scoped_routes");
    to.scopes = *std::move(scopes);
    return absl::OkStatus();
  }
  if (!from.has_route_config()) {
    return absl::InvalidArgumentError("no rds, route_config or scoped_routes");
  }
  MELTEMI_ASSIGN_OR_RETURN(to.inline_routes,
                           CompileRouteConfiguration(from.route_config(), context.clusters));
  return absl::OkStatus();
}

constexpr std::string_view kRouterType = "envoy.extensions.filters.http.router.v3.Router";

Status CompileRouter(const hcm::HttpFilter& from, HttpOptions& to) {
  envoy::extensions::filters::http::router::v3::Router router;
  if (!router.ParseFromString(from.typed_config().value())) {
    return absl::InvalidArgumentError("router: not a Router message");
  }
  MELTEMI_RETURN_IF_ERROR(RefuseUnknownFields(router, kRouterFields, "router: "));
  to.suppresses_envoy_headers = router.suppress_envoy_headers();
  for (const std::string& name : router.strict_check_headers()) {
    if (std::find(std::begin(kStrictHeaders), std::end(kStrictHeaders), name) ==
        std::end(kStrictHeaders)) {
      return absl::InvalidArgumentError(
          fmt::format("router: strict_check_headers: {} is none of those it judges", name));
    }
    to.strict_headers.push_back(name);
  }
  return absl::OkStatus();
}

Status CompileFilters(const hcm::HttpConnectionManager& from, const FilterContext& context,
                      HttpOptions& to) {
  bool has_router = false;
  for (const hcm::HttpFilter& filter : from.http_filters()) {
    if (has_router) return absl::InvalidArgumentError("http_filters: the router must be the last");
    if (filter.disabled()) continue;
    if (!filter.has_typed_config()) {
      return absl::InvalidArgumentError(
          fmt::format("http filter \"{}\": only typed_config is supported", filter.name()));
    }
    const std::string& type_url = filter.typed_config().type_url();
    if (std::string_view(type_url).ends_with(kRouterType)) {
      has_router = true;
      MELTEMI_RETURN_IF_ERROR(CompileRouter(filter, to));
      continue;
    }
    auto compiled = CompileFilter(filter.name(), type_url, filter.typed_config().value(), context);
    if (!compiled.ok()) {
      if (filter.is_optional() && absl::IsNotFound(compiled.status())) continue;
      return WithContext(compiled.status(), fmt::format("http filter \"{}\"", filter.name()));
    }
    if (*compiled == nullptr) continue;
    const uint8_t hooks = (*compiled)->hooks();
    if (hooks & HttpFilter::kRequest) to.request_filters.push_back(*compiled);
    if (hooks & HttpFilter::kResponse) to.response_filters.push_back(*compiled);
    if (hooks & HttpFilter::kEnd) to.end_filters.push_back(*compiled);
  }
  if (!has_router) return absl::InvalidArgumentError("http_filters: the router is missing");
  std::reverse(to.response_filters.begin(), to.response_filters.end());
  return absl::OkStatus();
}

StatusOr<std::shared_ptr<const ChainHandler>> Compile(std::string_view serialized,
                                                      const ChainContext& context,
                                                      const HttpProcess& process) {
  hcm::HttpConnectionManager from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not an HttpConnectionManager message");
  }
  HttpOptions to;
  to.identity_path = ParseNode(process.node_metadata_json).identity_path;
  to.rejects_fragments = process.rejects_path_fragments;
  MELTEMI_RETURN_IF_ERROR(CheckSupported(from));
  MELTEMI_RETURN_IF_ERROR(CompileCodec(from, to));
  MELTEMI_RETURN_IF_ERROR(CompileClient(from, to));
  CompileTarget(from, to);
  if (from.has_local_reply_config()) {
    MELTEMI_ASSIGN_OR_RETURN(to.local_replies, CompileLocalReplies(from.local_reply_config()));
  }
  MELTEMI_RETURN_IF_ERROR(CompileRoutesOf(from, context, to));
  MELTEMI_RETURN_IF_ERROR(CompileFilters(from, {process, context}, to));
  for (const auto& log : from.access_log()) {
    MELTEMI_ASSIGN_OR_RETURN(auto compiled, CompileAccessLog(log.SerializeAsString(), process));
    for (const std::string& name : compiled->response_headers()) {
      if (to.logged_response_headers.size() == StreamInfo::kKeptHeadersMax) {
        return absl::InvalidArgumentError(fmt::format(
            "access_log: more than {} response headers asked for", StreamInfo::kKeptHeadersMax));
      }
      to.logged_response_headers.push_back(routing::HeaderRef::Of(name));
    }
    to.access_logs.push_back(std::move(compiled));
  }
  HttpStatsByWorker stats(process.http_stats, to.stat_prefix, process.workers);
  return std::make_shared<const HttpChainHandler>(std::move(to), std::move(stats));
}

}  // namespace

ChainCompiler HttpChainCompiler(HttpProcess process) {
  return [process = std::move(process)](std::string_view serialized, const ChainContext& context) {
    auto handler = Compile(serialized, context, process);
    if (handler.ok()) return handler;
    return StatusOr<std::shared_ptr<const ChainHandler>>(
        WithContext(handler.status(), "HttpConnectionManager"));
  };
}

}  // namespace meltemi::proxy
