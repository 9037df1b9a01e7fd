// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "proxy/http/route_compiler_parts.h"

namespace meltemi::proxy {

namespace envoy_core = envoy::config::core::v3;
using routing::HeaderAddition;

StatusOr<HeaderAddition> CompileAddition(const envoy_core::HeaderValueOption& from) {
  HeaderAddition addition;
  if (from.header().key().empty()) return absl::InvalidArgumentError("a header without a name");
  addition.header = routing::HeaderRef::Of(from.header().key());
  const std::string& value =
      from.header().raw_value().empty() ? from.header().value() : from.header().raw_value();
  auto compiled = routing::HeaderTemplate::Compile(value);
  if (!compiled.ok()) {
    return WithContext(compiled.status(), fmt::format("header \"{}\"", from.header().key()));
  }
  addition.value = *std::move(compiled);
  addition.keeps_empty_value = from.keep_empty_value();
  switch (from.append_action()) {
    case envoy_core::HeaderValueOption::ADD_IF_ABSENT:
      addition.action = HeaderAddition::Action::kAddIfAbsent;
      break;
    case envoy_core::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD:
      addition.action = HeaderAddition::Action::kOverwrite;
      break;
    case envoy_core::HeaderValueOption::OVERWRITE_IF_EXISTS:
      addition.action = HeaderAddition::Action::kOverwriteIfExists;
      break;
    default:
      addition.action = HeaderAddition::Action::kAppend;
  }
  // The deprecated flag still decides where it is set.
  if (from.has_append() && !from.append().value() &&
      addition.action == HeaderAddition::Action::kAppend) {
    addition.action = HeaderAddition::Action::kOverwrite;
  }
  return addition;
}

StatusOr<routing::HeaderMutations> CompileHeadersToAdd(
    const google::protobuf::RepeatedPtrField<envoy_core::HeaderValueOption>& from) {
  routing::HeaderMutations to;
  for (const auto& option : from) {
    MELTEMI_ASSIGN_OR_RETURN(HeaderAddition addition, CompileAddition(option));
    to.add.push_back(std::move(addition));
  }
  return to;
}

}  // namespace meltemi::proxy
