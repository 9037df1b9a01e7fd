// SPDX-License-Identifier: Apache-2.0
// One HTTP/1 connection from a client: requests one after the other, each answered before the next
// is parsed. Worker-local. Small while it is idle: what a request needs beyond the stream object is
// taken from the worker's spares with the request, and goes back there at its end.
//
//   idle --head--> active --response ended--> (rest of the request dropped) --> idle
//                    |  101, CONNECT 2xx: opaque bytes both ways until both halves ended -->
//                    closing
//                    \- reset, error, peer gone --> closing --> OnConnectionClosed
#pragma once

#include <memory>
#include <string_view>

#include "lib/http/connection.h"
#include "lib/http/h1/head_parser.h"
#include "lib/http/h1/request_state.h"
#include "lib/http/server_spares.h"

namespace meltemi::http::h1 {

class ServerConnection final : public http::ServerConnection,
                               private net::ConnectionCallbacks,
                               private runtime::Deferred {
 public:
  // What an answered request may still send before the connection is closed rather than read on.
  static constexpr int64_t kDroppedBodyBytesMax = 64 * 1024;

  ServerConnection(std::unique_ptr<net::Connection> connection,
                   ServerConnectionCallbacks& callbacks, const Limits& limits,
                   ServerSpares* spares = nullptr);

  Protocol protocol() const override { return Protocol::kHttp11; }
  size_t active_streams() const override { return stream_.is_active_ ? 1 : 0; }
  void Drain() override;
  void Close() override;

 private:
  class Exchange final : public ServerStream {
   public:
    explicit Exchange(ServerConnection& owner) : owner_(owner) {}
    void SetCallbacks(StreamCallbacks* callbacks) override { callbacks_ = callbacks; }
    std::string_view PeekBody() const override;
    void ConsumeBody(size_t bytes) override;
    bool body_ended() const override;
    const HeaderMap* trailers() const override { return state_->reader.trailers(); }
    size_t SendBody(std::string_view bytes, bool end_stream) override;
    void SendTrailers(const HeaderMap& trailers) override;
    void Reset(ResetReason reason) override;
    Arena& arena() override { return state_->arena; }
    net::Connection* connection() override { return owner_.connection_.get(); }
    RequestHead& request() override { return state_->request; }
    void SendContinue() override;
    void SendInformational(const ResponseHead& head) override;
    void SendResponse(const ResponseHead& head, bool end_stream) override;

   private:
    friend class ServerConnection;
    void TakeState();
    void Recycle();
    void EndResponse();
    // Bytes that would be a tunnel's stay unread until the answer says that there is one.
    bool waits_for_tunnel() const { return may_tunnel_ && !is_answered_; }
    bool is_done() const;

    ServerConnection& owner_;
    std::unique_ptr<RequestState> state_;  // from a whole head until its request is done with
    StreamCallbacks* callbacks_ = nullptr;
    bool is_active_ = false;
    bool may_tunnel_ = false;
    bool is_tunnel_ = false;
    bool is_answered_ = false;
    bool has_continued_ = false;
    bool response_ended_ = false;
    bool wants_writable_ = false;
    bool is_end_told_ = false;
  };

  // Of Limits, what HTTP/1 asks for.
  struct OwnLimits {
    explicit OwnLimits(const Limits& of);
    uint32_t head_bytes_max, header_fields_max, pipelined_requests_max;
    Http1Options http1;
    Duration request_head_time, delayed_close;
  };

  void OnInput() override { Process(); }
  void OnOutputDrained() override;
  void OnClosed(net::CloseReason reason) override;
  void RunDeferred() override { Process(); }

  void Process();
  bool ParseHead();
  size_t FindHead();
  void WaitForHead();
  void StartExchange(const Framing& framing);
  void DeliverBody();
  void FinishExchange();
  bool DropRest();
  bool TakesTurn();
  void Refuse(HeadError error);
  void FailBody(BodyReader::Verdict verdict);
  void ResetExchange(ResetReason reason);
  void CloseGently();
  void Report(ResetReason reason);
  void Schedule();

  std::unique_ptr<net::Connection> connection_;
  ServerConnectionCallbacks& callbacks_;
  ServerSpares* const spares_;  // nullptr: what a request needs is kept here for the next one
  const OwnLimits limits_;
  Exchange stream_;
  std::unique_ptr<runtime::Timer> turn_;
  std::unique_ptr<runtime::Timer> head_timer_;  // made when a head is late for the first time
  size_t scanned_ = 0;  // bytes of an incomplete head known not to hold its end
  size_t requests_this_pass_ = 0;
  MonotonicTime pass_{};
  bool keeps_alive_ = true;
  bool is_draining_ = false;
  bool drops_rest_ = false;  // of an answered request
  bool is_closing_ = false;  // flushing the last answer
  bool is_gone_ = false;
  bool is_reported_ = false;
  bool is_processing_ = false;
};

}  // namespace meltemi::http::h1
