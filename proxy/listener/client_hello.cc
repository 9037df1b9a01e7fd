// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/client_hello.h"

#include <cstdint>
#include <utility>

namespace meltemi::proxy {
namespace {

using State = ClientHello::State;

// Bounded reader; after the first read past the end everything reads as empty and ok() is false.
class Reader final {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool ok() const { return is_ok_; }
  bool empty() const { return bytes_.empty(); }
  uint32_t Number(size_t width) {
    uint32_t value = 0;
    for (char c : Take(width)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  std::string_view Take(size_t count) {
    if (count > bytes_.size()) {
      is_ok_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  // A vector with a length of `width` bytes before it (RFC 8446 §3.4).
  std::string_view Vector(size_t width) { return Take(Number(width)); }

 private:
  std::string_view bytes_;
  bool is_ok_ = true;
};

constexpr uint8_t kHandshakeRecord = 22;
constexpr uint8_t kClientHelloMessage = 1;
constexpr size_t kRecordBytesMax = 16384;  // RFC 8446 §5.1

// Joins handshake bytes of consecutive records until the ClientHello is whole.
State Reassemble(std::string_view bytes, std::string& message) {
  size_t needed = SIZE_MAX;
  while (message.size() < needed) {
    if (bytes.size() < 5) return State::kNeedMore;
    const size_t length = static_cast<uint8_t>(bytes[3]) << 8 | static_cast<uint8_t>(bytes[4]);
    const bool is_handshake = bytes[0] == kHandshakeRecord && bytes[1] == 3;
    if (!is_handshake || length == 0 || length > kRecordBytesMax) return State::kInvalid;
    const std::string_view part = bytes.substr(5, length);
    message.append(part);
    if (message.size() >= 4) {
      Reader header(message);
      if (header.Number(1) != kClientHelloMessage) return State::kInvalid;
      needed = 4 + header.Number(3);
      if (needed > kClientHelloBytesMax) return State::kInvalid;
    }
    if (message.size() >= needed) break;
    if (part.size() < length) return State::kNeedMore;
    bytes.remove_prefix(5 + length);
  }
  message.resize(needed);
  return State::kTls;
}

// RFC 6066 §3: the first host_name entry.
bool ReadServerName(std::string_view data, std::string& name) {
  Reader reader(data);
  Reader list(reader.Vector(2));
  while (!list.empty()) {
    const uint32_t type = list.Number(1);
    const std::string_view value = list.Vector(2);
    if (!list.ok()) return false;
    if (type != 0) continue;
    constexpr size_t kNameMax = 255;
    if (value.empty() || value.size() > kNameMax || value.find('\0') != value.npos) return false;
    for (char c : value) name += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    break;
  }
  return reader.ok();
}

// RFC 7301 §3.1.
bool ReadAlpn(std::string_view data, std::vector<std::string>& alpn) {
  constexpr size_t kProtocolsMax = 64;
  Reader reader(data);
  Reader list(reader.Vector(2));
  while (!list.empty()) {
    const std::string_view protocol = list.Vector(1);
    if (!list.ok() || protocol.empty() || alpn.size() >= kProtocolsMax) return false;
    alpn.emplace_back(protocol);
  }
  return reader.ok();
}

bool ReadExtensions(std::string_view data, ClientHello& hello) {
  constexpr uint32_t kServerName = 0, kAlpn = 16;
  Reader list(data);
  bool has_name = false, has_alpn = false;
  while (!list.empty()) {
    const uint32_t type = list.Number(2);
    const std::string_view body = list.Vector(2);
    if (!list.ok()) return false;
    if (type == kServerName) {
      if (std::exchange(has_name, true) || !ReadServerName(body, hello.server_name)) return false;
    } else if (type == kAlpn) {
      if (std::exchange(has_alpn, true) || !ReadAlpn(body, hello.alpn)) return false;
    }
  }
  return list.ok();
}

// RFC 8446 §4.1.2.
bool ReadMessage(std::string_view message, ClientHello& hello) {
  Reader reader(message);
  reader.Take(4);   // type and length
  reader.Take(2);   // legacy_version
  reader.Take(32);  // random
  if (reader.Vector(1).size() > 32) return false;
  reader.Vector(2);  // cipher suites
  reader.Vector(1);  // compression methods
  if (!reader.ok()) return false;
  if (reader.empty()) return true;  // TLS 1.2 without extensions
  const std::string_view extensions = reader.Vector(2);
  return reader.ok() && reader.empty() && ReadExtensions(extensions, hello);
}

}  // namespace

ClientHello ParseClientHello(std::string_view first_bytes) {
  ClientHello hello;
  if (first_bytes.empty()) return hello;
  const auto is = [&](size_t at, uint8_t value) {
    return first_bytes.size() <= at || static_cast<uint8_t>(first_bytes[at]) == value;
  };
  // Record type, major version; the sixth byte is the handshake type.
  if (!is(0, kHandshakeRecord) || !is(1, 3) || !is(5, kClientHelloMessage)) {
    hello.state = State::kNotTls;
    return hello;
  }
  // No verdict before the byte that tells TLS from the rest, or more bytes could change it.
  if (first_bytes.size() < 6) return hello;
  std::string message;
  hello.state = Reassemble(first_bytes, message);
  if (hello.state == State::kNeedMore && first_bytes.size() >= kClientHelloBytesMax) {
    hello.state = State::kInvalid;
  }
  if (hello.state == State::kTls && !ReadMessage(message, hello)) hello.state = State::kInvalid;
  return hello;
}

}  // namespace meltemi::proxy
