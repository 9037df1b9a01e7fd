// SPDX-License-Identifier: Apache-2.0
// labelSelector and fieldSelector of a request.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/config/object.h"

namespace meltemi::galley {

inline constexpr size_t kRequirementsMax = 100;

class Selector final {
 public:
  // "a=b,c!=d,e in (f,g),h notin (i),j,!k" and "metadata.name=x,status.phase!=y". A field is any
  // path of the document that holds a scalar; one that is absent equals "".
  static StatusOr<Selector> Parse(std::string_view labels, std::string_view fields);

  bool Matches(const config::Object& object) const;
  bool selects_all() const { return labels_.empty() && fields_.empty(); }

 private:
  enum class Operator { kIn, kNotIn, kExists, kNotExists };
  struct Requirement {
    std::string key;
    Operator op = Operator::kExists;
    std::set<std::string> values = {};
  };
  static StatusOr<Requirement> ParseLabel(std::string_view text);
  static StatusOr<Requirement> ParseField(std::string_view text);

  std::vector<Requirement> labels_;
  std::vector<Requirement> fields_;
};

}  // namespace meltemi::galley
