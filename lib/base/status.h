// SPDX-License-Identifier: Apache-2.0
// The one error style of set-up and control paths: absl::Status and absl::StatusOr, with two
// macros. Per-request paths use small enums instead (http/stream_error.h): building a Status
// allocates.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi {

using absl::Status;
using absl::StatusOr;

// Returns `status` with `context` put before its message ("reading /x: no such file").
inline Status WithContext(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  return Status(status.code(), std::string(context) + ": " + std::string(status.message()));
}

// Debian's abseil has a string_view of its own: these cross the border without a copy.
inline absl::string_view ToAbsl(std::string_view text) {
  return {text.data(), text.size()};
}
inline std::string_view Message(const Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace meltemi

#define MELTEMI_RETURN_IF_ERROR(expression)                                   \
  do {                                                                        \
    if (::absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define MELTEMI_CONCAT_INNER(a, b) a##b
#define MELTEMI_CONCAT(a, b) MELTEMI_CONCAT_INNER(a, b)
#define MELTEMI_ASSIGN_OR_RETURN(target, expression) \
  MELTEMI_ASSIGN_OR_RETURN_INNER(MELTEMI_CONCAT(status_or_, __LINE__), target, expression)
#define MELTEMI_ASSIGN_OR_RETURN_INNER(holder, target, expression) \
  auto holder = (expression);                                      \
  if (!holder.ok()) return holder.status();                        \
  target = *std::move(holder)
