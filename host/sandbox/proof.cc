// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/proof.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "lib/base/fd.h"

namespace meltemi::host {
namespace {

constexpr const char* kReserved4 = "192.0.2.1";    // TEST-NET-1, RFC 5737
constexpr const char* kReserved6 = "2001:db8::1";  // RFC 3849
constexpr uint16_t kProbePort = 9;                 // discard
constexpr int kWaitMs = 2000;

Status Leaks(const std::string& how) {
  return absl::FailedPreconditionError(
      fmt::format("capture does not hold: {}\nreport this with the output of `uname -r`", how));
}

sockaddr_in Reserved(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, kReserved4, &address.sin_addr);
  return address;
}

bool IsReadable(int fd) {
  pollfd ready{fd, POLLIN, 0};
  return ::poll(&ready, 1, kWaitMs) == 1;
}

Status ProveTcp(int listener) {
  const sockaddr_in wanted = Reserved(kProbePort);
  Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&wanted), sizeof(wanted)) != 0 &&
      errno != EINPROGRESS)
    return Leaks(fmt::format("a TCP connection gave \"{}\"", std::strerror(errno)));
  if (!IsReadable(listener)) return Leaks("a TCP connection did not reach the proxy's port");
  Fd accepted(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  sockaddr_in seen{};
  socklen_t length = sizeof(seen);
  if (::getsockopt(accepted.get(), SOL_IP, SO_ORIGINAL_DST, &seen, &length) != 0)
    return Leaks(fmt::format("the original destination is unknown: {}", std::strerror(errno)));
  if (seen.sin_addr.s_addr != wanted.sin_addr.s_addr || seen.sin_port != wanted.sin_port)
    return Leaks("the original destination is another");
  // Reset instead of TIME_WAIT on both ends.
  const linger at_once{1, 0};
  ::setsockopt(probe.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  return absl::OkStatus();
}

Status ProveDns(int server) {
  const sockaddr_in wanted = Reserved(53);
  Fd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::sendto(probe.get(), "?", 1, 0, reinterpret_cast<const sockaddr*>(&wanted),
               sizeof(wanted)) != 1)
    return Leaks(fmt::format("a DNS query gave \"{}\"", std::strerror(errno)));
  if (!IsReadable(server)) return Leaks("a DNS query did not reach the proxy's port");
  char byte;
  if (::recv(server, &byte, 1, 0) != 1) return Leaks("a DNS query came out empty");
  return absl::OkStatus();
}

Status ProveIpv6Refused() {
  Fd probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return absl::OkStatus();  // a kernel without IPv6
  sockaddr_in6 wanted{};
  wanted.sin6_family = AF_INET6;
  wanted.sin6_port = htons(kProbePort);
  ::inet_pton(AF_INET6, kReserved6, &wanted.sin6_addr);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&wanted), sizeof(wanted)) == 0 ||
      errno == EINPROGRESS)
    return Leaks("an IPv6 connection was not refused");
  return absl::OkStatus();
}

}  // namespace

Status ProveCapture(const capture::Server& server) {
  MELTEMI_RETURN_IF_ERROR(ProveTcp(server.tcp_listener(capture::kOutboundPort)));
  MELTEMI_RETURN_IF_ERROR(ProveDns(server.udp_socket(capture::kDnsPort)));
  return ProveIpv6Refused();
}

}  // namespace meltemi::host
