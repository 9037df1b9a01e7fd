// SPDX-License-Identifier: Apache-2.0
#include "cli/actions.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/nearest.h"
#include "host/controllers/json.h"

namespace meltemi::cli {

using host::StringAt;

std::string NameOfObject(const config::Kind& kind, std::string_view name) {
  if (kind.group.empty()) return fmt::format("{}/{}", kind.singular, name);
  return fmt::format("{}.{}/{}", kind.singular, kind.group, name);
}

void PrintActions(const nlohmann::json& answer) {
  for (const auto& result : host::ArrayAt(answer, "results")) {
    const std::string kind = StringAt(result, "kind");
    const std::string ns = StringAt(result, "namespace");
    const config::Kind* known = config::FindKindByWord(kind);
    const std::string name = known == nullptr ? kind + "/" + StringAt(result, "name")
                                              : NameOfObject(*known, StringAt(result, "name"));
    fmt::print("{} {}{}\n", name, StringAt(result, "action"),
               ns.empty() || ns == "default" ? "" : fmt::format(" (namespace {})", ns));
  }
  std::fflush(stdout);
}

StatusOr<const config::Kind*> KindByWord(const std::string& word) {
  if (const config::Kind* kind = config::FindKindByWord(word)) return kind;
  std::vector<std::string> plurals;
  for (const config::Kind* kind : config::AllKinds()) plurals.emplace_back(kind->plural);
  const std::string nearest = Nearest(word, plurals);
  std::string all;
  for (const std::string& plural : plurals) all += (all.empty() ? "" : ", ") + plural;
  return absl::InvalidArgumentError(
      fmt::format("there is no kind {}\n{}", word,
                  nearest.empty() ? "kinds are " + all : fmt::format("did you mean {}?", nearest)));
}

}  // namespace meltemi::cli
