// SPDX-License-Identifier: Apache-2.0
#include "lib/net/listener_socket.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cerrno>

namespace meltemi::net {
namespace {

Status Failed(int error, std::string_view what, const Address& address) {
  return absl::ErrnoToStatus(error, ToAbsl(fmt::format("{} {}", what, address.text())));
}

// A Unix socket whose process died leaves its path behind: nobody answers there.
void RemoveDeadPath(const Address& address) {
  const std::string path = address.text().substr(5);
  if (path.empty() || path.front() == '@') return;
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(probe.get(), address.data(), address.length()) != 0 && errno == ECONNREFUSED) {
    unlink(path.c_str());
  }
}

Status SetOption(int fd, int level, int name, std::string_view what) {
  const int on = 1;
  if (setsockopt(fd, level, name, &on, sizeof on) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, ToAbsl(what));
}

Status SetOptions(int fd, const Address& address, const ListenOptions& options) {
  if (address.is_ip()) {
    MELTEMI_RETURN_IF_ERROR(SetOption(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"));
  }
  if (options.is_reuse_port) {
    MELTEMI_RETURN_IF_ERROR(SetOption(fd, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT"));
  }
  if (options.is_free_bind) {
    MELTEMI_RETURN_IF_ERROR(SetOption(fd, IPPROTO_IP, IP_FREEBIND, "IP_FREEBIND"));
  }
  if (options.is_transparent) {
    MELTEMI_RETURN_IF_ERROR(SetOption(fd, IPPROTO_IP, IP_TRANSPARENT, "IP_TRANSPARENT"));
  }
  if (options.is_v6_only && address.family() == AF_INET6) {
    MELTEMI_RETURN_IF_ERROR(SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY"));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<Fd> Listen(const Address& address, const ListenOptions& options) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Failed(errno, "making a socket for", address);
  if (address.family() == AF_UNIX) RemoveDeadPath(address);
  if (const Status set = SetOptions(fd.get(), address, options); !set.ok()) {
    return WithContext(set, "listening on " + address.text());
  }
  if (bind(fd.get(), address.data(), address.length()) != 0) {
    return Failed(errno, "binding", address);
  }
  if (listen(fd.get(), options.backlog) != 0) return Failed(errno, "listening on", address);
  return fd;
}

StatusOr<Address> BoundAddress(int fd) {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (getsockname(fd, address, &length) != 0) return absl::ErrnoToStatus(errno, "getsockname");
  return Address::FromSockaddr(address, length);
}

StatusOr<Fd> StreamSocket(int family, const Address& from) {
  Fd fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "making a socket");
  if (from.family() == AF_UNSPEC) return fd;
  if (from.port() == 0 && from.is_ip()) {
    // The port is chosen at connect, per destination, so one address serves more than 28 000 peers.
    MELTEMI_RETURN_IF_ERROR(
        SetOption(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, "IP_BIND_ADDRESS_NO_PORT"));
  }
  if (bind(fd.get(), from.data(), from.length()) != 0) {
    return Failed(errno, "binding the source address", from);
  }
  return fd;
}

StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(runtime::Loop& loop, Fd listening,
                                                     Callback callback) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(loop, std::move(listening), std::move(callback)));
  MELTEMI_RETURN_IF_ERROR(loop.Watch(acceptor->fd(), acceptor.get()));
  return acceptor;
}

Acceptor::Acceptor(runtime::Loop& loop, Fd listening, Callback callback)
    : loop_(loop),
      listening_(std::move(listening)),
      callback_(std::move(callback)),
      retry_(loop, [this] { Resume(); }) {}

Acceptor::~Acceptor() {
  if (destroyed_ != nullptr) *destroyed_ = true;
  loop_.Unwatch(listening_.get(), this);
}

void Acceptor::Pause() {
  is_paused_ = true;
}

void Acceptor::Resume() {
  is_paused_ = false;
  loop_.Rearm(listening_.get(), this);
}

void Acceptor::OnReady(runtime::Ready ready) {
  if (ready.readable) Accept();
}

void Acceptor::Accept() {
  bool destroyed = false;
  destroyed_ = &destroyed;
  for (int accepted = 0; !is_paused_; ++accepted) {
    if (accepted == kAcceptsPerTurn) {
      loop_.Rearm(listening_.get(), this);
      break;
    }
    sockaddr_storage storage;
    socklen_t length = sizeof storage;
    auto* peer = reinterpret_cast<sockaddr*>(&storage);
    Fd socket(accept4(listening_.get(), peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      callback_(std::move(socket), Address::FromSockaddr(peer, length));
      if (destroyed) return;
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      ++out_of_descriptors_;
      retry_.Arm(kRetryAfter);
      break;
    }
    // Anything else belongs to the connection that went away before it was accepted (accept(2)).
    if (errno == EBADF || errno == EINVAL) break;
  }
  destroyed_ = nullptr;
}

}  // namespace meltemi::net
