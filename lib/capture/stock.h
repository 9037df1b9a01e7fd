// SPDX-License-Identifier: Apache-2.0
// A worker's stock of unconnected sockets made inside a sandbox, fetched ahead of need over a
// capture connection of its own. Worker-local; Take() never blocks.
//
// Invariants:
//  1. At most one request is outstanding; a batch is asked when fewer than `kLowWater` sockets are
//  left.
//  2. When the sandbox goes away, is_broken() holds, Take() gives no socket, and OnStocked fires
//  once so
//     that waiters can fail.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/capture/protocol.h"
#include "lib/runtime/loop.h"

namespace meltemi::capture {

class SocketStock final : private runtime::FdHandler {
 public:
  static constexpr size_t kLowWater = kSocketsMax;

  static StatusOr<std::unique_ptr<SocketStock>> Open(runtime::Loop& loop, const std::string& path);
  ~SocketStock();
  SocketStock(const SocketStock&) = delete;
  SocketStock& operator=(const SocketStock&) = delete;

  // A socket to connect, or none when the stock is empty just now: wait for OnStocked.
  Fd Take();
  // Called whenever sockets have come in, or the stock has broken. One listener; replaces the last.
  void OnStocked(absl::AnyInvocable<void()> callback) { on_stocked_ = std::move(callback); }

  size_t size() const { return sockets_.size(); }
  bool is_broken() const { return is_broken_; }

 private:
  SocketStock(runtime::Loop& loop, Fd connection)
      : loop_(loop), connection_(std::move(connection)) {}
  void OnReady(runtime::Ready ready) override;
  void AskWhenLow();
  void Break();

  runtime::Loop& loop_;
  Fd connection_;
  std::vector<Fd> sockets_;
  absl::AnyInvocable<void()> on_stocked_;
  bool is_asking_ = false;
  bool is_broken_ = false;
};

}  // namespace meltemi::capture
