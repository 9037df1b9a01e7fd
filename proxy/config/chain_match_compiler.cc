// SPDX-License-Identifier: Apache-2.0
// Which connections a filter chain is for.
#include <fmt/format.h>

#include "proxy/config/listener_compiler_parts.h"
#include "proxy/http/known_fields.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::config::listener::v3;

StatusOr<std::vector<IpPrefix>> CompilePrefixes(
    const google::protobuf::RepeatedPtrField<envoy::config::core::v3::CidrRange>& from) {
  std::vector<IpPrefix> prefixes;
  for (const auto& range : from) {
    MELTEMI_ASSIGN_OR_RETURN(IpPrefix prefix,
                             IpPrefix::Parse(range.address_prefix(), range.prefix_len().value()));
    prefixes.push_back(std::move(prefix));
  }
  return prefixes;
}

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return text;
}

Status CheckServerName(const std::string& name) {
  const size_t star = name.rfind('*');
  if (star == std::string::npos || name == "*" || (star == 0 && name.starts_with("*."))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format(
      "filter_chain_match.server_names: \"{}\": a wildcard may only be the whole first label",
      name));
}

}  // namespace

StatusOr<ChainMatch> CompileMatch(const v3::FilterChainMatch& from) {
  ChainMatch to;
  if (from.has_destination_port()) to.destination_port = from.destination_port().value();
  if (!from.address_suffix().empty() || from.has_suffix_len()) {
    return Unsupported("filter_chain_match.address_suffix");
  }
  MELTEMI_ASSIGN_OR_RETURN(to.destination_prefixes, CompilePrefixes(from.prefix_ranges()));
  MELTEMI_ASSIGN_OR_RETURN(to.source_prefixes, CompilePrefixes(from.source_prefix_ranges()));
  MELTEMI_ASSIGN_OR_RETURN(to.direct_source_prefixes,
                           CompilePrefixes(from.direct_source_prefix_ranges()));
  for (const std::string& name : from.server_names()) {
    MELTEMI_RETURN_IF_ERROR(CheckServerName(name));
    to.server_names.push_back(Lower(name));
  }
  to.transport_protocol = from.transport_protocol();
  to.application_protocols.assign(from.application_protocols().begin(),
                                  from.application_protocols().end());
  to.source_ports.assign(from.source_ports().begin(), from.source_ports().end());
  if (from.source_type() == v3::FilterChainMatch::SAME_IP_OR_LOOPBACK) {
    to.source_type = SourceType::kSameIpOrLoopback;
  } else if (from.source_type() == v3::FilterChainMatch::EXTERNAL) {
    to.source_type = SourceType::kExternal;
  }
  return to;
}

}  // namespace meltemi::proxy
