// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/messages.h"

#include <fmt/format.h>

#include <charconv>

#include "lib/capture/protocol.h"

namespace meltemi::host {

Status SendFields(int socket, const Fields& fields, const std::vector<int>& descriptors) {
  std::string packet;
  for (const std::string& field : fields) {
    if (field.find('\0') != std::string::npos)
      return absl::InvalidArgumentError("a NUL byte in a command line or environment");
    packet.append(field).push_back('\0');
  }
  if (packet.size() > kPacketBytesMax)
    return absl::InvalidArgumentError(
        fmt::format("command line and environment have {} bytes, {} are allowed", packet.size(),
                    kPacketBytesMax));
  return capture::SendPacket(socket, packet.data(), packet.size(), descriptors);
}

StatusOr<Fields> ReceiveFields(int socket, std::vector<Fd>* descriptors) {
  std::string packet(kPacketBytesMax, '\0');
  MELTEMI_ASSIGN_OR_RETURN(
      const size_t size, capture::ReceivePacket(socket, packet.data(), packet.size(), descriptors));
  if (size == 0) return absl::CancelledError("the other end closed");
  Fields fields;
  size_t start = 0;
  while (start < size) {
    const size_t end = packet.find('\0', start);
    if (end == std::string::npos || end >= size || fields.size() == kFieldsMax)
      return absl::InvalidArgumentError("malformed packet");
    fields.push_back(packet.substr(start, end - start));
    start = end + 1;
  }
  return fields;
}

int64_t Number(const std::string& field) {
  int32_t value = -1;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || value < 0) return -1;
  return value;
}

Fields RunFields(uint32_t id, const Command& command) {
  Fields fields = {"run", std::to_string(id), command.working_directory,
                   std::to_string(command.argv.size())};
  fields.insert(fields.end(), command.argv.begin(), command.argv.end());
  fields.push_back(std::to_string(command.env.size()));
  fields.insert(fields.end(), command.env.begin(), command.env.end());
  return fields;
}

StatusOr<Command> ParseRun(const Fields& fields) {
  const Status malformed = absl::InvalidArgumentError("malformed run packet");
  if (fields.size() < 6) return malformed;
  const int64_t arg_count = Number(fields[3]);
  if (arg_count < 1 || arg_count > static_cast<int64_t>(fields.size()) - 5) return malformed;
  const auto args = fields.begin() + 4;
  const int64_t env_count = Number(args[arg_count]);
  if (env_count != static_cast<int64_t>(fields.size()) - 5 - arg_count) return malformed;
  Command command;
  command.working_directory = fields[2];
  command.argv.assign(args, args + arg_count);
  command.env.assign(args + arg_count + 1, fields.end());
  return command;
}

}  // namespace meltemi::host
