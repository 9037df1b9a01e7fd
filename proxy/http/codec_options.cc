// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/codec_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.pb.h"
#include "proxy/http/known_fields.h"

namespace meltemi::proxy {
namespace {

namespace core = envoy::config::core::v3;
using PreserveCase =
    envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;

// Envoy's since 1.36.
constexpr uint32_t kStreamsMax = 1024;
Duration ToDuration(const google::protobuf::Duration& from) {
  return std::chrono::seconds(from.seconds()) + std::chrono::nanoseconds(from.nanos());
}

void Take(bool has, const google::protobuf::UInt32Value& from, uint32_t& to) {
  if (has) to = from.value();
}

Status CompileHeaderCase(const core::Http1ProtocolOptions::HeaderKeyFormat& from,
                         http::HeaderCase& to) {
  if (from.has_proper_case_words()) to = http::HeaderCase::kProper;
  if (!from.has_stateful_formatter()) return absl::OkStatus();
  PreserveCase config;
  if (!from.stateful_formatter().typed_config().UnpackTo(&config)) {
    return Unsupported(fmt::format("header_key_format.stateful_formatter \"{}\"",
                                   from.stateful_formatter().name()));
  }
  if (config.forward_reason_phrase()) {
    return Unsupported("header_key_format.stateful_formatter: forward_reason_phrase");
  }
  if (config.formatter_type_on_envoy_headers() != PreserveCase::DEFAULT) {
    return Unsupported("header_key_format.stateful_formatter: formatter_type_on_envoy_headers");
  }
  to = http::HeaderCase::kAsReceived;
  return absl::OkStatus();
}

Status CompileKeepalive(const core::KeepaliveSettings& from, http::Http2Options& to) {
  if (from.has_connection_idle_interval()) {
    return Unsupported("connection_keepalive.connection_idle_interval");
  }
  if (!from.has_interval()) return absl::OkStatus();
  to.keepalive_interval = ToDuration(from.interval());
  to.keepalive_timeout = ToDuration(from.timeout());
  // protoc-gen-validate's rules of these fields.
  if (to.keepalive_interval < std::chrono::milliseconds(1) ||
      to.keepalive_timeout < std::chrono::milliseconds(1)) {
    return absl::InvalidArgumentError(
        "connection_keepalive: interval and timeout must be at least 1 ms");
  }
  if (from.has_interval_jitter()) {
    to.keepalive_jitter_percent =
        static_cast<uint32_t>(std::clamp(from.interval_jitter().value(), 0.0, 100.0));
  }
  return absl::OkStatus();
}

}  // namespace

Status CompileHttp1Options(const core::Http1ProtocolOptions& from, http::Limits& to) {
  if (from.has_allow_absolute_url() && !from.allow_absolute_url().value()) {
    return Unsupported("http_protocol_options.allow_absolute_url: false");
  }
  if (from.allow_chunked_length()) return Unsupported("http_protocol_options.allow_chunked_length");
  if (from.send_fully_qualified_url()) {
    return Unsupported("http_protocol_options.send_fully_qualified_url");
  }
  if (from.ignore_http_11_upgrade_size() > 0) {
    return Unsupported("http_protocol_options.ignore_http_11_upgrade");
  }
  to.http1.has_trailers = from.enable_trailers();
  const Status cased = CompileHeaderCase(from.header_key_format(), to.http1.header_case);
  return cased.ok() ? cased : WithContext(cased, "http_protocol_options");
}

Status CompileHttp2Options(const core::Http2ProtocolOptions& from, http::Limits& to) {
  if (from.allow_metadata()) return Unsupported("http2_protocol_options.allow_metadata");
  if (from.custom_settings_parameters_size() > 0) {
    return Unsupported("http2_protocol_options.custom_settings_parameters");
  }
  to.streams_max = kStreamsMax;
  Take(from.has_max_concurrent_streams(), from.max_concurrent_streams(), to.streams_max);
  if (from.has_initial_stream_window_size()) {
    to.stream_buffer_bytes = from.initial_stream_window_size().value();
  }
  Take(from.has_initial_connection_window_size(), from.initial_connection_window_size(),
       to.connection_window_bytes);
  constexpr uint32_t kWindowMin = 65535;
  constexpr uint32_t kWindowMax = 0x7fffffff;
  if (from.has_initial_stream_window_size() &&
      (to.stream_buffer_bytes < kWindowMin || to.stream_buffer_bytes > kWindowMax)) {
    return absl::InvalidArgumentError(
        "http2_protocol_options.initial_stream_window_size must be 65535 to 2147483647");
  }
  if (to.connection_window_bytes < kWindowMin || to.connection_window_bytes > kWindowMax) {
    return absl::InvalidArgumentError(
        "http2_protocol_options.initial_connection_window_size must be 65535 to 2147483647");
  }
  http::Http2Options& h2 = to.http2;
  h2.allows_connect = from.allow_connect();
  Take(from.has_hpack_table_size(), from.hpack_table_size(), h2.header_table_bytes);
  Take(from.has_max_outbound_frames(), from.max_outbound_frames(), h2.outbound_frames_max);
  Take(from.has_max_outbound_control_frames(), from.max_outbound_control_frames(),
       h2.outbound_control_frames_max);
  Take(from.has_max_consecutive_inbound_frames_with_empty_payload(),
       from.max_consecutive_inbound_frames_with_empty_payload(), h2.empty_frames_max);
  Take(from.has_max_inbound_priority_frames_per_stream(),
       from.max_inbound_priority_frames_per_stream(), h2.priority_frames_per_stream_max);
  Take(from.has_max_inbound_window_update_frames_per_data_frame_sent(),
       from.max_inbound_window_update_frames_per_data_frame_sent(),
       h2.window_updates_per_data_frame_max);
  const Status alive = CompileKeepalive(from.connection_keepalive(), h2);
  return alive.ok() ? alive : WithContext(alive, "http2_protocol_options");
}

}  // namespace meltemi::proxy
