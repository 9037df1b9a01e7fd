// SPDX-License-Identifier: Apache-2.0
// The process log: one line per event on stderr, `time level component message`. Thread-safe.
// Secrets (keys, tokens, authorization headers) are never passed to it.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace meltemi::log {

// Sets the format and the least level written: trace, debug, info, warning, error, critical, off.
// Returns false when `level` is none of these. Call once, in main, before threads start.
bool Configure(std::string_view level);

}  // namespace meltemi::log

#define MELTEMI_LOG(level, ...) ::spdlog::level(__VA_ARGS__)
