// SPDX-License-Identifier: Apache-2.0
// Who is told of connections below HTTP: access logs, istio.stats. Observers are immutable and
// called on the worker.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/net/address.h"
#include "lib/net/connection.h"

namespace meltemi::proxy {

struct AcceptedConnection;
struct ClusterInfo;
class Host;
class Worker;

// What is known of a connection. The views live as long as the call.
struct TcpSummary {
  enum class Event : uint8_t {
    kOpened,     // accepted
    kConnected,  // its upstream connection stands
    kPeriodic,   // it goes on
    kEnded,
  };
  Event event = Event::kEnded;
  const AcceptedConnection* accepted = nullptr;
  const ClusterInfo* cluster = nullptr;  // nullptr: no cluster of that name
  const Host* host = nullptr;            // nullptr: none was tried
  const net::Address* upstream_local = nullptr;
  const net::TlsPeer* downstream_tls = nullptr;
  const net::TlsPeer* upstream_tls = nullptr;
  uint64_t bytes_received = 0;  // from downstream
  uint64_t bytes_sent = 0;      // to downstream
  Duration duration{};
  uint32_t attempts = 0;
  std::string_view response_flags;  // "UF", "UH", "UO", "NC", "UF,URX", "-" …
  std::string_view failure_detail;  // why no upstream connection came to be
  std::string_view termination_detail;
  std::string_view downstream_failure;               // of the client's TLS
  std::string_view tunnel_headers, tunnel_trailers;  // of the answer that opened a tunnel, as JSON
};

class TcpObserver {
 public:
  virtual ~TcpObserver() = default;
  virtual void Observe(Worker& worker, const TcpSummary& summary) const = 0;
};

using TcpObservers = std::vector<std::shared_ptr<const TcpObserver>>;

}  // namespace meltemi::proxy
