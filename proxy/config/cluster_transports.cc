// SPDX-License-Identifier: Apache-2.0
// What stands between a cluster's connections and their sockets: TLS, a PROXY header ahead, by
// endpoint metadata where several are configured.
#include <fmt/format.h>

#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb.h"
#include "proxy/config/cluster_compiler_parts.h"
#include "proxy/http/known_fields.h"

namespace meltemi::proxy {
namespace {

namespace core = envoy::config::core::v3;
namespace v3 = envoy::config::cluster::v3;
using ProxyTransport =
    envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;

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

}  // namespace

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

}  // namespace meltemi::proxy
