// SPDX-License-Identifier: Apache-2.0
// A socket address: IPv4, IPv6, or a Unix path (a leading '@' means the abstract namespace).
// Immutable value; cheap to copy except for Unix paths.
#pragma once

#include <sys/socket.h>

#include <cstdint>
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

  int family() const { return storage_.ss_family; }
  bool is_ip() const { return family() == AF_INET || family() == AF_INET6; }
  bool is_any() const;  // 0.0.0.0 or ::
  uint16_t port() const;
  Address WithPort(uint16_t port) const;
  std::string ip() const;    // without port or brackets
  std::string text() const;  // "1.2.3.4:80", "[::1]:80", "unix:/path"
  // The address bytes in network order: 4, 16 or 0 of them.
  std::string_view ip_bytes() const;

  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }
  bool operator==(const Address& other) const;
  size_t Hash() const;

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace meltemi::net
