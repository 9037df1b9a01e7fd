// SPDX-License-Identifier: Apache-2.0
#include "lib/capture/server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace meltemi::capture {
namespace {

// What waits while the proxy starts or starts again; the kernel caps it at net.core.somaxconn.
constexpr int kBacklog = 4096;

// 127.0.0.1 and not any address: nftables' redirect in the output hook rewrites the destination to
// it, and a UDP answer must leave from it for connection tracking to turn it back into the address
// that was asked.
StatusOr<Fd> Bound(int type, uint16_t port) {
  Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid())
    return absl::InternalError(fmt::format("making a socket: {}", std::strerror(errno)));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return absl::InternalError(
        fmt::format("binding port {} inside: {}", port, std::strerror(errno)));
  if (type == SOCK_STREAM && ::listen(socket.get(), kBacklog) != 0)
    return absl::InternalError(
        fmt::format("listening on port {} inside: {}", port, std::strerror(errno)));
  return socket;
}

int Find(const std::map<uint16_t, Fd>& sockets, uint16_t port) {
  const auto found = sockets.find(port);
  return found == sockets.end() ? -1 : found->second.get();
}

// Appends to `fresh` and returns an errno.
int MakeSockets(int count, std::vector<Fd>* fresh) {
  if (count < 1 || count > kSocketsMax) return EINVAL;
  for (int i = 0; i < count; ++i) {
    fresh->emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fresh->back().valid()) return errno;
  }
  return 0;
}

}  // namespace

StatusOr<Server> Server::Open(const std::vector<uint16_t>& tcp_ports,
                              const std::vector<uint16_t>& udp_ports) {
  Server server;
  for (const uint16_t port : tcp_ports) {
    MELTEMI_ASSIGN_OR_RETURN(server.tcp_[port], Bound(SOCK_STREAM, port));
  }
  for (const uint16_t port : udp_ports) {
    MELTEMI_ASSIGN_OR_RETURN(server.udp_[port], Bound(SOCK_DGRAM, port));
  }
  return server;
}

bool Server::ServeOne(int connection) const {
  Request request;
  std::vector<Fd> unwanted;
  const StatusOr<size_t> size = ReceivePacket(connection, &request, sizeof(request), &unwanted);
  if (!size.ok()) return absl::IsUnavailable(size.status());
  if (*size != sizeof(request) || request.magic != kMagic) return false;
  Reply reply;
  std::vector<Fd> fresh;
  std::vector<int> passed;
  if (request.ask == Ask::kTcpSockets) {
    reply.error = MakeSockets(request.count, &fresh);
    if (reply.error == 0)
      for (const Fd& socket : fresh) passed.push_back(socket.get());
  } else if (request.ask == Ask::kTcpListener || request.ask == Ask::kUdpSocket) {
    const int found = Find(request.ask == Ask::kTcpListener ? tcp_ : udp_, request.port);
    if (found < 0)
      reply.error = EADDRNOTAVAIL;
    else
      passed.push_back(found);
  } else {
    reply.error = EINVAL;
  }
  reply.count = static_cast<uint32_t>(passed.size());
  return SendPacket(connection, &reply, sizeof(reply), passed).ok();
}

int Server::tcp_listener(uint16_t port) const {
  return Find(tcp_, port);
}
int Server::udp_socket(uint16_t port) const {
  return Find(udp_, port);
}

}  // namespace meltemi::capture
