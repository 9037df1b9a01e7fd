// SPDX-License-Identifier: Apache-2.0
// Connections of one worker to one host that speak one protocol with one ALPN offer, and the
// requests that wait for one. Worker-local; owned by its host.
//
// HTTP/1 takes the most recently used idle connection; HTTP/2 the first with room. A request that
// finds none waits, and a connection is made for it unless enough are on their way or the cluster's
// max_connections is reached (a pool without any connection may always make one).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proxy/upstream/cluster.h"

namespace meltemi::proxy {

class HostState;

struct PoolKey {
  UpstreamProtocol protocol =
      UpstreamProtocol::kHttp1;   // never kDownstream: that is resolved before
  std::vector<std::string> alpn;  // offered instead of the transport's list when not empty
  std::string server_name;        // SNI instead of the transport's when not empty
  std::string preamble;           // sent ahead of everything; "" = nothing
  bool operator==(const PoolKey&) const = default;
};

class Pool final {
 public:
  Pool(HostState& host, PoolKey key);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  const PoolKey& key() const { return key_; }
  std::unique_ptr<PendingOpen> Open(http::StreamCallbacks& stream, StreamOpenCallbacks& callbacks);
  // No connection made so far takes new streams; those with streams close after the last. Requests
  // that wait get new connections.
  void DrainConnections();
  bool is_empty() const { return connections_.empty() && waiting_count_ == 0; }
  size_t connections() const { return connections_.size(); }

 private:
  class PooledConnection;
  class Waiting;
  // Head of an intrusive ring; a Waiting unlinks itself from whichever ring it is in.
  struct Link {
    Link* next = this;
    Link* previous = this;
    bool is_alone() const { return next == this; }
    void Unlink();
    void InsertBefore(Link& at);
  };

  PooledConnection* FindUsable();
  void Withdraw(PooledConnection& connection);  // from usable_
  void Attach(PooledConnection& connection, http::StreamCallbacks& stream,
              StreamOpenCallbacks& callbacks);
  void AttachWaiting(PooledConnection& connection);
  // Starts connections until those on their way can carry what waits, or a limit is reached.
  void ConnectAsNeeded();
  bool StartConnection();
  void FailWaiting(OpenFailure kind, std::string_view detail);
  void OnUsable(PooledConnection& connection);
  void OnConnectFailed(PooledConnection& connection, net::CloseReason reason);
  // Takes the connection out of the books; freed at the end of the pass.
  void Forget(PooledConnection& connection);

  HostState& host_;
  const PoolKey key_;
  absl::flat_hash_map<PooledConnection*, std::unique_ptr<PooledConnection>> connections_;
  std::vector<PooledConnection*> usable_;  // may take a stream now; the most recent last
  Link waiting_;
  size_t waiting_count_ = 0;
  size_t connecting_ = 0;
};

}  // namespace meltemi::proxy
