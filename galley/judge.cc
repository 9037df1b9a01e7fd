// SPDX-License-Identifier: Apache-2.0
#include "galley/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace meltemi::galley {
namespace {

// Groups whose kinds say what the mesh shall do.
constexpr std::array<std::string_view, 7> kMeshGroups = {
    "networking.istio.io", "security.istio.io", "telemetry.istio.io",
    "extensions.istio.io", "install.istio.io",  "gateway.networking.k8s.io",
    "networking.k8s.io",  // Ingress is routing, NetworkPolicy is a policy
};

// What Pilot reads of them. A WorkloadGroup is only a template of WorkloadEntries.
struct Read {
  std::string_view group, kind;
};
constexpr std::array<Read, 7> kRead = {{
    {"networking.istio.io", "DestinationRule"},
    {"networking.istio.io", "Gateway"},
    {"networking.istio.io", "ServiceEntry"},
    {"networking.istio.io", "VirtualService"},
    {"networking.istio.io", "WorkloadEntry"},
    {"networking.istio.io", "WorkloadGroup"},
    {"security.istio.io", "PeerAuthentication"},
}};

}  // namespace

bool IsEnforced(const config::Kind& kind) {
  const bool is_of_mesh =
      std::find(kMeshGroups.begin(), kMeshGroups.end(), kind.group) != kMeshGroups.end();
  return !is_of_mesh || std::any_of(kRead.begin(), kRead.end(), [&](const Read& read) {
    return read.group == kind.group && read.kind == kind.kind;
  });
}

Status JudgeEnforced(const config::Object& object) {
  if (IsEnforced(*object.kind)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: kind {} ({}) is not enforced by this version of Meltemi; remove it",
                  object.key().text(), object.kind->kind, object.kind->group));
}

}  // namespace meltemi::galley
