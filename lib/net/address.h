// SPDX-License-Identifier: Apache-2.0
// A socket address: IPv4, IPv6, or a Unix path (a leading '@' means the abstract namespace).
// Immutable value; small, since every connection has some: a Unix path lies outside and is shared.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::net {

class Address final {
 public:
  Address() = default;                                                   // AF_UNSPEC
  static StatusOr<Address> ParseIp(std::string_view ip, uint16_t port);  // "10.0.0.1", "::1"
  static StatusOr<Address> Parse(std::string_view text);  // "1.2.3.4:80", "[::1]:80", "unix:/path"
  static StatusOr<Address> Unix(std::string_view path);
  static Address FromSockaddr(const sockaddr* from, socklen_t length);
  static Address Ipv4(uint32_t host_order_ip, uint16_t port);

  // The longest text: "unix:" and a path.
  static constexpr size_t kTextBytesMax = sizeof(sockaddr_un) + 8;

  int family() const { return unix_ != nullptr ? AF_UNIX : ip_.any.sa_family; }
  bool is_ip() const { return family() == AF_INET || family() == AF_INET6; }
  bool is_any() const;  // 0.0.0.0 or ::
  uint16_t port() const;
  Address WithPort(uint16_t port) const;
  std::string ip() const;    // without port or brackets
  std::string text() const;  // "1.2.3.4:80", "[::1]:80", "unix:/path"
  // The same without the heap: at most kTextBytesMax bytes to `to`, how many is returned.
  size_t WriteIp(char* to) const;
  size_t WriteText(char* to) const;
  // The address bytes in network order: 4, 16 or 0 of them.
  std::string_view ip_bytes() const;

  const sockaddr* data() const {
    return unix_ != nullptr ? reinterpret_cast<const sockaddr*>(unix_.get()) : &ip_.any;
  }
  socklen_t length() const { return length_; }
  bool operator==(const Address& other) const;
  size_t Hash() const;

 private:
  union Ip {
    sockaddr_in6 v6;
    sockaddr_in v4;
    sockaddr any;
  };
  static Address V4(in_addr ip, uint16_t port);
  static Address V6(const in6_addr& ip, uint16_t port);

  Ip ip_{};
  socklen_t length_ = 0;
  std::shared_ptr<const sockaddr_un> unix_;  // instead of ip_
};

}  // namespace meltemi::net
