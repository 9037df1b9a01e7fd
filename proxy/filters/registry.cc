// SPDX-License-Identifier: Apache-2.0
#include "proxy/filters/registry.h"

#include <fmt/format.h>

#include "envoy/config/route/v3/route_components.pb.h"
#include "udpa/type/v1/typed_struct.pb.h"
#include "xds/type/v3/typed_struct.pb.h"

namespace meltemi::proxy {

#define MELTEMI_FILTER(constant) extern const FilterKind constant;
#include "proxy/filters/all.def"
#undef MELTEMI_FILTER

HttpFilter::Verdict HttpFilter::OnRequest(FilterStream&) const {
  return Verdict::kContinue;
}
HttpFilter::Verdict HttpFilter::OnResumed(FilterStream&) const {
  return Verdict::kContinue;
}
void HttpFilter::OnResponse(FilterStream&) const {}
void HttpFilter::OnEnd(const StreamInfo&) const {}

namespace {

const FilterKind* const kKinds[] = {
#define MELTEMI_FILTER(constant) &constant,
#include "proxy/filters/all.def"
#undef MELTEMI_FILTER
};

std::string_view TypeOf(std::string_view type_url) {
  return type_url.substr(type_url.rfind('/') + 1);
}

struct Message {
  std::string type;
  std::string bytes;
};

// Istio's own filters come as a struct with the name of a message nobody links in.
template <typename TypedStruct>
StatusOr<Message> Unwrap(std::string_view serialized) {
  TypedStruct typed;
  if (!typed.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not a TypedStruct message");
  }
  return Message{std::string(TypeOf(typed.type_url())), typed.value().SerializeAsString()};
}

StatusOr<Message> Open(std::string_view type_url, std::string_view serialized) {
  const std::string_view type = TypeOf(type_url);
  if (type == "udpa.type.v1.TypedStruct") return Unwrap<udpa::type::v1::TypedStruct>(serialized);
  if (type == "xds.type.v3.TypedStruct") return Unwrap<xds::type::v3::TypedStruct>(serialized);
  return Message{std::string(type), std::string(serialized)};
}

}  // namespace

StatusOr<std::shared_ptr<const HttpFilter>> CompileFilter(std::string_view name,
                                                          std::string_view type_url,
                                                          std::string_view serialized,
                                                          const FilterContext& context) {
  MELTEMI_ASSIGN_OR_RETURN(const Message message, Open(type_url, serialized));
  for (const FilterKind* kind : kKinds) {
    if (kind->type == message.type) return kind->create(message.bytes, context);
  }
  // An unknown filter may be the one that keeps strangers out: never left out silently.
  return absl::NotFoundError(fmt::format(
      "filter \"{}\" of type \"{}\" is not supported by this proxy", name, message.type));
}

StatusOr<std::optional<routing::FilterOverride>> CompileFilterOverride(
    std::string_view name, std::string_view type_url, std::string_view serialized) {
  bool is_optional = false;
  MELTEMI_ASSIGN_OR_RETURN(Message message, Open(type_url, serialized));
  if (message.type == "envoy.config.route.v3.FilterConfig") {
    envoy::config::route::v3::FilterConfig wrapper;
    if (!wrapper.ParseFromString(message.bytes)) {
      return absl::InvalidArgumentError("not a FilterConfig message");
    }
    is_optional = wrapper.is_optional();
    if (wrapper.disabled()) {
      return absl::InvalidArgumentError("switching a filter off per route is not supported");
    }
    if (!wrapper.has_config()) return std::optional<routing::FilterOverride>();
    MELTEMI_ASSIGN_OR_RETURN(message, Open(wrapper.config().type_url(), wrapper.config().value()));
  }
  for (const FilterKind* kind : kKinds) {
    if (kind->create_override == nullptr || kind->override_type != message.type) continue;
    MELTEMI_ASSIGN_OR_RETURN(auto config, kind->create_override(message.bytes));
    return routing::FilterOverride{std::string(name), std::move(config), false};
  }
  if (is_optional) return std::optional<routing::FilterOverride>();
  return absl::InvalidArgumentError(
      fmt::format("settings of type \"{}\" are not supported", message.type));
}

}  // namespace meltemi::proxy
