// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/listener_chains.h"

#include <fmt/format.h>

#include <utility>

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "pilot/translate/http_connection.h"
#include "pilot/translate/messages.h"
#include "pilot/translate/names.h"

namespace meltemi::pilot {
namespace {

namespace v3 = envoy::config::listener::v3;

// Most hellos fit; the buffer grows for those that do not (Istio's setting).
constexpr uint32_t kHelloBytes = 512;

bool IsBlocked(Reader& reader) {
  using Policy = istio::mesh::v1alpha1::MeshConfig::OutboundTrafficPolicy;
  const auto mesh = reader.Mesh();
  return mesh->has_outbound_traffic_policy() &&
         mesh->outbound_traffic_policy().mode() == Policy::REGISTRY_ONLY;
}

}  // namespace

void AddPassthrough(Reader& reader, const ProxyFacts& proxy, v3::FilterChain& chain) {
  TcpProxy settings;
  settings.cluster = std::string(IsBlocked(reader) ? kBlackHole : kPassthroughCluster);
  settings.stat_prefix = settings.cluster;
  AddTcpProxy(reader, proxy, settings, chain);
}

void SetListenerAddress(const std::string& bind, uint32_t port, v3::Listener& listener) {
  listener.set_name(fmt::format("{}_{}", bind, port));
  listener.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
  SetAddress(bind, port, *listener.mutable_address());
}

bool ListenerChains::Claim(v3::FilterChain& chain) {
  // Not made when it is not there: an empty match is another message than none.
  if (!chain.has_filter_chain_match()) return matches_.insert("").second;
  v3::FilterChainMatch& match = *chain.mutable_filter_chain_match();
  google::protobuf::RepeatedPtrField<std::string> names;
  names.Swap(match.mutable_server_names());
  // What is left has no maps: equal matches are equal bytes.
  const std::string rest = match.SerializeAsString();
  if (names.empty()) return matches_.insert(rest).second;
  for (std::string& name : names) {
    if (matches_.insert(fmt::format("{}|{}", rest, name)).second) {
      match.add_server_names(std::move(name));
    }
  }
  return !match.server_names().empty();
}

void ListenerChains::Add(v3::FilterChain chain) {
  if (!Claim(chain)) return;
  const v3::FilterChainMatch& match = chain.filter_chain_match();
  needs_tls_ = needs_tls_ || !match.server_names().empty() || match.transport_protocol() == "tls";
  needs_http_ = needs_http_ || !match.application_protocols().empty();
  *listener_.add_filter_chains() = std::move(chain);
}

void ListenerChains::SetDefault(Reader& reader, const ProxyFacts& proxy) {
  auto& chains = *listener_.mutable_filter_chains();
  for (int i = 0; i < chains.size(); ++i) {
    if (chains[i].filter_chain_match().ByteSizeLong() > 0) continue;
    if (chains.size() == 1) return;
    *listener_.mutable_default_filter_chain() = std::move(chains[i]);
    chains.DeleteSubrange(i, 1);
    return;
  }
  v3::FilterChain& chain = *listener_.mutable_default_filter_chain();
  chain.set_name("PassthroughFilterChain");
  chain.mutable_filter_chain_match();
  AddPassthrough(reader, proxy, chain);
}

bool ListenerChains::AddInspectors() {
  if (needs_tls_) {
    envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector config;
    config.mutable_initial_read_buffer_size()->set_value(kHelloBytes);
    auto& filter = *listener_.add_listener_filters();
    filter.set_name("envoy.filters.listener.tls_inspector");
    Pack(config, *filter.mutable_typed_config());
  }
  if (needs_http_) {
    auto& filter = *listener_.add_listener_filters();
    filter.set_name("envoy.filters.listener.http_inspector");
    Pack(envoy::extensions::filters::listener::http_inspector::v3::HttpInspector(),
         *filter.mutable_typed_config());
  }
  return needs_http_;
}

}  // namespace meltemi::pilot
