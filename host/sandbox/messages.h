// SPDX-License-Identifier: Apache-2.0
// What a sandbox's owner outside and its first process say to each other over a private socket
// pair: packets of NUL-separated fields, the first of which names the packet. argv, environment and
// paths cannot hold NUL, so nothing needs quoting. Descriptors (stdio) travel with `run`.
//
//   owner -> inside   run ID CWD ARGC arg… ENVC env…   with stdin, stdout, stderr
//                     signal ID NUMBER
//   inside -> owner   ready
//                     failed CODE TEXT                 set-up failed; the process ends
//                     started ID PID | refused ID ERRNO
//                     exited ID CODE SIGNAL            one of them is zero
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/fd.h"
#include "lib/base/status.h"

namespace meltemi::host {

// Keeps a packet below a Unix socket's default send buffer (212 992 bytes).
inline constexpr size_t kPacketBytesMax = 128 * 1024;
inline constexpr size_t kFieldsMax = 8192;

// A command line to run inside a sandbox.
struct Command {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value"; nothing is inherited
  std::string working_directory;
};

using Fields = std::vector<std::string>;

Status SendFields(int socket, const Fields& fields, const std::vector<int>& descriptors = {});
// Unavailable when nothing waits; Cancelled when the peer closed.
StatusOr<Fields> ReceiveFields(int socket, std::vector<Fd>* descriptors);

// A field as a number; -1 when it is none or too large for an int.
int64_t Number(const std::string& field);

Fields RunFields(uint32_t id, const Command& command);
StatusOr<Command> ParseRun(const Fields& fields);

}  // namespace meltemi::host
