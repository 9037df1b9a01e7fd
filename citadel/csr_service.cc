// SPDX-License-Identifier: Apache-2.0
#include "citadel/csr_service.h"

#include "api/istio_ca.pb.h"
#include "lib/base/log.h"

namespace meltemi::citadel {
namespace {

constexpr const char* kMethod = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
constexpr int kInvalidArgument = 3;
constexpr int kInternal = 13;
constexpr int kUnauthenticated = 16;
// Beyond it the conversion to nanoseconds could overflow; the authority's limit is far below.
constexpr int64_t kSecondsMax = 100LL * 366 * 24 * 3600;

grpc::CallStatus ToCall(int code, const Status& status) {
  return {code, std::string(Message(status))};
}

}  // namespace

class CsrService::Handler final : public grpc::CallHandler {
 public:
  Handler(CsrService& service, grpc::ServerCall& call) : service_(service), call_(call) {}
  void OnMessage(std::string_view message) override {
    if (is_answered_) return;
    is_answered_ = true;
    call_.Finish(service_.Answer(call_, message));
  }
  void OnClientDone() override {
    if (!is_answered_) call_.Finish({kInvalidArgument, "no certificate request came"});
    is_answered_ = true;
  }
  void OnEnd() override {}

 private:
  CsrService& service_;
  grpc::ServerCall& call_;
  bool is_answered_ = false;
};

grpc::MethodTable CsrService::Methods() {
  grpc::MethodTable methods;
  methods[kMethod] = [this](grpc::ServerCall& call) {
    return std::make_unique<Handler>(*this, call);
  };
  return methods;
}

// The order and the codes are Istio's.
grpc::CallStatus CsrService::Answer(grpc::ServerCall& call, std::string_view message) {
  ++counters_.csr_count;
  const auto caller = authenticator_.Authenticate(call.peer());
  istio::v1::auth::IstioCertificateRequest request;
  if (!caller.ok()) {
    ++counters_.authentication_failure_count;
    MELTEMI_LOG(warn, "citadel: {} refused: {}", call.peer().remote.text(),
                Message(caller.status()));
    return ToCall(kUnauthenticated, caller.status());
  }
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return {kInvalidArgument, "not an IstioCertificateRequest"};
  }
  if (request.metadata().fields().contains("ImpersonatedIdentity")) {
    ++counters_.authentication_failure_count;
    return {kUnauthenticated,
            "this authority signs for the caller alone, not for another identity"};
  }
  if (request.validity_duration() > kSecondsMax) {
    return {kInvalidArgument, "the lifetime asked for is over a century"};
  }
  const auto chain = authority_.SignWorkload(request.csr(), *caller,
                                             std::chrono::seconds(request.validity_duration()));
  if (!chain.ok()) {
    ++counters_.csr_sign_err_count;
    MELTEMI_LOG(warn, "citadel: no certificate for {}: {}", caller->text(),
                Message(chain.status()));
    const bool is_theirs = absl::IsInvalidArgument(chain.status());
    return ToCall(is_theirs ? kInvalidArgument : kInternal, chain.status());
  }
  istio::v1::auth::IstioCertificateResponse response;
  for (const std::string& one : *chain) response.add_cert_chain(one);
  call.Send(response.SerializeAsString());
  ++counters_.success_cert_issuance_count;
  MELTEMI_LOG(debug, "citadel: a certificate for {}", caller->text());
  return {};
}

}  // namespace meltemi::citadel
