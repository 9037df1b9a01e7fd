// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/known_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace meltemi::proxy {

Status RefuseUnknownFields(const google::protobuf::Message& from,
                           std::span<const std::string_view> known, std::string_view path) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  from.GetReflection()->ListFields(from, &fields);
  for (const auto* field : fields) {
    if (std::find(known.begin(), known.end(), field->name()) != known.end()) continue;
    return absl::InvalidArgumentError(fmt::format("{}{} is not supported", path, field->name()));
  }
  return absl::OkStatus();
}

Status Unsupported(std::string_view field) {
  return absl::UnimplementedError(fmt::format("{} is not supported", field));
}

}  // namespace meltemi::proxy
