// SPDX-License-Identifier: Apache-2.0
#include "galley/api/selectors.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "galley/api/errors.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// At commas outside parentheses; empty parts are left out.
std::vector<std::string_view> SplitParts(std::string_view text) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  bool is_inside = false;
  for (size_t at = 0; at <= text.size(); ++at) {
    if (at < text.size() && text[at] == '(') is_inside = true;
    if (at < text.size() && text[at] == ')') is_inside = false;
    if (at < text.size() && (text[at] != ',' || is_inside)) continue;
    if (const auto part = Trim(text.substr(begin, at - begin)); !part.empty()) {
      parts.push_back(part);
    }
    begin = at + 1;
  }
  return parts;
}

Status Refuse(std::string_view what, std::string_view part) {
  return BadRequest(fmt::format(
      "unable to parse the {} selector \"{}\"; write key=value, key!=value{}, separated by commas",
      what, part, what == "label" ? ", key in (a,b), key notin (a,b), key or !key" : ""));
}

bool IsKey(std::string_view text) {
  return !text.empty() && text.find_first_of(" ()=!,<>") == std::string_view::npos;
}

std::string FieldText(const json& document, std::string_view path) {
  const json* at = &document;
  while (!path.empty()) {
    const size_t end = std::min(path.find('.'), path.size());
    if (!at->is_object()) return "";
    const auto next = at->find(std::string(path.substr(0, end)));
    if (next == at->end()) return "";
    at = &*next;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  if (at->is_string()) return at->get<std::string>();
  return at->is_primitive() && !at->is_null() ? Dump(*at) : "";
}

}  // namespace

StatusOr<Selector> Selector::Parse(std::string_view labels, std::string_view fields) {
  Selector selector;
  for (const std::string_view part : SplitParts(labels)) {
    MELTEMI_ASSIGN_OR_RETURN(Requirement requirement, ParseLabel(part));
    selector.labels_.push_back(std::move(requirement));
  }
  for (const std::string_view part : SplitParts(fields)) {
    MELTEMI_ASSIGN_OR_RETURN(Requirement requirement, ParseField(part));
    selector.fields_.push_back(std::move(requirement));
  }
  if (selector.labels_.size() + selector.fields_.size() > kRequirementsMax) {
    return BadRequest(fmt::format("more than {} requirements in a selector", kRequirementsMax));
  }
  return selector;
}

StatusOr<Selector::Requirement> Selector::ParseField(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return Refuse("field", text);
  Requirement requirement{.key = {}, .op = Operator::kIn};
  std::string_view key = text.substr(0, equals), value = text.substr(equals + 1);
  if (key.back() == '!') {
    requirement.op = Operator::kNotIn;
    key.remove_suffix(1);
  } else if (value.starts_with('=')) {
    value.remove_prefix(1);
  }
  requirement.key = Trim(key);
  if (!IsKey(requirement.key)) return Refuse("field", text);
  requirement.values.emplace(Trim(value));
  return requirement;
}

StatusOr<Selector::Requirement> Selector::ParseLabel(std::string_view text) {
  if (!text.ends_with(')')) {
    if (text.find('=') != std::string_view::npos) {
      auto requirement = ParseField(text);
      return requirement.ok() ? requirement : Refuse("label", text);
    }
    Requirement requirement;
    if (text.starts_with('!')) {
      requirement.op = Operator::kNotExists;
      text.remove_prefix(1);
    }
    requirement.key = Trim(text);
    if (!IsKey(requirement.key)) return Refuse("label", text);
    return requirement;
  }
  const size_t open = text.find('('), space = text.find(' ');
  if (open == std::string_view::npos || space > open) return Refuse("label", text);
  const std::string_view word = Trim(text.substr(space, open - space));
  if (word != "in" && word != "notin") return Refuse("label", text);
  Requirement requirement{.key = std::string(text.substr(0, space)),
                          .op = word == "in" ? Operator::kIn : Operator::kNotIn};
  if (!IsKey(requirement.key)) return Refuse("label", text);
  for (const std::string_view value : SplitParts(text.substr(open + 1, text.size() - open - 2))) {
    requirement.values.emplace(value);
  }
  return requirement;
}

bool Selector::Matches(const config::Object& object) const {
  for (const Requirement& one : labels_) {
    const auto at = object.meta.labels.find(one.key);
    const bool exists = at != object.meta.labels.end();
    switch (one.op) {
      case Operator::kIn:
        if (!exists || !one.values.contains(at->second)) return false;
        break;
      case Operator::kNotIn:
        if (exists && one.values.contains(at->second)) return false;
        break;
      case Operator::kExists:
        if (!exists) return false;
        break;
      case Operator::kNotExists:
        if (exists) return false;
        break;
    }
  }
  for (const Requirement& one : fields_) {
    const bool is_equal = one.values.contains(FieldText(*object.document, one.key));
    if (is_equal != (one.op == Operator::kIn)) return false;
  }
  return true;
}

}  // namespace meltemi::galley
