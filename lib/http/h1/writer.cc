// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/writer.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <span>

#include "lib/http/h1/head_parser.h"
#include "lib/http/hop_fields.h"

namespace meltemi::http::h1 {
namespace {

// One piece of a body copied between two looks at the output's fill.
constexpr size_t kPieceBytes = 16 * 1024;

char* Put(char* to, std::string_view text) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

// Of nothing, data() may be null, which memcpy must not see.
char* PutIfAny(char* to, std::string_view text) {
  return text.empty() ? to : Put(to, text);
}

char* PutNumber(char* to, int64_t number) {
  return std::to_chars(to, to + 20, number).ptr;
}

size_t FieldBytes(const HeaderMap& headers) {
  size_t sum = 0;
  for (const HeaderField& field : headers.fields()) {
    sum += field.name.size() + field.value.size() + 4;
  }
  return sum;
}

// How names are written when lower case will not do.
class Names final {
 public:
  Names(std::span<const std::string_view> written, bool is_proper)
      : written_(written), is_proper_(is_proper) {}
  // Nothing to do is the common case and costs a branch.
  const Names* if_needed() const { return written_.empty() && !is_proper_ ? nullptr : this; }

  char* Put(char* to, std::string_view name) const {
    for (size_t i = 0; i < written_.size(); ++i) {
      // Fields mostly keep their order: look behind the last one first.
      const std::string_view candidate = written_[at_ % written_.size()];
      ++at_;
      if (EqualsIgnoreCase(candidate, name)) return h1::Put(to, candidate);
    }
    if (!written_.empty() || !is_proper_) return h1::Put(to, name);
    bool is_first = true;
    for (const char c : name) {
      const bool is_letter = c >= 'a' && c <= 'z';
      *to++ = is_letter && is_first ? static_cast<char>(c - 32) : c;
      is_first = !is_letter && !(c >= '0' && c <= '9');
    }
    return to;
  }

 private:
  const std::span<const std::string_view> written_;
  const bool is_proper_;
  mutable size_t at_ = 0;
};

char* PutField(char* to, std::string_view name, std::string_view value, const Names* names) {
  to = names == nullptr ? Put(to, name) : names->Put(to, name);
  to = Put(to, ": ");
  to = PutIfAny(to, value);
  return Put(to, "\r\n");
}

char* PutFields(char* to, const HeaderMap& headers, const Names* names) {
  for (const HeaderField& field : headers.fields()) {
    if (!IsHopField(field.id)) to = PutField(to, field.name, field.value, names);
  }
  return to;
}

char* PutLength(char* to, int64_t length, const Names* names) {
  char text[20];
  char* const end = PutNumber(text, length);
  return PutField(to, "content-length", {text, static_cast<size_t>(end - text)}, names);
}

char* PutChunked(char* to, const Names* names) {
  return PutField(to, "transfer-encoding", "chunked", names);
}

// Status line, framing and connection fields together stay below this.
constexpr size_t kFixedBytes = 256;

// Methods whose request is expected to have a body: an empty one is announced (RFC 9110 §8.6).
bool AnnouncesEmptyBody(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

char* PutRequestFraming(char* to, const RequestHead& head, bool end_stream, const Names* names,
                        RequestForm& form) {
  form.framing = BodyFraming::kNone;
  if (form.is_connect || !head.upgrade.empty()) return to;
  if (end_stream) return AnnouncesEmptyBody(head.method) ? PutLength(to, 0, names) : to;
  if (head.content_length >= 0) {
    form.framing = BodyFraming::kLength;
    return PutLength(to, head.content_length, names);
  }
  form.framing = BodyFraming::kChunked;
  return PutChunked(to, names);
}

char* PutResponseFraming(char* to, const ResponseHead& head, bool end_stream,
                         const ResponseOptions& options, const Names* names, BodyFraming& framing) {
  framing = BodyFraming::kNone;
  const bool is_bodiless = head.status == 204 || head.status < 200 || options.is_tunnel;
  if (is_bodiless) return to;
  if (options.is_to_head || head.status == 304) {
    // What a GET would have got (RFC 9110 §8.6).
    return head.content_length >= 0 ? PutLength(to, head.content_length, names) : to;
  }
  if (end_stream) return PutLength(to, 0, names);
  if (head.content_length >= 0) {
    framing = BodyFraming::kLength;
    return PutLength(to, head.content_length, names);
  }
  framing = options.is_to_http10 ? BodyFraming::kUntilClose : BodyFraming::kChunked;
  return options.is_to_http10 ? to : PutChunked(to, names);
}

}  // namespace

std::string_view ReasonPhrase(int status) {
  switch (status) {
#define MELTEMI_REASON(code, text) \
  case code:                       \
    return text;
#include "lib/http/h1/reasons.def"
#undef MELTEMI_REASON
    default:
      return "";
  }
}

RequestForm WriteRequestHead(const RequestHead& head, bool end_stream, net::Buffer& out,
                             HeaderCase header_case) {
  const Names all_names(head.headers.written_names(), header_case == HeaderCase::kProper);
  const Names* const names = all_names.if_needed();
  RequestForm form{};
  form.is_connect = head.method == "CONNECT" && head.upgrade.empty();
  // An extended CONNECT of HTTP/2 is a GET with an Upgrade here (RFC 8441 §5). Other methods may
  // ask for an upgrade as well and keep their name: `kubectl exec` posts one.
  const bool is_extended_connect = head.method == "CONNECT" && !form.is_connect;
  const std::string_view method = is_extended_connect ? "GET" : head.method;
  const std::string_view target = form.is_connect ? head.authority : head.path;
  const size_t bytes_max = FieldBytes(head.headers) + method.size() + target.size() +
                           head.authority.size() + head.upgrade.size() + kFixedBytes;
  char* const begin = out.Reserve(bytes_max);
  char* to = Put(begin, method);
  *to++ = ' ';
  to = Put(to, target);
  to = Put(to, " HTTP/1.1\r\n");
  to = PutField(to, "host", head.authority, names);
  to = PutFields(to, head.headers, names);
  to = PutRequestFraming(to, head, end_stream, names, form);
  if (!head.upgrade.empty()) {
    to = PutField(to, "connection", "upgrade", names);
    to = PutField(to, "upgrade", head.upgrade, names);
  }
  to = Put(to, "\r\n");
  out.Commit(static_cast<size_t>(to - begin));
  return form;
}

BodyFraming WriteResponseHead(const ResponseHead& head, bool end_stream,
                              const ResponseOptions& options, net::Buffer& out) {
  const Names all_names(head.headers.written_names(), options.header_case == HeaderCase::kProper);
  const Names* const names = all_names.if_needed();
  const std::string_view upgrade =
      head.status == 101 ? head.headers.Get(HeaderId::kUpgrade) : std::string_view();
  char* const begin = out.Reserve(FieldBytes(head.headers) + upgrade.size() + kFixedBytes);
  char* to = Put(begin, "HTTP/1.1 ");
  to = PutNumber(to, head.status);
  *to++ = ' ';
  to = PutIfAny(to, ReasonPhrase(head.status));
  to = Put(to, "\r\n");
  to = PutFields(to, head.headers, names);
  BodyFraming framing;
  to = PutResponseFraming(to, head, end_stream, options, names, framing);
  if (head.status == 101) {
    to = PutField(to, "connection", "upgrade", names);
    if (!upgrade.empty()) to = PutField(to, "upgrade", upgrade, names);
  } else if (options.says_close || framing == BodyFraming::kUntilClose) {
    if (!options.is_tunnel) to = PutField(to, "connection", "close", names);
  } else if (options.says_keep_alive) {
    to = PutField(to, "connection", "keep-alive", names);
  }
  to = Put(to, "\r\n");
  out.Commit(static_cast<size_t>(to - begin));
  return framing;
}

void BodyWriter::Start(BodyFraming framing, int64_t length, bool has_trailers) {
  framing_ = framing;
  has_trailers_ = has_trailers;
  remaining_ = framing == BodyFraming::kLength ? static_cast<uint64_t>(length) : 0;
  has_ended_ = false;
  is_broken_ = false;
}

void BodyWriter::Append(net::Buffer& out, std::string_view piece) {
  switch (framing_) {
    case BodyFraming::kNone:
      break;
    case BodyFraming::kLength:
      remaining_ -= piece.size();
      out.Append(piece);
      break;
    case BodyFraming::kUntilClose:
      out.Append(piece);
      break;
    case BodyFraming::kChunked: {
      char* const begin = out.Reserve(piece.size() + 24);
      char* to = std::to_chars(begin, begin + 16, piece.size(), 16).ptr;
      to = Put(to, "\r\n");
      to = Put(to, piece);
      to = Put(to, "\r\n");
      out.Commit(static_cast<size_t>(to - begin));
      break;
    }
  }
}

size_t BodyWriter::Write(net::Connection& connection, std::string_view bytes, bool ends) {
  if (has_ended_) return bytes.size();
  if (framing_ == BodyFraming::kLength && bytes.size() > remaining_) {
    is_broken_ = true;
    bytes = bytes.substr(0, static_cast<size_t>(remaining_));
  }
  size_t taken = 0;
  while (taken < bytes.size() && !connection.is_output_full()) {
    const std::string_view piece = bytes.substr(taken, kPieceBytes);
    Append(connection.output(), piece);
    taken += piece.size();
  }
  if (taken < bytes.size() || !ends) return taken;
  if (framing_ == BodyFraming::kChunked) connection.output().Append("0\r\n\r\n");
  if (framing_ == BodyFraming::kLength && remaining_ != 0) is_broken_ = true;
  has_ended_ = true;
  return taken;
}

void BodyWriter::WriteTrailers(net::Buffer& out, const HeaderMap& trailers) {
  if (has_ended_) return;
  has_ended_ = true;
  // Only chunked bodies have a place for them.
  if (framing_ == BodyFraming::kLength && remaining_ != 0) is_broken_ = true;
  if (framing_ != BodyFraming::kChunked) return;
  char* const begin = out.Reserve(FieldBytes(trailers) + 8);
  char* to = Put(begin, "0\r\n");
  if (has_trailers_) to = PutFields(to, trailers, nullptr);
  to = Put(to, "\r\n");
  out.Commit(static_cast<size_t>(to - begin));
}

}  // namespace meltemi::http::h1
