// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/head_parser.h"

#include <array>
#include <cstring>

#include "lib/http/h1/characters.h"

namespace meltemi::http::h1 {
namespace {

// More connection options than this have no use but to make us search.
constexpr size_t kConnectionOptionsMax = 16;

// What fields said that only all of them together decide.
struct Gathered {
  std::string_view host;
  std::string_view transfer_encoding;
  std::string_view upgrade;
  std::array<std::string_view, kConnectionOptionsMax> nominated;
  size_t nominated_count = 0;
  uint8_t hosts = 0;
  uint8_t content_lengths = 0;
  uint8_t transfer_encodings = 0;
  bool says_upgrade = false;
  bool expects_continue = false;
  int64_t content_length = kLengthUnknown;
};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes the first element of a comma-separated list.
std::string_view NextElement(std::string_view& list) {
  const size_t comma = list.find(',');
  const std::string_view element = Trim(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return element;
}

bool ParseLength(std::string_view text, int64_t& length) {
  if (text.empty() || text.size() > 18) return false;  // 18 digits cannot overflow
  length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    length = length * 10 + (c - '0');
  }
  return true;
}

// Taking these out would change what the message is, or who it seems to come from (Envoy).
bool MayBeNominated(std::string_view option) {
  constexpr std::string_view kForwarded = "x-forwarded-";
  return option.front() != ':' && !EqualsIgnoreCase(option, "host") &&
         !EqualsIgnoreCase(option.substr(0, kForwarded.size()), kForwarded);
}

bool ReadConnection(std::string_view list, Framing& framing, Gathered& gathered) {
  while (!list.empty()) {
    const std::string_view option = NextElement(list);
    if (option.empty() || EqualsIgnoreCase(option, "te")) continue;
    if (EqualsIgnoreCase(option, "close")) {
      framing.says_close = true;
    } else if (EqualsIgnoreCase(option, "keep-alive")) {
      framing.says_keep_alive = true;
    } else if (EqualsIgnoreCase(option, "upgrade")) {
      gathered.says_upgrade = true;
    } else if (gathered.nominated_count == kConnectionOptionsMax || !MayBeNominated(option)) {
      return false;
    } else {
      gathered.nominated[gathered.nominated_count++] = option;
    }
  }
  return true;
}

bool HasElement(std::string_view list, std::string_view lower_case) {
  while (!list.empty()) {
    if (EqualsIgnoreCase(NextElement(list), lower_case)) return true;
  }
  return false;
}

// Fields of this hop are taken out; the rest goes to `map`.
HeadError TakeField(HeaderId id, std::string_view name, std::string_view value, HeaderMap& map,
                    Framing& framing, Gathered& gathered) {
  switch (id) {
    case HeaderId::kHost:
      gathered.host = value;
      ++gathered.hosts;
      return HeadError::kNone;
    case HeaderId::kContentLength:
      // A repeated length is refused even when equal: somebody put the message together wrongly.
      if (++gathered.content_lengths > 1 || !ParseLength(value, gathered.content_length)) {
        return HeadError::kContentLength;
      }
      framing.has_content_length = true;
      return HeadError::kNone;
    case HeaderId::kTransferEncoding:
      if (++gathered.transfer_encodings > 1) return HeadError::kTransferEncoding;
      gathered.transfer_encoding = value;
      return HeadError::kNone;
    case HeaderId::kConnection:
      return ReadConnection(value, framing, gathered) ? HeadError::kNone : HeadError::kField;
    case HeaderId::kUpgrade:
      gathered.upgrade = value;
      return HeadError::kNone;
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
      return HeadError::kNone;
    case HeaderId::kTe:
      if (HasElement(value, "trailers")) map.AddBorrowed(id, name, "trailers");
      return HeadError::kNone;
    case HeaderId::kExpect:
      if (EqualsIgnoreCase(value, "100-continue")) gathered.expects_continue = true;
      break;
    default:
      break;
  }
  map.AddBorrowed(id, name, value);
  return HeadError::kNone;
}

// One field line at `at`; moves it behind the line's CRLF. Names become lower case in place.
HeadError ReadFieldLine(char*& at, std::string_view& name, std::string_view& value) {
  char* p = at;
  while (const char lower = kTokenLower[static_cast<uint8_t>(*p)]) *p++ = lower;
  // Whitespace before the colon or at the line's start (obs-fold) ends here (RFC 9112 §5.1, §5.2).
  if (*p != ':' || p == at) return HeadError::kField;
  name = {at, static_cast<size_t>(p - at)};
  ++p;
  while (*p == ' ' || *p == '\t') ++p;
  const char* end = FindValueEnd(p);
  if (end[0] != '\r' || end[1] != '\n') return HeadError::kField;
  at = p + (end - p) + 2;
  while (end > p && (end[-1] == ' ' || end[-1] == '\t')) --end;
  value = {p, static_cast<size_t>(end - p)};
  return HeadError::kNone;
}

HeadError ReadFields(char* at, const char* end, size_t fields_max, HeaderMap& map, Framing& framing,
                     Gathered& gathered) {
  size_t count = 0;
  while (*at != '\r') {
    if (++count > fields_max) return HeadError::kTooManyFields;
    std::string_view name;
    std::string_view value;
    if (const HeadError e = ReadFieldLine(at, name, value); e != HeadError::kNone) return e;
    const HeadError e = TakeField(LookUpHeader(name), name, value, map, framing, gathered);
    if (e != HeadError::kNone) return e;
  }
  return at + 2 == end && at[1] == '\n' ? HeadError::kNone : HeadError::kField;
}

void RemoveNominated(const Gathered& gathered, HeaderMap& map) {
  for (size_t i = 0; i < gathered.nominated_count; ++i) {
    std::erase_if(map.mutable_fields(), [&](const HeaderField& field) {
      return EqualsIgnoreCase(gathered.nominated[i], field.name);
    });
  }
}

// RFC 9112 §6.1, §6.3.
HeadError JudgeFraming(const Gathered& gathered, Protocol protocol, Framing& framing) {
  if (gathered.transfer_encodings == 0) return HeadError::kNone;
  if (gathered.content_lengths != 0) return HeadError::kContentLength;
  if (protocol == Protocol::kHttp10) return HeadError::kTransferEncoding;
  if (EqualsIgnoreCase(gathered.transfer_encoding, "chunked")) {
    framing.is_chunked = true;
    return HeadError::kNone;
  }
  size_t chunked = 0;
  bool is_last_chunked = false;
  std::string_view list = gathered.transfer_encoding;
  if (list.empty()) return HeadError::kTransferEncoding;
  while (!list.empty()) {
    const std::string_view coding = NextElement(list);
    if (!IsToken(coding)) return HeadError::kTransferEncoding;
    is_last_chunked = EqualsIgnoreCase(coding, "chunked");
    chunked += is_last_chunked ? 1 : 0;
  }
  if (chunked > 1 || (chunked == 1 && !is_last_chunked)) return HeadError::kTransferEncoding;
  return HeadError::kTransferEncodingOther;
}

bool HasPort(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == authority.size()) return false;
  for (const char c : authority.substr(colon + 1)) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

// absolute-form: the authority of the target wins over Host (RFC 9112 §3.2.2).
HeadError TakeAbsoluteTarget(std::string_view target, RequestHead& out) {
  if (target.size() > 7 && EqualsIgnoreCase(target.substr(0, 7), "http://")) {
    out.scheme = "http";
    target.remove_prefix(7);
  } else if (target.size() > 8 && EqualsIgnoreCase(target.substr(0, 8), "https://")) {
    out.scheme = "https";
    target.remove_prefix(8);
  } else {
    return HeadError::kTarget;
  }
  const size_t end = target.find_first_of("/?#");
  out.authority = target.substr(0, end);
  out.path = end == std::string_view::npos ? std::string_view() : target.substr(end);
  if (out.authority.empty() || !IsHost(out.authority)) return HeadError::kHost;
  if (out.path.empty()) {
    out.path = out.method == "OPTIONS" ? "*" : "/";
  } else if (out.path.front() != '/') {
    char* const path = out.headers.arena().Allocate(out.path.size() + 1);
    path[0] = '/';
    std::memcpy(path + 1, out.path.data(), out.path.size());
    out.path = {path, out.path.size() + 1};
  }
  return HeadError::kNone;
}

HeadError TakeTarget(std::string_view target, RequestHead& out) {
  if (out.method == "CONNECT") {
    if (!IsHost(target) || !HasPort(target)) return HeadError::kTarget;
    out.authority = target;
    return HeadError::kNone;
  }
  if (target.front() == '/') {
    out.path = target;
    return HeadError::kNone;
  }
  if (target == "*") {
    if (out.method != "OPTIONS") return HeadError::kTarget;
    out.path = target;
    return HeadError::kNone;
  }
  return TakeAbsoluteTarget(target, out);
}

HeadError ReadVersion(const char* at, Protocol& protocol) {
  if (std::memcmp(at, "HTTP/1.", 7) == 0 && (at[7] == '0' || at[7] == '1')) {
    protocol = at[7] == '1' ? Protocol::kHttp11 : Protocol::kHttp10;
    return HeadError::kNone;
  }
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const bool is_version =
      std::memcmp(at, "HTTP/", 5) == 0 && digit(at[5]) && at[6] == '.' && digit(at[7]);
  return is_version ? HeadError::kVersion : HeadError::kMalformed;
}

// method SP target SP version CRLF; `at` moves behind it.
HeadError ReadRequestLine(char*& at, const char* end, RequestHead& out) {
  char* p = at;
  while (kTokenLower[static_cast<uint8_t>(*p)] != 0) ++p;
  if (p == at || *p != ' ') return HeadError::kMalformed;
  out.method = {at, static_cast<size_t>(p - at)};
  char* const target = ++p;
  // ASCII only (RFC 3986 §2): what stands for other characters is escaped. Envoy's parser agrees.
  while (static_cast<uint8_t>(*p) > ' ' && static_cast<uint8_t>(*p) < 0x7f) ++p;
  // A line that ends here is HTTP/0.9.
  if (p == target || *p != ' ' || end - p < 13) return HeadError::kMalformed;
  if (const HeadError e = ReadVersion(p + 1, out.protocol); e != HeadError::kNone) return e;
  if (p[9] != '\r' || p[10] != '\n') return HeadError::kMalformed;
  at = p + 11;
  return TakeTarget({target, static_cast<size_t>(p - target)}, out);
}

HeadError JudgeHost(const Gathered& gathered, RequestHead& out) {
  const bool is_required = out.protocol != Protocol::kHttp10;
  if (gathered.hosts == 0 && is_required) return HeadError::kNoHost;
  if (gathered.hosts > 1) return HeadError::kHost;
  if (!IsHost(gathered.host)) return HeadError::kHost;
  if (out.authority.empty()) out.authority = gathered.host;
  return HeadError::kNone;
}

}  // namespace

ErrorAnswer Describe(HeadError error) {
  switch (error) {
    case HeadError::kNone:
      return {200, ""};
    case HeadError::kVersion:
      return {505, "http1.unsupported_version"};
    case HeadError::kTarget:
      return {400, "http1.invalid_url"};
    case HeadError::kHost:
      return {400, "http1.invalid_host"};
    case HeadError::kContentLength:
      return {400, "http1.content_length_not_allowed"};
    case HeadError::kTransferEncoding:
      return {400, "http1.invalid_transfer_encoding"};
    case HeadError::kTransferEncodingOther:
      return {501, "http1.unknown_transfer_encoding"};
    case HeadError::kTooLarge:
      return {431, "http1.headers_too_large"};
    case HeadError::kNoHost:
      return {400, "missing_host_header"};
    case HeadError::kTooSlow:
      return {408, "request_header_timeout"};
    case HeadError::kTooManyFields:
      return {431, "http1.too_many_headers"};
    case HeadError::kMalformed:
    case HeadError::kField:
      break;
  }
  return {400, "http1.codec_error"};
}

bool EqualsIgnoreCase(std::string_view a, std::string_view lower_case) {
  if (a.size() != lower_case.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] + 32) : a[i];
    if (c != lower_case[i]) return false;
  }
  return true;
}

HeadError ParseRequestHead(char* head, size_t bytes, size_t fields_max,
                           std::string_view default_scheme, RequestHead& out, Framing& framing) {
  const char* const end = head + bytes;
  out.scheme = default_scheme;
  if (const HeadError e = ReadRequestLine(head, end, out); e != HeadError::kNone) return e;
  Gathered gathered;
  HeadError e = ReadFields(head, end, fields_max, out.headers, framing, gathered);
  if (e == HeadError::kNone) e = JudgeHost(gathered, out);
  if (e == HeadError::kNone) e = JudgeFraming(gathered, out.protocol, framing);
  if (e != HeadError::kNone) return e;
  RemoveNominated(gathered, out.headers);
  // A request says so when it has a body (RFC 9112 §6.3 rule 7).
  out.content_length = framing.is_chunked           ? kLengthUnknown
                       : framing.has_content_length ? gathered.content_length
                                                    : 0;
  // HTTP/1.0 clients do not understand 100 (RFC 9110 §10.1.1).
  out.expects_continue = gathered.expects_continue && out.protocol == Protocol::kHttp11;
  // A server may ignore an upgrade: done when a body stands in between, and for the obsolete h2c.
  if (gathered.says_upgrade && out.content_length == 0 && out.protocol == Protocol::kHttp11 &&
      out.method != "CONNECT" && IsUpgrade(gathered.upgrade)) {
    out.upgrade = gathered.upgrade;
  }
  return HeadError::kNone;
}

HeadError ParseResponseHead(char* head, size_t bytes, size_t fields_max, ResponseHead& out,
                            Framing& framing) {
  // HTTP/1.1 SP 3DIGIT [SP reason] CRLF; servers that leave out the second space exist.
  const char* const end = head + bytes;
  if (bytes < 16) return HeadError::kMalformed;
  if (const HeadError e = ReadVersion(head, out.protocol); e != HeadError::kNone) return e;
  if (head[8] != ' ' || (head[12] != ' ' && head[12] != '\r')) return HeadError::kMalformed;
  int status = 0;
  for (int i = 9; i < 12; ++i) {
    if (head[i] < '0' || head[i] > '9') return HeadError::kMalformed;
    status = status * 10 + (head[i] - '0');
  }
  if (status < 100 || status > 599) return HeadError::kMalformed;
  out.status = status;
  const char* line_end = FindValueEnd(head + 12);
  if (line_end[0] != '\r' || line_end[1] != '\n' || line_end + 2 >= end)
    return HeadError::kMalformed;
  Gathered gathered;
  HeadError e =
      ReadFields(head + (line_end - head) + 2, end, fields_max, out.headers, framing, gathered);
  if (e == HeadError::kNone) e = JudgeFraming(gathered, out.protocol, framing);
  if (e != HeadError::kNone) return e;
  // Which protocol a 101 chose is for the client to see.
  if (status == 101 && !gathered.upgrade.empty()) {
    out.headers.AddBorrowed(HeaderId::kUpgrade, HeaderName(HeaderId::kUpgrade), gathered.upgrade);
  }
  RemoveNominated(gathered, out.headers);
  if (framing.has_content_length) out.content_length = gathered.content_length;
  return HeadError::kNone;
}

std::span<const std::string_view> WrittenNames(std::string_view head, Arena& arena) {
  size_t lines = 0;
  for (size_t at = head.find('\n'); at != std::string_view::npos; at = head.find('\n', at + 1)) {
    ++lines;
  }
  char* const room = arena.Allocate(lines * sizeof(std::string_view), alignof(std::string_view));
  auto* const names = reinterpret_cast<std::string_view*>(room);
  size_t count = 0;
  for (size_t at = head.find('\n') + 1; at < head.size(); at = head.find('\n', at) + 1) {
    const size_t colon = head.find(':', at);
    if (head[at] == '\r' || colon == std::string_view::npos) break;
    new (&names[count++]) std::string_view(arena.Copy(head.substr(at, colon - at)));
  }
  return {names, count};
}

HeadError ParseTrailers(char* head, size_t bytes, size_t fields_max, HeaderMap& out) {
  Framing framing;
  Gathered gathered;
  return ReadFields(head, head + bytes, fields_max, out, framing, gathered);
}

}  // namespace meltemi::http::h1
