// SPDX-License-Identifier: Apache-2.0
#include "galley/store/yaml_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "lib/base/fd.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using DirectoryId = std::pair<uint64_t, uint64_t>;

bool IsConfigFile(std::string_view name) {
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

FileMark MarkOf(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .bytes = info.st_size,
          .modified_ns = Nanoseconds(info.st_mtim),
          .changed_ns = Nanoseconds(info.st_ctim)};
}

StatusOr<std::vector<std::string>> Entries(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (stream == nullptr) return absl::ErrnoToStatus(errno, "reading the directory");
  std::vector<std::string> names;
  while (const dirent* entry = readdir(stream.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

class Walk {
 public:
  explicit Walk(const std::function<Status(const std::string&)>& before_reading)
      : before_reading_(before_reading) {}

  void Enter(const std::string& directory, int depth) {
    struct stat info;
    if (stat(directory.c_str(), &info) != 0) {
      return LeaveOut(directory, std::strerror(errno));
    }
    if (!S_ISDIR(info.st_mode)) return LeaveOut(directory, "is not a directory");
    // Links may lead in circles, and the directories of the user may contain each other.
    if (!visited_.emplace(info.st_dev, info.st_ino).second) return;
    if (depth > kDirectoryDepthMax) {
      return LeaveOut(directory, fmt::format("deeper than {} directories", kDirectoryDepthMax));
    }
    if (const Status status = before_reading_(directory); !status.ok()) {
      listing_.problems.push_back({directory, std::string(status.message())});
    }
    auto names = Entries(directory);
    if (!names.ok()) return LeaveOut(directory, std::string(names.status().message()));
    for (const std::string& name : *names) Take(directory + "/" + name, name, depth);
  }

  FileListing Finish() {
    auto& files = listing_.files;
    std::sort(files.begin(), files.end(),
              [](const ListedFile& a, const ListedFile& b) { return a.path < b.path; });
    if (files.size() > kConfigFilesMax) {
      listing_.problems.push_back(
          {files[kConfigFilesMax].path,
           fmt::format("this and the files after it are left out: {} files are the limit",
                       kConfigFilesMax)});
      files.resize(kConfigFilesMax);
    }
    return std::move(listing_);
  }

 private:
  void LeaveOut(const std::string& directory, std::string why) {
    listing_.unreadable.push_back(directory);
    listing_.problems.push_back({directory, std::move(why)});
  }

  void Take(const std::string& path, const std::string& name, int depth) {
    struct stat info;
    if (lstat(path.c_str(), &info) != 0) return;  // went away meanwhile
    const bool is_link = S_ISLNK(info.st_mode);
    if (is_link && stat(path.c_str(), &info) != 0) {
      if (IsConfigFile(name)) listing_.problems.push_back({path, "a link that leads nowhere"});
      return;
    }
    if (S_ISDIR(info.st_mode)) return Enter(path, depth + 1);
    if (!S_ISREG(info.st_mode) || !IsConfigFile(name)) return;
    listing_.files.push_back({path, MarkOf(info), is_link});
  }

  const std::function<Status(const std::string&)>& before_reading_;
  FileListing listing_;
  std::set<DirectoryId> visited_;
};

}  // namespace

FileListing ListConfigFiles(const std::vector<std::string>& directories,
                            const std::function<Status(const std::string&)>& before_reading) {
  Walk walk(before_reading);
  for (const std::string& directory : directories) walk.Enter(directory, 0);
  return walk.Finish();
}

StatusOr<std::string> ReadConfigFile(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return absl::ErrnoToStatus(errno, "cannot be read");
  std::string text;
  char buffer[64 * 1024];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, "cannot be read");
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > config::kFileBytesMax) {
      return absl::InvalidArgumentError(
          fmt::format("larger than {} MiB; split it", config::kFileBytesMax / 1024 / 1024));
    }
  }
}

WallTime ModifiedAt(const FileMark& mark) {
  return WallTime(
      std::chrono::duration_cast<WallTime::duration>(std::chrono::nanoseconds(mark.modified_ns)));
}

}  // namespace meltemi::galley
