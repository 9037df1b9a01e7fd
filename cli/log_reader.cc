// SPDX-License-Identifier: Apache-2.0
#include "cli/log_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

namespace meltemi::cli {
namespace {

constexpr int64_t kPartBytes = 65536;

// Where the last `lines` lines of the file begin.
int64_t StartOfTail(int file, int64_t lines) {
  struct stat info{};
  if (::fstat(file, &info) != 0) return 0;
  char bytes[kPartBytes];
  int64_t end = info.st_size;
  bool is_last = true;  // the newline that ends the last line begins none
  while (end > 0) {
    const int64_t begin = std::max<int64_t>(end - kPartBytes, 0);
    const ssize_t size = ::pread(file, bytes, static_cast<size_t>(end - begin), begin);
    if (size <= 0) return end;
    for (int64_t i = size - 1; i >= 0; --i) {
      if (bytes[i] == '\n' && !is_last && lines-- <= 1) return begin + i + 1;
      is_last = false;
    }
    end = begin;
  }
  return 0;
}

bool WriteAll(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  return true;
}

}  // namespace

StatusOr<LogReader> LogReader::Open(const std::string& path, int64_t tail) {
  // A reader that went away (`| head`) ends the copying, not the process.
  ::signal(SIGPIPE, SIG_IGN);
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid())
    return absl::NotFoundError(
        fmt::format("{} cannot be read: {}\nthe workload may have just gone: `meltemi status`",
                    path, std::strerror(errno)));
  if (tail == 0) ::lseek(file.get(), 0, SEEK_END);
  if (tail > 0) ::lseek(file.get(), StartOfTail(file.get(), tail), SEEK_SET);
  return LogReader(path, std::move(file));
}

bool LogReader::Copy() {
  char bytes[kPartBytes];
  ssize_t size = 0;
  while ((size = ::read(file_.get(), bytes, sizeof(bytes))) > 0)
    if (!WriteAll({bytes, static_cast<size_t>(size)})) return false;
  return true;
}

bool LogReader::PrintNew() {
  if (!Copy()) return false;
  struct stat held{}, named{};
  if (::fstat(file_.get(), &held) != 0 || ::stat(path_.c_str(), &named) != 0) return true;
  if (held.st_ino == named.st_ino) return true;
  Fd fresh(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fresh.valid()) return true;
  if (!Copy()) return false;  // what came to the old one last
  file_ = std::move(fresh);
  return Copy();
}

}  // namespace meltemi::cli
