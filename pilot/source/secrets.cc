// SPDX-License-Identifier: Apache-2.0
#include "pilot/source/secrets.h"

#include <string_view>

#include "api/core/v1/core.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace meltemi::pilot {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using KubernetesSecret = meltemi::api::core::v1::Secret;

constexpr std::string_view kScheme = "kubernetes://";
constexpr std::string_view kAuthorities = "-cacert";

// kubernetes.io/tls's name of the entry, then that of Istio's generic form.
std::string Entry(const config::ObjectPtr& object, const char* name, const char* generic) {
  if (object == nullptr) return {};
  const auto& secret = object->Spec<KubernetesSecret>();
  for (const char* key : {name, generic}) {
    if (const auto text = secret.string_data().find(key); text != secret.string_data().end()) {
      return text->second;
    }
    if (const auto bytes = secret.data().find(key); bytes != secret.data().end()) {
      return bytes->second;
    }
  }
  return {};
}

std::unique_ptr<tls::Secret> Authorities(
    const std::string& name,
    const std::function<config::ObjectPtr(const std::string& name)>& find) {
  std::string bundle = Entry(find(name), "ca.crt", "cacert");
  if (bundle.empty()) {
    bundle = Entry(find(name.substr(0, name.size() - kAuthorities.size())), "ca.crt", "cacert");
  }
  if (bundle.empty()) return nullptr;
  auto secret = std::make_unique<tls::Secret>();
  secret->mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(std::move(bundle));
  return secret;
}

}  // namespace

std::unique_ptr<tls::Secret> BuildSecret(
    const std::string& ns, const std::string& resource_name,
    const std::function<config::ObjectPtr(const std::string& name)>& find) {
  if (!resource_name.starts_with(kScheme)) return nullptr;
  std::string name = resource_name.substr(kScheme.size());
  if (const size_t slash = name.find('/'); slash != std::string::npos) {
    if (name.substr(0, slash) != ns) return nullptr;  // another namespace's are nobody's business
    name = name.substr(slash + 1);
  }
  std::unique_ptr<tls::Secret> secret;
  if (name.ends_with(kAuthorities) && name.size() > kAuthorities.size()) {
    secret = Authorities(name, find);
  } else {
    const config::ObjectPtr object = find(name);
    std::string chain = Entry(object, "tls.crt", "cert");
    std::string key = Entry(object, "tls.key", "key");
    if (chain.empty() || key.empty()) return nullptr;
    secret = std::make_unique<tls::Secret>();
    auto& certificate = *secret->mutable_tls_certificate();
    certificate.mutable_certificate_chain()->set_inline_bytes(std::move(chain));
    certificate.mutable_private_key()->set_inline_bytes(std::move(key));
  }
  if (secret != nullptr) secret->set_name(resource_name);
  return secret;
}

}  // namespace meltemi::pilot
