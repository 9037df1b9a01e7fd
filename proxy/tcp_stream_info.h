// SPDX-License-Identifier: Apache-2.0
// A connection below HTTP in the shape that access logs and header templates ask: what only a
// request has is missing. Worker-local; lives as long as one use.
#pragma once

#include "lib/base/arena.h"
#include "proxy/http/stream_info.h"
#include "proxy/listener/tcp_observer.h"

namespace meltemi::proxy {

class TcpStreamInfo final {
 public:
  // `summary` and what it points to outlive this.
  TcpStreamInfo(Worker& worker, const TcpSummary& summary);
  TcpStreamInfo(const TcpStreamInfo&) = delete;
  TcpStreamInfo& operator=(const TcpStreamInfo&) = delete;
  const StreamInfo& info() const { return info_; }

 private:
  DownstreamFacts facts_;
  Arena arena_;
  http::RequestHead head_;
  StreamInfo info_;
};

}  // namespace meltemi::proxy
