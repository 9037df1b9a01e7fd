// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/address_compiler.h"

#include <fmt/format.h>

namespace meltemi::proxy {

StatusOr<net::Address> CompileSocketAddress(const envoy::config::core::v3::SocketAddress& from) {
  using envoy::config::core::v3::SocketAddress;
  if (from.protocol() != SocketAddress::TCP) {
    return absl::UnimplementedError("socket_address.protocol: only TCP is supported");
  }
  if (from.has_named_port()) {
    return absl::UnimplementedError("socket_address.named_port is not supported");
  }
  if (from.port_value() > 65535) {
    return absl::InvalidArgumentError(
        fmt::format("socket_address.port_value {} is above 65535", from.port_value()));
  }
  auto address = net::Address::ParseIp(from.address(), static_cast<uint16_t>(from.port_value()));
  if (!address.ok()) return WithContext(address.status(), "socket_address.address");
  return address;
}

StatusOr<net::Address> CompileAddress(const envoy::config::core::v3::Address& from) {
  using envoy::config::core::v3::Address;
  switch (from.address_case()) {
    case Address::kSocketAddress:
      return CompileSocketAddress(from.socket_address());
    case Address::kPipe:
      return net::Address::Unix(from.pipe().path());
    case Address::kEnvoyInternalAddress:
      return absl::UnimplementedError("address.envoy_internal_address is not supported");
    case Address::ADDRESS_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("address is missing");
}

}  // namespace meltemi::proxy
