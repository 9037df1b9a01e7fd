// SPDX-License-Identifier: Apache-2.0
// Header fields of one message, in order of arrival, without heap use per field.
//
// Worker-local; lives in its stream and shares the stream's arena, which holds the text. Names are
// lower case. Well-known names carry an id, so filters compare an integer. Pseudo headers (":path")
// are not stored here: RequestHead and ResponseHead have fields for them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lib/base/arena.h"

namespace meltemi::http {

// The list is data: one line per name in header_names.def, alphabetical.
enum class HeaderId : uint8_t {
  kOther = 0,
#define MELTEMI_HEADER(id, name) id,
#include "lib/http/header_names.def"
#undef MELTEMI_HEADER
  kCount
};

HeaderId LookUpHeader(std::string_view lower_case_name);
std::string_view HeaderName(HeaderId id);

struct HeaderField {
  std::string_view name;  // lower case
  std::string_view value;
  HeaderId id = HeaderId::kOther;
};

class HeaderMap final {
 public:
  explicit HeaderMap(Arena& arena) : arena_(arena) {}

  // The views must live as long as the map: arena text or literals.
  void AddBorrowed(HeaderId id, std::string_view name, std::string_view value) {
    fields_.push_back({name, value, id});
  }
  void Add(std::string_view name, std::string_view value);  // copies both
  void Add(HeaderId id, std::string_view value);            // copies the value
  void Set(HeaderId id, std::string_view value);            // replaces all of that name
  void Set(std::string_view name, std::string_view value);
  void Remove(HeaderId id);
  void Remove(std::string_view name);

  // First value, or nullptr. The pointer dies with the next change.
  const std::string_view* Find(HeaderId id) const;
  const std::string_view* Find(std::string_view name) const;
  std::string_view Get(HeaderId id) const {
    const std::string_view* value = Find(id);
    return value ? *value : std::string_view();
  }
  // All values of a name joined with "," (RFC 9110 §5.3), in the arena when there are several.
  std::string_view Joined(std::string_view name) const;

  const std::vector<HeaderField>& fields() const { return fields_; }
  std::vector<HeaderField>& mutable_fields() { return fields_; }
  size_t size() const { return fields_.size(); }
  size_t bytes() const;
  Arena& arena() const { return arena_; }
  void Clear() {
    fields_.clear();
    written_names_ = {};
  }

  // Names as the peer wrote them, in order of arrival, for HTTP/1 peers that care about case; empty
  // unless the codec was told to remember. In the arena. Never compared with.
  std::span<const std::string_view> written_names() const { return written_names_; }
  void set_written_names(std::span<const std::string_view> names) { written_names_ = names; }

 private:
  Arena& arena_;
  std::vector<HeaderField> fields_;
  std::span<const std::string_view> written_names_;
};

}  // namespace meltemi::http
