// SPDX-License-Identifier: Apache-2.0
#include "lib/net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace meltemi::net {
namespace {

const sockaddr_in& V4(const sockaddr_storage& from) {
  return reinterpret_cast<const sockaddr_in&>(from);
}
const sockaddr_in6& V6(const sockaddr_storage& from) {
  return reinterpret_cast<const sockaddr_in6&>(from);
}
const sockaddr_un& Un(const sockaddr_storage& from) {
  return reinterpret_cast<const sockaddr_un&>(from);
}

Status Refuse(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(ToAbsl(fmt::format("address \"{}\": {}", text, why)));
}

}  // namespace

StatusOr<Address> Address::ParseIp(std::string_view ip, uint16_t port) {
  char text[INET6_ADDRSTRLEN];
  if (ip.empty() || ip.size() >= sizeof text) return Refuse(ip, "not an IP address");
  std::memcpy(text, ip.data(), ip.size());
  text[ip.size()] = '\0';
  Address address;
  if (auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage_);
      inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.length_ = sizeof *v4;
    return address;
  }
  if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage_);
      inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.length_ = sizeof *v6;
    return address;
  }
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
  Address address;
  auto* un = reinterpret_cast<sockaddr_un*>(&address.storage_);
  if (path.empty()) return Refuse("unix:", "the path is empty");
  if (path.size() >= sizeof un->sun_path) {
    return Refuse(path, fmt::format("longer than {} bytes", sizeof un->sun_path - 1));
  }
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.data(), path.size());
  const bool is_abstract = path.front() == '@';
  if (is_abstract) un->sun_path[0] = '\0';
  address.length_ =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
  return address;
}

Address Address::FromSockaddr(const sockaddr* from, socklen_t length) {
  Address address;
  address.length_ = std::min<socklen_t>(length, sizeof address.storage_);
  std::memcpy(&address.storage_, from, address.length_);
  return address;
}

Address Address::Ipv4(uint32_t host_order_ip, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage_);
  v4->sin_family = AF_INET;
  v4->sin_addr.s_addr = htonl(host_order_ip);
  v4->sin_port = htons(port);
  address.length_ = sizeof *v4;
  return address;
}

bool Address::is_any() const {
  const std::string_view bytes = ip_bytes();
  return !bytes.empty() && bytes.find_first_not_of('\0') == std::string_view::npos;
}

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(V4(storage_).sin_port);
  if (family() == AF_INET6) return ntohs(V6(storage_).sin6_port);
  return 0;
}

Address Address::WithPort(uint16_t port) const {
  Address copy = *this;
  if (family() == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&copy.storage_)->sin_port = htons(port);
  } else if (family() == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&copy.storage_)->sin6_port = htons(port);
  }
  return copy;
}

std::string Address::ip() const {
  char text[INET6_ADDRSTRLEN];
  const std::string_view bytes = ip_bytes();
  if (bytes.empty()) return "";
  return inet_ntop(family(), bytes.data(), text, sizeof text);
}

std::string Address::text() const {
  if (family() == AF_INET) return fmt::format("{}:{}", ip(), port());
  if (family() == AF_INET6) return fmt::format("[{}]:{}", ip(), port());
  if (family() != AF_UNIX) return "";
  constexpr size_t kPath = offsetof(sockaddr_un, sun_path);
  if (length_ <= kPath) return "unix:";
  std::string path(Un(storage_).sun_path, length_ - kPath);
  if (path.front() == '\0') {
    path.front() = '@';
  } else {
    path.resize(std::strlen(path.c_str()));
  }
  return "unix:" + path;
}

std::string_view Address::ip_bytes() const {
  if (family() == AF_INET) {
    return {reinterpret_cast<const char*>(&V4(storage_).sin_addr), sizeof(in_addr)};
  }
  if (family() == AF_INET6) {
    return {reinterpret_cast<const char*>(&V6(storage_).sin6_addr), sizeof(in6_addr)};
  }
  return {};
}

bool Address::operator==(const Address& other) const {
  if (family() != other.family()) return false;
  if (is_ip()) {
    // Not the whole structure: flow labels and padding do not name a peer.
    return port() == other.port() && ip_bytes() == other.ip_bytes() &&
           (family() == AF_INET || V6(storage_).sin6_scope_id == V6(other.storage_).sin6_scope_id);
  }
  return length_ == other.length_ && std::memcmp(&storage_, &other.storage_, length_) == 0;
}

size_t Address::Hash() const {
  if (is_ip()) return std::hash<std::string_view>()(ip_bytes()) * 31 + port();
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(&storage_), length_});
}

}  // namespace meltemi::net
