// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/tcp_tunnel.h"

#include <fmt/format.h>

#include <utility>

#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

// RFC 9110 §9.3.6: any 2xx. Envoy wants 200 of HTTP/2, and so do we: a 204 there ends its stream.
bool IsAgreed(const http::ResponseHead& head) {
  return head.protocol == http::Protocol::kHttp2 ? head.status == 200 : head.status / 100 == 2;
}

}  // namespace

Tunnel::~Tunnel() {
  pending_.reset();
  if (stream_ != nullptr) stream_->Reset(http::ResetReason::kLocal);
}

void Tunnel::Open(ClusterId cluster, const PickContext& context) {
  state_ = State::kOpening;
  auto pending = worker_.upstreams().OpenStream(cluster, context, *this, *this);
  // Null when the outcome is already known, and then another try may have begun.
  if (pending != nullptr) pending_ = std::move(pending);
}

// The handle may be the very object that is calling us.
void Tunnel::LeavePending() {
  if (pending_ != nullptr) worker_.loop().DeferDelete(std::shared_ptr<void>(std::move(pending_)));
}

void Tunnel::Fail(OpenFailure kind, std::string_view detail) {
  state_ = State::kIdle;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset(http::ResetReason::kLocal);
  const ActiveRequest active = std::move(active_);  // keeps the host for the callback
  callbacks_.OnTunnelFailure({kind, &active.host(), detail});
}

void Tunnel::OnStreamFailure(const OpenFailureInfo& failure) {
  LeavePending();
  state_ = State::kIdle;
  callbacks_.OnTunnelFailure(failure);
}

void Tunnel::OnStreamReady(http::ClientStream& stream, ActiveRequest active) {
  LeavePending();
  state_ = State::kAsking;
  stream_ = &stream;
  active_ = std::move(active);
  Arena arena;
  http::RequestHead head(arena);
  if (!callbacks_.WriteTunnelRequest(arena, head)) {
    return Fail(OpenFailure::kConnectFailed, "tunnel: its hostname or a header is not valid");
  }
  stream.SendRequest(head, false);
}

void Tunnel::LearnConnection() {
  const net::Connection* connection = stream_->connection();
  if (connection == nullptr) return;
  local_ = connection->local_address();
  const net::TlsPeer* peer = connection->tls_peer();
  is_tls_ = peer != nullptr;
  if (!is_tls_) return;
  peer_uri_san_ = std::string(peer->uri_san);
  peer_.version = peer->version;
  peer_.cipher = peer->cipher;
  peer_.uri_san = peer_uri_san_;
}

void Tunnel::OnHead(bool end_stream) {
  const http::ResponseHead& head = stream_->response();
  response_headers_ = request_.ResponseText(head);
  if (!IsAgreed(head) || end_stream) {
    const std::string detail = fmt::format("tunnel: refused with status {}", head.status);
    return Fail(OpenFailure::kConnectFailed, detail);
  }
  state_ = State::kOpen;
  LearnConnection();
  callbacks_.OnTunnelReady(std::move(active_));
}

void Tunnel::OnBody() {
  if (state_ != State::kOpen) return;
  if (stream_->body_ended() && stream_->trailers() != nullptr) {
    response_trailers_ = request_.TrailersText(*stream_->trailers());
  }
  NoteReadOut();
  owner_.OnEndInput(*this);
}

void Tunnel::OnWritable() {
  is_full_ = false;
  if (state_ == State::kOpen) owner_.OnEndWritable(*this);
}

void Tunnel::OnReset(http::ResetReason) {
  stream_ = nullptr;
  if (state_ == State::kAsking) {
    return Fail(OpenFailure::kConnectFailed, "tunnel: the stream was reset");
  }
  if (std::exchange(state_, State::kOver) != State::kOpen) return;
  // Who has said all may still reset the stream: it wants to hear no more (RFC 9113 §8.1).
  owner_.OnEndClosed(*this, is_read_out_ ? net::CloseReason::kRemoteEnd : net::CloseReason::kReset);
}

void Tunnel::OnFinished() {
  stream_ = nullptr;
  is_read_out_ = true;
  if (std::exchange(state_, State::kOver) != State::kOpen) return;
  owner_.OnEndClosed(*this, net::CloseReason::kRemoteEnd);
}

std::string_view Tunnel::Peek() const {
  return stream_ != nullptr ? stream_->PeekBody() : std::string_view();
}

void Tunnel::Consume(size_t bytes) {
  if (stream_ == nullptr || bytes == 0) return;
  stream_->ConsumeBody(bytes);
  NoteReadOut();
}

void Tunnel::NoteReadOut() {
  is_read_out_ = stream_->body_ended() && stream_->PeekBody().empty();
}

bool Tunnel::input_ended() const {
  return stream_ == nullptr || stream_->body_ended();
}

size_t Tunnel::Send(std::string_view bytes) {
  if (stream_ == nullptr) return bytes.size();
  const size_t taken = stream_->SendBody(bytes, false);
  is_full_ = taken < bytes.size();
  return taken;
}

void Tunnel::EndOutput() {
  if (stream_ != nullptr) stream_->SendBody({}, true);
}

}  // namespace meltemi::proxy
