// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/nds.pb.h"
#include "pilot/translate/testing/fake_reader.h"
#include "pilot/translate/translation.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;

TEST(NameTableTest, AnswersWithAddressesOfServices) {
  FakeReader reader;
  reader.AddService("reviews", {});
  Service& entry = reader.AddService("entry", {});
  entry.is_kubernetes = false;
  entry.host = entry.name = "api.example.com";
  entry.addresses = {"10.1.0.0/16", "10.2.0.1/32"};
  Service& automatic = reader.AddService("auto", {});
  automatic.is_kubernetes = false;
  automatic.host = "*.wild.example.com";
  automatic.addresses.clear();
  automatic.auto_address = "240.240.0.1";
  Service& none = reader.AddService("none", {});
  none.addresses.clear();

  const auto table = BuildNameTable(reader, SidecarFacts());
  ASSERT_EQ(table->table_size(), 3);
  const auto& reviews = table->table().at("reviews.default.svc.cluster.local");
  EXPECT_THAT(reviews.ips(), ElementsAre("10.96.0.1"));
  EXPECT_EQ(reviews.registry(), "Kubernetes");
  EXPECT_EQ(reviews.shortname(), "reviews");
  EXPECT_EQ(reviews.namespace_(), "default");
  // A range names no address a client could use.
  EXPECT_THAT(table->table().at("api.example.com").ips(), ElementsAre("10.2.0.1"));
  EXPECT_EQ(table->table().at("api.example.com").registry(), "External");
  EXPECT_THAT(table->table().at("*.wild.example.com").ips(), ElementsAre("240.240.0.1"));
}

TEST(NameTableTest, HeadlessServicesAnswerWithReadyEndpoints) {
  FakeReader reader;
  Service& service = reader.AddService("kafka", {{"tcp", 9092, Protocol::kTcp, 9092, ""}});
  service.addresses.clear();
  service.is_headless = true;
  service.resolution = Resolution::kPassthrough;
  Endpoint ready, starting;
  ready.address = "10.0.0.2";
  starting.address = "10.0.0.1";
  starting.is_ready = false;
  reader.endpoints[{service.key(), 9092}] = {starting, ready};
  const auto table = BuildNameTable(reader, SidecarFacts());
  EXPECT_THAT(table->table().at(service.host).ips(), ElementsAre("10.0.0.2"));
}

TEST(NameTableTest, KubernetesStandsBeforeServiceEntries) {
  FakeReader reader;
  reader.AddService("a", {});
  Service& entry = reader.AddService("b", {});
  entry.is_kubernetes = false;
  entry.host = reader.services[0]->host;
  EXPECT_THAT(BuildNameTable(reader, SidecarFacts())->table().at(entry.host).ips(),
              ElementsAre("10.96.0.1"));
}

}  // namespace
}  // namespace meltemi::pilot
