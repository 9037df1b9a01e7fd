// SPDX-License-Identifier: Apache-2.0
// One request and its response on their way through the proxy. Worker-local; used again for the
// next request of any connection of the worker, so that a request after warm-up allocates nothing
// and an idle connection holds no exchange.
//
// Bodies move by pull: bytes stay in the sending side's stream until the other side takes them, so
// a slow receiver stops the sender without any watermark.
//
//   OnHead ▶ ingest ▶ route ▶ filters ▶ attempt ─▶ response head ▶ bodies ▶ OnFinished ▶ log, reuse
//                        │      ▲  │       ▲ └─ failure, retriable: back-off ┐
//                        │      └──┘pause  └──────────────────────────────────┘
//                        └── no route, direct response, redirect, filter's answer ▶ local reply
//
// Invariants:
//  1. `down_` is null once the client's stream is finished, reset or gone; the log is written right
//  then,
//     while its head can still be read.
//  2. The exchange is handed back when `down_` is null and the attempt is idle, and only once.
//  3. No try begins after the response began.
#pragma once

#include <deque>
#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "lib/base/arena.h"
#include "lib/http/stream.h"
#include "lib/net/buffer.h"
#include "lib/routing/actions.h"
#include "lib/runtime/loop.h"
#include "proxy/filters/http_filter.h"
#include "proxy/http/attempt.h"
#include "proxy/http/http_options.h"
#include "proxy/http/http_stats.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

class Exchange;
class MirrorStream;
enum class ClusterStat : uint8_t;

// What an exchange needs of the connection it lives on.
class ExchangeOwner {
 public:
  virtual const HttpOptions& options() const = 0;
  virtual const DownstreamFacts& downstream() = 0;
  virtual const std::shared_ptr<const RoutePin>& pin() = 0;
  // Of scoped routes, for this request; asked only where there are scopes.
  virtual std::shared_ptr<const RoutePin> PinFor(const http::RequestHead&) { return pin(); }
  virtual class HttpDate& date() = 0;
  virtual HttpStats& stats() = 0;
  // The worker is overloaded, and this request is among those to be refused.
  virtual bool ShedsRequest() = 0;
  virtual void OnExchangeOver(Exchange& exchange) = 0;
  // HTTP/1: the connection is to end with the response about to be sent.
  virtual void EndWithResponse() = 0;
  // A copy of the request for `mirror`, to be fed with its body; nullptr when too many are under
  // way.
  virtual std::shared_ptr<MirrorStream> StartMirror(const StreamInfo& info,
                                                    const routing::Mirror& mirror,
                                                    bool end_stream) = 0;

 protected:
  ~ExchangeOwner() = default;
};

class Exchange final : public FilterStream, private http::StreamCallbacks, private AttemptOwner {
 public:
  explicit Exchange(Worker& worker);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // `owner` is asked and told until it was handed the exchange back.
  void Begin(ExchangeOwner& owner, http::ServerStream& stream);
  // The client's connection is gone, and the stream with it.
  void Abort();
  // The worker's overload levels changed.
  void OnOverload();

  // FilterStream
  StreamInfo& info() override { return info_; }
  void Reply(const LocalReply& reply) override;
  void PauseFor(Duration delay) override;
  const void* Override(std::string_view filter) const override;

 private:
  // A request body longer than this cannot be sent again (Envoy's per_connection_buffer_limit).
  static constexpr size_t kReplayBytesMax = 1024 * 1024;
  // How long the rest of a request is read and dropped after an early response.
  static constexpr Duration kDiscardTime = std::chrono::seconds(5);

  enum class Stage : uint8_t { kFree, kFilters, kRouting, kTrying, kBackingOff, kAnswering, kOver };

  // -- client's side (exchange.cc)
  void OnHead(bool end_stream) override;
  void OnBody() override;
  void OnWritable() override;
  void OnReset(http::ResetReason reason) override;
  void OnFinished() override;
  void PumpRequest();
  void DiscardRequest();
  void PumpResponse();
  void PumpLocalBody();
  void OnResponseComplete();
  void SendHead(http::ResponseHead& head, bool end_stream);
  void KeepHeaders(const http::HeaderMap& headers);
  void ResetDownstream();
  void Conclude();  // the client's side is over: log
  void HandBackIfOver();
  void Forget();  // ready for the next request, of whomever
  void DisarmTimers();
  void Touch();  // progress, for the idle timer

  // -- filters, route, heads (exchange_route.cc)
  void FindRoute();
  void RunFilters(size_t from);
  void FollowRoute();
  void SendRedirect(int status, std::string_view location, std::string_view details);
  bool IsUpgradeAllowed() const;
  void FinishRequestHead(const routing::ForwardAction& action);
  void RewriteHost(const routing::ForwardAction& action);
  void ApplyMutations(std::initializer_list<const routing::HeaderMutations*> levels,
                      http::ResponseHead* response);
  void FinishResponseHead(http::ResponseHead& head, bool is_forwarded);

  // -- upstream's side (exchange_upstream.cc)
  void StartForwarding(const routing::ForwardAction& action);
  void ReadRetries(const routing::ForwardAction& action);
  void StartMirrors(const routing::ForwardAction& action);
  void StartAttempt();
  void OnAttemptReady() override;
  void OnAttemptFailed(const OpenFailureInfo& failure) override;
  void OnAttemptHead(bool end_stream) override;
  void OnAttemptInformational(const http::ResponseHead& head) override;
  void OnAttemptBody() override;
  void OnAttemptWritable() override;
  void OnAttemptReset(http::ResetReason reason) override;
  void OnAttemptFinished() override;
  // On the cluster of this request.
  void CountUpstream(ClusterStat stat);
  void CountUpstreamAnswer(int status);
  // True: another try was scheduled.
  bool Retry(bool is_wanted);
  void EndRetry();
  void OnRequestComplete();
  void KeepForReplay(std::string_view bytes);
  void FailUpstream(int status, ResponseFlag flag, std::string_view reason,
                    std::string_view transport_detail);
  void OnPauseOver();

  // -- times, headers of internal clients (exchange_timeouts.cc)
  void ReadControlHeaders();
  // False: answered, since one of them makes no sense.
  bool PassesStrictCheck();
  bool IsRetriableByHeader(int status) const;
  // False: the time is over already.
  bool ReadTimeouts(const routing::ForwardAction& action);
  bool ReadStreamDuration(const routing::ForwardAction& action, std::optional<Duration> asked);
  void SetExpectedTimeout(const routing::ForwardAction& action);
  void ArmPerTry();
  void TouchTry();
  void OnRouteTimeout();
  void OnPerTryTimeout();
  void OnTryIdle();
  void OnTryTooSlow(std::string_view details);
  void ReplyUpstreamTimeout(std::string_view details);
  void OnIdleTimeout();
  void OnDurationTimeout();
  // An upgrade or CONNECT whose request has no end before its answer.
  bool waits_for_upgrade() const { return is_tunnel_ && !is_response_started_; }

  Worker& worker_;
  ExchangeOwner* owner_ = nullptr;  // of the present request, like the next
  const HttpOptions* options_ = nullptr;
  HttpStats* stats_ = nullptr;
  Arena arena_;  // texts of ours; reset for each request
  http::ServerStream* down_ = nullptr;
  Attempt attempt_;
  StreamInfo info_;
  Stage stage_ = Stage::kFree;

  bool is_request_taken_ = false;     // every byte of the request was consumed, its end seen
  bool is_response_started_ = false;  // a head went to the client
  bool is_response_ended_ = false;
  bool is_forwarded_ = false;  // the response is the upstream's
  bool is_upgraded_ = false;
  bool is_internal_ = false;
  bool is_trace_forced_ = false;
  bool is_tunnel_ = false;  // an upgrade or a CONNECT, allowed or not
  bool answers_timeout_with_204_ = false;
  size_t paused_filter_ = 0;

  // Local replies.
  http::ResponseHead local_head_;
  std::string_view local_body_;
  bool is_local_ = false;

  // Retries.
  const routing::RetryPolicy* retry_ = nullptr;
  uint32_t retry_also_ = 0;  // conditions of the request's own headers
  uint32_t retries_left_ = 0;
  bool has_retry_count_ = false;  // BeginRetry was granted and not yet ended
  bool keeps_replay_ = false;
  net::Buffer replay_;
  size_t replayed_bytes_ = 0;
  std::vector<const Host*> tried_hosts_;
  Duration timeout_{0};
  Duration per_try_timeout_{0};
  Duration stream_idle_{0};
  std::optional<Duration> asked_timeout_, asked_per_try_;  // by headers of an internal client
  std::string_view retriable_codes_;                       // likewise
  routing::RequestHash hash_;

  std::vector<std::shared_ptr<MirrorStream>> mirrors_;

  runtime::Timer timeout_timer_;  // route timeout, request timeout, discarding
  runtime::Timer per_try_timer_;
  runtime::Timer try_idle_timer_;
  runtime::Timer idle_timer_;
  runtime::Timer duration_timer_;
  runtime::Timer pause_timer_;  // a filter's delay, back-off
};

}  // namespace meltemi::proxy
