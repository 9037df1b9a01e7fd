// SPDX-License-Identifier: Apache-2.0
#include "host/workload/log_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace meltemi::host {
namespace {

constexpr int kReadsPerPass = 16;  // of 64 KiB: one chatty app does not hold the others up

}  // namespace

LogFile::LogFile(runtime::Loop& loop, std::string path, size_t bytes_max)
    : loop_(loop),
      path_(std::move(path)),
      bytes_max_(bytes_max),
      again_(loop, [this] { Drain(); }) {}

StatusOr<std::unique_ptr<LogFile>> LogFile::Open(runtime::Loop& loop, const std::string& path,
                                                 size_t bytes_max) {
  std::unique_ptr<LogFile> log(new LogFile(loop, path, bytes_max));
  log->file_.Reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  struct stat info{};
  if (!log->file_.valid() || ::fstat(log->file_.get(), &info) != 0)
    return absl::InternalError(fmt::format("opening log {}: {}", path, std::strerror(errno)));
  log->size_ = static_cast<size_t>(info.st_size);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return absl::InternalError(fmt::format("making a pipe: {}", std::strerror(errno)));
  log->read_end_.Reset(ends[0]);
  log->write_end_.Reset(ends[1]);
  // Only our end: the process may expect a blocking stdout.
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  MELTEMI_RETURN_IF_ERROR(loop.Watch(ends[0], log.get()));
  return log;
}

LogFile::~LogFile() {
  if (!read_end_.valid()) return;
  Drain();
  loop_.Unwatch(read_end_.get(), this);
}

void LogFile::Note(std::string_view line) {
  Drain();  // what was said before comes before
  Append(fmt::format("{}{}\n", kNoteMark, line));
}

void LogFile::Drain() {
  char bytes[65536];
  for (int i = 0; i < kReadsPerPass; ++i) {
    const ssize_t size = ::read(read_end_.get(), bytes, sizeof(bytes));
    if (size <= 0) return;
    Append({bytes, static_cast<size_t>(size)});
  }
  again_.Arm(Duration::zero());
}

void LogFile::Append(std::string_view bytes) {
  if (size_ + bytes.size() > bytes_max_) Rotate();
  // A full disk loses log lines and nothing else.
  const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
  if (written > 0) size_ += static_cast<size_t>(written);
}

void LogFile::Rotate() {
  if (::rename(path_.c_str(), (path_ + ".1").c_str()) != 0) return;
  file_.Reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  size_ = 0;
}

}  // namespace meltemi::host
