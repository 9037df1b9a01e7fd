// SPDX-License-Identifier: Apache-2.0
// Kubernetes Secrets as Envoy's, for gateways. Pure but for what the lookup reads. Key material
// goes into the message and nowhere else.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/config/object.h"

namespace envoy::extensions::transport_sockets::tls::v3 {
class Secret;
}

namespace meltemi::pilot {

// "kubernetes://NAME" or "kubernetes://NS/NAME" of the router's own namespace: certificate and key;
// with "-cacert" at the end the authorities that clients are checked against, from a Secret of that
// name or from the one without the ending. nullptr = there is none, or not what it takes.
std::unique_ptr<envoy::extensions::transport_sockets::tls::v3::Secret> BuildSecret(
    const std::string& ns, const std::string& resource_name,
    const std::function<config::ObjectPtr(const std::string& name)>& find);

}  // namespace meltemi::pilot
