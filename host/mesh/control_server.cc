// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/control_server.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "lib/capture/protocol.h"

namespace meltemi::host {

ControlConnection::ControlConnection(ControlServer& server, Fd socket)
    : server_(server), socket_(std::move(socket)) {}

ControlConnection::~ControlConnection() {
  if (socket_.valid()) server_.loop_.Unwatch(socket_.get(), this);
}

void ControlConnection::Send(const Json& message) {
  if (socket_.valid() && !SendJson(socket_.get(), message).ok()) Close();
}

void ControlConnection::OnReady(runtime::Ready) {
  const auto self = shared_from_this();
  while (socket_.valid()) {
    std::vector<Fd> descriptors;
    const StatusOr<Json> message = receiver_.Receive(socket_.get(), &descriptors);
    if (!message.ok()) {
      if (!absl::IsUnavailable(message.status())) Close();
      return;
    }
    if (!std::exchange(has_asked_, true))
      server_.handler_(self, *message, std::move(descriptors));
    else if (on_message_)
      on_message_(*message);
  }
}

void ControlConnection::Close() {
  if (!socket_.valid()) return;
  server_.loop_.Unwatch(socket_.get(), this);
  socket_.Reset();
  on_message_ = nullptr;
  if (const auto on_close = std::exchange(on_close_, nullptr)) on_close();
  const auto self = shared_from_this();
  server_.connections_.erase(self);
  server_.loop_.DeferDelete(self);
}

ControlServer::ControlServer(runtime::Loop& loop, Fd listener, Handler handler)
    : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)) {}

ControlServer::~ControlServer() {
  loop_.Unwatch(listener_.get(), this);
  for (const auto& connection : std::exchange(connections_, {})) {
    connection->on_close_ = nullptr;
    connection->on_message_ = nullptr;
    if (connection->socket_.valid()) loop_.Unwatch(connection->socket_.get(), connection.get());
    connection->socket_.Reset();
  }
}

StatusOr<std::unique_ptr<ControlServer>> ControlServer::Listen(runtime::Loop& loop,
                                                               const std::string& path,
                                                               Handler handler) {
  MELTEMI_ASSIGN_OR_RETURN(Fd listener, capture::ListenAt(path));
  std::unique_ptr<ControlServer> server(
      new ControlServer(loop, std::move(listener), std::move(handler)));
  MELTEMI_RETURN_IF_ERROR(loop.Watch(server->listener_.get(), server.get()));
  return server;
}

void ControlServer::OnReady(runtime::Ready) {
  for (;;) {
    Fd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!accepted.valid()) return;
    if (connections_.size() >= kConnectionsMax) continue;
    auto connection = std::make_shared<ControlConnection>(*this, std::move(accepted));
    if (loop_.Watch(connection->socket_.get(), connection.get()).ok())
      connections_.insert(connection);
  }
}

}  // namespace meltemi::host
