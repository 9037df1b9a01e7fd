// SPDX-License-Identifier: Apache-2.0
// The list of HTTP filters (all.def) and how configurations find them. Control thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/status.h"
#include "lib/routing/route.h"
#include "proxy/filters/http_filter.h"
#include "proxy/http/compile.h"

namespace meltemi::proxy {

struct FilterContext {
  const HttpProcess& process;
  const ChainContext& chain;
};

// What one file of this folder declares at its foot.
struct FilterKind {
  std::string_view name;           // canonical: "envoy.filters.http.fault"
  std::string_view type;           // full name of its message
  std::string_view override_type;  // of typed_per_filter_config; "" = none
  // nullptr filter = accepted, without effect.
  StatusOr<std::shared_ptr<const HttpFilter>> (*create)(std::string_view serialized,
                                                        const FilterContext& context);
  StatusOr<std::shared_ptr<const void>> (*create_override)(std::string_view serialized);
};

// `type_url` may be a TypedStruct, which carries type and fields as a struct; filters that come
// that way get the struct's bytes (google.protobuf.Struct).
StatusOr<std::shared_ptr<const HttpFilter>> CompileFilter(std::string_view name,
                                                          std::string_view type_url,
                                                          std::string_view serialized,
                                                          const FilterContext& context);

// Nothing for a setting that is optional and unknown.
StatusOr<std::optional<routing::FilterOverride>> CompileFilterOverride(std::string_view name,
                                                                       std::string_view type_url,
                                                                       std::string_view serialized);

}  // namespace meltemi::proxy
