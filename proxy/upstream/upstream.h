// SPDX-License-Identifier: Apache-2.0
// Upstream side of one worker: clusters, their hosts, load balancing, connection pools, circuit
// breakers. Worker-local, no locks. Routes name clusters by dense id (proxy/config/snapshot.h).
//
// Invariants:
//  1. A Host lives at least as long as any ActiveRequest on it, even after configuration dropped
//  it.
//  2. Every open attempt ends in exactly one OnReady or OnFailure, unless its handle is destroyed
//  first.
//  3. Callbacks of an open attempt may run inside OpenStream / OpenTcp; then the handle returned is
//  null.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/http/connection.h"
#include "lib/net/address.h"
#include "lib/net/connection.h"
#include "lib/net/proxy_header.h"
#include "proxy/config/snapshot.h"

namespace meltemi::proxy {

class ClusterStats;

// What is known of an endpoint besides its address. Immutable.
struct HostInfo {
  net::Address address;
  std::string hostname;
  uint32_t priority = 0;
  std::string region, zone, sub_zone;
  std::string workload;  // filter_metadata istio.workload: "workload;ns;canonical name;rev;cluster"
  std::string tls_mode;  // envoy.transport_socket_match tlsMode: "istio", "disabled" or ""
  std::vector<std::pair<std::string, std::string>>
      subset;  // filter_metadata envoy.lb, strings, sorted
  std::vector<std::pair<std::string, std::string>> transport_match;  // envoy.transport_socket_match
};

// What is known of a cluster. Immutable; lives as long as the snapshot that holds it.
struct ClusterInfo {
  std::string name;
  std::string stat_name;
  // filter_metadata istio, services[0]: for telemetry's destination_service labels.
  std::string service_host, service_name, service_namespace;
  std::string default_original_port;
  Duration connect_timeout{};
  bool is_http2 = false;  // explicit HTTP/2 upstream
};

class Host {
 public:
  virtual const HostInfo& info() const = 0;
  const net::Address& address() const { return info().address; }
  // Outcome of one try, for outlier detection: an HTTP status, or 0 for a failure without a
  // response.
  virtual void Report(int status) = 0;

 protected:
  ~Host() = default;
};

// One request or connection counted on its host and cluster; the count goes down when it is
// destroyed.
class ActiveRequest final {
 public:
  class Owner {
   public:
    virtual Host& host() = 0;
    virtual const ClusterInfo& cluster() const = 0;
    virtual void Release() = 0;

   protected:
    ~Owner() = default;
  };

  ActiveRequest() = default;
  explicit ActiveRequest(Owner* owner) : owner_(owner) {}
  ActiveRequest(ActiveRequest&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
  ActiveRequest& operator=(ActiveRequest&& other) noexcept {
    if (this != &other) {
      Reset();
      owner_ = std::exchange(other.owner_, nullptr);
    }
    return *this;
  }
  ~ActiveRequest() { Reset(); }
  void Reset() {
    if (Owner* owner = std::exchange(owner_, nullptr)) owner->Release();
  }
  explicit operator bool() const { return owner_ != nullptr; }
  Host& host() const { return owner_->host(); }
  const ClusterInfo& cluster() const { return owner_->cluster(); }

 private:
  Owner* owner_ = nullptr;
};

enum class OpenFailure : uint8_t {
  kNoCluster,      // NC
  kNoHealthyHost,  // UH
  kOverflow,       // UO: a circuit breaker of the cluster
  kConnectFailed,  // UF
  kConnectTimeout,
  kTlsFailed,
};

struct OpenFailureInfo {
  OpenFailure kind;
  const Host* host = nullptr;  // nullptr when none was chosen; valid during the callback
  std::string_view detail;  // "delayed connect error: 111", a TLS reason; valid during the callback
};

// The client a connection is made for; hosts that want to know are told (PROXY protocol).
struct OnBehalf {
  const net::Address* source = nullptr;  // nullptr: nobody's
  const net::Address* destination = nullptr;
  const net::ProxyHeader* received = nullptr;  // what was told to us
};

// How to choose a host. Everything it points at must live until the open call returns.
struct PickContext {
  uint64_t hash = 0;
  bool has_hash = false;  // otherwise hashing balancers choose at random
  // Pairs of filter_metadata envoy.lb that the host must carry; sorted by key.
  std::span<const std::pair<std::string, std::string>> subset;
  // Hosts a retry has tried; avoided while another can be found (previous_hosts predicate).
  std::span<const Host* const> avoid;
  const net::Address* original_destination = nullptr;  // ORIGINAL_DST clusters
  std::span<const std::string>
      alpn;  // replaces the cluster's ALPN list when not empty (istio.alpn filter)
  http::Protocol downstream_protocol =
      http::Protocol::kHttp11;  // for use_downstream_protocol_config
  std::string_view authority;   // SNI when the cluster asks for auto_sni
  OnBehalf on_behalf;
};

class StreamOpenCallbacks {
 public:
  // The stream's callbacks are those given to OpenStream. Keep `request` until the stream is over.
  virtual void OnStreamReady(http::ClientStream& stream, ActiveRequest request) = 0;
  virtual void OnStreamFailure(const OpenFailureInfo& failure) = 0;

 protected:
  ~StreamOpenCallbacks() = default;
};

class TcpOpenCallbacks {
 public:
  // Connected, handshake done. Call connection->SetCallbacks at once.
  virtual void OnTcpReady(std::unique_ptr<net::Connection> connection, ActiveRequest request) = 0;
  virtual void OnTcpFailure(const OpenFailureInfo& failure) = 0;

 protected:
  ~TcpOpenCallbacks() = default;
};

// An attempt under way; destroying it cancels (no callback follows).
class PendingOpen {
 public:
  virtual ~PendingOpen() = default;
};

class Upstreams {
 public:
  virtual ~Upstreams() = default;
  // For routes that take the cluster's name from a header; kNoId when there is none.
  virtual ClusterId Find(std::string_view name) const = 0;
  virtual const ClusterInfo* Info(ClusterId cluster) const = 0;  // nullptr when there is none

  [[nodiscard]] virtual std::unique_ptr<PendingOpen> OpenStream(ClusterId cluster,
                                                                const PickContext& context,
                                                                http::StreamCallbacks& stream,
                                                                StreamOpenCallbacks& callbacks) = 0;
  [[nodiscard]] virtual std::unique_ptr<PendingOpen> OpenTcp(ClusterId cluster,
                                                             const PickContext& context,
                                                             TcpOpenCallbacks& callbacks) = 0;
  // Counts a retry against the cluster's max_retries; false = over the limit. Each true is followed
  // by one EndRetry once that try is over.
  virtual bool BeginRetry(ClusterId cluster) = 0;
  virtual void EndRetry(ClusterId cluster) = 0;
  // Where its requests are counted; nullptr: nowhere.
  virtual ClusterStats* Stats(ClusterId) { return nullptr; }
};

}  // namespace meltemi::proxy
