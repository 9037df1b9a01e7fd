// SPDX-License-Identifier: Apache-2.0
// The agent's own secrets as Envoy's messages, under the names Istio's configuration asks for them.
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proxy/agent/workload_identity.h"
#include "proxy/config/certificates.h"

namespace meltemi::proxy {

inline constexpr char kWorkloadSecret[] = "default";  // the workload's certificate and key
inline constexpr char kRootSecret[] = "ROOTCA";       // the roots that vouch for its peers

// Serialized envoy.extensions.transport_sockets.tls.v3.Secret.
std::string CertificateSecret(const std::string& name, const IssuedCertificate& certificate);
std::string ValidationSecret(const std::string& name, const std::string& roots_pem);

// Secrets that never come from the control plane.
bool IsLocalSecret(std::string_view name);

// Envoy's /certs, an entry for each pair of roots and chain. No keys.
std::string CertificatesJson(const IssuedCertificate& certificate, WallTime now);
std::string CertificatesJson(const std::vector<CertificateTexts>& certificates, WallTime now);

}  // namespace meltemi::proxy
