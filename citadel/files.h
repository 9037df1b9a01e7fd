// SPDX-License-Identifier: Apache-2.0
// Small files that must be whole or absent: keys and certificates. Blocking; for start-up.
#pragma once

#include <sys/types.h>
#include <optional>
#include <string>

#include "lib/base/status.h"

namespace meltemi::citadel {

inline constexpr size_t kPemFileBytesMax = 1024 * 1024;

// nullopt = there is no such file.
StatusOr<std::optional<std::string>> ReadSmallFile(const std::string& path);
// Replaces the file at once (temporary file, sync, rename); it never exists with a wider mode.
Status WriteSmallFile(const std::string& path, const std::string& text, mode_t mode);
// With mode 0700 when it is made here.
Status MakeDirectory(const std::string& path);

}  // namespace meltemi::citadel
