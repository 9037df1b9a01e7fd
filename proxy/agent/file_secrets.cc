// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/file_secrets.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "lib/base/log.h"
#include "proxy/agent/secrets.h"
#include "proxy/agent/text_file.h"

namespace meltemi::proxy {
namespace {

constexpr std::string_view kCertificate = "file-cert:";
constexpr std::string_view kRoot = "file-root:";
constexpr char kSystemRoots[] = "/etc/ssl/certs/ca-certificates.crt";

StatusOr<std::string> SecretOf(const std::string& name, const FileSecret& from) {
  MELTEMI_ASSIGN_OR_RETURN(std::string certificate, ReadTextFile(from.certificate, "certificate"));
  if (from.key.empty()) return ValidationSecret(name, certificate);
  IssuedCertificate issued;
  issued.chain_pem = std::move(certificate);
  MELTEMI_ASSIGN_OR_RETURN(issued.key_pem, ReadTextFile(from.key, "private key"));
  return CertificateSecret(name, issued);
}

}  // namespace

std::optional<FileSecret> ParseFileSecret(std::string_view name) {
  if (name.starts_with(kRoot)) {
    const std::string_view path = name.substr(kRoot.size());
    if (path.empty()) return std::nullopt;
    return FileSecret{path == "system" ? kSystemRoots : std::string(path), ""};
  }
  if (!name.starts_with(kCertificate)) return std::nullopt;
  const std::string_view paths = name.substr(kCertificate.size());
  const size_t tilde = paths.find('~');
  if (tilde == std::string_view::npos || tilde == 0 || tilde + 1 == paths.size())
    return std::nullopt;
  return FileSecret{std::string(paths.substr(0, tilde)), std::string(paths.substr(tilde + 1))};
}

FileSecrets::FileSecrets(runtime::Loop& loop, ConfigSink& sink)
    : sink_(sink), timer_(loop, [this] { ReadAll(); }) {}

void FileSecrets::Want(const SourcedNames& names) {
  bool has_new = false;
  for (const auto& [name, source] : names) {
    if (ParseFileSecret(name).has_value() && given_.try_emplace(name).second) has_new = true;
  }
  std::erase_if(given_, [&](const auto& entry) { return !names.contains(entry.first); });
  std::erase_if(failed_, [&](const auto& entry) { return !names.contains(entry.first); });
  if (has_new) timer_.Arm(Duration::zero());
}

void FileSecrets::ReadAll() {
  bool has_changed = false;
  std::set<std::string> names;  // giving a secret may change what is wanted
  for (const auto& [name, given] : given_) names.insert(name);
  for (const std::string& name : names) has_changed = Read(name) || has_changed;
  if (has_changed) sink_.Commit(nullptr);
  if (!given_.empty() && !timer_.is_armed()) timer_.Arm(kReadAgain);
}

bool FileSecrets::Read(const std::string& name) {
  const auto known = given_.find(name);
  if (known == given_.end()) return false;
  auto secret = SecretOf(name, *ParseFileSecret(name));
  std::string reason;
  if (!secret.ok()) {
    reason = std::string(Message(secret.status()));
  } else {
    // Kept as a digest: there is one copy of a key, in the sink.
    const std::string digest = fmt::to_string(std::hash<std::string>{}(*secret));
    if (digest == known->second) return false;
    const auto rejections = sink_.Update(xds::Type::kSecret, {{name, *secret, digest}}, {});
    if (rejections.empty()) {
      if (const auto still = given_.find(name); still != given_.end()) still->second = digest;
      failed_.erase(name);
      return true;
    }
    reason = rejections.front().reason;
  }
  if (std::exchange(failed_[name], reason) != reason)
    MELTEMI_LOG(warn, "secret {}: {}; trying again", name, reason);
  return false;
}

}  // namespace meltemi::proxy
