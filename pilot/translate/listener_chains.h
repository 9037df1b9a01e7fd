// SPDX-License-Identifier: Apache-2.0
// A listener put together from chains, for sidecars and gateways: no two chains may match the same,
// and inspectors stand where a chain asks for what they find out. Pure functions.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <string>

#include "pilot/translate/reader.h"

namespace envoy::config::listener::v3 {
class FilterChain;
class Listener;
}  // namespace envoy::config::listener::v3

namespace meltemi::pilot {

class ListenerChains final {
 public:
  explicit ListenerChains(envoy::config::listener::v3::Listener& listener) : listener_(listener) {}

  // Drops the chain when an earlier one has the same match, and server names that an earlier one
  // with the same match otherwise has: the proxy would refuse the whole listener.
  void Add(envoy::config::listener::v3::FilterChain chain);
  bool is_empty() const { return matches_.empty(); }
  // Sidecars: a chain that matches all becomes the default one, unless it is alone; without one
  // connections go where they were going, or nowhere under REGISTRY_ONLY.
  void SetDefault(Reader& reader, const ProxyFacts& proxy);
  // Inspectors; true when one of them tells HTTP from other protocols.
  bool AddInspectors();

 private:
  bool Claim(envoy::config::listener::v3::FilterChain& chain);

  envoy::config::listener::v3::Listener& listener_;
  absl::flat_hash_set<std::string> matches_;
  bool needs_tls_ = false, needs_http_ = false;
};

// TCP to wherever the connection was going, or into nothing.
void AddPassthrough(Reader& reader, const ProxyFacts& proxy,
                    envoy::config::listener::v3::FilterChain& chain);
void SetListenerAddress(const std::string& bind, uint32_t port,
                        envoy::config::listener::v3::Listener& listener);

}  // namespace meltemi::pilot
