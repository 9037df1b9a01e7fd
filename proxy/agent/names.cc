// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/names.h"

#include <sstream>

#include "api/nds.pb.h"

namespace meltemi::proxy {
namespace {

constexpr uint16_t kDnsPort = 53;

}  // namespace

StatusOr<std::shared_ptr<const dns::NameTable>> ReadNameTable(std::string_view serialized,
                                                              const std::string& ns,
                                                              const std::string& domain) {
  istio::networking::nds::v1::NameTable from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size())))
    return absl::InvalidArgumentError("not a NameTable");
  auto to = std::make_shared<dns::NameTable>(ns, domain);
  for (const auto& [host, info] : from.table()) {
    to->Add(host, {info.ips().begin(), info.ips().end()}, info.shortname(), info.namespace_(),
            {info.alt_hosts().begin(), info.alt_hosts().end()});
  }
  return to;
}

std::vector<net::Address> ReadResolvers(std::string_view resolv_conf) {
  std::vector<net::Address> resolvers;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line) && resolvers.size() < kResolversMax;) {
    std::istringstream words(line);
    std::string keyword, ip;
    if (!(words >> keyword >> ip) || keyword != "nameserver") continue;
    auto address = net::Address::ParseIp(ip, kDnsPort);
    if (address.ok()) resolvers.push_back(*std::move(address));
  }
  return resolvers;
}

}  // namespace meltemi::proxy
