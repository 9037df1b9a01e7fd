// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/host_domains.h"

#include <gtest/gtest.h>

#include "envoy/config/route/v3/route_components.pb.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::VirtualHost;

ProxyFacts Client() {
  ProxyFacts proxy;
  proxy.ns = "default";
  return proxy;
}

TEST(HostDomainsTest, WildcardsCoverHostsAndNarrowerWildcards) {
  EXPECT_TRUE(IsHostWithin("a.example.com", "*.example.com"));
  EXPECT_TRUE(IsHostWithin("*.a.example.com", "*.example.com"));
  EXPECT_TRUE(IsHostWithin("anything", "*"));
  EXPECT_FALSE(IsHostWithin("example.com", "*.example.com"));
  EXPECT_FALSE(IsHostWithin("*.example.com", "a.example.com"));
  EXPECT_FALSE(IsHostWithin("*", "*.example.com"));
}

TEST(HostDomainsTest, DomainsBelongToOneHostWhateverTheirCase) {
  const ProxyFacts proxy = Client();
  Domains domains(proxy, {});
  VirtualHost first, second;
  EXPECT_TRUE(domains.Add("a.example.com", nullptr, first));
  EXPECT_EQ(first.domains_size(), 2);  // with and without the closing dot
  EXPECT_FALSE(domains.Add("A.Example.com", nullptr, second));
}

TEST(HostDomainsTest, ShortFormsNeverHideAServicesName) {
  const ProxyFacts proxy = Client();
  Domains domains(proxy, {"reviews.default"});  // a ServiceEntry of that name
  VirtualHost host;
  domains.Add("reviews.default.svc.cluster.local", nullptr, host);
  for (const std::string& domain : host.domains()) EXPECT_NE(domain, "reviews.default");
}

TEST(HostDomainsTest, PodsOfHeadlessServicesHaveNamesBelow) {
  const ProxyFacts proxy = Client();
  Domains domains(proxy, {});
  Service service;
  service.is_headless = true;
  VirtualHost host;
  domains.Add("db.default.svc.cluster.local", &service, host);
  bool is_found = false;
  for (const std::string& domain : host.domains()) is_found = is_found || domain == "*.db.default";
  EXPECT_TRUE(is_found);
}

TEST(HostDomainsTest, AddressesAsInUrls) {
  const ProxyFacts proxy = Client();
  Domains domains(proxy, {});
  Service service;
  service.addresses = {"10.0.0.1", "fd00::1", "192.0.2.0/24"};
  VirtualHost host;
  domains.Add("x.example.com", &service, host);
  ASSERT_EQ(host.domains_size(), 4);
  EXPECT_EQ(host.domains(2), "10.0.0.1");
  EXPECT_EQ(host.domains(3), "[fd00::1]");
}

}  // namespace
}  // namespace meltemi::pilot
