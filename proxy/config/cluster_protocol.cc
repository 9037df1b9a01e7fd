// SPDX-License-Identifier: Apache-2.0
// Which protocols the endpoints of a cluster speak, and with which limits.
#include <fmt/format.h>

#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config/address_compiler.h"
#include "proxy/config/cluster_compiler_parts.h"
#include "proxy/http/codec_options.h"
#include "proxy/http/known_fields.h"

namespace meltemi::proxy {
namespace {

namespace core = envoy::config::core::v3;
namespace v3 = envoy::config::cluster::v3;
using HttpOptions = envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

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

}  // namespace

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

}  // namespace meltemi::proxy
