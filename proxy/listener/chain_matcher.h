// SPDX-License-Identifier: Apache-2.0
// Which filter chain takes a connection. Envoy's order, one level after the other, each choosing
// its most specific entry without ever going back: destination port, destination prefix, server
// name, transport protocol, application protocols, directly connected source prefix, source type,
// source prefix, source port. Immutable; pure.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/net/address.h"

namespace meltemi::proxy {

struct IpPrefix {
  std::string bytes;  // network order, 4 or 16
  uint32_t length = 0;
  static StatusOr<IpPrefix> Parse(std::string_view ip, uint32_t length);
  bool Contains(std::string_view ip_bytes) const;
  bool operator==(const IpPrefix&) const = default;
  auto operator<=>(const IpPrefix&) const = default;
};

enum class SourceType : uint8_t { kAny, kSameIpOrLoopback, kExternal };

struct ChainMatch {
  uint32_t destination_port = 0;  // 0 = any
  std::vector<IpPrefix> destination_prefixes;
  std::vector<std::string> server_names;  // lower case; "*.x" = one or more labels before .x
  std::string transport_protocol;
  std::vector<std::string> application_protocols;
  std::vector<IpPrefix> direct_source_prefixes;
  SourceType source_type = SourceType::kAny;
  std::vector<IpPrefix> source_prefixes;
  std::vector<uint32_t> source_ports;
};

struct ChainQuery {
  const net::Address& destination;
  const net::Address& source;
  std::string_view server_name;
  std::string_view transport_protocol;
  std::span<const std::string> application_protocols;
};

class ChainMatcher final {
 public:
  ChainMatcher();
  ~ChainMatcher();
  ChainMatcher(ChainMatcher&&) noexcept;
  ChainMatcher& operator=(ChainMatcher&&) noexcept;

  // `matches` by chain; entries that are nullptr take no part. Two chains with equal matches are
  // refused: nothing could tell which is meant.
  static StatusOr<ChainMatcher> Build(const std::vector<const ChainMatch*>& matches,
                                      const std::vector<std::string>& names);
  // Index of a chain, -1 when none matches.
  int Find(const ChainQuery& query) const;

 private:
  struct Node;
  std::unique_ptr<Node> root_;
};

}  // namespace meltemi::proxy
