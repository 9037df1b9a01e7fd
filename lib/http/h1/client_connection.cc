// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/client_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "lib/http/reset_reason.h"

namespace meltemi::http::h1 {
namespace {

constexpr size_t kInputBytes = net::BlockPool::kBlockBytes;

}  // namespace

ClientConnection::ClientConnection(std::unique_ptr<net::Connection> connection,
                                   ClientConnectionCallbacks& callbacks, const Limits& limits)
    : connection_(std::move(connection)), callbacks_(callbacks), limits_(limits), stream_(*this) {
  connection_->set_input_bytes_max(kInputBytes);
  connection_->SetCallbacks(this);
}

ClientStream& ClientConnection::OpenStream(StreamCallbacks& callbacks) {
  MELTEMI_CHECK(can_open());
  stream_.is_active_ = true;
  stream_.callbacks_ = &callbacks;
  return stream_;
}

void ClientConnection::Drain() {
  is_draining_ = true;
  if (!stream_.is_active_) Schedule();
}

void ClientConnection::Close() {
  if (is_gone_) return;
  connection_->Close();
  is_gone_ = true;
  Schedule();
}

void ClientConnection::OnOutputDrained() {
  if (!stream_.is_active_ || !stream_.wants_writable_) return;
  stream_.wants_writable_ = false;
  stream_.callbacks_->OnWritable();
  if (stream_.is_done()) Process();
}

void ClientConnection::OnClosed(net::CloseReason reason) {
  is_gone_ = true;
  const bool has_begun = stream_.has_head_ || !connection_->input().empty();
  // An answer cut short broke its framing (Envoy's view too).
  ResetExchange(
      ResetFor(reason, has_begun ? ResetReason::kProtocolError : ResetReason::kConnectionClosed));
  Report(reason);
}

void ClientConnection::Report(net::CloseReason reason) {
  if (std::exchange(is_reported_, true)) return;
  ResetExchange(ResetReason::kLocal);
  callbacks_.OnConnectionClosed(reason);
}

void ClientConnection::Process() {
  if (is_processing_) return;
  is_processing_ = true;
  while (!is_gone_) {
    if (!stream_.is_active_) {
      // Bytes nobody asked for could be taken for the next answer (response splitting).
      const bool is_unusable = !connection_->input().empty() || connection_->input_ended();
      if (is_draining_ || !keeps_alive_ || is_unusable) Close();
      break;
    }
    if (!stream_.has_head_) {
      if (!ReceiveHead()) break;
      continue;
    }
    DeliverBody();
    if (is_gone_ || !stream_.is_done()) break;
    FinishExchange();
  }
  is_processing_ = false;
  if (is_gone_) Report(net::CloseReason::kLocal);
}

size_t ClientConnection::FindHead() {
  const std::string_view view = connection_->input().view();
  const size_t end = FindHeadEnd(view, scanned_);
  if (end != std::string_view::npos) {
    if (end <= limits_.head_bytes_max) return end;
    Fail(ResetReason::kOverload);
  } else if (HasBareLineFeed(view, scanned_)) {
    Fail(ResetReason::kProtocolError);
  } else if (view.size() >= limits_.head_bytes_max) {
    Fail(ResetReason::kOverload);
  } else if (connection_->input_ended()) {
    Fail(view.empty() ? ResetReason::kConnectionClosed : ResetReason::kProtocolError);
  } else if (!view.empty()) {
    scanned_ = view.size() > 3 ? view.size() - 3 : 0;
    if (view.size() >= kInputBytes) connection_->set_input_bytes_max(limits_.head_bytes_max);
    connection_->ResumeReading();
  }
  return 0;
}

bool ClientConnection::ReceiveHead() {
  const size_t bytes = FindHead();
  if (bytes == 0) return false;
  net::Buffer& input = connection_->input();
  char* const head = stream_.arena_.Allocate(bytes + kHeadPadding);
  std::memcpy(head, input.view().data(), bytes);
  std::memset(head + bytes, 0, kHeadPadding);
  Framing framing;
  const HeadError error =
      ParseResponseHead(head, bytes, limits_.header_fields_max, stream_.response_, framing);
  if (error != HeadError::kNone) {
    Fail(ResetReason::kProtocolError);
    return false;
  }
  if (limits_.http1.header_case == HeaderCase::kAsReceived) {
    const std::string_view written = input.view().substr(0, bytes);
    stream_.response_.headers.set_written_names(WrittenNames(written, stream_.arena_));
  }
  input.Consume(bytes);
  if (scanned_ != 0) connection_->set_input_bytes_max(kInputBytes);
  scanned_ = 0;
  TakeHead(framing);
  return !is_gone_ && stream_.is_active_;
}

void ClientConnection::TakeHead(const Framing& framing) {
  Exchange& stream = stream_;
  const int status = stream.response_.status;
  if (status < 200 && status != 101) {
    if (++stream.interim_answers_ > kInterimAnswersMax) return Fail(ResetReason::kOverload);
    stream.callbacks_->OnInformational(stream.response_);
    stream.response_.headers.Clear();
    stream.response_.content_length = kLengthUnknown;
    return;
  }
  // A 101 without an Upgrade asked for, or to CONNECT.
  if (status == 101 && (!stream.may_tunnel_ || stream.is_connect_)) {
    return Fail(ResetReason::kProtocolError);
  }
  stream.has_head_ = true;
  stream.is_tunnel_ =
      stream.may_tunnel_ && (stream.is_connect_ ? status / 100 == 2 : status == 101);
  const bool is_http11 = stream.response_.protocol == Protocol::kHttp11;
  const bool persists =
      is_http11 ? !framing.says_close : framing.says_keep_alive && !framing.says_close;
  if (!persists || stream.may_tunnel_) keeps_alive_ = false;
  const BodyReader::Framing body = JudgeBody(framing);
  if (body == BodyReader::Framing::kUntilClose) keeps_alive_ = false;
  stream.reader_.Start(body, stream.response_.content_length, limits_.header_fields_max,
                       limits_.http1.has_trailers);
  if (stream.may_tunnel_) {
    stream.writer_.Start(stream.is_tunnel_ ? BodyFraming::kUntilClose : BodyFraming::kNone, 0);
    // Without a tunnel there is nowhere for its bytes to go; the request is over.
    if (!stream.is_tunnel_) stream.EndRequest();
  }
  const bool ends = stream.reader_.has_ended();
  stream.is_end_told_ = ends;
  stream.callbacks_->OnHead(ends);
  if (is_gone_ || !stream.is_active_ || !stream.is_tunnel_ || !stream.wants_writable_) return;
  stream.wants_writable_ = false;
  stream.callbacks_->OnWritable();
}

// RFC 9112 §6.3.
BodyReader::Framing ClientConnection::JudgeBody(const Framing& framing) {
  const int status = stream_.response_.status;
  if (stream_.is_tunnel_) return BodyReader::Framing::kUntilClose;
  if (stream_.is_head_request_ || status == 204 || status == 304) return BodyReader::Framing::kNone;
  if (framing.is_chunked) return BodyReader::Framing::kChunked;
  if (!framing.has_content_length) return BodyReader::Framing::kUntilClose;
  return stream_.response_.content_length > 0 ? BodyReader::Framing::kLength
                                              : BodyReader::Framing::kNone;
}

void ClientConnection::DeliverBody() {
  Exchange& stream = stream_;
  net::Buffer& input = connection_->input();
  const BodyReader::Verdict verdict = stream.reader_.Advance(input, connection_->input_ended());
  if (verdict == BodyReader::Verdict::kBad) return Fail(ResetReason::kProtocolError);
  if (verdict == BodyReader::Verdict::kCutOff) return Fail(ResetReason::kProtocolError);
  const bool has_ended = stream.reader_.has_ended();
  if (stream.reader_.Peek(input).empty() && (!has_ended || stream.is_end_told_)) return;
  stream.is_end_told_ = has_ended;
  stream.callbacks_->OnBody();
}

bool ClientConnection::Exchange::is_done() const {
  return is_active_ && has_head_ && request_ended_ &&
         reader_.is_done(owner_.connection_->input()) && is_end_told_;
}

void ClientConnection::FinishExchange() {
  if (stream_.writer_.is_broken()) keeps_alive_ = false;
  if (connection_->input_ended() || !connection_->input().empty()) keeps_alive_ = false;
  StreamCallbacks* const callbacks = stream_.callbacks_;
  stream_.is_active_ = false;
  callbacks->OnFinished();
  stream_.Recycle();
  if (!is_gone_ && can_open()) callbacks_.OnStreamsAvailable();
}

void ClientConnection::Fail(ResetReason reason) {
  ResetExchange(reason);
  Close();
}

void ClientConnection::ResetExchange(ResetReason reason) {
  if (!stream_.is_active_) return;
  stream_.is_active_ = false;
  if (StreamCallbacks* const callbacks = std::exchange(stream_.callbacks_, nullptr)) {
    callbacks->OnReset(reason);
  }
}

// -- stream

void ClientConnection::Exchange::Recycle() {
  callbacks_ = nullptr;
  response_.headers.Clear();
  response_.status = 0;
  response_.content_length = kLengthUnknown;
  is_head_request_ = is_connect_ = may_tunnel_ = is_tunnel_ = has_head_ = false;
  request_ended_ = wants_writable_ = is_end_told_ = false;
  interim_answers_ = 0;
  arena_.Reset();
}

std::string_view ClientConnection::Exchange::PeekBody() const {
  return has_head_ ? reader_.Peek(owner_.connection_->input()) : std::string_view();
}

void ClientConnection::Exchange::ConsumeBody(size_t bytes) {
  if (bytes == 0) return;
  reader_.Consume(owner_.connection_->input(), bytes);
  if (!reader_.has_ended()) owner_.connection_->ResumeReading();
  if (!owner_.is_processing_ && is_done()) owner_.Schedule();
}

void ClientConnection::Exchange::SendRequest(const RequestHead& head, bool end_stream) {
  if (!is_active_ || owner_.is_gone_) return;
  is_head_request_ = head.method == "HEAD";
  is_connect_ = head.method == "CONNECT" && head.upgrade.empty();
  may_tunnel_ = is_connect_ || !head.upgrade.empty();
  const Http1Options& options = owner_.limits_.http1;
  const RequestForm form =
      WriteRequestHead(head, end_stream, owner_.connection_->output(), options.header_case);
  writer_.Start(form.framing, head.content_length, options.has_trailers);
  if (end_stream && !may_tunnel_) EndRequest();
  owner_.connection_->Flush();
}

size_t ClientConnection::Exchange::SendBody(std::string_view bytes, bool end_stream) {
  if (!is_active_ || request_ended_ || owner_.is_gone_) return bytes.size();
  if (waits_for_tunnel()) {
    // Nothing of a tunnel goes out before the server agreed to it.
    wants_writable_ = true;
    return 0;
  }
  const size_t taken = writer_.Write(*owner_.connection_, bytes, end_stream);
  if (taken < bytes.size()) wants_writable_ = true;
  if (writer_.has_ended()) EndRequest();
  owner_.connection_->Flush();
  return taken;
}

void ClientConnection::Exchange::SendTrailers(const HeaderMap& trailers) {
  if (!is_active_ || request_ended_ || owner_.is_gone_ || waits_for_tunnel()) return;
  writer_.WriteTrailers(owner_.connection_->output(), trailers);
  EndRequest();
  owner_.connection_->Flush();
}

void ClientConnection::Exchange::EndRequest() {
  request_ended_ = true;
  if (is_tunnel_) owner_.connection_->EndOutput();
  if (!owner_.is_processing_ && is_done()) owner_.Schedule();
}

void ClientConnection::Exchange::Reset(ResetReason) {
  if (!is_active_) return;
  is_active_ = false;
  callbacks_ = nullptr;
  owner_.Close();
}

}  // namespace meltemi::http::h1
