// SPDX-License-Identifier: Apache-2.0
#include "lib/identity/spiffe_id.h"

#include <algorithm>

#include <fmt/format.h>

namespace meltemi::identity {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::string_view kSubjectPrefix = "system:serviceaccount:";
constexpr size_t kPartBytesMax = 253;  // a DNS name's limit, as Kubernetes has it

bool Consume(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// What stands before the next '/', which must be there; it is consumed too.
std::string_view Segment(std::string_view& text) {
  const size_t slash = text.find('/');
  const std::string_view part = text.substr(0, slash);
  text.remove_prefix(slash == std::string_view::npos ? text.size() : slash + 1);
  return part;
}

}  // namespace

bool IsIdentityPart(std::string_view part) {
  return !part.empty() && part.size() <= kPartBytesMax &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

StatusOr<SpiffeId> SpiffeId::Parse(std::string_view uri) {
  std::string_view rest = uri;
  SpiffeId id;
  if (Consume(rest, kScheme)) {
    id.trust_domain = Segment(rest);
    if (Consume(rest, "ns/")) {
      id.ns = Segment(rest);
      if (Consume(rest, "sa/")) id.service_account = rest;
    }
  }
  if (IsIdentityPart(id.trust_domain) && IsIdentityPart(id.ns) &&
      IsIdentityPart(id.service_account)) {
    return id;
  }
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" is not an identity of the form "
                  "spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT",
                  uri.substr(0, 256)));
}

StatusOr<SpiffeId> SpiffeId::FromSubject(std::string_view trust_domain, std::string_view subject) {
  std::string_view rest = subject;
  if (Consume(rest, kSubjectPrefix)) {
    const size_t colon = rest.find(':');
    if (colon != std::string_view::npos) {
      SpiffeId id{std::string(trust_domain), std::string(rest.substr(0, colon)),
                  std::string(rest.substr(colon + 1))};
      if (IsIdentityPart(id.ns) && IsIdentityPart(id.service_account)) return id;
    }
  }
  return absl::InvalidArgumentError(fmt::format(
      "subject \"{}\" is not system:serviceaccount:NAMESPACE:NAME", subject.substr(0, 256)));
}

std::string SpiffeId::text() const {
  return fmt::format("{}{}/ns/{}/sa/{}", kScheme, trust_domain, ns, service_account);
}

}  // namespace meltemi::identity
