// SPDX-License-Identifier: Apache-2.0
#include "cli/output/proxy_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace meltemi::cli {
namespace {

using ::testing::HasSubstr;

nlohmann::json Parse(const char* text) {
  return nlohmann::json::parse(text, nullptr, false);
}

TEST(ProxyConfig, SplitsIstiosClusterNames) {
  const auto dump =
      Parse(R"({"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
    "dynamic_active_clusters": [{"cluster": {"name": "outbound|9080|v1|reviews.default.svc.cluster.local", "type": "EDS"}},
                                {"cluster": {"name": "PassthroughCluster", "type": "ORIGINAL_DST"}}]}]})");
  const std::string table = ClusterTable(dump);
  EXPECT_THAT(table, HasSubstr("reviews.default.svc.cluster.local   9080   v1"));
  EXPECT_THAT(table, HasSubstr("PassthroughCluster"));
}

TEST(ProxyConfig, SurvivesADumpOfAnotherShape) {
  EXPECT_EQ(ListenerTable(Parse("[]")), "ADDRESSES   PORT   MATCH   DESTINATION\n");
  EXPECT_EQ(RouteTable(Parse(R"({"configs": 3})")),
            "NAME   VHOST NAME   DOMAINS   MATCH   TARGET\n");
}

TEST(ProxyConfig, NamesWhereAChainLeads) {
  const auto dump = Parse(
      R"({"configs": [{"@type": "x.ListenersConfigDump", "dynamic_listeners": [{"active_state": {"listener":
    {"address": {"socket_address": {"address": "0.0.0.0", "port_value": 9080}},
     "filter_chains": [{"filter_chain_match": {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]},
                        "filters": [{"typed_config": {"rds": {"route_config_name": "9080"}}}]}],
     "default_filter_chain": {"filters": [{"typed_config": {"cluster": "PassthroughCluster"}}]}}}}]}]})");
  const std::string table = ListenerTable(dump);
  EXPECT_THAT(table, HasSubstr("trans raw_buffer; app http/1.1,h2c   Route: 9080"));
  EXPECT_THAT(table, HasSubstr("ALL                                  Cluster: PassthroughCluster"));
}

}  // namespace
}  // namespace meltemi::cli
