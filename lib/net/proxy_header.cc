// SPDX-License-Identifier: Apache-2.0
#include "lib/net/proxy_header.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "lib/base/big_endian.h"

namespace meltemi::net {
namespace {

using State = ParsedProxyHeader::State;

constexpr std::string_view kTextMark = "PROXY ";
constexpr std::string_view kBinaryMark("\r\n\r\n\0\r\nQUIT\n", 12);

// Commands and families of §2.2.
constexpr uint8_t kVersion2 = 0x20;
constexpr uint8_t kCommandLocal = 0;
constexpr uint8_t kCommandProxy = 1;
constexpr uint8_t kUnspecified = 0x00;
constexpr uint8_t kTcp4 = 0x11;
constexpr uint8_t kUdp4 = 0x12;
constexpr uint8_t kTcp6 = 0x21;
constexpr uint8_t kUdp6 = 0x22;
constexpr uint8_t kUnixStream = 0x31;
constexpr size_t kUnixBytes = 216;
constexpr size_t kTlvHeadBytes = 3;

uint8_t Byte(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

uint16_t Number16(std::string_view bytes, size_t at) {
  return ReadUint16(bytes.data() + at);
}

bool IsPrefixOfEither(std::string_view part, std::string_view whole) {
  const size_t common = std::min(part.size(), whole.size());
  return part.substr(0, common) == whole.substr(0, common);
}

// A client that cannot be one (0.0.0.0, multicast, broadcast) is a lie, as Envoy has it.
bool IsUnicast(const Address& address) {
  const std::string_view bytes = address.ip_bytes();
  if (address.is_any() || bytes == "\xff\xff\xff\xff") return false;
  const uint8_t first = Byte(bytes, 0);
  return bytes.size() == 4 ? (first & 0xf0) != 0xe0 : first != 0xff;
}

// -- version 1

// Decimal without sign and leading zeros (§2.1).
bool ReadPort(std::string_view text, uint16_t& port) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size();
}

bool ReadAddress(std::string_view ip, std::string_view port, int family, Address& to) {
  uint16_t number = 0;
  if (!ReadPort(port, number)) return false;
  auto address = Address::ParseIp(ip, number);
  // A zone would name an interface of another host.
  if (!address.ok() || address->family() != family || ip.find('%') != std::string_view::npos) {
    return false;
  }
  to = *std::move(address);
  return true;
}

// `line` without mark and CRLF.
bool ReadText(std::string_view line, ProxyHeader& to) {
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return true;  // the rest says nothing
  std::array<std::string_view, 5> words;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t end = line.find(' ');
    if ((end == std::string_view::npos) != (i + 1 == words.size())) return false;
    words[i] = line.substr(0, end);
    line.remove_prefix(std::min(end + (end != std::string_view::npos), line.size()));
    if (end == std::string_view::npos) break;
  }
  int family = AF_UNSPEC;
  if (words[0] == "TCP4") family = AF_INET;
  if (words[0] == "TCP6") family = AF_INET6;
  return family != AF_UNSPEC && ReadAddress(words[1], words[3], family, to.source) &&
         ReadAddress(words[2], words[4], family, to.destination) && IsUnicast(to.source);
}

void ParseText(std::string_view bytes, ParsedProxyHeader& to) {
  to.header.version = 1;
  const std::string_view line = bytes.substr(0, kProxyTextBytesMax);
  const size_t end = line.find('\n');
  if (end == std::string_view::npos) {
    to.state = line.size() < kProxyTextBytesMax ? State::kNeedMore : State::kInvalid;
    return;
  }
  to.state = State::kInvalid;
  if (line[end - 1] != '\r') return;
  const std::string_view words = line.substr(kTextMark.size(), end - 1 - kTextMark.size());
  if (words.find('\0') != std::string_view::npos || !ReadText(words, to.header)) return;
  to.state = State::kWhole;
  to.bytes = end + 1;
}

// -- version 2

// The first 4 or 16 bytes are an address. Port and address of both families stand at offsets of
// their own.
Address IpOf(sa_family_t family, std::string_view bytes, uint16_t port) {
  sockaddr_storage storage{};
  storage.ss_family = family;
  const bool is_v4 = family == AF_INET;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  (is_v4 ? v4->sin_port : v6->sin6_port) = htons(port);
  std::memcpy(is_v4 ? static_cast<void*>(&v4->sin_addr) : &v6->sin6_addr, bytes.data(),
              is_v4 ? sizeof v4->sin_addr : sizeof v6->sin6_addr);
  return Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&storage),
                               is_v4 ? sizeof *v4 : sizeof *v6);
}

bool ReadTlvs(std::string_view bytes, std::vector<ProxyTlv>& to) {
  while (!bytes.empty()) {
    if (bytes.size() < kTlvHeadBytes) return false;
    const size_t length = Number16(bytes, 1);
    if (bytes.size() - kTlvHeadBytes < length) return false;
    to.push_back({Byte(bytes, 0), std::string(bytes.substr(kTlvHeadBytes, length))});
    bytes.remove_prefix(kTlvHeadBytes + length);
  }
  return true;
}

// Two addresses, their ports, then TLVs.
bool ReadAddresses(sa_family_t family, std::string_view rest, ProxyHeader& to) {
  const size_t bytes = family == AF_INET ? 4 : 16;
  const size_t ports_at = 2 * bytes;
  if (rest.size() < ports_at + 4) return false;
  to.source = IpOf(family, rest, Number16(rest, ports_at));
  to.destination = IpOf(family, rest.substr(bytes), Number16(rest, ports_at + 2));
  return IsUnicast(to.source) && ReadTlvs(rest.substr(ports_at + 4), to.tlvs);
}

// `rest` = what the length field announced: addresses, then TLVs.
bool ReadBinary(uint8_t family, std::string_view rest, ProxyHeader& to) {
  switch (family) {
    case kUnspecified:  // §2.2: what follows is to be ignored
      return true;
    case kTcp4:
    case kUdp4:
      return ReadAddresses(AF_INET, rest, to);
    case kTcp6:
    case kUdp6:
      return ReadAddresses(AF_INET6, rest, to);
    case kUnixStream:  // the socket of another host's process: nothing to match or to log
      return rest.size() >= kUnixBytes && ReadTlvs(rest.substr(kUnixBytes), to.tlvs);
    default:
      return false;
  }
}

void ParseBinary(std::string_view bytes, ParsedProxyHeader& to) {
  to.header.version = 2;
  to.bytes = kProxyBinaryHeadBytes;
  if (bytes.size() < kProxyBinaryHeadBytes) return;
  const uint8_t version_command = Byte(bytes, 12);
  const uint8_t command = version_command & 0x0f;
  if ((version_command & 0xf0) != kVersion2 || command > kCommandProxy) {
    to.state = State::kInvalid;
    return;
  }
  to.bytes = kProxyBinaryHeadBytes + Number16(bytes, 14);
  if (bytes.size() < to.bytes) return;
  const std::string_view rest =
      bytes.substr(kProxyBinaryHeadBytes, to.bytes - kProxyBinaryHeadBytes);
  // §2.2: the rest of LOCAL is skipped, whatever it holds.
  const bool is_good = command == kCommandLocal || ReadBinary(Byte(bytes, 13), rest, to.header);
  to.state = is_good ? State::kWhole : State::kInvalid;
}

// -- encoding

void Append16(size_t number, std::string& to) {
  to += static_cast<char>(number >> 8);
  to += static_cast<char>(number & 0xff);
}

// IPv4 as IPv6, for headers whose two addresses are of different families.
std::string MappedBytes(const Address& address) {
  if (address.family() == AF_INET6) return std::string(address.ip_bytes());
  return std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) + std::string(address.ip_bytes());
}

std::string BinaryHead(uint8_t command, uint8_t family, size_t rest) {
  std::string head(kBinaryMark);
  head += static_cast<char>(kVersion2 | command);
  head += static_cast<char>(family);
  Append16(rest, head);
  return head;
}

}  // namespace

ParsedProxyHeader ParseProxyHeader(std::string_view first_bytes) {
  ParsedProxyHeader parsed;
  if (first_bytes.empty()) return parsed;
  if (IsPrefixOfEither(first_bytes, kBinaryMark)) {
    if (first_bytes.size() >= kBinaryMark.size()) ParseBinary(first_bytes, parsed);
  } else if (IsPrefixOfEither(first_bytes, kTextMark)) {
    if (first_bytes.size() >= kTextMark.size()) ParseText(first_bytes, parsed);
  } else {
    parsed.state = State::kNone;
  }
  return parsed;
}

std::string EncodeProxyText(const Address& source, const Address& destination) {
  if (!source.is_ip() || !destination.is_ip()) return "PROXY UNKNOWN\r\n";
  if (source.family() == destination.family()) {
    return fmt::format("PROXY {} {} {} {} {}\r\n", source.family() == AF_INET ? "TCP4" : "TCP6",
                       source.ip(), destination.ip(), source.port(), destination.port());
  }
  return fmt::format("PROXY TCP6 {} {} {} {}\r\n", IpOf(AF_INET6, MappedBytes(source), 0).ip(),
                     IpOf(AF_INET6, MappedBytes(destination), 0).ip(), source.port(),
                     destination.port());
}

std::optional<std::string> EncodeProxyBinary(const Address& source, const Address& destination,
                                             std::span<const ProxyTlv> tlvs) {
  uint8_t family = kUnspecified;
  std::string rest;
  if (source.is_ip() && destination.is_ip()) {
    const bool is_v4 = source.family() == AF_INET && destination.family() == AF_INET;
    family = is_v4 ? kTcp4 : kTcp6;
    for (const Address* address : {&source, &destination}) {
      rest += is_v4 ? std::string(address->ip_bytes()) : MappedBytes(*address);
    }
    Append16(source.port(), rest);
    Append16(destination.port(), rest);
  }
  for (const ProxyTlv& tlv : tlvs) {
    if (tlv.value.size() > kProxyBinaryRestMax) return std::nullopt;
    rest += static_cast<char>(tlv.type);
    Append16(tlv.value.size(), rest);
    rest += tlv.value;
    if (rest.size() > kProxyBinaryRestMax) return std::nullopt;
  }
  return BinaryHead(kCommandProxy, family, rest.size()) + rest;
}

std::string EncodeProxyLocal() {
  return BinaryHead(kCommandLocal, kUnspecified, 0);
}

}  // namespace meltemi::net
