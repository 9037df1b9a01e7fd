// SPDX-License-Identifier: Apache-2.0
// The small rules of the model: protocols, hosts, visibility, automatic addresses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "pilot/model/auto_address.h"
#include "pilot/model/export_to.h"
#include "pilot/model/hosts.h"
#include "pilot/model/service.h"
#include "pilot/model/workload.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;

TEST(Protocol, FollowsIstiosRules) {
  struct Case {
    const char *app, *name;
    uint32_t number;
    Protocol expected;
  };
  for (const Case& c : {
           Case{"", "http", 80, Protocol::kHttp},
           Case{"", "http-web", 80, Protocol::kHttp},
           Case{"", "HTTP2-x", 80, Protocol::kHttp2},
           Case{"", "grpc", 80, Protocol::kGrpc},
           Case{"", "grpc-api", 80, Protocol::kGrpc},
           Case{"", "grpc-web", 80, Protocol::kGrpcWeb},
           Case{"", "grpc-web-x", 80, Protocol::kGrpcWeb},
           Case{"", "https", 443, Protocol::kHttps},
           Case{"", "tls-x", 443, Protocol::kTls},
           Case{"", "mongo", 1, Protocol::kMongo},
           Case{"", "web", 9080, Protocol::kUnsupported},
           Case{"", "", 9080, Protocol::kUnsupported},
           Case{"", "db", 3306, Protocol::kTcp},
           Case{"", "", 27017, Protocol::kTcp},
           Case{"", "http", 3306, Protocol::kHttp},
           Case{"tcp", "http", 80, Protocol::kTcp},
           Case{"kubernetes.io/h2c", "x", 80, Protocol::kHttp2},
           Case{"kubernetes.io/ws", "x", 80, Protocol::kHttp},
           Case{"kubernetes.io/wss", "x", 80, Protocol::kHttps},
           Case{"example.com/own", "http", 80, Protocol::kUnsupported},
       }) {
    EXPECT_EQ(ProtocolOf(c.app, c.name, c.number, false), c.expected) << c.app << " " << c.name;
  }
  EXPECT_EQ(ProtocolOf("http", "http", 80, true), Protocol::kUdp);
  EXPECT_EQ(ParseProtocol("GRPC-Web"), Protocol::kGrpcWeb);
  EXPECT_EQ(ParseProtocol("MySQL"), Protocol::kMysql);
  EXPECT_EQ(ParseProtocol("carrier-pigeon"), Protocol::kUnsupported);
}

TEST(Hosts, ShortNamesAreOfTheRulesNamespace) {
  EXPECT_EQ(FullHost("reviews", "shop", "cluster.local"), "reviews.shop.svc.cluster.local");
  EXPECT_EQ(FullHost("reviews.prod", "shop", "cluster.local"), "reviews.prod");
  EXPECT_EQ(FullHost("*", "shop", "cluster.local"), "*");
  EXPECT_EQ(FullHost("2001:db8::1", "shop", "cluster.local"), "2001:db8::1");
}

TEST(Hosts, CoveringNamesMostSpecificFirst) {
  EXPECT_THAT(CoveringHosts("a.b.c"), ElementsAre("a.b.c", "*.b.c", "*.c", "*"));
  EXPECT_THAT(CoveringHosts("*.b.c"), ElementsAre("*.b.c", "*.c", "*"));
  EXPECT_THAT(CoveringHosts("*"), ElementsAre("*"));
  EXPECT_EQ(CoveringHosts(std::string(5000, '.')).size(), 1u);
}

TEST(ExportTo, WhoSeesWhat) {
  EXPECT_EQ(VisibilityOf({}, "a", "b"), Visibility::kPublic);
  EXPECT_EQ(VisibilityOf({"*"}, "a", "b"), Visibility::kPublic);
  EXPECT_EQ(VisibilityOf({"."}, "a", "a"), Visibility::kOwn);
  EXPECT_EQ(VisibilityOf({"."}, "a", "b"), Visibility::kNone);
  EXPECT_EQ(VisibilityOf({"b"}, "a", "b"), Visibility::kNamed);
  EXPECT_EQ(VisibilityOf({"b"}, "a", "c"), Visibility::kNone);
  EXPECT_EQ(VisibilityOf({"~"}, "a", "a"), Visibility::kNone);
  EXPECT_EQ(VisibilityOf({".", "*"}, "a", "b"), Visibility::kPublic);
}

TEST(AutoAddresses, AreStableDistinctAndInRange) {
  AutoAddresses first, second;
  std::set<std::string> seen;
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "ns/host" + std::to_string(i);
    const std::string address = first.Take(name);
    EXPECT_TRUE(address.starts_with("240.240.")) << address;
    EXPECT_FALSE(address.ends_with(".0") || address.ends_with(".255")) << address;
    EXPECT_TRUE(seen.insert(address).second) << address;
    EXPECT_EQ(first.Take(name), address);
  }
  EXPECT_EQ(second.Take("ns/host7"), first.Take("ns/host7"));
}

TEST(AutoAddresses, EndAndComeBack) {
  AutoAddresses addresses;
  int taken = 0;
  std::string last;
  for (; taken < 70000; ++taken) {
    const std::string address = addresses.Take("n/" + std::to_string(taken));
    if (address.empty()) break;
    last = address;
  }
  EXPECT_EQ(taken, 256 * 254);
  addresses.Release("n/" + std::to_string(taken - 1));
  EXPECT_EQ(addresses.Take("another"), last);
}

TEST(Workload, LocalityTexts) {
  EXPECT_EQ(ParseLocality("r/z/s"), (Locality{"r", "z", "s"}));
  EXPECT_EQ(ParseLocality("r"), (Locality{"r", "", ""}));
  EXPECT_EQ(ParseLocality(""), Locality{});
}

}  // namespace
}  // namespace meltemi::pilot
