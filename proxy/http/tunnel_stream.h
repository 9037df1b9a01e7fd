// SPDX-License-Identifier: Apache-2.0
// A TCP connection in the shape of an upstream's stream: a CONNECT that ends here (connect_config)
// is answered with 200 and its bytes pass as they are. Worker-local; owned by its attempt.
#pragma once

#include <memory>

#include "lib/base/arena.h"
#include "lib/http/stream.h"
#include "lib/net/connection.h"
#include "lib/runtime/loop.h"

namespace meltemi::proxy {

class TunnelStream final : public http::ClientStream,
                           private net::ConnectionCallbacks,
                           private runtime::Deferred {
 public:
  // `connection` is connected.
  TunnelStream(std::unique_ptr<net::Connection> connection, http::StreamCallbacks& callbacks);

  void SetCallbacks(http::StreamCallbacks* callbacks) override { callbacks_ = callbacks; }
  std::string_view PeekBody() const override;
  void ConsumeBody(size_t bytes) override;
  bool body_ended() const override;
  const http::HeaderMap* trailers() const override { return nullptr; }
  size_t SendBody(std::string_view bytes, bool end_stream) override;
  void SendTrailers(const http::HeaderMap& trailers) override;
  void Reset(http::ResetReason reason) override;
  Arena& arena() override { return arena_; }
  net::Connection* connection() override { return connection_.get(); }
  void SendRequest(const http::RequestHead& head, bool end_stream) override;
  http::ResponseHead& response() override { return response_; }

 private:
  void RunDeferred() override;
  void OnInput() override;
  void OnOutputDrained() override;
  void OnClosed(net::CloseReason reason) override;
  void EndOutput();

  std::unique_ptr<net::Connection> connection_;
  http::StreamCallbacks* callbacks_;
  Arena arena_;
  http::ResponseHead response_;
  bool is_asked_ = false;      // SendRequest came
  bool is_head_told_ = false;  // OnHead went out
  bool is_end_told_ = false;
  bool output_ended_ = false;
};

}  // namespace meltemi::proxy
