// SPDX-License-Identifier: Apache-2.0
// A workload's log file as it grows; goes on with the fresh one when the file is rotated.
#pragma once

#include <cstdint>
#include <string>

#include "lib/base/fd.h"
#include "lib/base/status.h"

namespace meltemi::cli {

class LogReader final {
 public:
  // Begins `tail` lines before the end, at the start when `tail` is negative.
  static StatusOr<LogReader> Open(const std::string& path, int64_t tail);

  // Writes what is new to stdout; false when stdout is gone.
  bool PrintNew();

 private:
  LogReader(std::string path, Fd file) : path_(std::move(path)), file_(std::move(file)) {}
  bool Copy();

  std::string path_;
  Fd file_;
};

}  // namespace meltemi::cli
