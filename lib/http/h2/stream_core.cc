// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/stream_core.h"

#include "lib/base/check.h"
#include "lib/http/h2/session.h"

namespace meltemi::http::h2 {
namespace {

ErrorCode CodeFor(ResetReason reason, bool is_server) {
  switch (reason) {
    case ResetReason::kRefused:
      return ErrorCode::kRefusedStream;
    case ResetReason::kProtocolError:
      return ErrorCode::kProtocolError;
    case ResetReason::kOverload:
      return ErrorCode::kEnhanceYourCalm;
    default:
      return is_server ? ErrorCode::kInternalError : ErrorCode::kCancel;
  }
}

}  // namespace

StreamCore::StreamCore(Session& session)
    : StreamState(session.net().input().pool()),
      session_(session),
      received_(session.net().input().pool()),
      trailers_(arena_),
      trailers_to_send_(arena_) {}

void StreamCore::Recycle() {
  StreamState::Recycle();
  received_.Clear();
  trailers_.Clear();
  trailers_to_send_.Clear();
  callbacks_ = nullptr;
  interim_.clear();
  events_ = 0;
  error_code_ = ErrorCode::kNoError;
  head_bytes_ = head_fields_ = 0;
  is_queued_ = is_in_trailers_ = is_too_large_ = is_malformed_ = has_head_ = false;
  is_end_told_ = wants_writable_ = is_closed_ = is_over_ = false;
  arena_.Reset();
}

void StreamCore::ConsumeReceived(size_t bytes) {
  MELTEMI_CHECK(bytes <= received_.size());
  if (bytes == 0) return;
  received_.Consume(bytes);
  if (session_.is_gone()) return;
  session_.engine().Consume(*this, bytes);
  // The end may have waited for its reader.
  if (is_closed_ && received_.empty()) session_.Queue(*this, kClosed);
  session_.Schedule();
}

size_t StreamCore::Send(std::string_view bytes, bool end_stream) {
  if (!is_open || !is_head_sent || is_send_ended || is_over_ || session_.is_gone()) {
    return bytes.size();
  }
  const size_t taken = session_.engine().Send(*this, bytes, end_stream, kUnsentBytesMax);
  if (taken < bytes.size()) wants_writable_ = true;
  session_.Schedule();
  return taken;
}

void StreamCore::SendTrailerFields(const HeaderMap& fields) {
  if (!is_open || !is_head_sent || is_send_ended || is_over_) return;
  if (fields.size() != 0) trailers = &fields;
  Send({}, true);
  if (trailers == nullptr || !is_open || is_local_done) return;
  // They wait for the body before them, and must outlive their owner's map.
  for (const HeaderField& field : fields.fields()) trailers_to_send_.Add(field.name, field.value);
  trailers = &trailers_to_send_;
}

void StreamCore::ResetLocally(ResetReason reason) {
  if (is_over_) return;
  is_over_ = true;
  callbacks_ = nullptr;
  if (!session_.is_gone()) session_.engine().Reset(*this, CodeFor(reason, session_.is_server_));
  session_.Retire(*this);
  session_.Schedule();
}

}  // namespace meltemi::http::h2
