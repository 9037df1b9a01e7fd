// SPDX-License-Identifier: Apache-2.0
// The end of a proxy in order: tell peers, let what is under way finish, then say so. Control
// thread.
//
//   Begin ─▶ settling (doors open: others still send here) ─▶ closing (doors shut) ─▶ ended
//
// Ended when no connection is left or `time_max` has passed since Begin.
#pragma once

#include <functional>

#include "lib/runtime/loop.h"
#include "proxy/server.h"

namespace meltemi::proxy {

class Drain final {
 public:
  struct Options {
    Duration time_max = std::chrono::seconds(5);
    // For this long new connections are still taken, until others have heard that we leave.
    Duration settle_time = Duration::zero();
    // An app that finishes its work needs its way out until the end.
    bool keeps_outbound_open = false;
  };

  Drain(runtime::Loop& loop, ProxyServer& server, Options options, std::function<void()> ended);

  void Begin();  // once; later calls change nothing
  bool has_begun() const { return has_begun_; }

 private:
  static constexpr Duration kPollEvery = std::chrono::milliseconds(20);
  void Step();

  runtime::Loop& loop_;
  ProxyServer& server_;
  const Options options_;
  std::function<void()> ended_;
  runtime::Timer timer_;
  MonotonicTime begun_{};
  bool has_begun_ = false;
  bool is_closing_ = false;
};

}  // namespace meltemi::proxy
