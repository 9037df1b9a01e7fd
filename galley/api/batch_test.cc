// SPDX-License-Identifier: Apache-2.0
// Many objects at once: all of them or none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "galley/testing/api_fixture.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST_F(ApiTest, AppliesBatches) {
  json elsewhere = Map("c");
  elsewhere["metadata"]["namespace"] = "shop";
  json stale_status = Route("b");
  stale_status["status"] = {{"observedGeneration", 1}};
  const Answer first = Apply({Map("a"), stale_status, elsewhere});
  ASSERT_EQ(200, first.status) << first.body;
  EXPECT_EQ(
      json({{"kind", "ConfigMap"}, {"namespace", "default"}, {"name", "a"}, {"action", "created"}}),
      first.body["results"][0]);
  EXPECT_EQ(json(std::to_string(store_->version())), first.body["resourceVersion"]);
  EXPECT_EQ(200, Get("/api/v1/namespaces/shop/configmaps/c").status);
  EXPECT_FALSE(Get(std::string(kRoutes) + "/b").body.contains("status"));
  EXPECT_EQ(200, Get("/api/v1/namespaces/shop").status);

  const Answer second = Apply({Map("a"), Route("b", "ratings"), Service("d")});
  EXPECT_EQ("unchanged", second.body["results"][0]["action"]);
  EXPECT_EQ("configured", second.body["results"][1]["action"]);
  EXPECT_EQ("created", second.body["results"][2]["action"]);
  // A Service applied again keeps what it was given.
  EXPECT_EQ("unchanged", Apply({Service("d")}).body["results"][0]["action"]);
  EXPECT_EQ("created", Apply({Map("e")}, "?dryRun=All").body["results"][0]["action"]);
  EXPECT_EQ(404, Get(std::string(kMaps) + "/e").status);
}

TEST_F(ApiTest, ABatchWithAnErrorStoresNothingAndTellsAll) {
  json unknown = Route("bad");
  unknown["spec"]["httpp"] = json::array();
  const json unheard = {{"apiVersion", "v1"}, {"kind", "Unheard"}, {"metadata", {{"name", "x"}}}};
  const Answer refused = Apply({Map("a"), unknown, unheard});
  EXPECT_EQ(422, refused.status);
  const json& causes = refused.body["details"]["causes"];
  ASSERT_EQ(2u, causes.size());
  EXPECT_EQ("objects[1]", causes[0]["field"]);
  EXPECT_THAT(causes[0]["message"].get<std::string>(), HasSubstr("httpp"));
  EXPECT_EQ("objects[2]", causes[1]["field"]);
  EXPECT_THAT(refused.body["message"].get<std::string>(), HasSubstr("Unheard"));
  EXPECT_EQ(404, Get(std::string(kMaps) + "/a").status);
  EXPECT_EQ(422, Apply({Map("a"), Map("a", "2")}).status);
  EXPECT_EQ(400, Post("/apis/meltemi.io/v1/apply", {{"things", 1}}).status);
}

TEST_F(ApiTest, DeletesBatches) {
  json place = {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", "shop"}}}};
  json inside = Map("c");
  inside["metadata"]["namespace"] = "shop";
  ASSERT_EQ(200, Apply({Map("a"), place, inside}).status);
  const Answer deleted =
      Post("/apis/meltemi.io/v1/delete", {{"objects", {Map("a"), Map("b"), place, inside}}});
  ASSERT_EQ(200, deleted.status) << deleted.body;
  EXPECT_EQ("deleted", deleted.body["results"][0]["action"]);
  EXPECT_EQ("not found", deleted.body["results"][1]["action"]);
  EXPECT_EQ(4u, deleted.body["results"].size());
  EXPECT_EQ(0u, store_->List(nullptr, "shop").objects.size());
}

}  // namespace
}  // namespace meltemi::galley
