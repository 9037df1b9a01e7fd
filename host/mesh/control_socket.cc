// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/control_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "host/mesh/state_directory.h"
#include "lib/capture/protocol.h"

namespace meltemi::host {
namespace {

// One packet: a mark, then a part of the text.
constexpr size_t kPartBytesMax = 64 * 1024;
constexpr char kMore = '+';
constexpr char kLast = '.';

}  // namespace

Status SendJson(int socket, const Json& value, const std::vector<int>& descriptors) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kControlTextBytesMax)
    return absl::ResourceExhaustedError("the text is too long for the control socket");
  for (size_t at = 0; at < text.size(); at += kPartBytesMax) {
    const bool is_last = at + kPartBytesMax >= text.size();
    const std::string packet = (is_last ? kLast : kMore) + text.substr(at, kPartBytesMax);
    MELTEMI_RETURN_IF_ERROR(capture::SendPacket(socket, packet.data(), packet.size(),
                                                at == 0 ? descriptors : std::vector<int>()));
  }
  return absl::OkStatus();
}

StatusOr<Json> JsonReceiver::Receive(int socket, std::vector<Fd>* descriptors) {
  for (;;) {
    std::string packet(kPartBytesMax + 1, '\0');
    std::vector<Fd> fresh;
    MELTEMI_ASSIGN_OR_RETURN(const size_t size,
                             capture::ReceivePacket(socket, packet.data(), packet.size(), &fresh));
    if (size == 0) return absl::CancelledError("the other end closed");
    std::move(fresh.begin(), fresh.end(), std::back_inserter(descriptors_));
    text_.append(packet, 1, size - 1);
    if (text_.size() > kControlTextBytesMax || descriptors_.size() > capture::kSocketsMax)
      return absl::InvalidArgumentError("the text is too long for the control socket");
    if (packet[0] != kLast) continue;
    Json value = Json::parse(std::exchange(text_, ""), nullptr, false);
    std::vector<Fd> all = std::exchange(descriptors_, {});
    if (descriptors != nullptr) *descriptors = std::move(all);
    if (!value.is_object()) return absl::InvalidArgumentError("not a JSON object");
    return value;
  }
}

Status ErrorOf(const Json& answer) {
  const std::string what = StringAt(answer, "error");
  if (what.empty()) return absl::OkStatus();
  const std::string remedy = StringAt(answer, "remedy");
  return absl::FailedPreconditionError(remedy.empty() ? what : what + "\n" + remedy);
}

Json ErrorJson(const Status& status) {
  const std::string text(Message(status));
  const size_t line = text.find('\n');
  return {{"error", text.substr(0, line)},
          {"remedy", line == std::string::npos ? "" : text.substr(line + 1)}};
}

StatusOr<ControlClient> ControlClient::Connect(const std::string& mesh) {
  MELTEMI_ASSIGN_OR_RETURN(const StateDirectory state, StateDirectory::Of(mesh));
  return ConnectAt(state.control_socket(), mesh);
}

StatusOr<ControlClient> ControlClient::ConnectAt(const std::string& socket_path,
                                                 const std::string& mesh) {
  StatusOr<Fd> socket = capture::ConnectTo(socket_path, /*blocking=*/true);
  if (!socket.ok())
    return absl::FailedPreconditionError(
        fmt::format("the mesh {} is not up\nstart it with `meltemi up`", mesh));
  return ControlClient(*std::move(socket));
}

StatusOr<Json> ControlClient::Call(const Json& request, const std::vector<int>& descriptors,
                                   Duration wait_max) {
  MELTEMI_RETURN_IF_ERROR(SendJson(socket_.get(), request, descriptors));
  return Next(wait_max);
}

StatusOr<Json> ControlClient::Next(Duration wait_max) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(wait_max).count();
  const timeval wait{.tv_sec = us / 1000000, .tv_usec = us % 1000000};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  MELTEMI_ASSIGN_OR_RETURN(Json answer, receiver_.Receive(socket_.get(), nullptr));
  MELTEMI_RETURN_IF_ERROR(ErrorOf(answer));
  return answer;
}

}  // namespace meltemi::host
