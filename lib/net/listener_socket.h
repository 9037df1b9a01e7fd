// SPDX-License-Identifier: Apache-2.0
// Listening sockets: one function that makes them, one class that accepts from them.
#pragma once

#include <memory>

#include "lib/base/fd.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"

namespace meltemi::net {

struct ListenOptions {
  bool is_reuse_port = false;   // several sockets on one address, the kernel spreads connections
  bool is_transparent = false;  // IP_TRANSPARENT; needs CAP_NET_ADMIN
  bool is_v6_only = false;
  bool is_free_bind = false;  // an address the host does not have (yet)
  int backlog = 4096;
};

// A non-blocking stream socket, bound and listening. A Unix path left by a dead process is removed.
StatusOr<Fd> Listen(const Address& address, const ListenOptions& options = {});
// The address a socket is bound to: tells the port after a bind to port zero.
StatusOr<Address> BoundAddress(int fd);
// A non-blocking stream socket of `family`; bound to `from` unless that is unspecified.
StatusOr<Fd> StreamSocket(int family, const Address& from = {});

// Accepts on one loop. Worker-local. Where the process is out of descriptors it waits and tries
// again, so that a full table does not become a busy loop.
class Acceptor final : private runtime::FdHandler {
 public:
  using Callback = absl::AnyInvocable<void(Fd socket, const Address& peer)>;
  static constexpr int kAcceptsPerTurn = 64;
  static constexpr Duration kRetryAfter = std::chrono::milliseconds(100);

  // `listening` is shared by duplicates where several workers accept from one socket.
  static StatusOr<std::unique_ptr<Acceptor>> Create(runtime::Loop& loop, Fd listening,
                                                    Callback callback);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // A paused acceptor leaves connections in the kernel's queue.
  void Pause();
  void Resume();
  int fd() const { return listening_.get(); }
  uint64_t out_of_descriptors() const { return out_of_descriptors_; }

 private:
  Acceptor(runtime::Loop& loop, Fd listening, Callback callback);
  void OnReady(runtime::Ready ready) override;
  void Accept();

  runtime::Loop& loop_;
  Fd listening_;
  Callback callback_;
  runtime::Timer retry_;
  bool is_paused_ = false;
  bool* destroyed_ = nullptr;
  uint64_t out_of_descriptors_ = 0;
};

}  // namespace meltemi::net
