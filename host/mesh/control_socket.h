// SPDX-License-Identifier: Apache-2.0
// The packets between a mesh's supervisor and commands of its user (README.md has the protocol):
// JSON over SOCK_SEQPACKET, long texts in several packets, descriptors with the first.
#pragma once

#include <string>
#include <vector>

#include "host/controllers/json.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/status.h"

namespace meltemi::host {

inline constexpr size_t kControlTextBytesMax = 4 * 1024 * 1024;

Status SendJson(int socket, const Json& value, const std::vector<int>& descriptors = {});

// Joins packets to texts; one per connection.
class JsonReceiver final {
 public:
  // Unavailable: nothing (more) waits; Cancelled: the peer closed; DeadlineExceeded: on a blocking
  // socket with a timeout.
  StatusOr<Json> Receive(int socket, std::vector<Fd>* descriptors);

 private:
  std::string text_;
  std::vector<Fd> descriptors_;
};

// The error of an answer {"error": what, "remedy": …}; OK when it is none.
Status ErrorOf(const Json& answer);
Json ErrorJson(const Status& status);

// A command's end of the socket, blocking.
class ControlClient final {
 public:
  // FailedPrecondition when the mesh is not up.
  static StatusOr<ControlClient> Connect(const std::string& mesh);
  static StatusOr<ControlClient> ConnectAt(const std::string& socket_path, const std::string& mesh);

  // Sends `request` and waits for one answer; an error in it becomes the status.
  StatusOr<Json> Call(const Json& request, const std::vector<int>& descriptors, Duration wait_max);
  // Waits for a further packet, for ever when `wait_max` is zero.
  StatusOr<Json> Next(Duration wait_max);
  Status Send(const Json& request) { return SendJson(socket_.get(), request); }
  int fd() const { return socket_.get(); }

 private:
  explicit ControlClient(Fd socket) : socket_(std::move(socket)) {}
  Fd socket_;
  JsonReceiver receiver_;
};

}  // namespace meltemi::host
