// SPDX-License-Identifier: Apache-2.0
// Small files the agent reads anew each time: tokens, root certificates. Blocking; control thread.
#pragma once

#include <string>

#include "lib/base/status.h"

namespace meltemi::proxy {

inline constexpr size_t kTextFileBytesMax = 1024 * 1024;

// An error names `path` and what it was for, never the content.
StatusOr<std::string> ReadTextFile(const std::string& path, const char* purpose);
// The same without white space at the ends; empty is an error. A token goes into a header, so
// control characters are one too.
StatusOr<std::string> ReadToken(const std::string& path);

}  // namespace meltemi::proxy
