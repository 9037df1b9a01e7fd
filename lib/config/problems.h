// SPDX-License-Identifier: Apache-2.0
// What is wrong in a text, gathered with positions, so that a user sees all of it at once.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"

namespace meltemi::config {

// Counts from 1; 0 = unknown.
struct Position {
  int line = 0;
  int column = 0;
};

// Where one is in a document: a chain of frames on the stack, made text only when something is
// wrong. A frame refers to its parent and to the name it was given; both must outlive it.
class FieldPath final {
 public:
  FieldPath() = default;  // the document itself
  FieldPath Field(std::string_view name) const { return {this, Step::kField, name, 0}; }
  FieldPath Key(std::string_view key) const { return {this, Step::kKey, key, 0}; }
  FieldPath Item(size_t index) const { return {this, Step::kItem, {}, index}; }

  std::string text() const;  // spec.http[0].match[0].headers["end-user"]

  enum class Step { kRoot, kField, kKey, kItem };
  Step step() const { return step_; }
  std::string_view name() const { return name_; }
  size_t index() const { return index_; }
  const FieldPath* parent() const { return parent_; }

 private:
  FieldPath(const FieldPath* parent, Step step, std::string_view name, size_t index)
      : parent_(parent), step_(step), name_(name), index_(index) {}

  const FieldPath* parent_ = nullptr;
  Step step_ = Step::kRoot;
  std::string_view name_;
  size_t index_ = 0;
};

// Part of a message: shortened at a code point, in double quotes.
std::string Quoted(std::string_view text);
// The candidate nearest to `word`, or "" when none is near enough to be what was meant.
std::string_view Nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// The problems of one text. Once full, what it was gathered for may stop.
class Problems final {
 public:
  // `fallback` stands where a problem has no position of its own.
  explicit Problems(std::string file, Position fallback = {})
      : file_(std::move(file)), fallback_(fallback) {}

  // `what` reads "what is wrong; what was expected". One line: control characters are replaced.
  void Add(Position at, const FieldPath& path, std::string_view what);

  bool empty() const { return problems_.empty(); }
  size_t size() const { return problems_.size(); }
  bool is_full() const;
  Status ToStatus() const;  // InvalidArgument with one problem a line, by position; ok when none

 private:
  struct Problem {
    Position at;
    std::string text;
  };
  std::string file_;
  Position fallback_;
  std::vector<Problem> problems_;
};

}  // namespace meltemi::config
