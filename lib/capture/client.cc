// SPDX-License-Identifier: Apache-2.0
#include "lib/capture/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstring>

namespace meltemi::capture {

StatusOr<Client> Client::Connect(const std::string& path, Duration wait_max) {
  MELTEMI_ASSIGN_OR_RETURN(Fd socket, ConnectTo(path, /*blocking=*/true));
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(wait_max).count();
  const timeval wait{.tv_sec = us / 1000000, .tv_usec = us % 1000000};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
  return Client(std::move(socket));
}

StatusOr<Fd> Client::TcpListener(uint16_t port) {
  Request request;
  request.ask = Ask::kTcpListener;
  request.port = port;
  MELTEMI_ASSIGN_OR_RETURN(std::vector<Fd> sockets, Exchange(request, 1));
  return std::move(sockets.front());
}

StatusOr<Fd> Client::UdpSocket(uint16_t port) {
  Request request;
  request.ask = Ask::kUdpSocket;
  request.port = port;
  MELTEMI_ASSIGN_OR_RETURN(std::vector<Fd> sockets, Exchange(request, 1));
  return std::move(sockets.front());
}

StatusOr<std::vector<Fd>> Client::TcpSockets(int count) {
  if (count < 1 || count > kSocketsMax)
    return absl::InvalidArgumentError(
        fmt::format("{} sockets asked, 1 to {} allowed", count, kSocketsMax));
  Request request;
  request.ask = Ask::kTcpSockets;
  request.count = static_cast<uint8_t>(count);
  return Exchange(request, static_cast<size_t>(count));
}

StatusOr<std::vector<Fd>> Client::Exchange(const Request& request, size_t expected) {
  MELTEMI_RETURN_IF_ERROR(SendPacket(socket_.get(), &request, sizeof(request), {}));
  Reply reply;
  std::vector<Fd> sockets;
  MELTEMI_ASSIGN_OR_RETURN(const size_t size,
                           ReceivePacket(socket_.get(), &reply, sizeof(reply), &sockets));
  if (size == 0) return absl::UnavailableError("the sandbox closed the capture socket");
  if (size != sizeof(reply) || reply.magic != kMagic)
    return absl::InvalidArgumentError("not an answer of the capture protocol");
  if (reply.error != 0)
    return absl::InternalError(
        fmt::format("the sandbox gave no socket: {}", std::strerror(reply.error)));
  if (sockets.size() != expected)
    return absl::InvalidArgumentError(
        fmt::format("{} sockets came, {} were asked", sockets.size(), expected));
  return sockets;
}

}  // namespace meltemi::capture
