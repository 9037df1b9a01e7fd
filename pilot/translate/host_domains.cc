// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/host_domains.h"

#include <absl/strings/ascii.h>
#include <arpa/inet.h>
#include <fmt/format.h>

#include "envoy/config/route/v3/route_components.pb.h"

namespace meltemi::pilot {
namespace {

// "reviews", "reviews.default.svc", "reviews.default" for a service of the client's namespace, and
// the same without the first for another's. Nothing for names outside the cluster.
std::vector<std::string> ShortForms(std::string_view host, std::string_view ns) {
  constexpr std::string_view kMark = ".svc.";
  const size_t mark = host.find(kMark);
  const size_t dot = host.find('.');
  if (mark == std::string_view::npos || mark == 0 || dot >= mark) return {};
  const std::string_view within = host.substr(0, mark);
  const std::string_view svc = host.substr(0, mark + kMark.size() - 1);
  if (host.substr(dot + 1, mark - dot - 1) == ns) {
    return {std::string(host.substr(0, dot)), std::string(svc), std::string(within)};
  }
  return {std::string(within), std::string(svc)};
}

}  // namespace

bool IsHostWithin(std::string_view host, std::string_view pattern) {
  if (!IsWildcard(pattern)) return host == pattern;
  const std::string_view suffix = pattern.substr(1);
  const std::string_view name = IsWildcard(host) ? host.substr(1) : host;
  return name.size() >= suffix.size() && name.ends_with(suffix);
}

bool IsIpAddress(std::string_view text) {
  const std::string terminated(text);
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, terminated.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, terminated.c_str(), bytes) == 1;
}

std::vector<std::string> AddressesOf(const Service& service, const ProxyFacts& proxy) {
  std::vector<std::string> addresses;
  for (const std::string& address : service.addresses) {
    if (!address.empty() && address != "0.0.0.0" && address != "::" && address != "None") {
      addresses.push_back(address);
    }
  }
  if (addresses.empty() && proxy.is_meltemi && !service.auto_address.empty()) {
    addresses.push_back(service.auto_address);
  }
  return addresses;
}

void Domains::AddOne(std::string domain, envoy::config::route::v3::VirtualHost& to) {
  // Host names have no case.
  if (used_.insert(absl::AsciiStrToLower(domain)).second) to.add_domains(std::move(domain));
}

bool Domains::Add(std::string_view host, const Service* service,
                  envoy::config::route::v3::VirtualHost& to) {
  std::vector<std::string> names{std::string(host)};
  if (host != "*" && !host.ends_with('.') && !IsIpAddress(host)) {
    names.push_back(fmt::format("{}.", host));
  }
  for (std::string& form : ShortForms(host, proxy_.ns)) {
    if (!full_names_.contains(form)) names.push_back(std::move(form));
  }
  for (const std::string& name : names) AddOne(name, to);
  if (service == nullptr) return to.domains_size() > 0;
  if (service->is_headless && service->is_kubernetes) {
    // Pods of a headless service have names of their own below the service's.
    for (const std::string& name : names) AddOne("*." + name, to);
  }
  for (const std::string& address : AddressesOf(*service, proxy_)) {
    if (address.find('/') != std::string::npos) continue;
    AddOne(address.find(':') == std::string::npos ? address : fmt::format("[{}]", address), to);
  }
  return to.domains_size() > 0;
}

}  // namespace meltemi::pilot
