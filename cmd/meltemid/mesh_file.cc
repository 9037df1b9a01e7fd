// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemid/mesh_file.h"

#include <fmt/format.h>

#include <vector>

#include "citadel/files.h"
#include "lib/config/parse.h"
#include "pilot/pilot.h"

namespace meltemi::cmd {
namespace {

using istio::mesh::v1alpha1::MeshConfig;

// What the user wrote wins. A message of the mesh counts whole, so that its zero values count too
// (mode: REGISTRY_ONLY is one); the proxies' defaults are laid under field by field, as Istio does.
void LayUnder(const MeshConfig& defaults, MeshConfig& mesh) {
  MeshConfig result = defaults;
  const auto* reflection = mesh.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(mesh, &fields);
  for (const auto* field : fields) {
    if (field->number() != MeshConfig::kDefaultConfigFieldNumber) {
      result.GetReflection()->ClearField(&result, field);
    }
  }
  result.MergeFrom(mesh);
  mesh = std::move(result);
}

}  // namespace

StatusOr<MeshConfig> LoadMeshConfig(const std::string& path) {
  if (path.empty()) return pilot::DefaultMeshConfig();
  MELTEMI_ASSIGN_OR_RETURN(const auto text, citadel::ReadSmallFile(path));
  if (!text.has_value()) {
    return absl::NotFoundError(
        fmt::format("--mesh-config: {} does not exist\ngive the path of a MeshConfig in YAML, or "
                    "leave the flag "
                    "out for Istio's defaults",
                    path));
  }
  MeshConfig mesh;
  const Status parsed = config::ParseMessage(*text, path, config::Strictness::kLenient, mesh);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("--mesh-config: {}\nmend the file and start again", Message(parsed)));
  }
  LayUnder(pilot::DefaultMeshConfig(), mesh);
  return mesh;
}

}  // namespace meltemi::cmd
