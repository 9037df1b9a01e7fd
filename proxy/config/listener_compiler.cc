// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/listener_compiler.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

#include "envoy/config/listener/v3/listener.pb.h"
#include "proxy/config/address_compiler.h"
#include "proxy/config/listener_compiler_parts.h"
#include "proxy/http/known_fields.h"

namespace meltemi::proxy {
namespace {

namespace v3 = envoy::config::listener::v3;

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

// Network filters that only observe, and are accepted without effect: peers' metadata, and
// statistics which are recorded without being asked for.
bool IsObserver(std::string_view name) {
  return name == "istio.metadata_exchange" || name == "envoy.filters.network.metadata_exchange" ||
         name == "istio.stats" || name == "istio.stackdriver" ||
         name == "envoy.filters.network.mongo_proxy";
}

// Notes the routes one chain asks for while it compiles.
class NotedRoutes final : public RouteSubscriptions {
 public:
  explicit NotedRoutes(RouteNames& names) : names_(names) {}
  StatusOr<RouteId> Subscribe(std::string_view name,
                              const envoy::config::core::v3::ConfigSource& from) override {
    // None given: of the aggregated stream.
    ConfigSource source;
    if (from.config_source_specifier_case() != 0) {
      MELTEMI_ASSIGN_OR_RETURN(source, CompileConfigSource(from));
    }
    noted.emplace(name, std::move(source));
    return names_.Intern(name);
  }
  SourcedNames noted;

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

SourcedNames ListenerPlan::secret_sources() const {
  SourcedNames sources;
  for (const ChainPlan& chain : chains) {
    if (chain.tls)
      sources.insert(chain.tls->secret_sources.begin(), chain.tls->secret_sources.end());
  }
  return sources;
}

SourcedNames ListenerPlan::routes() const {
  SourcedNames names;
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
