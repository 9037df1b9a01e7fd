// SPDX-License-Identifier: Apache-2.0
// Istio's defaults of the mesh configuration (istio-control-plane.md §0.2). Lists stay empty, so
// that a user's merge over them: no export default means everyone, as Istio's "*".
#include "pilot/pilot.h"

namespace meltemi::pilot {

istio::mesh::v1alpha1::MeshConfig DefaultMeshConfig() {
  istio::mesh::v1alpha1::MeshConfig mesh;
  mesh.mutable_outbound_traffic_policy()->set_mode(
      istio::mesh::v1alpha1::MeshConfig::OutboundTrafficPolicy::ALLOW_ANY);
  mesh.mutable_enable_auto_mtls()->set_value(true);
  mesh.mutable_enable_tracing()->set_value(true);
  mesh.set_trust_domain("cluster.local");
  mesh.set_root_namespace("istio-system");
  mesh.mutable_connect_timeout()->set_seconds(10);
  mesh.mutable_protocol_detection_timeout()->set_seconds(0);
  mesh.mutable_dns_refresh_rate()->set_seconds(60);
  auto& proxy = *mesh.mutable_default_config();
  proxy.set_discovery_address("istiod.istio-system.svc:15012");
  proxy.mutable_drain_duration()->set_seconds(45);
  proxy.mutable_termination_drain_duration()->set_seconds(5);
  return mesh;
}

}  // namespace meltemi::pilot
