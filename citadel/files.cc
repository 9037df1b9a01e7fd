// SPDX-License-Identifier: Apache-2.0
#include "citadel/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "lib/base/fd.h"

namespace meltemi::citadel {
namespace {

Status Failed(const char* what, const std::string& path) {
  return absl::FailedPreconditionError(
      fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

Status SyncParent(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Fd directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) return Failed("sync", parent);
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::optional<std::string>> ReadSmallFile(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    if (errno == ENOENT) return std::optional<std::string>();
    return Failed("read", path);
  }
  std::string text;
  char block[4096];
  while (true) {
    const ssize_t got = ::read(file.get(), block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failed("read", path);
    if (got == 0) return std::optional<std::string>(std::move(text));
    text.append(block, static_cast<size_t>(got));
    if (text.size() > kPemFileBytesMax) {
      return absl::FailedPreconditionError(fmt::format("{} is over 1 MiB", path));
    }
  }
}

Status WriteSmallFile(const std::string& path, const std::string& text, mode_t mode) {
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());
  const Fd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  // fchmod, because the umask may have narrowed what others are to read.
  if (!file.valid() || ::fchmod(file.get(), mode) != 0 || !WriteAll(file.get(), text) ||
      ::fsync(file.get()) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
    return Failed("write", path);
  }
  return SyncParent(path);
}

Status MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Failed("make", path);
  return absl::OkStatus();
}

}  // namespace meltemi::citadel
