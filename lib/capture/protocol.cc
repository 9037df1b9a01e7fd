// SPDX-License-Identifier: Apache-2.0
#include "lib/capture/protocol.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace meltemi::capture {
namespace {

constexpr int kListenBacklog = 64;

Status Failed(const std::string& what, int error) {
  return absl::InternalError(fmt::format("{}: {}", what, std::strerror(error)));
}

// A Unix address for `path`. When the path is too long for sockaddr_un its folder is opened into
// `folder` and the address goes through /proc/self/fd, which names the same file in few bytes.
StatusOr<sockaddr_un> AddressOf(const std::string& path, Fd* folder) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string short_path = path;
  if (path.size() >= sizeof(address.sun_path)) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return absl::InvalidArgumentError("socket name is too long");
    const std::string parent = path.substr(0, slash);
    folder->Reset(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder->valid()) return Failed(fmt::format("opening folder {}", parent), errno);
    short_path = fmt::format("/proc/self/fd/{}/{}", folder->get(), path.substr(slash + 1));
    if (short_path.size() >= sizeof(address.sun_path))
      return absl::InvalidArgumentError(fmt::format("file name of {} is too long", path));
  }
  std::memcpy(address.sun_path, short_path.c_str(), short_path.size() + 1);
  return address;
}

void TakeDescriptors(msghdr& message, std::vector<Fd>* descriptors) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      descriptors->emplace_back(fd);
    }
  }
}

}  // namespace

Status SendPacket(int socket, const void* data, size_t size, const std::vector<int>& descriptors) {
  alignas(cmsghdr) char control[CMSG_SPACE(kSocketsMax * sizeof(int))] = {};
  if (descriptors.size() > kSocketsMax)
    return absl::InvalidArgumentError("too many descriptors for one packet");
  iovec part{const_cast<void*>(data), size};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(c), descriptors.data(), descriptors.size() * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EAGAIN) return absl::UnavailableError("the peer does not read");
  return Failed("sending to the sandbox socket", errno);
}

StatusOr<size_t> ReceivePacket(int socket, void* data, size_t capacity,
                               std::vector<Fd>* descriptors) {
  alignas(cmsghdr) char control[CMSG_SPACE(kSocketsMax * sizeof(int))];
  iovec part{data, capacity};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    if (errno != EAGAIN) return Failed("receiving from the sandbox socket", errno);
    const bool blocking = (::fcntl(socket, F_GETFL) & O_NONBLOCK) == 0;
    return blocking ? Status(absl::DeadlineExceededError("no answer in time"))
                    : Status(absl::UnavailableError("nothing to receive"));
  }
  std::vector<Fd> taken;
  TakeDescriptors(message, &taken);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return absl::InvalidArgumentError("packet longer than the protocol allows");
  if (descriptors != nullptr) *descriptors = std::move(taken);
  return static_cast<size_t>(got);
}

StatusOr<Fd> ListenAt(const std::string& path) {
  Fd folder;
  MELTEMI_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path, &folder));
  Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return Failed("making a Unix socket", errno);
  if (::unlink(address.sun_path) != 0 && errno != ENOENT)
    return Failed(fmt::format("removing the old socket {}", path), errno);
  // fchmod before bind fixes the mode of the file that bind makes, with no moment in between.
  ::fchmod(listener.get(), 0600);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return Failed(fmt::format("binding {}", path), errno);
  if (::chmod(address.sun_path, 0600) != 0)
    return Failed(fmt::format("setting the mode of {}", path), errno);
  if (::listen(listener.get(), kListenBacklog) != 0)
    return Failed(fmt::format("listening on {}", path), errno);
  return listener;
}

StatusOr<Fd> ConnectTo(const std::string& path, bool blocking) {
  Fd folder;
  MELTEMI_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path, &folder));
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0));
  if (!socket.valid()) return Failed("making a Unix socket", errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return absl::UnavailableError(fmt::format("connecting to {}: {}", path, std::strerror(errno)));
  return socket;
}

}  // namespace meltemi::capture
