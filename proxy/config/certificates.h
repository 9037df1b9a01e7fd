// SPDX-License-Identifier: Apache-2.0
// The certificates that listeners and clusters use now, for the admin endpoint. Control thread
// only.
#pragma once

#include <string>
#include <vector>

namespace meltemi::proxy {

class Model;

// Of one TLS context, PEM; either may be empty. No keys.
struct CertificateTexts {
  std::string roots_pem, chain_pem;
  bool operator==(const CertificateTexts&) const = default;
};

// Equal pairs once, those of listeners first. Secrets that have not come are left out.
std::vector<CertificateTexts> CertificatesInUse(const Model& model);

}  // namespace meltemi::proxy
