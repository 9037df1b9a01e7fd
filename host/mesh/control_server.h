// SPDX-License-Identifier: Apache-2.0
// The supervisor's end of the control socket. Loop thread only; a command that does not read is cut
// off.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "host/mesh/control_socket.h"
#include "lib/runtime/loop.h"

namespace meltemi::host {

class ControlServer;

// One command's connection; lives until either end closes.
class ControlConnection final : public std::enable_shared_from_this<ControlConnection>,
                                private runtime::FdHandler {
 public:
  ControlConnection(ControlServer& server, Fd socket);
  ~ControlConnection();

  void Send(const Json& message);
  // At most one of each; called from the loop.
  void OnMessage(std::function<void(const Json&)> callback) { on_message_ = std::move(callback); }
  void OnClose(std::function<void()> callback) { on_close_ = std::move(callback); }

 private:
  friend class ControlServer;
  void OnReady(runtime::Ready) override;
  void Close();

  ControlServer& server_;
  Fd socket_;
  JsonReceiver receiver_;
  bool has_asked_ = false;
  std::function<void(const Json&)> on_message_;
  std::function<void()> on_close_;
};

class ControlServer final : private runtime::FdHandler {
 public:
  static constexpr size_t kConnectionsMax = 64;
  // The first message of a connection, with its descriptors. Later ones go to OnMessage.
  using Handler = std::function<void(const std::shared_ptr<ControlConnection>&, const Json& request,
                                     std::vector<Fd> descriptors)>;

  static StatusOr<std::unique_ptr<ControlServer>> Listen(runtime::Loop& loop,
                                                         const std::string& path, Handler handler);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  friend class ControlConnection;
  ControlServer(runtime::Loop& loop, Fd listener, Handler handler);
  void OnReady(runtime::Ready) override;

  runtime::Loop& loop_;
  Fd listener_;
  Handler handler_;
  std::set<std::shared_ptr<ControlConnection>> connections_;
};

}  // namespace meltemi::host
