// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/workload_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/istio_ca.pb.h"
#include "lib/base/log.h"
#include "lib/identity/certificate.h"
#include "proxy/agent/text_file.h"

namespace meltemi::proxy {
namespace {

// Of what is left of a certificate's life. Istio's is a hundredth; a mesh on one machine starts all
// of its proxies at once.
constexpr double kJitter = 0.1;
constexpr Duration kRenewalMin = std::chrono::seconds(1);

constexpr char kMethod[] = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

StatusOr<std::vector<identity::Certificate>> ParseChain(const std::vector<std::string>& entries) {
  std::vector<identity::Certificate> all;
  for (const std::string& entry : entries) {
    MELTEMI_ASSIGN_OR_RETURN(auto some, identity::Certificate::ParseAll(entry));
    all.insert(all.end(), some.begin(), some.end());
  }
  if (all.empty()) return absl::InvalidArgumentError("the answer has no certificate");
  return all;
}

}  // namespace

StatusOr<IssuedCertificate> ReadAnswer(const std::vector<std::string>& chain,
                                       const identity::PrivateKey& key,
                                       const std::string& roots_pem, WallTime now) {
  MELTEMI_ASSIGN_OR_RETURN(auto all, ParseChain(chain));
  const identity::Certificate leaf = all.front();
  if (!(leaf.public_key() == key.public_key()))
    return absl::InvalidArgumentError("the certificate is for another key than ours");
  if (leaf.not_after() <= now)
    return absl::InvalidArgumentError("the certificate has expired; is a clock wrong?");
  IssuedCertificate issued;
  const bool ends_in_root = all.size() > 1 && all.back().IsIssuedBy(all.back());
  if (ends_in_root) {
    issued.root_pem = all.back().ToPem();
    all.pop_back();  // peers have it: sending it would only make handshakes longer
  } else {
    issued.root_pem = roots_pem;
  }
  issued.chain_pem = identity::ToPem(all);
  issued.key_pem = key.ToPem();
  issued.serial_number = leaf.serial_number();
  issued.not_before = leaf.not_before();
  issued.not_after = leaf.not_after();
  const identity::AltNames names = leaf.alt_names();
  if (!names.uris.empty()) issued.identity = names.uris.front();
  return issued;
}

Duration RenewAfter(const IssuedCertificate& certificate, WallTime now, double grace_ratio,
                    double random) {
  const auto life = std::chrono::duration<double>(certificate.not_after - now);
  const double spent = 1 - grace_ratio + kJitter * (2 * random - 1);
  const auto after = std::chrono::duration_cast<Duration>(life * std::clamp(spent, 0.0, 1.0));
  return std::max<Duration>(after, kRenewalMin);
}

WorkloadIdentity::WorkloadIdentity(runtime::Loop& loop, const Clock& clock, ControlTls& tls,
                                   Options options, OnIssued on_issued)
    : loop_(loop),
      clock_(clock),
      tls_(tls),
      options_(std::move(options)),
      on_issued_(std::move(on_issued)),
      backoff_(options_.backoff_min, options_.backoff_max),
      timer_(loop, [this] { Look(); }),
      deadline_(loop, [this] { Fail(absl::DeadlineExceededError("no answer in 10 s")); }) {
  grpc::ChannelOptions channel;
  channel.message_bytes_max = kAnswerBytesMax;
  channel_ = grpc::Channel::Create(loop_, tls_.TargetOf(options_.authority), std::move(channel));
}

void WorkloadIdentity::Look() {
  clock_.Wall() < renewal_ ? AwaitRenewal() : Ask();
}

void WorkloadIdentity::AwaitRenewal() {
  timer_.Arm(std::min<Duration>(kLookMax, renewal_ - clock_.Wall()));
}

void WorkloadIdentity::Ask() {
  const Status status = TryAsk();
  if (!status.ok()) Fail(status);
}

Status WorkloadIdentity::TryAsk() {
  MELTEMI_ASSIGN_OR_RETURN(const std::string token, ReadToken(options_.token_path));
  MELTEMI_RETURN_IF_ERROR(tls_.Context().status());
  MELTEMI_ASSIGN_OR_RETURN(key_, identity::PrivateKey::Generate());
  istio::v1::auth::IstioCertificateRequest request;
  MELTEMI_ASSIGN_OR_RETURN(*request.mutable_csr(), identity::MakeCsr(*key_, options_.uri));
  request.set_validity_duration(options_.lifetime.count());
  deadline_.Arm(kAnswerWaitMax);
  call_ = grpc::Unary(*channel_, kMethod, {{"authorization", "Bearer " + token}},
                      request.SerializeAsString(),
                      [this](const grpc::CallStatus& status, const std::string& response) {
                        OnAnswer(status, response);
                      });
  return absl::OkStatus();
}

void WorkloadIdentity::OnAnswer(const grpc::CallStatus& status, const std::string& response) {
  loop_.DeferDelete(std::shared_ptr<grpc::ClientCall>(std::move(call_)));
  deadline_.Disarm();
  if (!status.ok())
    return Fail(absl::UnavailableError(fmt::format("{} (code {})", status.message, status.code)));
  istio::v1::auth::IstioCertificateResponse answer;
  if (!answer.ParseFromString(response))
    return Fail(absl::InvalidArgumentError("the answer is not Istio's"));
  const std::vector<std::string> chain(answer.cert_chain().begin(), answer.cert_chain().end());
  auto issued = ReadAnswer(chain, *key_, tls_.roots_pem(), clock_.Wall());
  key_.reset();
  if (!issued.ok()) return Fail(issued.status());
  current_ = *std::move(issued);
  backoff_.Reset();
  tls_.SetCertificate({.chain_pem = current_->chain_pem, .key_pem = current_->key_pem},
                      current_->not_after);
  const WallTime now = clock_.Wall();
  const Duration after = RenewAfter(*current_, now, options_.grace_ratio, options_.random());
  renewal_ = now + std::chrono::duration_cast<WallTime::duration>(after);
  AwaitRenewal();
  MELTEMI_LOG(info, "certificate {} for {}, renewed in {} s", current_->serial_number,
              current_->identity, after / std::chrono::seconds(1));
  on_issued_(*current_);
}

void WorkloadIdentity::Fail(const Status& status) {
  ++failures_;
  call_.reset();
  deadline_.Disarm();
  key_.reset();
  const Duration wait = backoff_.Next(options_.random());
  MELTEMI_LOG(warn, "no certificate from {}: {}; next try in {} ms", options_.authority.text(),
              Message(status), wait / std::chrono::milliseconds(1));
  timer_.Arm(wait);
}

}  // namespace meltemi::proxy
