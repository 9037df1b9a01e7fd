// SPDX-License-Identifier: Apache-2.0
// A service as the mesh sees it, from a Kubernetes Service or one host of a ServiceEntry.
// Immutable value.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/config/object.h"

namespace meltemi::pilot {

// What a port speaks, after Istio's rules for appProtocol, names and well-known numbers.
// kUnsupported = nothing said: detected from the first bytes.
enum class Protocol : uint8_t {
  kUnsupported,
  kTcp,
  kTls,
  kHttp,
  kHttp2,
  kGrpc,
  kGrpcWeb,
  kHttps,
  kHttpProxy,
  kUdp,
  kMongo,
  kRedis,
  kMysql,
};
constexpr bool IsHttp(Protocol p) {
  return p == Protocol::kHttp || p == Protocol::kHttp2 || p == Protocol::kGrpc ||
         p == Protocol::kGrpcWeb || p == Protocol::kHttpProxy;
}
constexpr bool IsHttp2(Protocol p) {
  return p == Protocol::kHttp2 || p == Protocol::kGrpc;
}
// Plain bytes to us, TLS or not: routed by address (or SNI), never by HTTP.
constexpr bool IsTcp(Protocol p) {
  return p == Protocol::kTcp || p == Protocol::kTls || p == Protocol::kHttps ||
         p == Protocol::kMongo || p == Protocol::kRedis || p == Protocol::kMysql;
}
// istio-control-plane.md §1.1. `app_protocol` and `name` may be "".
Protocol ProtocolOf(std::string_view app_protocol, std::string_view name, uint32_t number,
                    bool is_udp);
// A protocol as ServiceEntry and Gateway write it ("HTTP", "grpc-web", "TLS"); kUnsupported for
// unknown ones.
Protocol ParseProtocol(std::string_view text);

struct ServicePort {
  std::string name;
  uint32_t number = 0;
  Protocol protocol = Protocol::kUnsupported;
  // Of the workload: a number, or a name when `number` is 0.
  uint32_t target_number = 0;
  std::string target_name;
  bool operator==(const ServicePort&) const = default;
};

enum class Resolution : uint8_t {
  kClientSide,     // endpoints are known: EDS
  kPassthrough,    // headless Service, ServiceEntry NONE: to where the client wanted to go
  kDns,            // STRICT_DNS
  kDnsRoundRobin,  // LOGICAL_DNS
};

// A service is known by its host within a namespace.
struct ServiceKey {
  std::string host;
  std::string ns;
  auto operator<=>(const ServiceKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ServiceKey& key) {
    return H::combine(std::move(h), key.host, key.ns);
  }
};

struct Service {
  std::string host;  // "reviews.default.svc.cluster.local"; may begin with "*."
  std::string name;  // "reviews"; of a ServiceEntry the host
  std::string ns;
  std::vector<std::string> addresses;  // virtual ones (cluster IPs, ServiceEntry addresses, CIDRs)
  std::string auto_address;            // given to a ServiceEntry without addresses, for DNS
  Resolution resolution = Resolution::kClientSide;
  std::vector<ServicePort> ports;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> selector;
  std::vector<std::string> export_to;          // empty = everyone; "*", ".", "~", namespaces
  std::vector<std::string> subject_alt_names;  // a ServiceEntry's; else from the endpoints
  bool is_headless = false;
  bool is_external = false;  // MESH_EXTERNAL: no mutual TLS by itself
  bool is_kubernetes = true;
  WallTime created{};
  config::ObjectKey origin;

  ServiceKey key() const { return {host, ns}; }
  const ServicePort* FindPort(uint32_t number) const;
  bool IsVisibleTo(const std::string& from_ns) const;
  bool operator==(const Service&) const = default;
};

using ServicePtr = std::shared_ptr<const Service>;
// Sorted by creation time, then host and namespace (Istio's order).
using ServiceList = std::vector<ServicePtr>;

}  // namespace meltemi::pilot
