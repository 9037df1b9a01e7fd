// SPDX-License-Identifier: Apache-2.0
#include "galley/api/kubernetes_protobuf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace meltemi::galley {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// A length-delimited field.
std::string Field(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(bytes.size())) + bytes;
}
std::string Varint(int number, int value) {
  return std::string(1, static_cast<char>(number << 3)) + std::string(1, static_cast<char>(value));
}
std::string Envelope(const std::string& api_version, const std::string& kind,
                     const std::string& raw) {
  return std::string("k8s\0", 4) + Field(1, Field(1, api_version) + Field(2, kind)) +
         Field(2, raw) + Field(3, "") + Field(4, "");
}
std::string Entry(const std::string& key, const std::string& value) {
  return Field(1, key) + Field(2, value);
}

// As Go writes it: empty texts, and a creation time that is none.
const std::string kMeta = Field(1, "a") + Field(2, "") + Field(3, "shop") + Field(4, "") +
                          Field(5, "") + Field(6, "") + Varint(7, 0) + Field(8, "") +
                          Field(11, Entry("app", "x"));

TEST(KubernetesProtobuf, ReadsWhatKubectlCreates) {
  EXPECT_EQ(json::parse(R"({"apiVersion":"v1","kind":"Secret","type":"Opaque","immutable":true,
      "metadata":{"name":"a","namespace":"shop","generation":0,"labels":{"app":"x"}},
      "data":{"k":"AP8="}})"),
            *ReadKubernetesProtobuf(Envelope("v1", "Secret",
                                             Field(1, kMeta) +
                                                 Field(2, Entry("k", std::string("\0\xff", 2))) +
                                                 Field(3, "Opaque") + Varint(5, 1))));
  EXPECT_EQ(
      json::parse(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest",
      "spec":{"audiences":["x","y"],"expirationSeconds":100}})"),
      *ReadKubernetesProtobuf(Envelope("authentication.k8s.io/v1", "TokenRequest",
                                       Field(2, Field(1, "x") + Field(1, "y") + Varint(4, 100)))));
  EXPECT_EQ("a",
            (*ReadKubernetesProtobuf(Envelope(
                "v1", "Namespace",
                Field(1, kMeta) + Field(2, "") + Field(3, Field(1, "")))))["metadata"]["name"]);
}

TEST(KubernetesProtobuf, LosesNothingSilently) {
  const auto error = [](const std::string& body) {
    return ReadKubernetesProtobuf(body).status().ToString();
  };
  EXPECT_THAT(error(Envelope("v1", "Secret", Field(9, "new"))), HasSubstr("field 9"));
  EXPECT_THAT(error(Envelope("v1", "Namespace", Field(2, Field(1, "kubernetes")))),
              HasSubstr("field spec"));
  EXPECT_THAT(error(Envelope("apps/v1", "Deployment", "")), HasSubstr("--dry-run=client"));
}

TEST(KubernetesProtobuf, RefusesRubbish) {
  const std::string good = Envelope("v1", "Secret", Field(1, kMeta));
  for (size_t size = 0; size < good.size() - 4; ++size) {
    EXPECT_FALSE(ReadKubernetesProtobuf(good.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ReadKubernetesProtobuf(Envelope("v1", "Secret", Varint(1, 5))).ok());
  EXPECT_FALSE(ReadKubernetesProtobuf(Envelope("v1", "Secret", "\x0a\xff\xff\xff\xff\x07")).ok());
}

}  // namespace
}  // namespace meltemi::galley
