// SPDX-License-Identifier: Apache-2.0
// The filter chains of one inbound port, by what it speaks and whether mutual TLS is wanted
// (istio-control-plane.md §2.4). Pure but for what is read.
#pragma once

#include <google/protobuf/repeated_field.h>

#include "pilot/translate/reader.h"

namespace envoy::config::listener::v3 {
class FilterChain;
}

namespace meltemi::pilot {

using FilterChains = google::protobuf::RepeatedPtrField<envoy::config::listener::v3::FilterChain>;

// A port of the workload, or all others at once.
struct InboundChains {
  uint32_t port = 0;                // 0 = any
  uint32_t service_port = 0;        // 0 = of no service
  std::string host;                 // of the service, for spans
  std::string cluster;              // where connections go
  std::string stat_prefix;          // of HTTP
  std::string http_name, tcp_name;  // of the chains
  Protocol protocol = Protocol::kUnsupported;
  MutualTls tls = MutualTls::kPermissive;

  bool is_detected() const { return !IsHttp(protocol) && !IsTcp(protocol); }
  // What the listener must look at before a chain can be chosen.
  bool needs_tls_inspector() const { return tls != MutualTls::kDisable; }
  bool needs_http_inspector() const { return is_detected() && tls != MutualTls::kStrict; }
};
void AddInboundChains(Reader& reader, const ProxyFacts& proxy, const InboundChains& from,
                      FilterChains& to);

}  // namespace meltemi::pilot
