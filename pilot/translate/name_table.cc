// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "api/nds.pb.h"
#include "lib/net/address.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

using istio::networking::nds::v1::NameTable;

bool IsIp(const std::string& text) {
  return net::Address::ParseIp(text, 0).ok();
}

// "10.0.0.1", or "10.0.0.1/32"; "" for what names no single address.
std::string SingleAddress(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return IsIp(text) ? text : "";
  const std::string ip = text.substr(0, slash), bits = text.substr(slash + 1);
  const bool is_single = ip.find(':') == std::string::npos ? bits == "32" : bits == "128";
  return is_single && IsIp(ip) ? ip : "";
}

// A headless service answers with where it is served.
std::vector<std::string> EndpointAddresses(Reader& reader, const Service& service) {
  std::set<std::string> ips;
  for (const ServicePort& port : service.ports) {
    const EndpointsPtr endpoints = reader.Endpoints(service.key(), port.number);
    for (const Endpoint& endpoint : *endpoints) {
      if (endpoint.is_ready && IsIp(endpoint.address)) ips.insert(endpoint.address);
    }
  }
  return {ips.begin(), ips.end()};
}

std::vector<std::string> AddressesOf(Reader& reader, const Service& service) {
  std::vector<std::string> ips;
  for (const std::string& address : service.addresses) {
    if (std::string ip = SingleAddress(address); !ip.empty()) ips.push_back(std::move(ip));
  }
  if (!ips.empty()) return ips;
  if (service.is_headless) return EndpointAddresses(reader, service);
  if (!service.auto_address.empty()) ips.push_back(service.auto_address);
  return ips;
}

}  // namespace

std::unique_ptr<NameTable> BuildNameTable(Reader& reader, const ProxyFacts& proxy) {
  auto table = std::make_unique<NameTable>();
  const auto services = reader.Services(proxy.ns);
  for (const ServicePtr& service : *services) {
    const std::vector<std::string> ips = AddressesOf(reader, *service);
    if (ips.empty()) continue;
    auto& entry = (*table->mutable_table())[service->host];
    // What Kubernetes says of a host stands before a ServiceEntry for it.
    if (!service->is_kubernetes && entry.registry() == "Kubernetes") continue;
    entry.clear_ips();
    for (const std::string& ip : ips) entry.add_ips(ip);
    entry.set_registry(service->is_kubernetes ? "Kubernetes" : "External");
    if (!service->is_kubernetes) continue;
    entry.set_shortname(service->name);
    entry.set_namespace_(service->ns);
  }
  return table;
}

}  // namespace meltemi::pilot
