// SPDX-License-Identifier: Apache-2.0
// Headers of the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): who a connection
// is made for. Pure; what is parsed is hostile.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/net/address.h"

namespace meltemi::net {

// Longest text header with its CRLF (§2.1), and the fixed part of a binary one (§2.2), whose 16-bit
// length bounds the rest.
inline constexpr size_t kProxyTextBytesMax = 107;
inline constexpr size_t kProxyBinaryHeadBytes = 16;
inline constexpr size_t kProxyBinaryRestMax = 65535;

struct ProxyTlv {
  uint8_t type = 0;
  std::string value;
  bool operator==(const ProxyTlv&) const = default;
};

struct ProxyHeader {
  int version = 0;
  // Unspecified where the header names none (UNKNOWN, LOCAL, AF_UNSPEC): those of the socket hold.
  Address source, destination;
  std::vector<ProxyTlv> tlvs;  // in order; a type may come twice
  // What rules of the listener made of TLVs (namespace, key, value), for access logs.
  struct Fact {
    std::string space, key, value;
  };
  std::vector<Fact> facts;
};

struct ParsedProxyHeader {
  enum class State : uint8_t {
    kNeedMore,
    kWhole,    // `header` stands in the first `bytes`
    kNone,     // the first bytes are something else
    kInvalid,  // a header of `header.version`, but broken
  };
  State state = State::kNeedMore;
  // kWhole: all of the header. kNeedMore: what is known to belong to it (0 while in doubt), so that
  // a reader may take so much off the socket.
  size_t bytes = 0;
  ProxyHeader header;
};

// `first_bytes` = all bytes of the connection so far.
ParsedProxyHeader ParseProxyHeader(std::string_view first_bytes);

// What an upstream connection is told. Families that differ are told as IPv6 (mapped); addresses
// that are no IP as UNKNOWN or AF_UNSPEC.
std::string EncodeProxyText(const Address& source, const Address& destination);
// Nothing when the TLVs do not fit into the length field: a header cut short would spill into the
// stream behind it (CVE-2026-47692).
std::optional<std::string> EncodeProxyBinary(const Address& source, const Address& destination,
                                             std::span<const ProxyTlv> tlvs);
// "not on behalf of anybody": health checks and the like.
std::string EncodeProxyLocal();

}  // namespace meltemi::net
