// SPDX-License-Identifier: Apache-2.0
#include "lib/config/problems.h"

#include <algorithm>
#include <tuple>

#include "lib/base/edit_distance.h"
#include "lib/config/parse.h"

namespace meltemi::config {
namespace {

constexpr size_t kQuotedBytesMax = 80;
constexpr size_t kWordBytesMax = 64;  // longer words are not compared: the cost is quadratic

}  // namespace

std::string FieldPath::text() const {
  if (step_ == Step::kRoot) return {};
  std::string text = parent_->text();
  switch (step_) {
    case Step::kRoot:
      break;
    case Step::kField:
      if (!text.empty()) text += '.';
      text += name_.size() <= kQuotedBytesMax ? std::string(name_) : Quoted(name_);
      break;
    case Step::kKey:
      text += '[' + Quoted(name_) + ']';
      break;
    case Step::kItem:
      text += '[' + std::to_string(index_) + ']';
      break;
  }
  return text;
}

std::string Quoted(std::string_view text) {
  if (text.size() <= kQuotedBytesMax) return '"' + std::string(text) + '"';
  size_t end = kQuotedBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return '"' + std::string(text.substr(0, end)) + "…\"";
}

std::string_view Nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.size() > kWordBytesMax) return {};
  std::string_view best;
  // A third of the letters may differ; a shorter word that the typed one begins is near as well.
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kWordBytesMax) continue;
    const size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

void Problems::Add(Position at, const FieldPath& path, std::string_view what) {
  if (is_full()) return;
  if (at.line == 0) at = fallback_;
  std::string text = path.text();
  if (!text.empty()) text += ": ";
  text += what;
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  problems_.push_back({at, std::move(text)});
}

bool Problems::is_full() const {
  return problems_.size() >= kProblemsMax;
}

Status Problems::ToStatus() const {
  if (problems_.empty()) return absl::OkStatus();
  std::vector<const Problem*> sorted;
  for (const Problem& problem : problems_) sorted.push_back(&problem);
  std::sort(sorted.begin(), sorted.end(), [](const Problem* a, const Problem* b) {
    return std::tie(a->at.line, a->at.column, a) < std::tie(b->at.line, b->at.column, b);
  });
  std::string message;
  for (const Problem* problem : sorted) {
    if (!message.empty()) message += '\n';
    if (!file_.empty()) message += file_ + ":";
    if (problem->at.line > 0) {
      message += std::to_string(problem->at.line) + ":" + std::to_string(problem->at.column) + ":";
    }
    if (!message.empty() && message.back() == ':') message += ' ';
    message += problem->text;
  }
  return absl::InvalidArgumentError(message);
}

}  // namespace meltemi::config
