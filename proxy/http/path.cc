// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/path.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace meltemi::proxy {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 §2.3.
bool IsUnreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

int EscapeAt(std::string_view text, size_t at) {
  if (at + 2 >= text.size()) return -1;
  const int high = HexValue(text[at + 1]);
  const int low = HexValue(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

size_t PathBytes(std::string_view target) {
  return std::min(target.find('?'), target.size());
}

// What a path may not hold unescaped (RFC 3986 §3.3) though clients send it.
constexpr std::string_view kEscaped = "\"<>^`{|}";

constexpr std::array<bool, 256> kIsSpecial = [] {
  std::array<bool, 256> table{};
  for (const char c : kEscaped) table[static_cast<uint8_t>(c)] = true;
  table['%'] = table['\\'] = true;
  return table;
}();

bool NeedsNormalizing(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (kIsSpecial[static_cast<uint8_t>(c)]) return true;
    if (c == '.' && i > 0 && path[i - 1] == '/') return true;
  }
  return false;
}

// A segment without its parameters.
std::string_view Bare(std::string_view segment) {
  return segment.substr(0, segment.find(';'));
}

char* PutEscape(uint8_t byte, char* to) {
  constexpr char kHex[] = "0123456789ABCDEF";
  *to++ = '%';
  *to++ = kHex[byte >> 4];
  *to++ = kHex[byte & 0xf];
  return to;
}

// Whether a "%" that begins no escape stands so near before `to` that `c`, un-escaped, would make
// one:
// "%%32e" must not become "%2e".
bool WouldMakeEscape(const char* begin, const char* to, int c) {
  if (HexValue(static_cast<char>(c)) < 0) return false;
  return (to - begin >= 1 && to[-1] == '%') || (to - begin >= 2 && to[-2] == '%');
}

// Un-escapes unreserved characters, escapes those that may not stand, turns "\" into "/". A "%"
// that begins no escape stays as it is, as with Envoy. `to` has room for three times the path.
// Returns bytes written, or npos for an escaped NUL.
size_t Reescape(std::string_view path, char* to) {
  char* const begin = to;
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (!kIsSpecial[static_cast<uint8_t>(c)]) {
      *to++ = c;
    } else if (c == '\\') {
      *to++ = '/';
    } else if (c != '%') {
      to = PutEscape(static_cast<uint8_t>(c), to);
    } else if (const int code = EscapeAt(path, i); code == 0) {
      return std::string_view::npos;
    } else if (code < 0) {
      *to++ = c;
    } else if (IsUnreserved(code) && !WouldMakeEscape(begin, to, code)) {
      *to++ = static_cast<char>(code);
      i += 2;
    } else {
      std::memcpy(to, path.data() + i, 3);
      to += 3;
      i += 2;
    }
  }
  return static_cast<size_t>(to - begin);
}

// RFC 3986 §5.2.4, in place; `text` begins with "/". Returns the new length.
size_t RemoveDotSegments(char* text, size_t bytes) {
  size_t out = 0;
  size_t at = 0;
  while (at < bytes) {
    size_t end = at + 1;  // text[at] is the "/" before the segment
    while (end < bytes && text[end] != '/') ++end;
    const std::string_view segment = Bare({text + at + 1, end - at - 1});
    const bool is_last = end == bytes;
    if (segment == ".." || segment == ".") {
      if (segment == "..") {
        while (out > 0 && text[--out] != '/') {
        }
      }
      if (is_last) text[out++] = '/';
    } else {
      std::memmove(text + out, text + at, end - at);
      out += end - at;
    }
    at = end;
  }
  if (out == 0) text[out++] = '/';
  return out;
}

}  // namespace

PathResult NormalizePath(std::string_view target, Arena& arena) {
  const size_t path_bytes = PathBytes(target);
  const std::string_view path = target.substr(0, path_bytes);
  const std::string_view query = target.substr(path_bytes);
  if (path.empty() || path.front() != '/') return {path == "*", target};
  if (!NeedsNormalizing(path)) return {true, target};
  char* const text = arena.Allocate(path.size() * 3 + query.size());
  size_t bytes = Reescape(path, text);
  if (bytes == std::string_view::npos) return {false, target};
  bytes = RemoveDotSegments(text, bytes);
  if (!query.empty()) std::memcpy(text + bytes, query.data(), query.size());
  return {true, {text, bytes + query.size()}};
}

std::string_view MergeSlashes(std::string_view target, Arena& arena) {
  const size_t path_bytes = PathBytes(target);
  if (target.substr(0, path_bytes).find("//") == std::string_view::npos) return target;
  char* const text = arena.Allocate(target.size());
  size_t out = 0;
  for (size_t i = 0; i < target.size(); ++i) {
    if (i < path_bytes && target[i] == '/' && out > 0 && text[out - 1] == '/') continue;
    text[out++] = target[i];
  }
  return {text, out};
}

bool HasEscapedSlashes(std::string_view target) {
  const std::string_view path = target.substr(0, PathBytes(target));
  for (size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 1)) {
    const int code = EscapeAt(path, at);
    if (code == '/' || code == '\\') return true;
  }
  return false;
}

std::string_view UnescapeSlashes(std::string_view target, Arena& arena) {
  const size_t path_bytes = PathBytes(target);
  char* const text = arena.Allocate(target.size());
  size_t out = 0;
  for (size_t i = 0; i < target.size(); ++i) {
    const int code = i < path_bytes && target[i] == '%' ? EscapeAt(target, i) : -1;
    if (code == '/' || code == '\\') {
      text[out++] = static_cast<char>(code);
      i += 2;
    } else {
      text[out++] = target[i];
    }
  }
  return {text, out};
}

std::string_view WithoutFragment(std::string_view path) {
  return path.substr(0, path.find('#'));
}

}  // namespace meltemi::proxy
