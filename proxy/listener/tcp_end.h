// SPDX-License-Identifier: Apache-2.0
// One end of a TCP session: a connection, or an HTTP stream that carries one through a proxy (see
// tcp_tunnel.h). Worker-local; owned by its session. Bytes are pulled: what is not consumed is held
// in a bounded buffer, and the peer is not read further.
//
// Callbacks come only from the loop, never from inside a call to the end; OnEndClosed is the last.
#pragma once

#include <string_view>

#include "lib/net/address.h"
#include "lib/net/connection.h"

namespace meltemi::proxy {

class TcpEnd {
 public:
  class Owner {
   public:
    virtual void OnEndInput(TcpEnd& end) = 0;     // Peek() has more, or input_ended() turned true
    virtual void OnEndWritable(TcpEnd& end) = 0;  // after a Send that did not take everything
    // kRemoteEnd: both halves are done; what it sent may still wait in Peek().
    virtual void OnEndClosed(TcpEnd& end, net::CloseReason reason) = 0;

   protected:
    ~Owner() = default;
  };

  virtual ~TcpEnd() = default;
  virtual std::string_view Peek() const = 0;  // valid until Consume or the return to the loop
  virtual void Consume(size_t bytes) = 0;
  virtual bool input_ended() const = 0;  // nothing follows what Peek shows
  virtual void ResumeReading() = 0;      // after Consume made room
  // Takes all, some or nothing; less than all = OnEndWritable follows.
  virtual size_t Send(std::string_view bytes) = 0;
  virtual bool is_full() const = 0;
  virtual void EndOutput() = 0;  // half-close, behind what was sent
  // Of the connection below, also when it has gone; nullptr: not known, no TLS.
  virtual const net::Address* local_address() const = 0;
  virtual const net::TlsPeer* tls_peer() const = 0;
  // The connection is this session's alone: its reset is the peer's, and is passed on as one.
  virtual net::Connection* own_connection() { return nullptr; }
};

class ConnectionEnd final : public TcpEnd, private net::ConnectionCallbacks {
 public:
  // Sets the connection's callbacks, so that reading begins.
  ConnectionEnd(Owner& owner, net::Connection& connection)
      : owner_(owner), connection_(connection) {
    connection_.SetCallbacks(this);
  }

  std::string_view Peek() const override { return connection_.input().view(); }
  void Consume(size_t bytes) override { connection_.input().Consume(bytes); }
  bool input_ended() const override { return connection_.input_ended(); }
  void ResumeReading() override { connection_.ResumeReading(); }
  size_t Send(std::string_view bytes) override {
    if (is_full()) return 0;
    connection_.output().Append(bytes);
    connection_.Flush();
    return bytes.size();
  }
  bool is_full() const override { return connection_.is_output_full(); }
  void EndOutput() override { connection_.EndOutput(); }
  const net::Address* local_address() const override { return &connection_.local_address(); }
  const net::TlsPeer* tls_peer() const override { return connection_.tls_peer(); }
  net::Connection* own_connection() override { return &connection_; }

 private:
  void OnInput() override { owner_.OnEndInput(*this); }
  void OnOutputDrained() override { owner_.OnEndWritable(*this); }
  void OnClosed(net::CloseReason reason) override { owner_.OnEndClosed(*this, reason); }

  Owner& owner_;
  net::Connection& connection_;
};

}  // namespace meltemi::proxy
