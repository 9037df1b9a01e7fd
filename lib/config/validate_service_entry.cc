// SPDX-License-Identifier: Apache-2.0
// ServiceEntry. Istio's documented rules.
#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "lib/config/names.h"
#include "lib/config/validate_rules.h"

namespace meltemi::config {
namespace {

using namespace istio::networking::v1;

class ServiceEntryRules final {
 public:
  ServiceEntryRules(const ServiceEntry& entry, const RuleContext& context)
      : entry_(entry), check_(context.check), spec_(context.spec), ns_(context.ns) {}

  void Check();

 private:
  void CheckHosts();
  void CheckAddresses();
  void CheckPorts();
  void CheckEndpoint(const WorkloadEntry& endpoint, const FieldPath& path);
  void CheckUnixEndpoint(const WorkloadEntry& endpoint, const FieldPath& path);
  void CheckResolution();
  void CheckDynamicDns();
  bool IsDns() const {
    return entry_.resolution() == ServiceEntry::DNS ||
           entry_.resolution() == ServiceEntry::DNS_ROUND_ROBIN;
  }

  const ServiceEntry& entry_;
  const Checker& check_;
  const FieldPath& spec_;
  const std::string_view ns_;
};

void ServiceEntryRules::CheckHosts() {
  const FieldPath hosts = spec_.Field("hosts");
  if (entry_.hosts().empty()) check_.Add(hosts, "missing; expected the service's hosts");
  for (int i = 0; i < entry_.hosts_size(); ++i) {
    if (entry_.hosts(i) == "*") {
      check_.Add(hosts.Item(i), "* is every host; expected a name or *.example.com");
    } else {
      check_.Host(hosts.Item(i), entry_.hosts(i));
    }
  }
}

void ServiceEntryRules::CheckAddresses() {
  const FieldPath addresses = spec_.Field("addresses");
  const bool takes_ranges =
      entry_.resolution() == ServiceEntry::NONE || entry_.resolution() == ServiceEntry::STATIC;
  for (int i = 0; i < entry_.addresses_size(); ++i) {
    const std::string& address = entry_.addresses(i);
    if (!IsCidr(address)) {
      check_.Add(addresses.Item(i), "no address; expected an IP address or a range");
    } else if (address.find('/') != std::string::npos && !takes_ranges) {
      check_.Add(addresses.Item(i), "a range of addresses; expected resolution NONE or STATIC");
    }
  }
}

void ServiceEntryRules::CheckPorts() {
  const FieldPath ports = spec_.Field("ports");
  std::set<std::string_view> names;
  std::set<uint32_t> numbers;
  for (int i = 0; i < entry_.ports_size(); ++i) {
    const ServicePort& port = entry_.ports(i);
    const FieldPath path = ports.Item(i);
    check_.Port(path.Field("number"), port.number());
    check_.PortName(path.Field("name"), port.name());
    if (!names.insert(port.name()).second) {
      check_.Add(path.Field("name"), "named twice; expected port names that differ");
    }
    if (!numbers.insert(port.number()).second) {
      check_.Add(path.Field("number"), "used twice; expected port numbers that differ");
    }
    if (!port.protocol().empty() && !IsKnownProtocol(port.protocol())) {
      check_.Add(path.Field("protocol"),
                 Quoted(port.protocol()) + " is no protocol; expected one such as HTTP or TCP");
    }
    if (port.target_port() != 0) check_.Port(path.Field("targetPort"), port.target_port());
  }
}

void ServiceEntryRules::CheckUnixEndpoint(const WorkloadEntry& endpoint, const FieldPath& path) {
  if (!endpoint.address().starts_with("unix:///") && !endpoint.address().starts_with("unix://@")) {
    check_.Add(path.Field("address"), "a relative path; expected unix:///PATH");
  }
  if (!endpoint.ports().empty()) {
    check_.Add(path.Field("ports"), "a Unix socket has no ports; expected none");
  }
  if (entry_.resolution() != ServiceEntry::STATIC || entry_.ports_size() != 1) {
    check_.Add(path.Field("address"),
               "a Unix socket; expected resolution STATIC and exactly one port of the service");
  }
}

void ServiceEntryRules::CheckEndpoint(const WorkloadEntry& endpoint, const FieldPath& path) {
  const std::string& address = endpoint.address();
  if (address.starts_with("unix:")) return CheckUnixEndpoint(endpoint, path);
  const bool is_name = IsDns() && IsFqdn(address);
  const bool is_elsewhere = address.empty() && !endpoint.network().empty();
  if (!IsIpAddress(address) && !is_name && !is_elsewhere) {
    check_.Add(path.Field("address"), Quoted(address) + " is no address; expected an IP address" +
                                          (IsDns() ? " or a host" : ""));
  }
  const FieldPath ports = path.Field("ports");
  for (const auto& [name, number] : endpoint.ports()) {
    const FieldPath port = ports.Key(name);
    check_.Port(port, number);
    const bool is_known = std::any_of(entry_.ports().begin(), entry_.ports().end(),
                                      [&](const ServicePort& p) { return p.name() == name; });
    if (IsDns() && !is_known) {
      check_.Add(port, "not a port of this ServiceEntry; expected the name of one of its ports");
    }
  }
  check_.Labels(path.Field("labels"), endpoint.labels());
}

void ServiceEntryRules::CheckDynamicDns() {
  static constexpr std::array<std::string_view, 4> kProtocols = {"HTTP", "HTTP2", "GRPC", "TLS"};
  const FieldPath hosts = spec_.Field("hosts"), ports = spec_.Field("ports");
  for (int i = 0; i < entry_.hosts_size(); ++i) {
    if (!entry_.hosts(i).starts_with("*")) {
      check_.Add(hosts.Item(i), "one host; expected a wildcard such as *.example.com");
    }
  }
  if (!entry_.addresses().empty() || !entry_.endpoints().empty()) {
    check_.Add(spec_, "addresses or endpoints with resolution DYNAMIC_DNS; expected none");
  }
  for (int i = 0; i < entry_.ports_size(); ++i) {
    const std::string protocol = UpperCase(entry_.ports(i).protocol());
    if (std::find(kProtocols.begin(), kProtocols.end(), protocol) == kProtocols.end()) {
      const FieldPath port = ports.Item(i);
      check_.Add(port.Field("protocol"), "names no host; expected HTTP, HTTP2, GRPC or TLS");
    }
  }
}

void ServiceEntryRules::CheckResolution() {
  const FieldPath endpoints = spec_.Field("endpoints"), hosts = spec_.Field("hosts");
  if (entry_.has_workload_selector() && !entry_.endpoints().empty()) {
    check_.Add(endpoints, "beside workloadSelector; expected one of them");
  }
  if (entry_.resolution() == ServiceEntry::DYNAMIC_DNS) return CheckDynamicDns();
  if (entry_.resolution() == ServiceEntry::NONE && !entry_.endpoints().empty()) {
    check_.Add(endpoints, "not used with resolution NONE; expected STATIC or DNS");
  }
  if (entry_.resolution() == ServiceEntry::DNS_ROUND_ROBIN && entry_.endpoints_size() > 1) {
    check_.Add(endpoints, "several with DNS_ROUND_ROBIN; expected one");
  }
  const bool looks_up_hosts =
      IsDns() && entry_.endpoints().empty() && !entry_.has_workload_selector();
  for (int i = 0; looks_up_hosts && i < entry_.hosts_size(); ++i) {
    if (!IsFqdn(entry_.hosts(i))) {
      check_.Add(hosts.Item(i), "cannot be looked up; expected a full name, or endpoints");
    }
  }
}

void ServiceEntryRules::Check() {
  CheckHosts();
  CheckAddresses();
  CheckPorts();
  CheckResolution();
  const FieldPath endpoints = spec_.Field("endpoints"), selector = spec_.Field("workloadSelector");
  for (int i = 0; i < entry_.endpoints_size(); ++i) {
    CheckEndpoint(entry_.endpoints(i), endpoints.Item(i));
  }
  check_.LabelSelector(selector.Field("labels"), entry_.workload_selector().labels());
  check_.ExportTo(spec_.Field("exportTo"), entry_.export_to(), ns_, true);
}

}  // namespace

void ValidateServiceEntry(const ServiceEntry& entry, const RuleContext& context) {
  ServiceEntryRules(entry, context).Check();
}

}  // namespace meltemi::config
