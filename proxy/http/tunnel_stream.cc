// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/tunnel_stream.h"

#include <utility>

namespace meltemi::proxy {

TunnelStream::TunnelStream(std::unique_ptr<net::Connection> connection,
                           http::StreamCallbacks& callbacks)
    : connection_(std::move(connection)), callbacks_(&callbacks), response_(arena_) {
  response_.status = 200;
  connection_->SetCallbacks(this);
}

void TunnelStream::SendRequest(const http::RequestHead&, bool end_stream) {
  is_asked_ = true;
  if (end_stream) EndOutput();
  connection_->loop().Defer(this);
}

std::string_view TunnelStream::PeekBody() const {
  return connection_->input().view();
}

void TunnelStream::ConsumeBody(size_t bytes) {
  connection_->input().Consume(bytes);
  if (!connection_->input_ended()) connection_->ResumeReading();
  connection_->loop().Defer(this);
}

bool TunnelStream::body_ended() const {
  return connection_->input_ended();
}

size_t TunnelStream::SendBody(std::string_view bytes, bool end_stream) {
  if (output_ended_) return bytes.size();
  if (!bytes.empty()) {
    if (connection_->is_output_full()) return 0;
    connection_->output().Append(bytes);
    connection_->Flush();
  }
  if (end_stream) EndOutput();
  return bytes.size();
}

void TunnelStream::SendTrailers(const http::HeaderMap&) {
  EndOutput();
}

void TunnelStream::EndOutput() {
  if (std::exchange(output_ended_, true)) return;
  connection_->EndOutput();
  connection_->loop().Defer(this);
}

void TunnelStream::Reset(http::ResetReason) {
  callbacks_ = nullptr;
  connection_->Close();
}

// What the callbacks are to hear, never from inside a call of theirs.
void TunnelStream::RunDeferred() {
  if (callbacks_ == nullptr || !is_asked_) return;
  if (!std::exchange(is_head_told_, true)) {
    callbacks_->OnHead(false);
    return OnInput();
  }
  if (output_ended_ && is_end_told_ && connection_->input().empty()) {
    std::exchange(callbacks_, nullptr)->OnFinished();
  }
}

void TunnelStream::OnInput() {
  if (callbacks_ == nullptr || !is_head_told_) return;
  const bool has_ended = connection_->input_ended();
  if (connection_->input().empty() && (!has_ended || is_end_told_)) return;
  is_end_told_ = has_ended;
  connection_->loop().Defer(this);
  callbacks_->OnBody();
}

void TunnelStream::OnOutputDrained() {
  if (callbacks_ != nullptr) callbacks_->OnWritable();
}

void TunnelStream::OnClosed(net::CloseReason reason) {
  if (callbacks_ == nullptr) return;
  if (reason == net::CloseReason::kRemoteEnd && connection_->input_ended()) return OnInput();
  std::exchange(callbacks_, nullptr)->OnReset(http::ResetReason::kRemoteReset);
}

}  // namespace meltemi::proxy
