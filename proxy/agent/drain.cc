// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/drain.h"

#include <utility>

namespace meltemi::proxy {

Drain::Drain(runtime::Loop& loop, ProxyServer& server, Options options, std::function<void()> ended)
    : loop_(loop),
      server_(server),
      options_(options),
      ended_(std::move(ended)),
      timer_(loop, [this] { Step(); }) {}

void Drain::Begin() {
  if (std::exchange(has_begun_, true)) return;
  begun_ = loop_.Now();
  // Peers hear at once (Connection: close, GOAWAY) and go elsewhere with their next request.
  server_.Drain(options_.keeps_outbound_open ? Direction::kInbound : Direction::kUnspecified,
                /*stops_accepting=*/false);
  timer_.Arm(options_.settle_time);
}

void Drain::Step() {
  if (!std::exchange(is_closing_, true)) {
    if (options_.keeps_outbound_open) {
      server_.Drain(Direction::kInbound, /*stops_accepting=*/true);
      server_.Drain(Direction::kOutbound, /*stops_accepting=*/false);
    } else {
      server_.Drain(Direction::kUnspecified, /*stops_accepting=*/true);
    }
  }
  if (server_.CountConnections() == 0 || loop_.Now() - begun_ >= options_.time_max) return ended_();
  timer_.Arm(kPollEvery);
}

}  // namespace meltemi::proxy
