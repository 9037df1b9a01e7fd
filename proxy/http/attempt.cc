// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/attempt.h"

#include <utility>

namespace meltemi::proxy {

void Attempt::Open(Worker& worker, ClusterId cluster, const PickContext& context, bool is_tunnel) {
  worker_ = &worker;
  is_head_sent = is_request_ended = is_response_started = is_response_ended = false;
  state_ = State::kOpening;
  std::unique_ptr<PendingOpen> pending =
      is_tunnel ? worker.upstreams().OpenTcp(cluster, context, *this)
                : worker.upstreams().OpenStream(cluster, context, *this, *this);
  // Null when the outcome is already known, and then another try may have begun.
  if (pending != nullptr) pending_ = std::move(pending);
}

void Attempt::BecomeIdle() {
  state_ = State::kIdle;
  stream_ = nullptr;
  request_.Reset();
  // The handle may be the very object that is calling us, the tunnel too.
  if (tunnel_ != nullptr) worker_->loop().DeferDelete(std::shared_ptr<void>(std::move(tunnel_)));
  if (pending_ != nullptr) worker_->loop().DeferDelete(std::shared_ptr<void>(std::move(pending_)));
}

void Attempt::Cancel() {
  if (state_ == State::kIdle) return;
  if (state_ == State::kOpen) stream_->Reset(http::ResetReason::kLocal);
  pending_.reset();
  BecomeIdle();
}

void Attempt::OnStreamReady(http::ClientStream& stream, ActiveRequest request) {
  if (pending_ != nullptr) worker_->loop().DeferDelete(std::shared_ptr<void>(std::move(pending_)));
  state_ = State::kOpen;
  stream_ = &stream;
  request_ = std::move(request);
  owner_.OnAttemptReady();
}

void Attempt::OnStreamFailure(const OpenFailureInfo& failure) {
  BecomeIdle();
  owner_.OnAttemptFailed(failure);
}

void Attempt::OnTcpReady(std::unique_ptr<net::Connection> connection, ActiveRequest request) {
  tunnel_ = std::make_unique<TunnelStream>(std::move(connection),
                                           static_cast<http::StreamCallbacks&>(*this));
  OnStreamReady(*tunnel_, std::move(request));
}

void Attempt::OnTcpFailure(const OpenFailureInfo& failure) {
  OnStreamFailure(failure);
}

void Attempt::OnHead(bool end_stream) {
  is_response_started = true;
  owner_.OnAttemptHead(end_stream);
}

void Attempt::OnInformational(const http::ResponseHead& head) {
  owner_.OnAttemptInformational(head);
}

void Attempt::OnBody() {
  owner_.OnAttemptBody();
}

void Attempt::OnWritable() {
  owner_.OnAttemptWritable();
}

void Attempt::OnReset(http::ResetReason reason) {
  const net::Connection* connection = stream_->connection();
  tls_failure = reason == http::ResetReason::kTlsFailed && connection != nullptr
                    ? connection->tls_failure()
                    : std::string_view();
  // The host must still be known to the owner, the stream no more.
  stream_ = nullptr;
  state_ = State::kIdle;
  if (tunnel_ != nullptr) worker_->loop().DeferDelete(std::shared_ptr<void>(std::move(tunnel_)));
  owner_.OnAttemptReset(reason);
  if (state_ == State::kIdle) request_.Reset();
}

void Attempt::OnFinished() {
  BecomeIdle();
  owner_.OnAttemptFinished();
}

}  // namespace meltemi::proxy
