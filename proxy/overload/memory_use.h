// SPDX-License-Identifier: Apache-2.0
// What the kernel says about memory. Control thread; reads files of /proc and /sys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace meltemi::proxy {

// Bytes of this process that only it holds (anonymous pages): heap, stacks, buffers.
std::optional<uint64_t> AnonymousMemory();

struct GroupMemory {
  uint64_t used = 0;
  uint64_t limit = 0;  // 0 = none
};
// Of the control group this process is in, version 2 or 1, as seen from inside a container.
std::optional<GroupMemory> ControlGroupMemory();

// The beginning of a small file; nothing when it cannot be read.
std::optional<std::string> ReadSmallFile(const std::string& path);

}  // namespace meltemi::proxy
