// SPDX-License-Identifier: Apache-2.0
// The workload's certificate: a fresh key, a signing request, the authority's answer, and again
// before it expires. Control thread only.
//
//   asking ──certificate──▶ holding ──half of what was left of its life──▶ asking
//     ▲ │ failed: back-off, the old certificate stays in use
//     └─┘
//
// Invariants:
//  1. The key is made here, is used for one certificate, and never leaves the process.
//  2. What is handed on is a certificate for our own key that has not expired.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/grpc/client.h"
#include "lib/identity/key.h"
#include "lib/runtime/loop.h"
#include "lib/xds/client_backoff.h"
#include "proxy/agent/control_tls.h"
#include "proxy/agent/options.h"

namespace meltemi::proxy {

struct IssuedCertificate {
  std::string chain_pem;  // leaf and intermediates
  std::string key_pem;    // never logged
  std::string root_pem;   // vouches for the chain, and for the workload's peers
  std::string identity;   // the leaf's URI
  std::string serial_number;
  WallTime not_before{}, not_after{};
};

// Judges an authority's answer (leaf first, root last; each entry may hold several certificates).
// `roots_pem` is used when the answer ends without a root.
StatusOr<IssuedCertificate> ReadAnswer(const std::vector<std::string>& chain,
                                       const identity::PrivateKey& key,
                                       const std::string& roots_pem, WallTime now);

// When to ask again, counted from `now`, at which the certificate came: when `grace_ratio` (in
// [0, 1]) of its remaining life is left, up to a tenth of that life earlier or later so that not
// all ask at once, never sooner than a second from now. `random` in [0, 1). Its start does not
// count: authorities date it back.
Duration RenewAfter(const IssuedCertificate& certificate, WallTime now, double grace_ratio,
                    double random);

class WorkloadIdentity final {
 public:
  struct Options {
    net::Address authority;
    std::string token_path;
    std::string uri;  // spiffe://…, asked for; the authority decides
    std::chrono::seconds lifetime = kSecretLifetime;
    double grace_ratio = kGraceRatio;
    std::function<double()> random;
    Duration backoff_min = std::chrono::seconds(1);
    Duration backoff_max = std::chrono::seconds(30);
  };
  using OnIssued = std::function<void(const IssuedCertificate&)>;

  // `tls` outlives this object.
  WorkloadIdentity(runtime::Loop& loop, const Clock& clock, ControlTls& tls, Options options,
                   OnIssued on_issued);

  void Start() { timer_.Arm(Duration::zero()); }
  const std::optional<IssuedCertificate>& current() const { return current_; }
  uint64_t failures() const { return failures_; }

 private:
  static constexpr Duration kAnswerWaitMax = std::chrono::seconds(10);
  static constexpr size_t kAnswerBytesMax = 1024 * 1024;

  // Timers stand still while a machine sleeps and certificates do not: the wall clock is looked at
  // this often.
  static constexpr Duration kLookMax = std::chrono::minutes(1);

  void Look();
  void AwaitRenewal();
  void Ask();
  Status TryAsk();
  void OnAnswer(const grpc::CallStatus& status, const std::string& response);
  void Fail(const Status& status);

  runtime::Loop& loop_;
  const Clock& clock_;
  ControlTls& tls_;
  const Options options_;
  const OnIssued on_issued_;
  xds::ClientBackoff backoff_;
  runtime::Timer timer_;  // the next request, or the next look at the clock
  WallTime renewal_{};    // not before
  runtime::Timer deadline_;
  std::unique_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::ClientCall> call_;
  std::optional<identity::PrivateKey> key_;  // of the request under way
  std::optional<IssuedCertificate> current_;
  uint64_t failures_ = 0;
};

}  // namespace meltemi::proxy
