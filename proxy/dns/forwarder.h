// SPDX-License-Identifier: Apache-2.0
// Asks the host's own resolvers what the mesh does not know. Control-thread only.
//
// Each query goes out from a socket of its own, with a random source port and id, so that an answer
// cannot be forged blindly (RFC 5452). Queries in flight are bounded; what comes beyond is refused
// at once.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/net/address.h"
#include "lib/runtime/loop.h"
#include "proxy/dns/message.h"

namespace meltemi::proxy::dns {

struct ForwarderLimits {
  size_t in_flight_max = 512;
  Duration wait_per_server =
      std::chrono::milliseconds(2500);  // two servers within a resolver's 5 s
};

// The `nameserver` lines of a resolv.conf; at most three, as resolvers do. Zone ids are not
// understood.
std::vector<net::Address> ParseResolvers(std::string_view resolv_conf);

class Forwarder final {
 public:
  using Done = std::function<void(std::span<const uint8_t> answer)>;  // empty = nobody answered

  Forwarder(runtime::Loop& loop, std::vector<net::Address> servers, ForwarderLimits limits = {});
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  // Forwards `query`, already parsed into `question`; `done` gets the answer with the asker's id
  // put back. It is called once, perhaps before this returns, and not at all once the forwarder is
  // gone.
  void Ask(std::span<const uint8_t> query, const Question& question, Done done);
  size_t in_flight() const { return queries_.size(); }
  // Forgets every query; their `done` is not called.
  void Clear() { queries_.clear(); }

 private:
  class Query;
  void Finish(uint64_t key, std::span<const uint8_t> answer);

  runtime::Loop& loop_;
  std::vector<net::Address> servers_;
  ForwarderLimits limits_;
  std::random_device random_;
  uint64_t next_key_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<Query>> queries_;
};

}  // namespace meltemi::proxy::dns
