// SPDX-License-Identifier: Apache-2.0
// Writes log lines to a file or to standard output from one worker. Worker-local: each worker has a
// writer of its own on the same path, and the kernel keeps their writes whole (O_APPEND on files,
// write(2) of at most PIPE_BUF on pipes), so no lock is shared.
// Lines gather in memory and leave every `flush_after` or at `flush_bytes`. A reader of a pipe that
// falls behind costs lines, counted in dropped(), never time or memory beyond `buffer_bytes_max`.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/fd.h"
#include "lib/runtime/loop.h"

namespace meltemi::telemetry {

struct AccessLogFileOptions {
  Duration flush_after = std::chrono::seconds(1);
  size_t flush_bytes = 64 * 1024;
  size_t buffer_bytes_max = 1024 * 1024;
};

class AccessLogFile final {
 public:
  // "/dev/stdout" and "/dev/stderr" may be files, pipes, terminals or sockets.
  static StatusOr<std::unique_ptr<AccessLogFile>> Open(runtime::Loop& loop, std::string path,
                                                       AccessLogFileOptions options = {});
  ~AccessLogFile() { Flush(); }
  AccessLogFile(const AccessLogFile&) = delete;
  AccessLogFile& operator=(const AccessLogFile&) = delete;

  // `line` ends with its newline.
  void Write(std::string_view line);
  void Flush();
  // After a rotation moved the file away. The old one stays in use when the path cannot be opened.
  Status Reopen();

  uint64_t dropped() const { return dropped_; }
  size_t buffered_bytes() const { return buffer_.size(); }

 private:
  AccessLogFile(runtime::Loop& loop, std::string path, AccessLogFileOptions options);
  // How much of `rest` goes out at once: whole lines.
  size_t NextWriteBytes(std::string_view rest) const;

  const std::string path_;
  const AccessLogFileOptions options_;
  runtime::Timer timer_;
  Fd fd_;
  enum class Kind { kFile, kStream, kSocket } kind_ = Kind::kFile;
  std::string buffer_;
  uint64_t dropped_ = 0;
};

}  // namespace meltemi::telemetry
