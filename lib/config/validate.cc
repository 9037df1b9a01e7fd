// SPDX-License-Identifier: Apache-2.0
#include "lib/config/validate.h"

#include <string>

#include "lib/config/validate_rules.h"

namespace meltemi::config {
namespace {

// metadata.<name>, when it is there and text.
std::string MetadataText(const nlohmann::json& document, std::string_view name) {
  const auto metadata = document.find("metadata");
  if (metadata == document.end() || !metadata->is_object()) return {};
  const auto found = metadata->find(name);
  return found != metadata->end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool IsOfGatewayApi(const nlohmann::json& document) {
  const auto metadata = document.find("metadata");
  if (metadata == document.end() || !metadata->is_object()) return false;
  const auto annotations = metadata->find("annotations");
  return annotations != metadata->end() && annotations->is_object() &&
         annotations->value("internal.istio.io/gateway-semantics", nlohmann::json()) == "gateway";
}

}  // namespace

void Validate(const Kind& kind, const google::protobuf::Message& message,
              const nlohmann::json& document, const SpecPlace& spec, Problems& problems) {
  const Checker check(spec, problems);
  const std::string ns = MetadataText(document, "namespace");
  const RuleContext context{check, spec.path, ns, IsOfGatewayApi(document)};
  using namespace istio::networking::v1;
  if (&kind == &kinds::kVirtualService) {
    ValidateVirtualService(static_cast<const VirtualService&>(message), context);
  } else if (&kind == &kinds::kDestinationRule) {
    ValidateDestinationRule(static_cast<const DestinationRule&>(message), context);
  } else if (&kind == &kinds::kGateway) {
    ValidateGateway(static_cast<const Gateway&>(message), context);
  } else if (&kind == &kinds::kServiceEntry) {
    ValidateServiceEntry(static_cast<const ServiceEntry&>(message), context);
  } else if (&kind == &kinds::kPeerAuthentication) {
    ValidatePeerAuthentication(static_cast<const istio::security::v1::PeerAuthentication&>(message),
                               context);
  }
}

}  // namespace meltemi::config
