// SPDX-License-Identifier: Apache-2.0
// One HTTP/1 connection to a server: one exchange at a time, no pipelining. Worker-local. The one
// stream object and its arena are reused. Whatever leaves doubt about whose bytes come next (an
// answer before the request's end, a refused upgrade, bytes nobody asked for) ends the connection
// after the exchange.
#pragma once

#include <memory>
#include <string_view>

#include "lib/http/connection.h"
#include "lib/http/h1/body_reader.h"
#include "lib/http/h1/head_parser.h"
#include "lib/http/h1/writer.h"

namespace meltemi::http::h1 {

class ClientConnection final : public http::ClientConnection,
                               private net::ConnectionCallbacks,
                               private runtime::Deferred {
 public:
  // Interim answers a server may send before the final one.
  static constexpr int kInterimAnswersMax = 16;

  ClientConnection(std::unique_ptr<net::Connection> connection,
                   ClientConnectionCallbacks& callbacks, const Limits& limits);

  Protocol protocol() const override { return Protocol::kHttp11; }
  bool can_open() const override {
    return !stream_.is_active_ && keeps_alive_ && !is_draining_ && !is_gone_;
  }
  size_t active_streams() const override { return stream_.is_active_ ? 1 : 0; }
  ClientStream& OpenStream(StreamCallbacks& callbacks) override;
  void Drain() override;
  void Close() override;
  net::Connection& connection() override { return *connection_; }

 private:
  class Exchange final : public ClientStream {
   public:
    explicit Exchange(ClientConnection& owner)
        : owner_(owner), response_(arena_), reader_(arena_) {}
    void SetCallbacks(StreamCallbacks* callbacks) override { callbacks_ = callbacks; }
    std::string_view PeekBody() const override;
    void ConsumeBody(size_t bytes) override;
    bool body_ended() const override { return has_head_ && reader_.has_ended(); }
    const HeaderMap* trailers() const override { return reader_.trailers(); }
    size_t SendBody(std::string_view bytes, bool end_stream) override;
    void SendTrailers(const HeaderMap& trailers) override;
    void Reset(ResetReason reason) override;
    Arena& arena() override { return arena_; }
    net::Connection* connection() override { return owner_.connection_.get(); }
    void SendRequest(const RequestHead& head, bool end_stream) override;
    ResponseHead& response() override { return response_; }

   private:
    friend class ClientConnection;
    void Recycle();
    void EndRequest();
    bool waits_for_tunnel() const { return may_tunnel_ && !has_head_; }
    bool is_done() const;

    ClientConnection& owner_;
    Arena arena_;
    ResponseHead response_;
    BodyReader reader_;
    BodyWriter writer_;
    StreamCallbacks* callbacks_ = nullptr;
    bool is_active_ = false;
    bool is_head_request_ = false;
    bool is_connect_ = false;
    bool may_tunnel_ = false;
    bool is_tunnel_ = false;
    bool has_head_ = false;
    bool request_ended_ = false;
    bool wants_writable_ = false;
    bool is_end_told_ = false;
    int interim_answers_ = 0;
  };

  void OnConnected() override { callbacks_.OnConnected(); }
  void OnInput() override { Process(); }
  void OnOutputDrained() override;
  void OnClosed(net::CloseReason reason) override;
  void RunDeferred() override { Process(); }

  void Process();
  bool ReceiveHead();
  size_t FindHead();
  void TakeHead(const Framing& framing);
  BodyReader::Framing JudgeBody(const Framing& framing);
  void DeliverBody();
  void FinishExchange();
  void Fail(ResetReason reason);
  void ResetExchange(ResetReason reason);
  void Report(net::CloseReason reason);
  void Schedule() { connection_->loop().Defer(this); }

  std::unique_ptr<net::Connection> connection_;
  ClientConnectionCallbacks& callbacks_;
  const Limits limits_;
  Exchange stream_;
  size_t scanned_ = 0;
  bool keeps_alive_ = true;
  bool is_draining_ = false;
  bool is_gone_ = false;
  bool is_reported_ = false;
  bool is_processing_ = false;
};

}  // namespace meltemi::http::h1
