// SPDX-License-Identifier: Apache-2.0
#include "lib/telemetry/access_log_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace meltemi::telemetry {
namespace {

StatusOr<Fd> OpenPath(const std::string& path) {
  // Non-blocking: a new description of standard output's pipe, so that nobody else's blocks less.
  Fd fd(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644));
  // A socket cannot be opened through its path (open(2), ENXIO).
  if (!fd.valid() && errno == ENXIO) {
    if (path == "/dev/stdout") fd.Reset(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (path == "/dev/stderr") fd.Reset(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  }
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "opening access log " + path);
  return fd;
}

}  // namespace

StatusOr<std::unique_ptr<AccessLogFile>> AccessLogFile::Open(runtime::Loop& loop, std::string path,
                                                             AccessLogFileOptions options) {
  std::unique_ptr<AccessLogFile> file(new AccessLogFile(loop, std::move(path), options));
  MELTEMI_RETURN_IF_ERROR(file->Reopen());
  return file;
}

AccessLogFile::AccessLogFile(runtime::Loop& loop, std::string path, AccessLogFileOptions options)
    : path_(std::move(path)), options_(options), timer_(loop, [this] { Flush(); }) {}

Status AccessLogFile::Reopen() {
  MELTEMI_ASSIGN_OR_RETURN(Fd opened, OpenPath(path_));
  Flush();  // what was logged before the rotation belongs to the old file
  struct stat info;
  if (fstat(opened.get(), &info) != 0) return absl::ErrnoToStatus(errno, "fstat " + path_);
  kind_ = S_ISREG(info.st_mode)    ? Kind::kFile
          : S_ISSOCK(info.st_mode) ? Kind::kSocket
                                   : Kind::kStream;
  fd_ = std::move(opened);
  return absl::OkStatus();
}

void AccessLogFile::Write(std::string_view line) {
  if (buffer_.size() + line.size() > options_.buffer_bytes_max) {
    ++dropped_;
    return;
  }
  const bool was_below = buffer_.size() < options_.flush_bytes;
  buffer_.append(line);
  // Once per crossing: a stuck reader is tried again by the timer, not by every line.
  if (was_below && buffer_.size() >= options_.flush_bytes) return Flush();
  if (!timer_.is_armed()) timer_.Arm(options_.flush_after);
}

size_t AccessLogFile::NextWriteBytes(std::string_view rest) const {
  if (kind_ != Kind::kStream || rest.size() <= PIPE_BUF) return rest.size();
  const size_t newline = rest.rfind('\n', PIPE_BUF - 1);
  if (newline != std::string_view::npos) return newline + 1;
  // One line longer than a pipe keeps whole.
  return std::min(rest.find('\n'), rest.size() - 1) + 1;
}

void AccessLogFile::Flush() {
  timer_.Disarm();
  std::string_view rest = buffer_;
  while (!rest.empty() && fd_.valid()) {
    const size_t bytes = NextWriteBytes(rest);
    const ssize_t count = kind_ == Kind::kSocket
                              ? send(fd_.get(), rest.data(), bytes, MSG_NOSIGNAL | MSG_DONTWAIT)
                              : write(fd_.get(), rest.data(), bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      // A full disk or a closed pipe: these lines are lost, the next may not be.
      dropped_ += static_cast<uint64_t>(std::count(rest.begin(), rest.end(), '\n'));
      rest = {};
      break;
    }
    if (count <= 0) break;
    rest.remove_prefix(static_cast<size_t>(count));
  }
  buffer_.erase(0, buffer_.size() - rest.size());
  if (!buffer_.empty()) timer_.Arm(options_.flush_after);
}

}  // namespace meltemi::telemetry
