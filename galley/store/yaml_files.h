// SPDX-License-Identifier: Apache-2.0
// Finds and reads the configuration files of directories: *.yaml, *.yml, *.json, in
// sub-directories too. Names that begin with a dot are left out: editors' files, and the data
// directories of a Kubernetes ConfigMap mount, whose files are reached by the links beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"

namespace meltemi::galley {

inline constexpr size_t kConfigFilesMax = 20'000;
inline constexpr int kDirectoryDepthMax = 16;

// What tells that a file is another than before.
struct FileMark {
  uint64_t device = 0, inode = 0;
  int64_t bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;
  bool operator==(const FileMark&) const = default;
};

struct ListedFile {
  std::string path;
  FileMark mark;
  bool is_link = false;
};

struct FileProblem {
  std::string path;
  std::string message;
  bool operator==(const FileProblem&) const = default;
};

struct FileListing {
  std::vector<ListedFile> files;        // sorted by path
  std::vector<std::string> unreadable;  // directories of which we know nothing now
  std::vector<FileProblem> problems;
};

// `before_reading` is called with each directory before its entries are read, so that a watch on it
// misses none that come later.
FileListing ListConfigFiles(const std::vector<std::string>& directories,
                            const std::function<Status(const std::string&)>& before_reading);

// NotFound when it went away meanwhile.
StatusOr<std::string> ReadConfigFile(const std::string& path);

WallTime ModifiedAt(const FileMark& mark);

}  // namespace meltemi::galley
