// SPDX-License-Identifier: Apache-2.0
// What looks at a connection before a filter chain is chosen: inspectors, PROXY headers, the
// original destination.
#include <fmt/format.h>

#include <algorithm>

#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "proxy/config/listener_compiler_parts.h"
#include "proxy/http/known_fields.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::config::listener::v3;

// An any-of tree of destination port ranges, possibly inverted at the top: the forms istiod writes.
Status CollectRanges(const v3::ListenerFilterChainMatchPredicate& from, PortRanges& to) {
  using Predicate = v3::ListenerFilterChainMatchPredicate;
  switch (from.rule_case()) {
    case Predicate::kAnyMatch:
      if (from.any_match()) to.ranges.emplace_back(0, 65536);
      return absl::OkStatus();
    case Predicate::kDestinationPortRange:
      to.ranges.emplace_back(from.destination_port_range().start(),
                             from.destination_port_range().end());
      return absl::OkStatus();
    case Predicate::kOrMatch:
      for (const auto& rule : from.or_match().rules())
        MELTEMI_RETURN_IF_ERROR(CollectRanges(rule, to));
      return absl::OkStatus();
    default:
      return Unsupported(
          "listener_filters.filter_disabled: a rule beyond port ranges and or_match");
  }
}

StatusOr<Inspection> CompileInspection(const v3::ListenerFilter& from) {
  Inspection to;
  to.is_used = true;
  if (!from.has_filter_disabled()) return to;
  const bool is_not = from.filter_disabled().has_not_match();
  to.is_inverted = is_not;
  MELTEMI_RETURN_IF_ERROR(CollectRanges(
      is_not ? from.filter_disabled().not_match() : from.filter_disabled(), to.disabled_ports));
  return to;
}

StatusOr<ProxyProtocolIn> CompileProxyProtocol(const v3::ListenerFilter& from) {
  using envoy::config::core::v3::ProxyProtocolConfig;
  using envoy::config::core::v3::ProxyProtocolPassThroughTLVs;
  namespace filter = envoy::extensions::filters::listener::proxy_protocol::v3;
  filter::ProxyProtocol settings;
  if (!settings.ParseFromString(from.typed_config().value())) {
    return absl::InvalidArgumentError("listener_filters: ProxyProtocol cannot be decoded");
  }
  if (from.has_filter_disabled()) return Unsupported("proxy_protocol.filter_disabled");
  if (settings.tlv_location() != filter::ProxyProtocol::DYNAMIC_METADATA) {
    return Unsupported("proxy_protocol.tlv_location FILTER_STATE");
  }
  ProxyProtocolIn to;
  to.is_used = true;
  to.is_optional = settings.allow_requests_without_proxy_protocol();
  to.stat_prefix = settings.stat_prefix();
  for (const int version : settings.disallowed_versions()) {
    (version == ProxyProtocolConfig::V1 ? to.refuses_text : to.refuses_binary) = true;
  }
  if (to.refuses_text && to.refuses_binary) {
    return absl::InvalidArgumentError("proxy_protocol.disallowed_versions leaves no version");
  }
  for (const auto& rule : settings.rules()) {
    if (rule.tlv_type() > 255) {
      return absl::InvalidArgumentError("proxy_protocol.rules.tlv_type must be below 256");
    }
    const auto& present = rule.on_tlv_present();
    to.rules.push_back({static_cast<uint8_t>(rule.tlv_type()),
                        present.metadata_namespace().empty()
                            ? "envoy.filters.listener.proxy_protocol"
                            : present.metadata_namespace(),
                        present.key()});
  }
  const auto& passed = settings.pass_through_tlvs();
  to.keeps_all_tlvs = settings.has_pass_through_tlvs() &&
                      passed.match_type() == ProxyProtocolPassThroughTLVs::INCLUDE_ALL;
  for (const uint32_t type : passed.tlv_type()) {
    if (type > 255) {
      return absl::InvalidArgumentError("proxy_protocol.pass_through_tlvs.tlv_type: below 256");
    }
    to.kept_tlvs.push_back(static_cast<uint8_t>(type));
  }
  return to;
}

}  // namespace

Status CompileListenerFilter(const v3::ListenerFilter& from, CompiledListener& to) {
  const std::string_view type = MessageName(from.typed_config().type_url());
  const std::string_view name = from.name();
  const auto is = [&](std::string_view short_name, std::string_view message) {
    return type.ends_with(message) ||
           (type.empty() && name == fmt::format("envoy.filters.listener.{}", short_name));
  };
  if (is("original_dst", ".OriginalDst")) {
    to.has_original_destination_filter = true;
  } else if (is("tls_inspector", ".TlsInspector")) {
    MELTEMI_ASSIGN_OR_RETURN(to.tls_inspector, CompileInspection(from));
    envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector settings;
    if (!settings.ParseFromString(from.typed_config().value())) {
      return absl::InvalidArgumentError("listener_filters: TlsInspector cannot be decoded");
    }
    if (settings.has_max_client_hello_size()) {
      to.tls_inspector.hello_bytes_max =
          std::min<size_t>(settings.max_client_hello_size().value(), 64 * 1024);
    }
  } else if (is("http_inspector", ".HttpInspector")) {
    MELTEMI_ASSIGN_OR_RETURN(to.http_inspector, CompileInspection(from));
  } else if (is("proxy_protocol", ".ProxyProtocol")) {
    MELTEMI_ASSIGN_OR_RETURN(to.proxy_protocol, CompileProxyProtocol(from));
  } else {
    return Unsupported(fmt::format("listener filter {} ({})", name, type));
  }
  return absl::OkStatus();
}

}  // namespace meltemi::proxy
