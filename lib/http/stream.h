// SPDX-License-Identifier: Apache-2.0
// One exchange of a request and a response, seen from the code that uses a codec. The same two
// interfaces serve both ends and both protocols, so the proxy joins a server stream to a client
// stream without knowing what either speaks.
//
// Worker-local. Bodies are pulled: bytes not consumed stay in a bounded buffer, and the peer is not
// read (HTTP/1) or given no window (HTTP/2) until they are. Sends are copied into the connection's
// output and leave once, at the end of the pass.
//
// Rules both sides keep:
//  1. Callbacks come only from the loop, never from inside a call to the stream.
//  2. After Reset(), or after OnReset, no further callback comes.
//  3. A stream is finished when both directions have ended or it was reset. The codec then calls
//     OnFinished last; afterwards the stream must not be touched.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/http/message.h"
#include "lib/net/connection.h"

namespace meltemi::http {

// What ended a stream early; `side`-neutral, the owner knows which stream it came from.
enum class ResetReason : uint8_t {
  kLocal,          // we gave up: CANCEL / close
  kRemoteReset,    // RST_STREAM, or the connection closed in the middle of the exchange
  kRefused,        // REFUSED_STREAM or GOAWAY below our id: never processed, safe to retry
  kConnectFailed,  // client streams: no connection could be made
  kConnectTimeout,
  kTlsFailed,
  kConnectionClosed,  // closed before the first byte of a response
  kProtocolError,     // the peer broke the protocol
  kOverload,          // a named limit was reached
};

class StreamCallbacks {
 public:
  // Server streams: the request head is complete. Client streams: the response head is (never for
  // 1xx other than 101). `end_stream` = no body and no trailers follow.
  virtual void OnHead(bool end_stream) = 0;
  // 1xx of a client stream (100, 103), to be passed on. The head is good during the call only.
  virtual void OnInformational(const ResponseHead& head) { (void)head; }
  // Body bytes wait in PeekBody(), or the message ended (body_ended()).
  virtual void OnBody() = 0;
  // Output that was full has room again.
  virtual void OnWritable() {}
  virtual void OnReset(ResetReason reason) = 0;
  // Last call; see rule 3.
  virtual void OnFinished() {}

 protected:
  ~StreamCallbacks() = default;
};

class Stream {
 public:
  virtual void SetCallbacks(StreamCallbacks* callbacks) = 0;

  // -- receiving
  virtual std::string_view PeekBody() const = 0;  // valid until ConsumeBody or return to the loop
  virtual void ConsumeBody(size_t bytes) = 0;     // frees room or window; more may come as OnBody
  virtual bool body_ended()
      const = 0;  // all body bytes were peeked and nothing follows but trailers
  virtual const HeaderMap* trailers() const = 0;  // after body_ended(); nullptr when none

  // -- sending
  // Takes up to what the output admits now, returns how much; less than given means: wait for
  // OnWritable. `end_stream` applies only when everything was taken.
  virtual size_t SendBody(std::string_view bytes, bool end_stream) = 0;
  virtual void SendTrailers(const HeaderMap& trailers) = 0;  // ends the stream
  virtual void Reset(ResetReason reason) = 0;                // no callback follows

  virtual Arena& arena() = 0;                 // lives as long as the stream
  virtual net::Connection* connection() = 0;  // nullptr for a client stream not yet on one

 protected:
  ~Stream() = default;
};

// A request we received.
class ServerStream : public Stream {
 public:
  virtual RequestHead& request() = 0;
  virtual void SendContinue() = 0;  // 100
  virtual void SendInformational(const ResponseHead& head) = 0;
  // Once. With end_stream the body is empty. For HTTP/1 the codec chooses framing from
  // content_length: known = content-length, unknown = chunked (close for HTTP/1.0).
  virtual void SendResponse(const ResponseHead& head, bool end_stream) = 0;

 protected:
  ~ServerStream() = default;
};

// A request we send.
class ClientStream : public Stream {
 public:
  virtual void SendRequest(const RequestHead& head, bool end_stream) = 0;  // once, first
  virtual ResponseHead& response() = 0;

 protected:
  ~ClientStream() = default;
};

}  // namespace meltemi::http
