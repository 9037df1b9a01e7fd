// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/server_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace meltemi::http::h1 {
namespace {

constexpr size_t kInputBytes = net::BlockPool::kBlockBytes;

uint32_t Bounded(size_t number) {
  return static_cast<uint32_t>(std::min<size_t>(number, UINT32_MAX));
}

}  // namespace

ServerConnection::OwnLimits::OwnLimits(const Limits& of)
    : head_bytes_max(Bounded(of.head_bytes_max)),
      header_fields_max(Bounded(of.header_fields_max)),
      pipelined_requests_max(Bounded(of.pipelined_requests_max)),
      http1(of.http1),
      request_head_time(of.request_head_time),
      delayed_close(of.delayed_close) {}

ServerConnection::ServerConnection(std::unique_ptr<net::Connection> connection,
                                   ServerConnectionCallbacks& callbacks, const Limits& limits,
                                   ServerSpares* spares)
    : connection_(std::move(connection)),
      callbacks_(callbacks),
      spares_(spares),
      limits_(limits),
      stream_(*this) {
  connection_->set_input_bytes_max(kInputBytes);
  connection_->SetCallbacks(this);
}

void ServerConnection::Drain() {
  is_draining_ = true;
  if (!stream_.is_active_) Schedule();
}

void ServerConnection::Close() {
  if (is_gone_) return;
  connection_->Close();
  is_gone_ = true;
  Schedule();
}

void ServerConnection::Schedule() {
  connection_->loop().Defer(this);
}

void ServerConnection::OnOutputDrained() {
  if (!stream_.is_active_ || !stream_.wants_writable_) return;
  stream_.wants_writable_ = false;
  stream_.callbacks_->OnWritable();
  if (stream_.is_done()) Process();
}

void ServerConnection::OnClosed(net::CloseReason) {
  is_gone_ = true;
  Report(ResetReason::kRemoteReset);
}

// Last statement of whoever calls it: the owner may destroy us from here.
void ServerConnection::Report(ResetReason reason) {
  if (std::exchange(is_reported_, true)) return;
  ResetExchange(reason);
  callbacks_.OnConnectionClosed();
}

// Everything that can go on goes on here, whatever woke us.
void ServerConnection::Process() {
  if (is_processing_) return;
  is_processing_ = true;
  while (!is_gone_ && !is_closing_) {
    if (stream_.is_active_) {
      DeliverBody();
      if (is_gone_ || is_closing_ || !stream_.is_done()) break;
      FinishExchange();
    } else if (drops_rest_ && !DropRest()) {
      break;
    } else if (!drops_rest_ && (is_draining_ || !keeps_alive_)) {
      CloseGently();
    } else if (!TakesTurn() || !ParseHead()) {
      break;
    }
  }
  is_processing_ = false;
  if (is_gone_) Report(ResetReason::kLocal);
}

// A client that pipelines must not hold the loop: after its share it waits for the next
// millisecond.
bool ServerConnection::TakesTurn() {
  if (connection_->input().empty()) return true;
  const MonotonicTime now = connection_->loop().Now();
  if (pass_ != now) {
    pass_ = now;
    requests_this_pass_ = 0;
  }
  if (requests_this_pass_ < limits_.pipelined_requests_max) return true;
  if (turn_ == nullptr) {
    turn_ = std::make_unique<runtime::Timer>(connection_->loop(), [this] { Process(); });
  }
  if (!turn_->is_armed()) turn_->Arm(Duration(0));
  return false;
}

// The head's length; 0 = not complete, after doing what that calls for.
size_t ServerConnection::FindHead() {
  net::Buffer& input = connection_->input();
  // Reading stopped if these bytes filled the input, whether or not any of them are kept.
  const bool has_news = !input.empty();
  if (scanned_ == 0) {
    // An empty line before a request is tolerated (RFC 9112 §2.2).
    while (input.view().starts_with("\r\n")) input.Consume(2);
  }
  const std::string_view view = input.view();
  const size_t end = FindHeadEnd(view, scanned_);
  if (end != std::string_view::npos) {
    if (end <= limits_.head_bytes_max) return end;
    Refuse(HeadError::kTooLarge);
  } else if (HasBareLineFeed(view, scanned_)) {
    Refuse(HeadError::kField);
  } else if (view.size() >= limits_.head_bytes_max) {
    Refuse(HeadError::kTooLarge);
  } else if (connection_->input_ended()) {
    Close();
  } else {
    scanned_ = view.size() > 3 ? view.size() - 3 : 0;
    if (view.size() >= kInputBytes) connection_->set_input_bytes_max(limits_.head_bytes_max);
    if (has_news) connection_->ResumeReading();
    if (!view.empty()) WaitForHead();
  }
  return 0;
}

void ServerConnection::WaitForHead() {
  if (limits_.request_head_time <= Duration(0)) return;
  if (head_timer_ == nullptr) {
    head_timer_ = std::make_unique<runtime::Timer>(connection_->loop(), [this] {
      if (!is_gone_ && !is_closing_ && !stream_.is_active_) Refuse(HeadError::kTooSlow);
    });
  }
  if (!head_timer_->is_armed()) head_timer_->Arm(limits_.request_head_time);
}

bool ServerConnection::ParseHead() {
  const size_t bytes = FindHead();
  if (bytes == 0) return false;
  net::Buffer& input = connection_->input();
  stream_.TakeState();
  char* const head = stream_.state_->arena.Allocate(bytes + kHeadPadding);
  std::memcpy(head, input.view().data(), bytes);
  std::memset(head + bytes, 0, kHeadPadding);
  Framing framing;
  const HeadError error = ParseRequestHead(head, bytes, limits_.header_fields_max,
                                           connection_->tls_peer() != nullptr ? "https" : "http",
                                           stream_.state_->request, framing);
  if (error != HeadError::kNone) {
    Refuse(error);
    return false;
  }
  if (limits_.http1.header_case == HeaderCase::kAsReceived) {
    const std::string_view written = input.view().substr(0, bytes);
    stream_.state_->request.headers.set_written_names(WrittenNames(written, stream_.state_->arena));
  }
  input.Consume(bytes);
  if (scanned_ != 0) connection_->set_input_bytes_max(kInputBytes);
  scanned_ = 0;
  ++requests_this_pass_;
  if (head_timer_ != nullptr) head_timer_->Disarm();
  StartExchange(framing);
  return true;
}

void ServerConnection::StartExchange(const Framing& framing) {
  const RequestHead& request = stream_.state_->request;
  // HTTP/1.0 closes unless asked not to (RFC 9112 §9.3).
  keeps_alive_ = request.protocol == Protocol::kHttp11
                     ? !framing.says_close
                     : framing.says_keep_alive && !framing.says_close;
  stream_.is_active_ = true;
  stream_.may_tunnel_ = request.method == "CONNECT" || !request.upgrade.empty();
  const BodyReader::Framing body = stream_.may_tunnel_          ? BodyReader::Framing::kUntilClose
                                   : framing.is_chunked         ? BodyReader::Framing::kChunked
                                   : request.content_length > 0 ? BodyReader::Framing::kLength
                                                                : BodyReader::Framing::kNone;
  stream_.state_->reader.Start(body, request.content_length, limits_.header_fields_max,
                               limits_.http1.has_trailers);
  const bool ends = body == BodyReader::Framing::kNone;
  stream_.is_end_told_ = ends;
  callbacks_.OnStream(stream_);
  if (is_gone_ || !stream_.is_active_) return;
  if (stream_.callbacks_ == nullptr) return stream_.Reset(ResetReason::kLocal);
  stream_.callbacks_->OnHead(ends);
}

void ServerConnection::DeliverBody() {
  Exchange& stream = stream_;
  const bool input_ended = connection_->input_ended();
  if (stream.waits_for_tunnel()) {
    if (input_ended) {
      ResetExchange(ResetReason::kRemoteReset);
      Close();
    }
    return;
  }
  net::Buffer& input = connection_->input();
  if (!stream.response_ended_ || stream.is_tunnel_) {
    const BodyReader::Verdict verdict = stream.state_->reader.Advance(input, input_ended);
    if (verdict != BodyReader::Verdict::kOk) return FailBody(verdict);
    const bool has_news = !stream.state_->reader.Peek(input).empty() ||
                          (stream.state_->reader.has_ended() && !stream.is_end_told_);
    if (has_news) {
      stream.is_end_told_ = stream.state_->reader.has_ended();
      stream.callbacks_->OnBody();
      if (is_gone_ || is_closing_) return;
    }
  }
  // A client that ends its half while it waits has gone, as far as HTTP proxies are concerned
  // (Envoy).
  if (connection_->input_ended() && !stream.is_tunnel_ && !stream.response_ended_) {
    ResetExchange(ResetReason::kRemoteReset);
    Close();
  }
}

bool ServerConnection::Exchange::is_done() const {
  if (!is_active_ || !response_ended_) return false;
  return !is_tunnel_ || state_->reader.is_done(owner_.connection_->input());
}

void ServerConnection::FinishExchange() {
  Exchange& stream = stream_;
  net::Buffer& input = connection_->input();
  if (stream.is_tunnel_ || stream.state_->writer.is_broken()) keeps_alive_ = false;
  if (!stream.may_tunnel_ && keeps_alive_) {
    if (stream.state_->reader.Advance(input, connection_->input_ended()) !=
        BodyReader::Verdict::kOk) {
      keeps_alive_ = false;
    }
    const int64_t left = stream.state_->reader.left(input);
    const bool has_ended = stream.state_->reader.has_ended();
    if (!has_ended && (left < 0 || left > kDroppedBodyBytesMax)) keeps_alive_ = false;
    if (!has_ended && stream.state_->request.expects_continue && !stream.has_continued_) {
      keeps_alive_ = false;
    }
    drops_rest_ = keeps_alive_;
  }
  StreamCallbacks* const callbacks = stream.callbacks_;
  stream.is_active_ = false;
  callbacks->OnFinished();
  stream.Recycle();
}

// Reads away what an answered request still sends; false while more is to come.
bool ServerConnection::DropRest() {
  net::Buffer& input = connection_->input();
  if (stream_.state_->reader.Advance(input, connection_->input_ended()) !=
      BodyReader::Verdict::kOk) {
    keeps_alive_ = drops_rest_ = false;
    return true;
  }
  const bool has_ended = stream_.state_->reader.has_ended();
  stream_.state_->reader.Consume(input, stream_.state_->reader.Peek(input).size());
  if (has_ended) {
    drops_rest_ = false;
    // Trailers of the dropped body were put into the arena that the next request begins with.
    stream_.Recycle();
  }
  if (!has_ended) connection_->ResumeReading();
  return has_ended;
}

void ServerConnection::Refuse(HeadError error) {
  const ErrorAnswer answer = Describe(error);
  Arena arena;
  ResponseHead head(arena);
  head.status = answer.status;
  const std::string_view body = callbacks_.FillRefusal(head, answer.detail);
  head.content_length = static_cast<int64_t>(body.size());
  WriteResponseHead(head, body.empty(),
                    {.says_close = true, .header_case = limits_.http1.header_case},
                    connection_->output());
  // No answer to HEAD has a body (RFC 9110 §9.3.2). What is malformed is no HEAD for sure.
  const bool is_head =
      error == HeadError::kTooLarge && connection_->input().view().starts_with("HEAD ");
  if (!is_head) connection_->output().Append(body);
  CloseGently();
  callbacks_.OnProtocolError(answer.detail);
}

void ServerConnection::FailBody(BodyReader::Verdict verdict) {
  const bool is_bad = verdict == BodyReader::Verdict::kBad;
  const bool can_answer = is_bad && !stream_.is_answered_;
  ResetExchange(is_bad ? ResetReason::kProtocolError : ResetReason::kRemoteReset);
  if (can_answer && !is_gone_) return Refuse(HeadError::kField);
  Close();
}

void ServerConnection::ResetExchange(ResetReason reason) {
  if (!stream_.is_active_) return;
  stream_.is_active_ = false;
  if (StreamCallbacks* const callbacks = std::exchange(stream_.callbacks_, nullptr)) {
    callbacks->OnReset(reason);
  }
}

void ServerConnection::CloseGently() {
  if (is_gone_ || is_closing_) return;
  is_closing_ = true;
  connection_->CloseAfterFlush(limits_.delayed_close);
}

// -- stream

void ServerConnection::Exchange::Recycle() {
  callbacks_ = nullptr;
  is_active_ = may_tunnel_ = is_tunnel_ = is_answered_ = has_continued_ = false;
  response_ended_ = wants_writable_ = is_end_told_ = false;
  // What is left of the request is still read with it.
  if (owner_.drops_rest_) return;
  state_->Recycle();
  if (owner_.spares_ != nullptr) (void)owner_.spares_->http1.Give(std::move(state_));
}

void ServerConnection::Exchange::TakeState() {
  if (state_ != nullptr) return;
  if (owner_.spares_ != nullptr) state_ = owner_.spares_->http1.Take();
  if (state_ == nullptr) state_ = std::make_unique<RequestState>();
}

std::string_view ServerConnection::Exchange::PeekBody() const {
  if (waits_for_tunnel()) return {};
  return state_->reader.Peek(owner_.connection_->input());
}

void ServerConnection::Exchange::ConsumeBody(size_t bytes) {
  if (bytes == 0) return;
  state_->reader.Consume(owner_.connection_->input(), bytes);
  owner_.connection_->ResumeReading();
  if (is_done()) owner_.Schedule();
}

bool ServerConnection::Exchange::body_ended() const {
  return !waits_for_tunnel() && state_->reader.has_ended();
}

void ServerConnection::Exchange::SendContinue() {
  if (is_answered_ || has_continued_ || !is_active_) return;
  has_continued_ = true;
  ResponseHead head(state_->arena);
  head.status = 100;
  SendInformational(head);
}

void ServerConnection::Exchange::SendInformational(const ResponseHead& head) {
  // HTTP/1.0 knows none (RFC 9110 §15.2).
  if (is_answered_ || !is_active_ || state_->request.protocol == Protocol::kHttp10) return;
  WriteResponseHead(head, true, {.header_case = owner_.limits_.http1.header_case},
                    owner_.connection_->output());
  owner_.connection_->Flush();
}

void ServerConnection::Exchange::SendResponse(const ResponseHead& head, bool end_stream) {
  if (is_answered_ || !is_active_ || owner_.is_gone_) return;
  is_answered_ = true;
  const bool is_http10 = state_->request.protocol == Protocol::kHttp10;
  const bool is_head = state_->request.method == "HEAD";
  is_tunnel_ = may_tunnel_ &&
               (state_->request.upgrade.empty() ? head.status / 100 == 2 : head.status == 101);
  if (may_tunnel_ && !is_tunnel_) {
    // No tunnel: what looked like its beginning is no body of this request. What the client sends
    // before it sees the answer may still belong to the tunnel, and must not be read as a request
    // (CVE-2025-64763): Envoy closes as well.
    owner_.keeps_alive_ = false;
    state_->reader.Start(BodyReader::Framing::kNone, 0, 0);
    is_end_told_ = false;
  }
  if (owner_.is_draining_) owner_.keeps_alive_ = false;
  const BodyFraming framing = WriteResponseHead(head, end_stream,
                                                {.is_to_head = is_head,
                                                 .is_to_http10 = is_http10,
                                                 .is_tunnel = is_tunnel_,
                                                 .says_close = !owner_.keeps_alive_,
                                                 .says_keep_alive = is_http10,
                                                 .header_case = owner_.limits_.http1.header_case},
                                                owner_.connection_->output());
  if (framing == BodyFraming::kUntilClose) owner_.keeps_alive_ = false;
  state_->writer.Start(is_tunnel_ ? BodyFraming::kUntilClose : framing, head.content_length,
                       owner_.limits_.http1.has_trailers);
  if (end_stream) {
    EndResponse();
  } else if (may_tunnel_) {
    owner_.Schedule();  // bytes may be waiting already
  }
  owner_.connection_->Flush();
}

size_t ServerConnection::Exchange::SendBody(std::string_view bytes, bool end_stream) {
  if (!is_answered_ || response_ended_ || owner_.is_gone_) return bytes.size();
  const size_t taken = state_->writer.Write(*owner_.connection_, bytes, end_stream);
  if (taken < bytes.size()) wants_writable_ = true;
  if (state_->writer.has_ended()) EndResponse();
  owner_.connection_->Flush();
  return taken;
}

void ServerConnection::Exchange::SendTrailers(const HeaderMap& trailers) {
  if (!is_answered_ || response_ended_ || owner_.is_gone_) return;
  state_->writer.WriteTrailers(owner_.connection_->output(), trailers);
  EndResponse();
  owner_.connection_->Flush();
}

// Before Flush: the next pipelined request then runs first, and its answer leaves in the same
// write.
void ServerConnection::Exchange::EndResponse() {
  response_ended_ = true;
  if (is_tunnel_) owner_.connection_->EndOutput();
  if (!owner_.is_processing_) owner_.Schedule();
}

void ServerConnection::Exchange::Reset(ResetReason) {
  if (!is_active_) return;
  is_active_ = false;
  callbacks_ = nullptr;
  // What was answered so far still goes out: that more is missing its framing shows. Without any,
  // only a reset can.
  if (is_answered_ && !is_tunnel_ && state_->writer.is_framed()) return owner_.CloseGently();
  owner_.Close();
}

}  // namespace meltemi::http::h1
