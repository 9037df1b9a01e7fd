// SPDX-License-Identifier: Apache-2.0
// What TLS counts, by Envoy's names below "listener.<address>." or "cluster.<name>.". Worker-local;
// counts nothing without a registry.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lib/net/connection.h"
#include "lib/telemetry/metrics.h"

namespace meltemi::proxy {

class TlsCounters final {
 public:
  enum class Side : uint8_t { kListener, kCluster };
  TlsCounters(Side side, telemetry::Registry* registry, telemetry::Recorder* recorder);

  // `name`: of the listener or cluster.
  void CountHandshake(const net::TlsPeer& peer, std::string_view name);
  void CountFailure(net::TlsFailure failure, std::string_view name);

 private:
  enum Event : uint8_t {
    kHandshake,
    kSessionReused,
    kNoCertificate,
    kConnectionError,
    kVerifyNoCertificate,
    kVerifyError,
    kVerifySan,
    kVerifyHash,
    kEvents
  };
  void Count(Event event, std::string_view name);
  void Count(telemetry::Family* family, std::string_view name, std::string_view kind);

  telemetry::Recorder* const recorder_;
  std::array<telemetry::Family*, kEvents> events_{};
  telemetry::Family* versions_ = nullptr;
  telemetry::Family* ciphers_ = nullptr;
  telemetry::Family* curves_ = nullptr;
  telemetry::Family* failures_ = nullptr;  // our own: by class
};

// "wrong_san", "peer_spoke_http": for metrics.
std::string_view TlsFailureName(net::TlsFailure failure);

}  // namespace meltemi::proxy
