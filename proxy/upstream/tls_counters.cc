// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/tls_counters.h"

#include <algorithm>
#include <string>
#include <vector>

namespace meltemi::proxy {
namespace {

using net::TlsFailure;

struct Named {
  const char* name;  // below <listener or cluster>.ssl.
  const char* help;
};

constexpr Named kEventNames[] = {
    {"handshake", "TLS handshakes completed."},
    {"session_reused", "TLS handshakes that resumed a session."},
    {"no_certificate", "TLS handshakes whose peer showed no certificate."},
    {"connection_error", "TLS connections that failed, but for the verification of the peer."},
    {"fail_verify_no_cert", "TLS handshakes that failed for want of a peer certificate."},
    {"fail_verify_error", "TLS handshakes whose peer certificate was refused."},
    {"fail_verify_san", "TLS handshakes whose peer certificate had none of the names asked for."},
    {"fail_verify_cert_hash", "TLS handshakes whose peer certificate was none of those pinned."},
};

class Adder {
 public:
  Adder(telemetry::Registry& registry, TlsCounters::Side side)
      : registry_(registry), is_listener_(side == TlsCounters::Side::kListener) {}

  telemetry::Family* Add(std::string_view name, const char* help, const char* kind = nullptr) {
    telemetry::FamilyOptions options;
    options.name = is_listener_ ? "envoy_listener_ssl_" : "envoy_cluster_ssl_";
    options.name += name;
    options.help = help;
    options.type = telemetry::MetricType::kCounter;
    options.labels = {is_listener_ ? "envoy_listener_address" : "envoy_cluster_name"};
    options.text = is_listener_ ? "listener.{}.ssl." : "cluster.{}.ssl.";
    options.text += name;
    if (kind != nullptr) {
      options.labels.emplace_back(kind);
      options.text += ".{}";
    }
    return registry_.Add(std::move(options));
  }

 private:
  telemetry::Registry& registry_;
  const bool is_listener_;
};

}  // namespace

TlsCounters::TlsCounters(Side side, telemetry::Registry* registry, telemetry::Recorder* recorder)
    : recorder_(recorder) {
  if (registry == nullptr || recorder == nullptr) return;
  Adder adder(*registry, side);
  for (size_t i = 0; i < kEvents; ++i) {
    events_[i] = adder.Add(kEventNames[i].name, kEventNames[i].help);
  }
  versions_ = adder.Add("versions", "TLS handshakes by version.", "envoy_ssl_version");
  ciphers_ = adder.Add("ciphers", "TLS handshakes by cipher suite.", "envoy_ssl_cipher");
  curves_ = adder.Add("curves", "TLS handshakes by key exchange group.", "envoy_ssl_curve");
  failures_ = adder.Add("failures", "TLS connections that failed, by reason.", "reason");
}

void TlsCounters::Count(Event event, std::string_view name) {
  if (telemetry::Family* family = events_[event]) {
    recorder_->Find(family, std::array{name}).Add();
  }
}

void TlsCounters::Count(telemetry::Family* family, std::string_view name, std::string_view kind) {
  if (family != nullptr && !kind.empty()) recorder_->Find(family, std::array{name, kind}).Add();
}

void TlsCounters::CountHandshake(const net::TlsPeer& peer, std::string_view name) {
  Count(kHandshake, name);
  if (peer.resumed) Count(kSessionReused, name);
  if (peer.certificate_der.empty()) Count(kNoCertificate, name);
  Count(versions_, name, peer.version);
  Count(ciphers_, name, peer.cipher);
  Count(curves_, name, peer.group);
}

// As Envoy's: what the verification refused is no connection error, and a peer that just leaves is
// none of both.
void TlsCounters::CountFailure(TlsFailure failure, std::string_view name) {
  Count(failures_, name, TlsFailureName(failure));
  switch (failure) {
    case TlsFailure::kNone:
    case TlsFailure::kPeerClosed:
      return;
    case TlsFailure::kNoCertificate:
      return Count(kVerifyNoCertificate, name);
    case TlsFailure::kSanMismatch:
      return Count(kVerifySan, name);
    case TlsFailure::kPinMismatch:
      return Count(kVerifyHash, name);
    case TlsFailure::kCertificateExpired:
    case TlsFailure::kCertificateNotYetValid:
    case TlsFailure::kUnknownIssuer:
    case TlsFailure::kRevoked:
    case TlsFailure::kCertificateRefused:
      return Count(kVerifyError, name);
    default:
      return Count(kConnectionError, name);
  }
}

std::string_view TlsFailureName(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "none";
    case TlsFailure::kPeerSpokeHttp:
      return "peer_spoke_http";
    case TlsFailure::kPeerSpokeNoTls:
      return "peer_spoke_no_tls";
    case TlsFailure::kCertificateExpired:
      return "certificate_expired";
    case TlsFailure::kCertificateNotYetValid:
      return "certificate_not_yet_valid";
    case TlsFailure::kUnknownIssuer:
      return "unknown_issuer";
    case TlsFailure::kRevoked:
      return "certificate_revoked";
    case TlsFailure::kSanMismatch:
      return "wrong_san";
    case TlsFailure::kPinMismatch:
      return "not_pinned";
    case TlsFailure::kCertificateRefused:
      return "certificate_refused";
    case TlsFailure::kNoCertificate:
      return "no_certificate";
    case TlsFailure::kNoSharedVersion:
      return "no_shared_version";
    case TlsFailure::kNoSharedCipher:
      return "no_shared_cipher";
    case TlsFailure::kNoSharedProtocol:
      return "no_shared_protocol";
    case TlsFailure::kPeerClosed:
      return "peer_closed";
    case TlsFailure::kAlertReceived:
      return "alert_received";
    case TlsFailure::kNoCertificateForName:
      return "no_certificate_for_name";
    case TlsFailure::kOther:
      return "other";
  }
  return "other";
}

}  // namespace meltemi::proxy
