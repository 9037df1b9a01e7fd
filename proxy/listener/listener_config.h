// SPDX-License-Identifier: Apache-2.0
// A compiled listener: its sockets, listener filters and filter chains. Immutable, part of the
// snapshot.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/tls/context.h"
#include "proxy/listener/chain_handler.h"
#include "proxy/listener/chain_matcher.h"
#include "proxy/listener/socket_source.h"

namespace meltemi::proxy {

struct FilterChain {
  std::string name;
  std::shared_ptr<const ChainHandler>
      handler;  // the same object over updates that leave the chain alone
  std::vector<std::shared_ptr<const ConnectionGate>> gates;  // in order, before the handler
  bool is_tls = false;
  std::shared_ptr<const tls::ServerContext>
      tls;  // nullptr with is_tls: secrets missing, handshakes refused
  Duration handshake_timeout = std::chrono::seconds(15);
};

// Ports an inspector leaves alone (istiod's filter_disabled for server-first protocols): an any-of
// list of ranges [begin, end) of the destination port.
struct PortRanges {
  std::vector<std::pair<uint32_t, uint32_t>> ranges;
  bool Contains(uint32_t port) const {
    for (const auto& [begin, end] : ranges) {
      if (port >= begin && port < end) return true;
    }
    return false;
  }
};

struct Inspection {
  bool is_used = false;
  bool is_inverted = false;  // not_match: inspects only the ports listed
  PortRanges disabled_ports;
  size_t hello_bytes_max = 64 * 1024;  // TLS
  bool AppliesTo(uint32_t port) const {
    return is_used && disabled_ports.Contains(port) == is_inverted;
  }
};

// What the PROXY protocol's listener filter asks of the first bytes.
struct ProxyProtocolIn {
  struct Rule {
    uint8_t tlv_type = 0;
    std::string space, key;
  };
  bool is_used = false;
  bool is_optional = false;  // connections without a header are taken as they are
  bool refuses_text = false;
  bool refuses_binary = false;
  std::vector<Rule> rules;
  // TLVs kept for upstream transports that pass them on.
  bool keeps_all_tlvs = false;
  std::vector<uint8_t> kept_tlvs;
  std::string stat_prefix;
};

// The sockets of one address, one per worker. Closed when no listener uses the address any more.
class ListenerSockets final {
 public:
  explicit ListenerSockets(std::vector<ListeningSocket> by_worker)
      : by_worker_(std::move(by_worker)), address_(by_worker_.front().address) {}
  int of(size_t worker) const { return by_worker_[worker].fd.get(); }
  // Control thread, once every worker has stopped watching them.
  void Close() { by_worker_.clear(); }
  const net::Address& address() const { return address_; }

 private:
  std::vector<ListeningSocket> by_worker_;
  const net::Address address_;
};

struct CompiledListener {
  std::string name;
  std::string stat_prefix;
  std::string stat_name;  // in listener.<name>.*: the stat_prefix, or the address with _ for :
  net::Address address;
  std::vector<net::Address> more_addresses;
  Direction direction = Direction::kUnspecified;
  std::vector<std::shared_ptr<ListenerSockets>> sockets;  // empty: reached by hand-off only

  ProxyProtocolIn proxy_protocol;
  bool has_original_destination_filter = false;
  bool uses_original_destination = false;  // hands over to the listener of the original destination
  Inspection tls_inspector, http_inspector;
  Duration inspection_timeout = std::chrono::seconds(15);  // 0 = none
  bool continues_on_timeout = false;
  size_t accepts_per_event = 64;
  bool ignores_global_limit = false;
  bool bypasses_overload = false;  // its connections are spared by every overload action
  std::shared_ptr<const TcpObservers> access_logs;  // nullptr: none
  size_t connection_buffer_bytes = 1024 * 1024;

  std::vector<FilterChain> chains;
  int default_chain = -1;  // index into chains, not matched by matcher
  std::shared_ptr<const ChainMatcher> matcher;
};

}  // namespace meltemi::proxy
