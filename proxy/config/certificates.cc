// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/certificates.h"

#include <algorithm>
#include <utility>

#include "proxy/config/model.h"

namespace meltemi::proxy {
namespace {

std::string RootsOf(const TlsPlan& plan, const tls::PeerVerification& own, const Secrets& secrets) {
  std::string pem;
  for (const std::string& part : own.trusted_pem) pem += part;
  const auto secret = secrets.find(plan.validation_secret);
  if (secret == secrets.end() || !secret->second.validation) return pem;
  for (const std::string& part : secret->second.validation->trusted_pem) pem += part;
  return pem;
}

void Collect(const TlsPlan& plan, const Secrets& secrets, std::vector<CertificateTexts>& to) {
  const bool is_server = plan.is_server;
  const std::string roots =
      RootsOf(plan, is_server ? plan.server.verification : plan.client.verification, secrets);
  std::vector<std::string> chains;
  for (const auto& pair : plan.server.certificates) chains.push_back(pair.chain_pem);
  if (plan.client.certificate) chains.push_back(plan.client.certificate->chain_pem);
  for (const std::string& name : plan.certificate_secrets) {
    const auto secret = secrets.find(name);
    if (secret == secrets.end() || !secret->second.certificate) continue;
    chains.push_back(secret->second.certificate->chain_pem);
  }
  if (chains.empty() && !roots.empty()) chains.emplace_back();
  for (std::string& chain : chains) {
    CertificateTexts texts{roots, std::move(chain)};
    if (std::find(to.begin(), to.end(), texts) == to.end()) to.push_back(std::move(texts));
  }
}

}  // namespace

std::vector<CertificateTexts> CertificatesInUse(const Model& model) {
  std::vector<CertificateTexts> found;
  for (const auto& [name, listener] : model.listeners()) {
    for (const ChainPlan& chain : listener.plan->chains) {
      if (chain.tls) Collect(*chain.tls, model.secrets(), found);
    }
  }
  for (const auto& [name, cluster] : model.clusters()) {
    for (const auto& plan : cluster.plan->tls) {
      if (plan) Collect(*plan, model.secrets(), found);
    }
  }
  return found;
}

}  // namespace meltemi::proxy
