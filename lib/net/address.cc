// SPDX-License-Identifier: Apache-2.0
#include "lib/net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace meltemi::net {
namespace {

Status Refuse(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(ToAbsl(fmt::format("address \"{}\": {}", text, why)));
}

size_t WritePort(uint16_t port, char* to) {
  return static_cast<size_t>(std::to_chars(to, to + 5, port).ptr - to);
}

size_t WriteV4(in_addr ip, char* to) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&ip);
  char* at = to;
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *at++ = '.';
    at = std::to_chars(at, at + 3, bytes[i]).ptr;
  }
  return static_cast<size_t>(at - to);
}

}  // namespace

Address Address::V4(in_addr ip, uint16_t port) {
  Address address;
  address.ip_.v4.sin_family = AF_INET;
  address.ip_.v4.sin_addr = ip;
  address.ip_.v4.sin_port = htons(port);
  address.length_ = sizeof(sockaddr_in);
  return address;
}

Address Address::V6(const in6_addr& ip, uint16_t port) {
  Address address;
  address.ip_.v6.sin6_family = AF_INET6;
  address.ip_.v6.sin6_addr = ip;
  address.ip_.v6.sin6_port = htons(port);
  address.length_ = sizeof(sockaddr_in6);
  return address;
}

StatusOr<Address> Address::ParseIp(std::string_view ip, uint16_t port) {
  char text[INET6_ADDRSTRLEN];
  if (ip.empty() || ip.size() >= sizeof text) return Refuse(ip, "not an IP address");
  std::memcpy(text, ip.data(), ip.size());
  text[ip.size()] = '\0';
  in_addr v4;
  if (inet_pton(AF_INET, text, &v4) == 1) return V4(v4, port);
  in6_addr v6;
  if (inet_pton(AF_INET6, text, &v6) == 1) return V6(v6, port);
  return Refuse(ip, "not an IP address; write 10.0.0.1 or fd00::1");
}

StatusOr<Address> Address::Parse(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) return Unix(text.substr(kUnix.size()));
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Refuse(text, "has no port; write 1.2.3.4:80");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) {
    return Refuse(text, "the port is not a number from 0 to 65535");
  }
  const bool has_brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (has_brackets) host = host.substr(1, host.size() - 2);
  const bool is_v6 = host.find(':') != std::string_view::npos;
  if (is_v6 != has_brackets) return Refuse(text, "IPv6, and only it, stands in brackets: [::1]:80");
  return ParseIp(host, port);
}

StatusOr<Address> Address::Unix(std::string_view path) {
  auto un = std::make_shared<sockaddr_un>();
  if (path.empty()) return Refuse("unix:", "the path is empty");
  if (path.size() >= sizeof un->sun_path) {
    return Refuse(path, fmt::format("longer than {} bytes", sizeof un->sun_path - 1));
  }
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.data(), path.size());
  const bool is_abstract = path.front() == '@';
  if (is_abstract) un->sun_path[0] = '\0';
  Address address;
  address.length_ =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
  address.unix_ = std::move(un);
  return address;
}

Address Address::FromSockaddr(const sockaddr* from, socklen_t length) {
  Address address;
  if (from->sa_family == AF_UNIX) {
    auto un = std::make_shared<sockaddr_un>();
    address.length_ = std::min<socklen_t>(length, sizeof *un);
    std::memcpy(un.get(), from, address.length_);
    address.unix_ = std::move(un);
  } else {
    address.length_ = std::min<socklen_t>(length, sizeof address.ip_);
    std::memcpy(&address.ip_, from, address.length_);
  }
  return address;
}

Address Address::Ipv4(uint32_t host_order_ip, uint16_t port) {
  return V4({htonl(host_order_ip)}, port);
}

bool Address::is_any() const {
  const std::string_view bytes = ip_bytes();
  return !bytes.empty() && bytes.find_first_not_of('\0') == std::string_view::npos;
}

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(ip_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(ip_.v6.sin6_port);
  return 0;
}

Address Address::WithPort(uint16_t port) const {
  Address copy = *this;
  if (family() == AF_INET) {
    copy.ip_.v4.sin_port = htons(port);
  } else if (family() == AF_INET6) {
    copy.ip_.v6.sin6_port = htons(port);
  }
  return copy;
}

size_t Address::WriteIp(char* to) const {
  if (family() == AF_INET) return WriteV4(ip_.v4.sin_addr, to);
  if (family() != AF_INET6) return 0;
  inet_ntop(AF_INET6, &ip_.v6.sin6_addr, to, INET6_ADDRSTRLEN);
  return std::strlen(to);
}

size_t Address::WriteText(char* to) const {
  char* at = to;
  if (is_ip()) {
    const bool has_brackets = family() == AF_INET6;
    if (has_brackets) *at++ = '[';
    at += WriteIp(at);
    if (has_brackets) *at++ = ']';
    *at++ = ':';
    at += WritePort(port(), at);
  } else if (family() == AF_UNIX) {
    constexpr std::string_view kScheme = "unix:";
    constexpr size_t kPath = offsetof(sockaddr_un, sun_path);
    at = std::copy(kScheme.begin(), kScheme.end(), at);
    if (length_ > kPath) {
      const char* const path = unix_->sun_path;
      const bool is_abstract = *path == '\0';
      const size_t bytes = is_abstract ? length_ - kPath : strnlen(path, length_ - kPath);
      at = std::copy_n(path, bytes, at);
      if (is_abstract) to[kScheme.size()] = '@';
    }
  }
  return static_cast<size_t>(at - to);
}

std::string Address::ip() const {
  char text[kTextBytesMax];
  return {text, WriteIp(text)};
}

std::string Address::text() const {
  char text[kTextBytesMax];
  return {text, WriteText(text)};
}

std::string_view Address::ip_bytes() const {
  if (family() == AF_INET) {
    return {reinterpret_cast<const char*>(&ip_.v4.sin_addr), sizeof(in_addr)};
  }
  if (family() == AF_INET6) {
    return {reinterpret_cast<const char*>(&ip_.v6.sin6_addr), sizeof(in6_addr)};
  }
  return {};
}

bool Address::operator==(const Address& other) const {
  if (family() != other.family()) return false;
  if (is_ip()) {
    // Not the whole structure: flow labels and padding do not name a peer.
    return port() == other.port() && ip_bytes() == other.ip_bytes() &&
           (family() == AF_INET || ip_.v6.sin6_scope_id == other.ip_.v6.sin6_scope_id);
  }
  return length_ == other.length_ && std::memcmp(data(), other.data(), length_) == 0;
}

size_t Address::Hash() const {
  if (is_ip()) return std::hash<std::string_view>()(ip_bytes()) * 31 + port();
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(data()), length_});
}

}  // namespace meltemi::net
