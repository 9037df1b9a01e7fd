// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "proxy/listener/socket_source.h"

namespace meltemi::proxy {
namespace {

Fd NewSocket(int family) {
  Fd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.valid() && family != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return fd;
}

Status SystemError(const ListenRequest& request, const net::Address& address, const char* step) {
  return absl::UnavailableError(fmt::format("listener {}: cannot {} {}: {}", request.listener_name,
                                            step, address.text(), std::strerror(errno)));
}

// A Unix path left behind by a process that is gone would refuse the bind.
void RemoveStaleSocket(const net::Address& address) {
  const auto* path = reinterpret_cast<const sockaddr_un*>(address.data())->sun_path;
  if (path[0] != '\0') ::unlink(path);
}

Status SetOptions(int fd, const ListenRequest& request, const net::Address& address,
                  SocketOption::State state) {
  for (const SocketOption& option : request.options) {
    if (option.state != state) continue;
    if (::setsockopt(fd, option.level, option.name, option.value.data(),
                     static_cast<socklen_t>(option.value.size())) != 0) {
      const std::string step = fmt::format("set socket option {}/{} on", option.level, option.name);
      return SystemError(request, address, step.c_str());
    }
  }
  return absl::OkStatus();
}

StatusOr<ListeningSocket> BindOne(const ListenRequest& request, const net::Address& address,
                                  bool is_shared) {
  Fd fd = NewSocket(address.family());
  if (!fd.valid()) return SystemError(request, address, "make a socket for");
  const int on = 1;
  if (address.is_ip()) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Only among workers: with it, another process of the same user could join the port unnoticed.
    if (is_shared) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  } else {
    RemoveStaleSocket(address);
  }
  if (address.family() == AF_INET6 && !address.is_any()) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  MELTEMI_RETURN_IF_ERROR(SetOptions(fd.get(), request, address, SocketOption::State::kPrebind));
  if (::bind(fd.get(), address.data(), address.length()) != 0)
    return SystemError(request, address, "bind");
  MELTEMI_RETURN_IF_ERROR(SetOptions(fd.get(), request, address, SocketOption::State::kBound));
  if (::listen(fd.get(), request.backlog) != 0) return SystemError(request, address, "listen on");
  MELTEMI_RETURN_IF_ERROR(SetOptions(fd.get(), request, address, SocketOption::State::kListening));
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
    return SystemError(request, address, "ask the address of");
  }
  return ListeningSocket{std::move(fd),
                         net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&bound), length)};
}

class HostConnectSockets final : public ConnectSockets {
 public:
  Fd Take(const ConnectRequest& request) override {
    Fd fd = NewSocket(request.to.family());
    if (fd.valid() && request.bind != nullptr && request.bind->family() == request.to.family()) {
      // The port is chosen at connect, so that one source address serves many destinations.
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      if (::bind(fd.get(), request.bind->data(), request.bind->length()) != 0) return Fd();
    }
    return fd;
  }
};

class HostSockets final : public SocketSource {
 public:
  StatusOr<std::vector<ListeningSocket>> Listen(const ListenRequest& request,
                                                const net::Address& wanted,
                                                size_t workers) override {
    std::vector<ListeningSocket> sockets;
    net::Address address = wanted;
    for (size_t i = 0; i < workers; ++i) {
      // Unix sockets have no SO_REUSEPORT: workers share one.
      if (i > 0 && (request.is_shared || !address.is_ip())) {
        Fd copy(::fcntl(sockets[0].fd.get(), F_DUPFD_CLOEXEC, 0));
        if (!copy.valid()) return SystemError(request, address, "duplicate");
        sockets.push_back({std::move(copy), address});
        continue;
      }
      MELTEMI_ASSIGN_OR_RETURN(ListeningSocket bound,
                               BindOne(request, address, workers > 1 && !request.is_shared));
      address = bound.address;
      sockets.push_back(std::move(bound));
    }
    return sockets;
  }
  std::unique_ptr<ConnectSockets> NewConnectSockets(runtime::Loop&) override {
    return std::make_unique<HostConnectSockets>();
  }
};

}  // namespace

std::unique_ptr<SocketSource> NewHostSockets() {
  return std::make_unique<HostSockets>();
}

}  // namespace meltemi::proxy
