// SPDX-License-Identifier: Apache-2.0
// Tracing of a connection manager: sampling and the tags Istio gives to every span. Pure functions.
#pragma once

#include "api/mesh/v1alpha1/config.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "pilot/model/proxy_facts.h"

namespace meltemi::pilot {

// Nothing when the mesh switches tracing off. Without a provider no spans are sent, but the
// decision to sample travels on in headers.
void SetTracing(
    const istio::mesh::v1alpha1::MeshConfig& mesh, const ProxyFacts& proxy,
    envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& to);

}  // namespace meltemi::pilot
