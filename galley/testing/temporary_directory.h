// SPDX-License-Identifier: Apache-2.0
// A directory that is gone at the end of a test.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "lib/base/check.h"

namespace meltemi::galley::testing {

class TemporaryDirectory final {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "galley-XXXXXX").string();
    MELTEMI_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name, std::ios::trunc) << text;
  }

 private:
  std::string path_;
};

}  // namespace meltemi::galley::testing
