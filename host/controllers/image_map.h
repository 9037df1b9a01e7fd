// SPDX-License-Identifier: Apache-2.0
// Which local command stands for a container image (images.yaml). Immutable once read.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"

namespace meltemi::host {

struct ImageCommand {
  std::string pattern;  // `*` matches any characters
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  std::string working_directory;  // absolute
};

class ImageMap final {
 public:
  ImageMap() = default;
  // Errors name line and field. Relative paths are relative to the file.
  static StatusOr<ImageMap> Load(const std::string& path);
  static StatusOr<ImageMap> Parse(std::string_view yaml, const std::string& path);

  // The first entry whose pattern matches; nullptr = none.
  const ImageCommand* Find(std::string_view image) const;
  const std::string& path() const { return path_; }
  size_t size() const { return images_.size(); }

 private:
  std::string path_;
  std::vector<ImageCommand> images_;
};

bool MatchesPattern(std::string_view pattern, std::string_view text);

}  // namespace meltemi::host
