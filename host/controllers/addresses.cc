// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/addresses.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>

#include "lib/base/fd.h"

namespace meltemi::host {
namespace {

constexpr uint32_t kAddresses = 65536;

}  // namespace

bool IsPortFree(const std::string& ip, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1) return false;
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // Connections of an earlier run in TIME_WAIT do not count.
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
         ::listen(socket.get(), 1) == 0;
}

Addresses::Addresses(const std::string& seed)
    : next_(static_cast<uint32_t>(std::hash<std::string>()(seed)) % 256 * 256) {}

StatusOr<std::string> Addresses::Take(const std::vector<uint16_t>& ports) {
  for (uint32_t tried = 0; tried < kAddresses; ++tried) {
    next_ = (next_ + 1) % kAddresses;
    if (next_ % 256 == 0 || next_ % 256 == 255) continue;
    const std::string ip = fmt::format("127.77.{}.{}", next_ / 256, next_ % 256);
    if (taken_.contains(ip)) continue;
    if (!std::all_of(ports.begin(), ports.end(),
                     [&](uint16_t port) { return IsPortFree(ip, port); }))
      continue;
    taken_.insert(ip);
    return ip;
  }
  return absl::ResourceExhaustedError(
      "no address of 127.77.0.0/16 has its ports free\nend other meshes on this machine");
}

}  // namespace meltemi::host
