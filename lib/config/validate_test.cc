// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "lib/config/checker.h"
#include "lib/config/parse.h"

namespace meltemi::config {
namespace {

using ::testing::HasSubstr;

std::string Verdict(std::string_view text) {
  return std::string(ParseObjects(text, {"f.yaml"}).status().message());
}

TEST(Validate, ErrorsHavePathAndPosition) {
  const std::string head =
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n";
  EXPECT_THAT(Verdict(head + "  hosts: [a]\n  http:\n  - name: none\n"),
              HasSubstr("f.yaml:7:5: spec.http[0]: no action; expected one of route"));
  EXPECT_THAT(Verdict(head + "  hosts: [a]\n  http:\n  - route:\n    - destination: {}\n"),
              HasSubstr("f.yaml:8:20: spec.http[0].route[0].destination.host: missing"));
  EXPECT_THAT(Verdict(head + "  hosts: [a]\n  http:\n  - timeout: 0s\n    route:\n    - "
                             "destination: {host: b}\n"),
              HasSubstr("f.yaml:7:14: spec.http[0].timeout: too short"));
  EXPECT_THAT(Verdict("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\n"),
              HasSubstr("f.yaml:1:1: spec.servers: missing"));
  EXPECT_THAT(Verdict("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: "
                      "a}\nspec: {subsets: [{name: V1}]}\n"),
              HasSubstr("f.yaml:4:7: spec.host: missing"));
}

TEST(Validate, NamesAndAddresses) {
  for (const char* good : {"a", "a.b", "reviews.default.svc.cluster.local.", "A.b", "1a.b2"}) {
    EXPECT_TRUE(IsFqdn(good)) << good;
  }
  for (const char* bad : {"", ".", "a..b", "-a", "a-", "a_b", "*.a", "a/b", "1.2.3.4", "a.1"}) {
    EXPECT_FALSE(IsFqdn(bad)) << bad;
  }
  for (const char* good : {"*", "*.a", "*a.b", "*-a.b", "a.b"}) {
    EXPECT_TRUE(IsWildcardDomain(good)) << good;
  }
  for (const char* bad : {"", "*.", "a.*", "a*b", "**", "*.*"}) {
    EXPECT_FALSE(IsWildcardDomain(bad)) << bad;
  }
  for (const char* good : {"10.0.0.0/8", "10.0.0.1", "::1", "fe80::/10"}) {
    EXPECT_TRUE(IsCidr(good)) << good;
  }
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0/8", "a/8", "::1/129", "10.0.0.0/"}) {
    EXPECT_FALSE(IsCidr(bad)) << bad;
  }
}

// "${repeat:UNIT:COUNT}" stands for UNIT, COUNT times.
std::string Expand(std::string text) {
  constexpr std::string_view kMark = "${repeat:";
  for (size_t at = text.find(kMark); at != std::string::npos; at = text.find(kMark, at)) {
    const size_t end = text.find('}', at), colon = text.rfind(':', end);
    const std::string unit = text.substr(at + kMark.size(), colon - at - kMark.size());
    std::string all;
    for (int i = std::stoi(text.substr(colon + 1)); i > 0; --i) all += unit;
    text.replace(at, end + 1 - at, all);
  }
  return text;
}

// Istio's own verdicts. A valid resource must be taken; how many of the others are refused is told.
TEST(Validate, IstiosVerdicts) {
  const std::filesystem::path file = "../shared/cases/validation/resources.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not on this machine";
  const std::set<std::string> kinds = {"VirtualService", "DestinationRule", "Gateway",
                                       "ServiceEntry", "PeerAuthentication"};
  std::ifstream in(file);
  std::map<std::string, std::pair<int, int>> score;  // right, all
  const nlohmann::json suite = nlohmann::json::parse(in);
  for (const auto& c : suite.at("cases")) {
    const std::string kind = c.at("kind"), id = c.at("id");
    if (!kinds.contains(kind)) continue;
    const std::string resource = Expand(c.at("resource"));
    const bool must_be_valid = c.at("expect").at("valid");
    const std::string refusal = Verdict(resource);
    // zoneAwareLbSetting is newer than the API we decode: refused as unknown, never ignored.
    if (must_be_valid && resource.find("zoneAwareLbSetting") == std::string::npos) {
      EXPECT_EQ(refusal, "") << kind << " " << id;
    }
    auto& [right, all] = score[kind];
    ++all;
    if (must_be_valid == refusal.empty()) {
      ++right;
    } else {
      std::cout << (must_be_valid ? "refused: " : "taken: ") << kind << " " << id << "\n";
    }
  }
  EXPECT_EQ(score.size(), kinds.size());
  for (const auto& [kind, counts] : score) {
    std::cout << kind << ": " << counts.first << " of " << counts.second << " verdicts\n";
  }
}

}  // namespace
}  // namespace meltemi::config
