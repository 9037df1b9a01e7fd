// SPDX-License-Identifier: Apache-2.0
// Output of a process, kept in a file of bounded size: the process writes into a pipe, the
// supervisor's loop into the file. When the file is full it becomes FILE.1, replacing the one
// before. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/runtime/loop.h"

namespace meltemi::host {

inline constexpr size_t kLogBytesMax = 10 * 1024 * 1024;  // as the kubelet's containerLogMaxSize

class LogFile final : private runtime::FdHandler {
 public:
  static StatusOr<std::unique_ptr<LogFile>> Open(runtime::Loop& loop, const std::string& path,
                                                 size_t bytes_max = kLogBytesMax);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // The end of the pipe for a process's stdout and stderr; stays ours.
  int writer() const { return write_end_.get(); }
  // A line of the supervisor's own; begins with the mark.
  static constexpr const char* kNoteMark = "meltemi: ";
  void Note(std::string_view line);
  const std::string& path() const { return path_; }

 private:
  LogFile(runtime::Loop& loop, std::string path, size_t bytes_max);
  void OnReady(runtime::Ready) override { Drain(); }
  void Drain();
  void Append(std::string_view bytes);
  void Rotate();

  runtime::Loop& loop_;
  const std::string path_;
  const size_t bytes_max_;
  Fd read_end_, write_end_, file_;
  size_t size_ = 0;
  runtime::Timer again_;
};

}  // namespace meltemi::host
