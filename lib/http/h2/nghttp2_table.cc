// SPDX-License-Identifier: Apache-2.0
// The table of functions by which nghttp2 calls a Session, and the form in which it takes fields.
#include <charconv>

#include "lib/http/h2/session.h"

namespace meltemi::http::h2 {

ssize_t Session::ReadCallback(nghttp2_session*, int32_t, uint8_t*, size_t bytes_max,
                              uint32_t* flags, nghttp2_data_source* source, void* session) {
  return static_cast<Session*>(session)->ReadUnsent(*static_cast<StreamCore*>(source->ptr),
                                                    bytes_max, flags);
}

nghttp2_session_callbacks* Session::Callbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        return static_cast<Session*>(self)->OnBeginHeaders(*frame);
      });
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks,
      [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_bytes,
         const uint8_t* value, size_t value_bytes, uint8_t, void* self) {
        return static_cast<Session*>(self)->OnHeader(
            *frame, {reinterpret_cast<const char*>(name), name_bytes},
            {reinterpret_cast<const char*>(value), value_bytes});
      });
  // Without this nghttp2 drops invalid fields and goes on.
  nghttp2_session_callbacks_set_on_invalid_header_callback(
      callbacks,
      [](nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
         uint8_t, void* self) -> int {
        static_cast<Session*>(self)->is_violated_ = true;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      });
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame*, int, void* self) {
        static_cast<Session*>(self)->is_violated_ = true;
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        return static_cast<Session*>(self)->OnFrame(*frame);
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks,
      [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void* self) {
        static_cast<Session*>(self)->OnData(id, {reinterpret_cast<const char*>(bytes), size});
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks, [](nghttp2_session*, int32_t id, uint32_t error_code, void* self) {
        static_cast<Session*>(self)->OnStreamClose(id, error_code);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_send_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
        static_cast<Session*>(self)->OnFrameSent(*frame);
        return 0;
      });
  nghttp2_session_callbacks_set_send_data_callback(
      callbacks, [](nghttp2_session*, nghttp2_frame* frame, const uint8_t* head, size_t bytes,
                    nghttp2_data_source* source, void* self) {
        return static_cast<Session*>(self)->WriteData(*frame, head, bytes,
                                                      *static_cast<StreamCore*>(source->ptr));
      });
  return callbacks;
}

// -- fields

void FieldList::Add(std::string_view name, std::string_view value) {
  // nghttp2 copies both; its type is not const-correct.
  fields_.push_back({const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(name.data())),
                     const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(value.data())),
                     name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
}

void FieldList::AddAll(const HeaderMap& headers) {
  for (const HeaderField& field : headers.fields()) {
    switch (field.id) {
      case HeaderId::kConnection:
      case HeaderId::kContentLength:
      case HeaderId::kHost:
      case HeaderId::kKeepAlive:
      case HeaderId::kProxyConnection:
      case HeaderId::kTransferEncoding:
      case HeaderId::kUpgrade:
        break;
      default:
        Add(field.name, field.value);
    }
  }
}

void FieldList::AddNumber(std::string_view name, int64_t number, char* text) {
  const char* const end = std::to_chars(text, text + 20, number).ptr;
  Add(name, {text, static_cast<size_t>(end - text)});
}

}  // namespace meltemi::http::h2
