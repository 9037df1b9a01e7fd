// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/hosts.h"

namespace meltemi::pilot {
namespace {

constexpr size_t kHostBytesMax = 253;  // RFC 1035; longer ones are looked up as they are

}  // namespace

std::string FullHost(std::string_view host, std::string_view ns, std::string_view domain) {
  if (host.empty() || host == "*" || host.find_first_of(".:") != std::string_view::npos) {
    return std::string(host);
  }
  std::string full(host);
  full.append(".").append(ns).append(".svc.").append(domain);
  return full;
}

std::vector<std::string> CoveringHosts(std::string_view host) {
  std::vector<std::string> covering = {std::string(host)};
  if (host.empty() || host == "*" || host.size() > kHostBytesMax) return covering;
  std::string_view rest = host;
  if (rest.starts_with("*.")) rest.remove_prefix(2);
  for (size_t dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
    rest.remove_prefix(dot + 1);
    covering.push_back("*." + std::string(rest));
  }
  covering.emplace_back("*");
  return covering;
}

}  // namespace meltemi::pilot
