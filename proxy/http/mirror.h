// SPDX-License-Identifier: Apache-2.0
// A copy of a request sent to another cluster, its response dropped, its fate of no consequence.
// Streamed along with the original. Worker-local; held by its connection until it is over, and by
// the exchange while that feeds it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/arena.h"
#include "lib/http/stream.h"
#include "lib/routing/route.h"
#include "proxy/http/stream_info.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

class MirrorStream final : private http::StreamCallbacks, private StreamOpenCallbacks {
 public:
  // Bytes held while the mirror's upstream is slower than the original's; beyond, it is given up.
  static constexpr size_t kHeldBytesMax = 1024 * 1024;

  // `over` runs once, from the loop, when nothing is left to do.
  MirrorStream(Worker& worker, std::function<void(MirrorStream&)> over);
  ~MirrorStream();
  MirrorStream(const MirrorStream&) = delete;
  MirrorStream& operator=(const MirrorStream&) = delete;

  void Start(const StreamInfo& info, const routing::Mirror& mirror, bool end_stream);
  // More of the body; `is_last` = nothing follows.
  void Feed(std::string_view bytes, bool is_last);
  bool is_over() const { return is_over_; }

 private:
  void Pump();
  void End();
  void OnStreamReady(http::ClientStream& stream, ActiveRequest request) override;
  void OnStreamFailure(const OpenFailureInfo& failure) override;
  void OnHead(bool) override {}
  void OnBody() override;
  void OnWritable() override { Pump(); }
  void OnReset(http::ResetReason) override;
  void OnFinished() override;

  Worker& worker_;
  std::function<void(MirrorStream&)> over_;
  Arena arena_;
  http::RequestHead head_;
  std::string held_;
  bool is_fed_ = false;  // the whole request was given
  bool is_sent_ = false;
  bool is_over_ = false;
  std::unique_ptr<PendingOpen> pending_;
  http::ClientStream* stream_ = nullptr;
  ActiveRequest request_;
};

}  // namespace meltemi::proxy
