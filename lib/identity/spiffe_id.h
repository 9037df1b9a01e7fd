// SPDX-License-Identifier: Apache-2.0
// A workload's identity as Istio writes it: spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT.
// Immutable value.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::identity {

struct SpiffeId {
  std::string trust_domain;
  std::string ns;
  std::string service_account;

  // Refuses anything but the one form above; every part is bounded and of DNS-safe characters.
  static StatusOr<SpiffeId> Parse(std::string_view uri);
  // The identity behind a token's subject "system:serviceaccount:NAMESPACE:NAME".
  static StatusOr<SpiffeId> FromSubject(std::string_view trust_domain, std::string_view subject);
  std::string text() const;
  bool operator==(const SpiffeId&) const = default;
};

// Letters, digits, '-', '.', '_'; 1 to 253 of them. Istio writes '@' in a trust domain as '.'.
bool IsIdentityPart(std::string_view part);

}  // namespace meltemi::identity
