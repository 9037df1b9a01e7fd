// SPDX-License-Identifier: Apache-2.0
#include "citadel/authority.h"

#include <fmt/format.h>

#include <algorithm>

#include "citadel/files.h"
#include "lib/base/log.h"

namespace meltemi::citadel {
namespace {

using identity::Certificate;
using identity::PrivateKey;

constexpr size_t kChainLengthMax = 10;
constexpr int kRenewalFraction = 5;  // the last fifth of a root's life

bool Holds(const std::vector<Certificate>& all, const Certificate& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

StatusOr<std::string> Required(const std::string& path) {
  MELTEMI_ASSIGN_OR_RETURN(auto text, ReadSmallFile(path));
  if (text.has_value()) return *std::move(text);
  return absl::NotFoundError(
      fmt::format("{} is missing\nput ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem "
                  "there, or leave "
                  "--ca-dir out for a self-signed root",
                  path));
}

StatusOr<Certificate> MakeRoot(const PrivateKey& key, const AuthorityOptions& options) {
  const WallTime now = options.clock->Wall();
  const auto whole = [](Duration d) { return std::chrono::duration_cast<WallTime::duration>(d); };
  return identity::SelfSign(key, {.names = {},
                                  .organization = options.trust_domain,
                                  .not_before = now - whole(kBackdate),
                                  .not_after = now + whole(kRootLifetime),
                                  .is_ca = true});
}

bool IsNearItsEnd(const Certificate& root, WallTime now) {
  const auto life = root.not_after() - root.not_before();
  return root.not_after() - now < life / kRenewalFraction;
}

// The root's key: read, or made and written.
StatusOr<PrivateKey> RootKey(const std::string& directory, bool has_certificate) {
  const std::string path = directory + "/root-key.pem";
  MELTEMI_ASSIGN_OR_RETURN(const auto text, ReadSmallFile(path));
  if (text.has_value()) {
    auto key = PrivateKey::FromPem(*text);
    if (key.ok()) return key;
    return WithContext(key.status(), path);
  }
  if (has_certificate) {
    return absl::FailedPreconditionError(
        fmt::format("{0}/root-cert.pem has no key beside it\nput root-key.pem back, or remove {0} "
                    "to make a new "
                    "root, which every workload must then get",
                    directory));
  }
  MELTEMI_ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  MELTEMI_RETURN_IF_ERROR(WriteSmallFile(path, key.ToPem(), 0600));
  return key;
}

struct Root {
  PrivateKey key;
  Certificate certificate;
};

StatusOr<Root> OpenRoot(const std::string& directory, const AuthorityOptions& options) {
  MELTEMI_RETURN_IF_ERROR(MakeDirectory(directory));
  const std::string path = directory + "/root-cert.pem";
  MELTEMI_ASSIGN_OR_RETURN(const auto text, ReadSmallFile(path));
  MELTEMI_ASSIGN_OR_RETURN(PrivateKey key, RootKey(directory, text.has_value()));
  if (text.has_value()) {
    auto stored = Certificate::Parse(*text);
    if (!stored.ok()) return WithContext(stored.status(), path);
    if (!(stored->public_key() == key.public_key())) {
      return absl::FailedPreconditionError(
          fmt::format("{} is not the certificate of root-key.pem\nput the pair back together, or "
                      "remove {} to make a new root",
                      path, directory));
    }
    if (!IsNearItsEnd(*stored, options.clock->Wall())) {
      return Root{std::move(key), *std::move(stored)};
    }
    MELTEMI_LOG(info, "citadel: the root certificate nears its end and is renewed");
  }
  MELTEMI_ASSIGN_OR_RETURN(Certificate made, MakeRoot(key, options));
  MELTEMI_RETURN_IF_ERROR(WriteSmallFile(path, made.ToPem(), 0644));
  return Root{std::move(key), std::move(made)};
}

StatusOr<Root> MemoryRoot(const AuthorityOptions& options) {
  MELTEMI_ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate());
  MELTEMI_ASSIGN_OR_RETURN(Certificate made, MakeRoot(key, options));
  return Root{std::move(key), std::move(made)};
}

}  // namespace

StatusOr<std::unique_ptr<Authority>> Authority::SelfSigned(const std::string& directory,
                                                           const AuthorityOptions& options) {
  auto root = directory.empty() ? MemoryRoot(options) : OpenRoot(directory, options);
  if (!root.ok()) return root.status();
  std::unique_ptr<Authority> made(
      new Authority(options, std::move(root->key), std::move(root->certificate)));
  made->roots_ = {made->certificate_};
  made->root_pem_ = identity::ToPem(made->roots_);
  return made;
}

StatusOr<std::unique_ptr<Authority>> Authority::PluggedIn(const std::string& directory,
                                                          const AuthorityOptions& options) {
  const auto path = [&](const char* name) { return directory + "/" + name; };
  MELTEMI_ASSIGN_OR_RETURN(const std::string certificate_pem, Required(path("ca-cert.pem")));
  MELTEMI_ASSIGN_OR_RETURN(const std::string key_pem, Required(path("ca-key.pem")));
  MELTEMI_ASSIGN_OR_RETURN(const std::string root_pem, Required(path("root-cert.pem")));
  MELTEMI_ASSIGN_OR_RETURN(const auto chain_pem, ReadSmallFile(path("cert-chain.pem")));
  auto certificate = Certificate::Parse(certificate_pem);
  if (!certificate.ok()) return WithContext(certificate.status(), path("ca-cert.pem"));
  auto key = PrivateKey::FromPem(key_pem);
  if (!key.ok()) return WithContext(key.status(), path("ca-key.pem"));
  auto roots = Certificate::ParseAll(root_pem);
  if (!roots.ok()) return WithContext(roots.status(), path("root-cert.pem"));

  std::unique_ptr<Authority> made(new Authority(options, *std::move(key), *std::move(certificate)));
  made->roots_ = *std::move(roots);
  made->root_pem_ = identity::ToPem(made->roots_);
  if (!Holds(made->roots_, made->certificate_)) made->chain_ = {made->certificate_};
  if (chain_pem.has_value()) {
    auto chain = Certificate::ParseAll(*chain_pem);
    if (!chain.ok()) return WithContext(chain.status(), path("cert-chain.pem"));
    for (Certificate& one : *chain) {
      if (!Holds(made->chain_, one) && !Holds(made->roots_, one)) {
        made->chain_.push_back(std::move(one));
      }
    }
  }
  const Status usable = made->CheckChain();
  if (!usable.ok()) return WithContext(usable, directory);
  return made;
}

Status Authority::CheckChain() const {
  if (!certificate_.is_ca()) {
    return absl::FailedPreconditionError(
        "ca-cert.pem may not sign: it is no CA certificate\nmake it with basicConstraints=CA:TRUE");
  }
  if (!(certificate_.public_key() == key_.public_key())) {
    return absl::FailedPreconditionError(
        "ca-key.pem is not the key of ca-cert.pem\nput the two that belong together there");
  }
  if (certificate_.not_after() <= options_.clock->Wall()) {
    return absl::FailedPreconditionError("ca-cert.pem has expired\nput a renewed one there");
  }
  const Certificate* at = &certificate_;
  for (size_t steps = 0; steps < kChainLengthMax; ++steps) {
    if (Holds(roots_, *at)) return absl::OkStatus();
    const auto is_issuer = [&](const Certificate& one) { return at->IsIssuedBy(one); };
    auto next = std::find_if(roots_.begin(), roots_.end(), is_issuer);
    if (next != roots_.end()) return absl::OkStatus();
    next = std::find_if(chain_.begin(), chain_.end(), is_issuer);
    if (next == chain_.end()) break;
    at = &*next;
  }
  return absl::FailedPreconditionError(
      "ca-cert.pem does not lead to root-cert.pem\nput the certificates between them, in order, "
      "into cert-chain.pem");
}

StatusOr<Certificate> Authority::Sign(const identity::PublicKey& key, identity::AltNames names,
                                      Duration lifetime) {
  const auto whole = [](Duration d) { return std::chrono::duration_cast<WallTime::duration>(d); };
  const WallTime now = options_.clock->Wall();
  if (certificate_.not_after() <= now) {
    return absl::FailedPreconditionError("the certificate of the authority has expired");
  }
  MELTEMI_ASSIGN_OR_RETURN(
      Certificate leaf,
      identity::Issue(certificate_, key_, key,
                      {.names = std::move(names),
                       .organization = "",
                       .not_before = now - whole(kBackdate),
                       .not_after = std::min(now + whole(lifetime), certificate_.not_after()),
                       .is_ca = false}));
  ++certificates_signed_;
  return leaf;
}

StatusOr<std::vector<std::string>> Authority::SignWorkload(std::string_view csr_pem,
                                                           const identity::SpiffeId& id,
                                                           Duration lifetime) {
  if (lifetime <= Duration::zero()) lifetime = options_.workload_lifetime;
  if (lifetime > options_.workload_lifetime_max) {
    return absl::InvalidArgumentError(
        fmt::format("the lifetime asked for, {} s, is over the maximum of {} s",
                    lifetime / std::chrono::seconds(1),
                    options_.workload_lifetime_max / std::chrono::seconds(1)));
  }
  MELTEMI_ASSIGN_OR_RETURN(const identity::PublicKey key, identity::ReadCsr(csr_pem));
  MELTEMI_ASSIGN_OR_RETURN(const Certificate leaf,
                           Sign(key, {.uris = {id.text()}, .dns = {}, .ips = {}}, lifetime));
  std::vector<std::string> chain = {leaf.ToPem()};
  for (const Certificate& one : chain_) chain.push_back(one.ToPem());
  for (const Certificate& one : roots_) chain.push_back(one.ToPem());
  return chain;
}

StatusOr<tls::CertificateKey> Authority::IssueServer(const identity::AltNames& names,
                                                     Duration lifetime) {
  MELTEMI_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate());
  MELTEMI_ASSIGN_OR_RETURN(const Certificate leaf, Sign(key.public_key(), names, lifetime));
  return tls::CertificateKey{.chain_pem = leaf.ToPem() + identity::ToPem(chain_),
                             .key_pem = key.ToPem()};
}

WallTime Authority::root_expiry() const {
  WallTime first = roots_.front().not_after();
  for (const Certificate& root : roots_) first = std::min(first, root.not_after());
  return first;
}

}  // namespace meltemi::citadel
