// SPDX-License-Identifier: Apache-2.0
// The client's end of xDS, incremental or state of the world: one stream, kept up. Loop-thread
// only.
//
//   waiting ──timer──▶ open ──first response──▶ settled
//      ▲                 │ stream ended             │
//      └─────────────────┴──────────────────────────┘   back-off, doubled until a response came
//
// Invariants:
//  1. A response is acknowledged when the handler has settled it, never on receipt; a settlement
//     that comes after its stream has ended acknowledges nothing.
//  2. The versions told on a reconnect are those of resources the handler took and still holds; a
//     resource that was refused counts at the version before.
//  3. While the stream is down nothing is forgotten: the handler keeps what it has.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/grpc/client.h"
#include "lib/runtime/loop.h"
#include "lib/xds/source.h"

namespace meltemi::xds {

struct ClientResource {
  std::string name;
  std::string version;
  std::string_view message;  // serialized, without Any; valid during the call
};

struct ClientUpdate {
  Type type{};
  std::vector<ClientResource> changed;
  std::vector<std::string> removed;
};

struct ClientRefusal {
  std::string name;
  std::string reason;
};

// Says once what became of an update: no refusals = ACK. At once or later, on the loop's thread;
// calling it after the client has gone is harmless.
using Settle = std::function<void(std::vector<ClientRefusal> refusals)>;

class ClientHandler {
 public:
  virtual ~ClientHandler() = default;
  virtual void OnUpdate(const ClientUpdate& update, Settle settle) = 0;
  virtual void OnStreamUp() {}  // the first response of a stream has come
  virtual void OnStreamDown(const std::string& reason) { (void)reason; }
};

struct ClientOptions {
  std::string node;  // serialized envoy.config.core.v3.Node
  // Asked for each stream (a token may have changed). An error counts as a failed attempt.
  std::function<StatusOr<std::multimap<std::string, std::string>>()> metadata = {};
  std::function<double()> random;  // in [0, 1)
  bool is_incremental = true;
  // The stream is of this type's own service instead of the aggregated one.
  std::optional<Type> only = {};
  Duration backoff_min = std::chrono::milliseconds(500);
  Duration backoff_max = std::chrono::seconds(15);
};

struct TypeCounters {
  uint64_t updates = 0;  // responses
  uint64_t acknowledged = 0;
  uint64_t refused = 0;  // responses with at least one refusal
};

struct ClientCounters {
  uint64_t streams = 0;   // begun
  uint64_t failures = 0;  // attempts without a response
  std::array<TypeCounters, static_cast<size_t>(Type::kCount)> types;
  const TypeCounters& of(Type type) const { return types[static_cast<size_t>(type)]; }
  TypeCounters& of(Type type) { return types[static_cast<size_t>(type)]; }
  TypeCounters sum() const;
  void Add(const ClientCounters& other);
};

class Client {
 public:
  // `channel` and `handler` outlive the client.
  static std::unique_ptr<Client> Create(runtime::Loop& loop, grpc::Channel& channel,
                                        ClientHandler& handler, ClientOptions options);
  virtual ~Client() = default;

  virtual void Start() = 0;
  // Everything of the type (CDS, LDS, the name table).
  virtual void SubscribeAll(Type type) = 0;
  // Exactly these names from now on.
  virtual void Subscribe(Type type, const std::set<std::string>& names) = 0;

  virtual bool is_up() const = 0;  // a response has come on the present stream
  virtual const ClientCounters& counters() const = 0;
};

}  // namespace meltemi::xds
