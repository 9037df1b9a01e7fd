// SPDX-License-Identifier: Apache-2.0
#include "pilot/policy/peer_authentication.h"

#include <optional>

#include "api/security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {
namespace {

using istio::security::v1::PeerAuthentication;

std::optional<MutualTls> ModeOf(const PeerAuthentication::MutualTLS& tls) {
  switch (tls.mode()) {
    case PeerAuthentication::MutualTLS::DISABLE:
      return MutualTls::kDisable;
    case PeerAuthentication::MutualTLS::PERMISSIVE:
      return MutualTls::kPermissive;
    case PeerAuthentication::MutualTLS::STRICT:
      return MutualTls::kStrict;
    default:
      return std::nullopt;  // inherited
  }
}

bool HasSelector(const PeerAuthentication& policy) {
  return !policy.selector().match_labels().empty();
}

// The oldest without a selector.
const PeerAuthentication* Whole(const std::vector<config::ObjectPtr>& policies) {
  for (const config::ObjectPtr& object : policies) {
    const auto& policy = object->Spec<PeerAuthentication>();
    if (!HasSelector(policy)) return &policy;
  }
  return nullptr;
}

const PeerAuthentication* Selected(const std::vector<config::ObjectPtr>& policies,
                                   const Labels& labels) {
  for (const config::ObjectPtr& object : policies) {
    const auto& policy = object->Spec<PeerAuthentication>();
    if (HasSelector(policy) && Selects(policy.selector().match_labels(), labels)) return &policy;
  }
  return nullptr;
}

}  // namespace

InboundTls ResolveInboundTls(const std::vector<config::ObjectPtr>& mesh,
                             const std::vector<config::ObjectPtr>& own, bool is_in_root,
                             const Labels& labels) {
  InboundTls resolved;  // PERMISSIVE
  const PeerAuthentication* const of_mesh = Whole(mesh);
  const PeerAuthentication* const of_namespace = is_in_root ? nullptr : Whole(own);
  // A selector in the root namespace selects nothing, not even there.
  const PeerAuthentication* const of_workload = is_in_root ? nullptr : Selected(own, labels);
  for (const PeerAuthentication* policy : {of_mesh, of_namespace, of_workload}) {
    if (policy == nullptr) continue;
    resolved.mode = ModeOf(policy->mtls()).value_or(resolved.mode);
  }
  if (of_workload == nullptr) return resolved;
  for (const auto& [port, tls] : of_workload->port_level_mtls()) {
    if (const auto mode = ModeOf(tls)) resolved.ports[port] = *mode;
  }
  return resolved;
}

}  // namespace meltemi::pilot
