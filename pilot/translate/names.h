// SPDX-License-Identifier: Apache-2.0
// Names of resources, as Istio spells them. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace meltemi::pilot {

inline constexpr std::string_view kBlackHole = "BlackHoleCluster";
inline constexpr std::string_view kPassthroughCluster = "PassthroughCluster";
inline constexpr std::string_view kInboundPassthrough = "InboundPassthroughCluster";
inline constexpr std::string_view kVirtualOutbound = "virtualOutbound";
inline constexpr std::string_view kVirtualInbound = "virtualInbound";
inline constexpr uint16_t kOutboundPort = 15001, kInboundPort = 15006;

// "outbound|9080|v1|reviews.default.svc.cluster.local", "inbound|9080||".
struct ClusterName {
  bool is_inbound = false;
  uint32_t port = 0;
  std::string subset;
  std::string host;
  std::string text() const;
  static std::optional<ClusterName> Parse(std::string_view text);
};
// SNI of a mutual-TLS connection: "outbound_.9080_.v1_.reviews.default.svc.cluster.local".
std::string SniOf(const ClusterName& cluster);

}  // namespace meltemi::pilot
