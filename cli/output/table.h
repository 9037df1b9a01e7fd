// SPDX-License-Identifier: Apache-2.0
// Columns as kubectl prints them: upper-case heads, three spaces between, last column not padded.
#pragma once

#include <string>
#include <vector>

namespace meltemi::cli {

class Table final {
 public:
  explicit Table(std::vector<std::string> heads) { rows_.push_back(std::move(heads)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "38 ms", "1.2 s", "4m", "3d": the age or length of something, for people.
std::string HumanDuration(double seconds);

}  // namespace meltemi::cli
