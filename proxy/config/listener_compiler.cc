// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/listener_compiler.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "proxy/config/address_compiler.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::config::listener::v3;

Status Unsupported(std::string_view field) {
  return absl::UnimplementedError(fmt::format("{} is not supported", field));
}

// Maps in a fixed order, so that equal messages are equal bytes.
std::string Deterministic(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

std::string_view MessageName(std::string_view type_url) {
  return type_url.substr(type_url.rfind('/') + 1);
}

// Network filters that only observe, and are accepted without effect: peers' metadata, and
// statistics which are recorded without being asked for.
bool IsObserver(std::string_view name) {
  return name == "istio.metadata_exchange" || name == "envoy.filters.network.metadata_exchange" ||
         name == "istio.stats" || name == "istio.stackdriver" ||
         name == "envoy.filters.network.mongo_proxy";
}

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

// -- listener filters

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

// -- filter chains

// Notes the routes one chain asks for while it compiles.
class NotedRoutes final : public RouteNames {
 public:
  explicit NotedRoutes(RouteNames& names) : names_(names) {}
  RouteId Intern(std::string_view name) override {
    noted.emplace(name);
    return names_.Intern(name);
  }
  std::set<std::string> noted;

 private:
  RouteNames& names_;
};

// Fills the handler of `to`, and what judges before it.
Status CompileFilters(const v3::FilterChain& from, const ListenerInputs& inputs,
                      const ChainContext& context, ChainPlan& to) {
  std::shared_ptr<const ChainHandler>& handler = to.handler;
  for (const auto& filter : from.filters()) {
    if (handler != nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("network filter {} stands behind a terminal filter", filter.name()));
    }
    if (filter.has_config_discovery()) return Unsupported("filters.config_discovery (ECDS)");
    if (IsObserver(filter.name())) continue;
    const std::string_view type = MessageName(filter.typed_config().type_url());
    const auto gate = inputs.compilers.gates.find(type);
    if (gate != inputs.compilers.gates.end()) {
      auto compiled = gate->second(filter.typed_config().value());
      if (!compiled.ok()) return WithContext(compiled.status(), "network filter " + filter.name());
      to.gates.push_back(*std::move(compiled));
      continue;
    }
    const auto compiler = inputs.compilers.chains.find(type);
    if (compiler == inputs.compilers.chains.end()) {
      return absl::UnimplementedError(
          fmt::format("Didn't find a registered implementation for '{}' with type URL: '{}'",
                      filter.name(), type));
    }
    auto compiled = compiler->second(filter.typed_config().value(), context);
    if (!compiled.ok()) return WithContext(compiled.status(), "network filter " + filter.name());
    handler = *std::move(compiled);
  }
  if (handler == nullptr) {
    return absl::InvalidArgumentError("no terminal network filter in the filter chain");
  }
  return absl::OkStatus();
}

StatusOr<std::optional<TlsPlan>> CompileTransport(const v3::FilterChain& from) {
  if (!from.has_transport_socket()) return std::optional<TlsPlan>();
  const auto& socket = from.transport_socket();
  const std::string_view type = MessageName(socket.typed_config().type_url());
  if (type.ends_with(".RawBuffer")) return std::optional<TlsPlan>();
  if (!type.ends_with(".DownstreamTlsContext")) {
    return Unsupported(fmt::format("transport_socket {} ({})", socket.name(), type));
  }
  MELTEMI_ASSIGN_OR_RETURN(TlsPlan plan, CompileDownstreamTls(socket.typed_config().value()));
  return std::optional<TlsPlan>(std::move(plan));
}

StatusOr<ChainPlan> CompileChain(const v3::FilterChain& from, const ListenerPlan& listener,
                                 const ListenerInputs& inputs, const ListenerPlan* earlier) {
  if (from.use_proxy_proto().value()) return Unsupported("filter_chains.use_proxy_proto");
  ChainPlan plan;
  MELTEMI_ASSIGN_OR_RETURN(plan.tls, CompileTransport(from));
  v3::FilterChain
      filters;  // what the handler is made of; a new match or certificate leaves it alone
  *filters.mutable_filters() = from.filters();
  plan.key = fmt::format("{}|{}|{}|", listener.listener.name,
                         static_cast<int>(listener.listener.direction), plan.tls.has_value()) +
             Deterministic(filters);
  if (earlier != nullptr) {
    for (const ChainPlan& before : earlier->chains) {
      if (before.key != plan.key) continue;
      plan.handler = before.handler;
      plan.gates = before.gates;
      plan.routes = before.routes;
      return plan;
    }
  }
  NotedRoutes routes(inputs.routes);
  const ChainContext context{inputs.clusters, routes, listener.listener.name,
                             listener.listener.direction, plan.tls.has_value()};
  MELTEMI_RETURN_IF_ERROR(CompileFilters(from, inputs, context, plan));
  plan.routes = std::move(routes.noted);
  return plan;
}

Status AddChain(const v3::FilterChain& from, const ListenerInputs& inputs,
                const ListenerPlan* earlier, ListenerPlan& to) {
  auto plan = CompileChain(from, to, inputs, earlier);
  if (!plan.ok())
    return WithContext(plan.status(), fmt::format("filter chain \"{}\"", from.name()));
  if (plan->tls && !plan->tls->secrets().empty() && plan->tls->fetch_timeout.count() > 0 &&
      (to.fetch_timeout.count() == 0 || plan->tls->fetch_timeout < to.fetch_timeout)) {
    to.fetch_timeout = plan->tls->fetch_timeout;
  }
  FilterChain chain;
  chain.name = from.name();
  chain.handler = plan->handler;
  chain.gates = plan->gates;
  chain.is_tls = plan->tls.has_value();
  if (from.has_transport_socket_connect_timeout()) {
    chain.handshake_timeout = CompileDuration(from.transport_socket_connect_timeout());
  }
  to.listener.chains.push_back(std::move(chain));
  to.chains.push_back(*std::move(plan));
  return absl::OkStatus();
}

Status CompileChains(const v3::Listener& from, const ListenerInputs& inputs,
                     const ListenerPlan* earlier, ListenerPlan& to) {
  if (from.has_filter_chain_matcher()) return Unsupported("filter_chain_matcher");
  std::vector<ChainMatch> matches;
  std::vector<std::string> names;
  for (const auto& chain : from.filter_chains()) {
    MELTEMI_RETURN_IF_ERROR(AddChain(chain, inputs, earlier, to));
    auto match = CompileMatch(chain.filter_chain_match());
    if (!match.ok())
      return WithContext(match.status(), fmt::format("filter chain \"{}\"", chain.name()));
    if (match->destination_port != 0) {
      to.destination_ports.insert(static_cast<uint16_t>(match->destination_port));
    }
    matches.push_back(*std::move(match));
    names.push_back(chain.name());
  }
  std::vector<const ChainMatch*> pointers;
  for (const ChainMatch& match : matches) pointers.push_back(&match);
  if (from.has_default_filter_chain()) {
    to.listener.default_chain = static_cast<int>(to.listener.chains.size());
    MELTEMI_RETURN_IF_ERROR(AddChain(from.default_filter_chain(), inputs, earlier, to));
    pointers.push_back(nullptr);
    names.emplace_back("default");
  }
  if (to.listener.chains.empty()) {
    return absl::InvalidArgumentError("no filter chain: at least one is needed");
  }
  MELTEMI_ASSIGN_OR_RETURN(ChainMatcher matcher, ChainMatcher::Build(pointers, names));
  to.listener.matcher = std::make_shared<const ChainMatcher>(std::move(matcher));
  return absl::OkStatus();
}

Status RefuseUnsupported(const v3::Listener& from) {
  if (from.has_udp_listener_config()) return Unsupported("udp_listener_config");
  if (from.has_internal_listener()) return Unsupported("internal_listener");
  if (from.has_api_listener()) return Unsupported("api_listener");
  if (from.transparent().value()) return Unsupported("transparent (TPROXY)");
  if (from.has_fcds_config()) return Unsupported("fcds_config");
  if (from.enable_mptcp()) return Unsupported("enable_mptcp");
  if (from.connection_balance_config().has_extend_balance()) {
    return Unsupported("connection_balance_config.extend_balance");
  }
  for (const auto& more : from.additional_addresses()) {
    if (more.has_socket_options()) return Unsupported("additional_addresses.socket_options");
  }
  return absl::OkStatus();
}

template <typename Number>
SocketOption IntegerOption(int level, int name, Number value) {
  const int number = static_cast<int>(value);
  return {level, name, std::string(reinterpret_cast<const char*>(&number), sizeof number),
          SocketOption::State::kPrebind};
}

Status CompileSockets(const v3::Listener& from, ListenerPlan& to) {
  using Option = envoy::config::core::v3::SocketOption;
  if (from.has_tcp_backlog_size()) to.backlog = static_cast<int>(from.tcp_backlog_size().value());
  to.shares_socket = from.has_enable_reuse_port() && !from.enable_reuse_port().value();
  if (from.freebind().value()) {
    to.socket_options.push_back(IntegerOption(IPPROTO_IP, IP_FREEBIND, 1));
  }
  if (from.has_tcp_fast_open_queue_length()) {
    to.socket_options.push_back(
        IntegerOption(IPPROTO_TCP, TCP_FASTOPEN, from.tcp_fast_open_queue_length().value()));
    to.socket_options.back().state = SocketOption::State::kListening;
  }
  for (const Option& option : from.socket_options()) {
    if (option.has_type() && !option.type().has_stream()) {
      return Unsupported("socket_options.type other than stream");
    }
    const int level = static_cast<int>(option.level()), name = static_cast<int>(option.name());
    SocketOption compiled = IntegerOption(level, name, option.int_value());
    if (option.value_case() == Option::kBufValue) compiled.value = option.buf_value();
    if (option.state() == Option::STATE_BOUND) compiled.state = SocketOption::State::kBound;
    if (option.state() == Option::STATE_LISTENING) compiled.state = SocketOption::State::kListening;
    to.socket_options.push_back(std::move(compiled));
  }
  return absl::OkStatus();
}

Status CompileAccessLogs(const v3::Listener& from, const ListenerInputs& inputs,
                         CompiledListener& to) {
  if (from.access_log_size() == 0) return absl::OkStatus();
  if (inputs.compilers.log == nullptr) return Unsupported("access_log");
  auto logs = std::make_shared<TcpObservers>();
  for (const auto& log : from.access_log()) {
    auto compiled = inputs.compilers.log(log.SerializeAsString());
    if (!compiled.ok()) return WithContext(compiled.status(), "access_log");
    logs->push_back(*std::move(compiled));
  }
  to.access_logs = std::move(logs);
  return absl::OkStatus();
}

Status CompileSettings(const v3::Listener& from, ListenerPlan& to) {
  CompiledListener& listener = to.listener;
  listener.name = from.name();
  listener.stat_prefix = from.stat_prefix();
  MELTEMI_ASSIGN_OR_RETURN(listener.address, CompileAddress(from.address()));
  listener.stat_name = from.stat_prefix().empty() ? listener.address.text() : from.stat_prefix();
  std::replace(listener.stat_name.begin(), listener.stat_name.end(), ':', '_');
  for (const auto& more : from.additional_addresses()) {
    MELTEMI_ASSIGN_OR_RETURN(net::Address address, CompileAddress(more.address()));
    listener.more_addresses.push_back(std::move(address));
  }
  if (from.traffic_direction() == envoy::config::core::v3::INBOUND)
    listener.direction = Direction::kInbound;
  if (from.traffic_direction() == envoy::config::core::v3::OUTBOUND) {
    listener.direction = Direction::kOutbound;
  }
  listener.uses_original_destination = from.use_original_dst().value();
  if (from.has_listener_filters_timeout()) {
    listener.inspection_timeout = CompileDuration(from.listener_filters_timeout());
  }
  listener.continues_on_timeout = from.continue_on_listener_filters_timeout();
  listener.bypasses_overload = from.bypass_overload_manager();
  listener.ignores_global_limit = from.ignore_global_conn_limit() || listener.bypasses_overload;
  if (from.has_max_connections_to_accept_per_socket_event()) {
    const uint32_t count = from.max_connections_to_accept_per_socket_event().value();
    if (count == 0) {
      return absl::InvalidArgumentError(
          "max_connections_to_accept_per_socket_event must be at least 1");
    }
    listener.accepts_per_event = count;
  }
  if (from.has_per_connection_buffer_limit_bytes()) {
    listener.connection_buffer_bytes = from.per_connection_buffer_limit_bytes().value();
  }
  to.binds =
      (!from.has_bind_to_port() || from.bind_to_port().value()) &&
      (!from.deprecated_v1().has_bind_to_port() || from.deprecated_v1().bind_to_port().value());
  for (const auto& filter : from.listener_filters()) {
    MELTEMI_RETURN_IF_ERROR(CompileListenerFilter(filter, listener));
  }
  return absl::OkStatus();
}

}  // namespace

std::set<std::string> ListenerPlan::secrets() const {
  std::set<std::string> names;
  for (const ChainPlan& chain : chains) {
    if (chain.tls) names.merge(chain.tls->secrets());
  }
  return names;
}

std::set<std::string> ListenerPlan::routes() const {
  std::set<std::string> names;
  for (const ChainPlan& chain : chains) names.insert(chain.routes.begin(), chain.routes.end());
  return names;
}

bool ListenerPlan::has_secrets(const Secrets& known) const {
  return std::all_of(chains.begin(), chains.end(), [&](const ChainPlan& chain) {
    return !chain.tls || chain.tls->has_secrets(known);
  });
}

StatusOr<std::shared_ptr<const ListenerPlan>> CompileListener(std::string_view serialized,
                                                              const ListenerInputs& inputs,
                                                              const ListenerPlan* earlier) {
  v3::Listener from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("Listener cannot be decoded");
  }
  auto plan = std::make_shared<ListenerPlan>();
  Status status = RefuseUnsupported(from);
  if (status.ok()) status = CompileSettings(from, *plan);
  if (status.ok()) status = CompileSockets(from, *plan);
  if (status.ok()) status = CompileAccessLogs(from, inputs, plan->listener);
  if (status.ok()) status = CompileChains(from, inputs, earlier, *plan);
  if (!status.ok()) return WithContext(status, "listener " + from.name());
  return std::shared_ptr<const ListenerPlan>(std::move(plan));
}

StatusOr<std::shared_ptr<CompiledListener>> BuildListener(const ListenerPlan& plan,
                                                          const Secrets& secrets) {
  auto listener = std::make_shared<CompiledListener>(plan.listener);
  for (size_t i = 0; i < plan.chains.size(); ++i) {
    const auto& tls = plan.chains[i].tls;
    if (!tls || !tls->has_secrets(secrets)) continue;
    auto context = BuildServer(*tls, secrets);
    if (!context.ok()) {
      return WithContext(context.status(), fmt::format("listener {} filter chain \"{}\"",
                                                       listener->name, listener->chains[i].name));
    }
    listener->chains[i].tls = *std::move(context);
  }
  return listener;
}

}  // namespace meltemi::proxy
