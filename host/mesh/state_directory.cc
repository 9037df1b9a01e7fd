// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/state_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>

namespace meltemi::host {
namespace {

bool IsLabel(const std::string& name) {
  return !name.empty() && name.size() <= 63 && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

// sun_path holds 108 bytes, the NUL included; some are left for a name that is bound first and
// renamed.
constexpr size_t kSocketPathBytesMax = 100;

// A folder nobody else can write to or has made.
Status MakeOwnFolder(const std::string& path) {
  struct stat info{};
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return absl::FailedPreconditionError(
        fmt::format("making {}: {}\nset XDG_RUNTIME_DIR", path, std::strerror(errno)));
  if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() ||
      (info.st_mode & 0077) != 0)
    return absl::FailedPreconditionError(
        fmt::format("{} is not a folder of yours alone\nremove it, or set XDG_RUNTIME_DIR", path));
  return absl::OkStatus();
}

}  // namespace

StatusOr<StateDirectory> StateDirectory::Of(const std::string& mesh) {
  if (!IsLabel(mesh))
    return absl::InvalidArgumentError(fmt::format(
        "\"{}\" is no name for a mesh\nuse lower-case letters, digits and hyphens, at most 63",
        mesh));
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  if (state != nullptr && state[0] == '/')
    return StateDirectory(mesh, fmt::format("{}/meltemi/{}", state, mesh));
  if (home == nullptr || home[0] != '/')
    return absl::FailedPreconditionError(
        "neither XDG_STATE_HOME nor HOME names a folder\nset XDG_STATE_HOME");
  return StateDirectory(mesh, fmt::format("{}/.local/state/meltemi/{}", home, mesh));
}

StateDirectory StateDirectory::At(const std::string& mesh, const std::string& path) {
  return StateDirectory(mesh, path);
}

Status StateDirectory::Make() const {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  // Tokens and keys live below it.
  if (!error && ::chmod(path_.c_str(), 0700) != 0) error = {errno, std::generic_category()};
  if (error)
    return absl::FailedPreconditionError(fmt::format(
        "the state folder {} cannot be used: {}\nset XDG_STATE_HOME to a folder of yours", path_,
        error.message()));
  return absl::OkStatus();
}

StatusOr<Fd> StateDirectory::Lock() const {
  const std::string path = path_ + "/lock";
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid())
    return absl::FailedPreconditionError(fmt::format(
        "{} cannot be opened: {}\nremove it, or set XDG_STATE_HOME", path, std::strerror(errno)));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  char pid[32] = {};
  if (::pread(lock.get(), pid, sizeof(pid) - 1, 0) < 0) pid[0] = '\0';
  return absl::AlreadyExistsError(fmt::format(
      "the mesh {} is running already (process {})\nend it with `meltemi down`, or give "
      "this one another name with "
      "--mesh NAME",
      mesh_, std::atoi(pid)));
}

Status StateDirectory::WritePid(const Fd& lock) const {
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock.get(), 0) != 0 ||
      ::pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return absl::InternalError(fmt::format("writing {}/lock: {}", path_, std::strerror(errno)));
  return absl::OkStatus();
}

int StateDirectory::LockHolder() const {
  const Fd lock(::open((path_ + "/lock").c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock.valid() || ::flock(lock.get(), LOCK_SH | LOCK_NB) == 0) return 0;
  char pid[32] = {};
  if (::pread(lock.get(), pid, sizeof(pid) - 1, 0) <= 0) return 0;
  return std::atoi(pid);
}

StatusOr<std::string> StateDirectory::ApiSocket() const {
  std::string path = path_ + "/meltemid/api.sock";
  if (path.size() <= kSocketPathBytesMax) return path;
  const std::string name = fmt::format("{:016x}.sock", std::hash<std::string>()(path_));
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::string folder = fmt::format("{}/meltemi", runtime == nullptr ? "" : runtime);
  if (runtime == nullptr || runtime[0] != '/' ||
      folder.size() + 1 + name.size() > kSocketPathBytesMax)
    folder = fmt::format("/tmp/meltemi-{}", ::geteuid());
  MELTEMI_RETURN_IF_ERROR(MakeOwnFolder(folder));
  return folder + "/" + name;
}

void StateDirectory::RemoveLeftovers() const {
  std::error_code ignored;
  if (const auto api = ApiSocket(); api.ok()) std::filesystem::remove(*api, ignored);
  std::filesystem::remove(control_socket(), ignored);
  std::filesystem::recursive_directory_iterator entry(pods(), ignored), end;
  std::vector<std::filesystem::path> doomed;
  for (; !ignored && entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename();
    if (name == "token" || name == "sandbox") doomed.push_back(entry->path());
  }
  for (const auto& path : doomed) std::filesystem::remove_all(path, ignored);
}

}  // namespace meltemi::host
