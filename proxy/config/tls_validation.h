// SPDX-License-Identifier: Apache-2.0
// envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext and its data sources →
// lib/tls. Control thread only. Errors name the field below the message that was given.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/status.h"
#include "lib/tls/context.h"

namespace envoy::config::core::v3 {
class DataSource;
}
namespace envoy::extensions::transport_sockets::tls::v3 {
class CertificateValidationContext;
}

namespace meltemi::proxy {

// At most 4 MiB of a file.
StatusOr<std::string> ReadSource(const envoy::config::core::v3::DataSource& source,
                                 std::string_view field);

// Adds `from` to `to` as protobuf merges messages: a combined context is the default's matchers and
// the secret's trust.
Status AddValidation(
    const envoy::extensions::transport_sockets::tls::v3::CertificateValidationContext& from,
    tls::PeerVerification& to);

// The same of two that are compiled: lists grow, what `from` gives of the rest stands.
void Merge(const tls::PeerVerification& from, tls::PeerVerification& to);

bool HasTrust(const tls::PeerVerification& verification);
bool HasPins(const tls::PeerVerification& verification);

}  // namespace meltemi::proxy
