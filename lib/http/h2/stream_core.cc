// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/stream_core.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/http/h2/session.h"

namespace meltemi::http::h2 {
namespace {

uint32_t CodeFor(ResetReason reason, bool is_server) {
  switch (reason) {
    case ResetReason::kRefused:
      return NGHTTP2_REFUSED_STREAM;
    case ResetReason::kProtocolError:
      return NGHTTP2_PROTOCOL_ERROR;
    case ResetReason::kOverload:
      return NGHTTP2_ENHANCE_YOUR_CALM;
    default:
      return is_server ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL;
  }
}

}  // namespace

StreamCore::StreamCore(Session& session)
    : session_(session),
      received_(session.net().input().pool()),
      unsent_(session.net().input().pool()),
      trailers_(arena_),
      trailers_to_send_(arena_) {}

void StreamCore::Recycle() {
  id_ = -1;
  received_.Clear();
  unsent_.Clear();
  trailers_.Clear();
  trailers_to_send_.Clear();
  callbacks_ = nullptr;
  interim_.clear();
  events_ = 0;
  error_code_ = 0;
  head_bytes_ = head_fields_ = 0;
  is_queued_ = is_in_trailers_ = is_too_large_ = is_malformed_ = has_head_ = false;
  received_end_ = is_end_told_ = is_open_for_sending_ = is_deferred_ = send_ended_ = false;
  has_trailers_to_send_ = wants_writable_ = is_tunnel_ = is_closed_ = is_over_ = false;
  arena_.Reset();
}

void StreamCore::ConsumeReceived(size_t bytes) {
  MELTEMI_CHECK(bytes <= received_.size());
  if (bytes == 0) return;
  received_.Consume(bytes);
  if (session_.is_gone()) return;
  // Gives the window back, in WINDOW_UPDATE frames of half a window.
  if (is_closed_) {
    nghttp2_session_consume_connection(session_.handle(), bytes);
    // The end may have waited for its reader.
    if (received_.empty()) session_.Queue(*this, kClosed);
  } else {
    nghttp2_session_consume(session_.handle(), id_, bytes);
  }
  session_.Schedule();
}

size_t StreamCore::Send(std::string_view bytes, bool end_stream) {
  if (!is_open_for_sending_ || send_ended_ || is_over_) return bytes.size();
  const size_t room = kUnsentBytesMax > unsent_.size() ? kUnsentBytesMax - unsent_.size() : 0;
  const size_t taken = std::min(bytes.size(), room);
  unsent_.Append(bytes.substr(0, taken));
  if (taken < bytes.size()) {
    wants_writable_ = true;
  } else if (end_stream) {
    send_ended_ = true;
  }
  if (is_deferred_ && (!unsent_.empty() || send_ended_)) {
    is_deferred_ = false;
    nghttp2_session_resume_data(session_.handle(), id_);
  }
  session_.Schedule();
  return taken;
}

void StreamCore::SendTrailerFields(const HeaderMap& trailers) {
  if (!is_open_for_sending_ || send_ended_ || is_over_) return;
  for (const HeaderField& field : trailers.fields()) {
    trailers_to_send_.Add(field.name, field.value);
  }
  has_trailers_to_send_ = trailers.size() != 0;
  Send({}, true);
}

void StreamCore::ResetLocally(ResetReason reason) {
  if (is_over_) return;
  is_over_ = true;
  callbacks_ = nullptr;
  if (!session_.is_gone() && !is_closed_ && id_ > 0) {
    nghttp2_submit_rst_stream(session_.handle(), NGHTTP2_FLAG_NONE, id_,
                              CodeFor(reason, session_.is_server_));
  }
  session_.Retire(*this);
  session_.Schedule();
}

}  // namespace meltemi::http::h2
