// SPDX-License-Identifier: Apache-2.0
#include "lib/config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "lib/config/duration.h"
#include "lib/config/parse.h"
#include "lib/config/yaml_scalar.h"

namespace meltemi::config {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

Json One(std::string_view text) {
  StatusOr<std::vector<Json>> values = ParseYaml(text, "f");
  EXPECT_TRUE(values.ok()) << values.status().message();
  return values.ok() && values->size() == 1 ? values->front() : Json("not one document");
}

std::string Refusal(std::string_view text) {
  return std::string(ParseYaml(text, "f").status().message());
}

TEST(Yaml, PlainScalarsAreTypedAsKubernetesDoes) {
  struct Case {
    std::string_view text;
    Json value;
  };
  for (const Case& c : std::vector<Case>{
           {"true", true},
           {"Yes", true},
           {"on", true},
           {"no", false},
           {"OFF", false},
           {"~", nullptr},
           {"", nullptr},
           {"Null", nullptr},
           {"12", 12},
           {"-7", -7},
           {"+7", 7},
           {"010", 8},
           {"0x1F", 31},
           {"0b101", 5},
           {"0o17", 15},
           {"1_000", 1000},
           {"08", 8.0},
           {"1.5", 1.5},
           {"-.5", -0.5},
           {"1e3", 1000.0},
           {"1.", 1.0},
           {"1.2.3", "1.2.3"},
           {"1s", "1s"},
           {"-", "-"},
           {".", "."},
           {"2001-01-01", "2001-01-01"},
           {"truex", "truex"},
           {"0x", "0x"},
           {"_1", "_1"},
           {"18446744073709551615", std::numeric_limits<uint64_t>::max()},
           {"18446744073709551616", 18446744073709551616.0},
           {"-9223372036854775808", std::numeric_limits<int64_t>::min()},
           {"10:30", "10:30"},
           {"127.0.0.1", "127.0.0.1"},
       }) {
    const Json value = ResolvePlainScalar(c.text);
    EXPECT_EQ(value, c.value) << c.text;
    EXPECT_EQ(value.is_string(), c.value.is_string()) << c.text;
  }
}

TEST(Yaml, QuotedAndTaggedScalars) {
  EXPECT_EQ(One("'true'"), "true");
  EXPECT_EQ(One("\"12\""), "12");
  EXPECT_EQ(One("!!str 12"), "12");
  EXPECT_EQ(One("!!int \"12\""), 12);
  EXPECT_EQ(One("|\n  1\n"), "1\n");
  EXPECT_EQ(One("{8080: a, true: b, 1.5: c}"), Json({{"8080", "a"}, {"true", "b"}, {"1.5", "c"}}));
  EXPECT_EQ(One("{\"a\": [1, {\"b\": null}]}"), Json::parse(R"({"a":[1,{"b":null}]})"));
}

TEST(Yaml, NodesKnowTheirPositions) {
  Problems problems("f");
  const auto documents = ReadYaml("b:\n- x\n- {c: d}\na: é, ö  \nz: 1", problems);
  ASSERT_EQ(documents.size(), 1u);
  const Json& value = documents[0].value;
  const Node* node = &documents[0].node;
  const auto at = [](const Node* n) { return std::pair(n->at.line, n->at.column); };
  EXPECT_EQ(at(node), std::pair(1, 1));
  EXPECT_EQ(at(ChildNode(value, node, "a")), std::pair(4, 4));
  const Node* b = ChildNode(value, node, "b");
  EXPECT_EQ(at(b), std::pair(2, 1));
  EXPECT_EQ(b->key.line, 1);
  EXPECT_EQ(at(&b->children[1]), std::pair(3, 3));
  EXPECT_EQ(at(&b->children[1].children[0]), std::pair(3, 7));
  EXPECT_EQ(ChildNode(value, node, "none"), nullptr);
}

TEST(Yaml, AliasesAndMergeKeys) {
  EXPECT_EQ(One("a: &x {k: 1}\nb: *x\n"), Json::parse(R"({"a":{"k":1},"b":{"k":1}})"));
  EXPECT_EQ(One("- &x {k: 1, l: 2}\n- &y {l: 3, m: 4}\n- {k: 5, <<: [*x, *y], o: 6}\n")[2],
            Json::parse(R"({"k":5,"l":2,"m":4,"o":6})"));
  EXPECT_EQ(One("{'<<': 1}"), Json({{"<<", 1}}));
  EXPECT_THAT(Refusal("{<<: 1}"), HasSubstr("f:1:2: << without a mapping"));
  EXPECT_THAT(Refusal("a: *x"), HasSubstr("f:1:4: the alias \"x\" has no anchor"));
  EXPECT_THAT(Refusal("&x [*x]"), HasSubstr("has no anchor"));
  EXPECT_THAT(Refusal("&x a\n---\n*x\n"), HasSubstr("has no anchor"));
}

TEST(Yaml, MergedMembersKeepTheirPositionsInStep) {
  Problems problems("f");
  const auto documents = ReadYaml("- &x {z: 1, a: 2}\n- <<: *x\n  m: 3\n", problems);
  const Json& value = documents.at(0).value[1];
  const Node* node = &documents[0].node.children[1];
  ASSERT_EQ(node->children.size(), value.size());
  EXPECT_EQ(ChildNode(value, node, "m")->at.line, 3);
  EXPECT_EQ(ChildNode(value, node, "a")->at.column, 16);
}

TEST(Yaml, ABillionLaughsAreRefused) {
  std::string text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 0; j < 8; ++j) text += ", " + last;
    text += "]\n";
  }
  EXPECT_THAT(Refusal(text), HasSubstr("too much of this text"));
}

TEST(Yaml, NestingIsLimited) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(Refusal(nested(kNestingMax)), "");
  EXPECT_THAT(Refusal(nested(kNestingMax + 1)), HasSubstr("nested too deeply"));
  EXPECT_THAT(Refusal(std::string(1'000'000, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(
      Refusal("- &a " + nested(40) + "\n- [[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]"),
      HasSubstr("f:2:28: nested too deeply"));
}

TEST(Yaml, DuplicateKeysAreTold) {
  EXPECT_EQ(Refusal("a: 1\nb: 2\na: 3\n"),
            "f:3:1: the key \"a\" stands here twice, first on line 1; expected it once");
}

TEST(Yaml, SyntaxErrorsHaveAPlace) {
  EXPECT_THAT(Refusal("a: [1, 2\nb: 3\n"), HasSubstr("f:2:"));
  EXPECT_THAT(Refusal("a:\n\tb: 1\n"), HasSubstr("f:2:1: not YAML: a tab; expected spaces"));
  EXPECT_THAT(Refusal("a: 1\nb: \xFF\n"), HasSubstr("f:2:4: a byte that is not text"));
  EXPECT_THAT(Refusal("a: .inf\n"), HasSubstr("f:1:4: \".inf\" has no place in JSON"));
  EXPECT_THAT(Refusal("? [a]\n: b\n"), HasSubstr("a list or mapping as a key"));
  EXPECT_THAT(Refusal("~: b\n"), HasSubstr("an empty key"));
  EXPECT_THAT(Refusal("a: !!binary aGk=\n"), HasSubstr("!!binary is not supported"));
  EXPECT_THAT(Refusal(std::string(kFileBytesMax + 1, ' ')), HasSubstr("expected at most 67108864"));
}

TEST(Yaml, WritingReadsBackTheSame) {
  for (
      const char* text :
      {R"({"a":"true","b":"12","c":"","d":"x: y","e":"x #y","f":" x","g":"- x","h":"y","i":"~"})",
       R"({"a":"one\ntwo\n","b":"one\n\ntwo","c":"one\n\n\n","d":" one\ntwo","e":"\n","f":"a\n b\n"})",
       R"([[[1,[2]],[]],{},{"a":{"b":[{"c":1,"d":[[]]}]}},null,true,1.5,-3,18446744073709551615])",
       R"({"":"","a b":1,"<<":2,"true":3,"12":4,"x:":5,"\"":6,"?":7,"#":8,"a\nb\n":9})",
       R"(["é","😀","\u0000","\u0001","\u007f","\u0085","\u00a0","\u2028x","\ufeff","\ufffe","\t","a\tb\n"])",
       R"(["1e3","0x1","1_0",".5","...","---","--- a","2001-01-01","=","|","&a","*a","!a","%a","@a","`a"])",
       "{}", "[]", "\"text\"", "null", "\"a\\nb\\n\"", "1e300"}) {
    const Json value = Json::parse(text);
    EXPECT_EQ(One(ToYaml(value)), value) << ToYaml(value);
  }
  const std::string long_key(5000, 'k');
  EXPECT_EQ(One(ToYaml({{long_key, {{"a", 1}}}})), Json({{long_key, {{"a", 1}}}}));
}

TEST(Yaml, WritesInKubectlsOrder) {
  const Json object = {{"status", {{"phase", "Running"}}},
                       {"spec", {{"hosts", {"a", "b"}}, {"empty", Json::array()}}},
                       {"metadata", {{"name", "a"}}},
                       {"kind", "K"},
                       {"data", {{"k", "one\ntwo\n"}}},
                       {"apiVersion", "v1"}};
  EXPECT_EQ(ToYaml(object),
            "apiVersion: v1\nkind: K\nmetadata:\n  name: a\nspec:\n  empty: []\n  hosts:\n  - a\n"
            "  - b\ndata:\n  k: |\n    one\n    two\nstatus:\n  phase: Running\n");
}

void ExpectInStep(const Json& value, const Node& node) {
  ASSERT_EQ(node.children.size(), value.is_structured() ? value.size() : 0);
  if (!value.is_structured()) return;
  size_t i = 0;
  for (const Json& child : value) ExpectInStep(child, node.children[i++]);
}

// Texts with bytes changed, taken out and repeated: whatever is still YAML has nodes in step, and
// reads back the same after writing. The fuzzer does more of this.
TEST(Yaml, MutatedTexts) {
  constexpr unsigned kSeed = 20261128;
  std::mt19937 random(kSeed);
  constexpr std::string_view kSeedText =
      "a: &x {k: [1, 'two', \"t\\nh\"], <<: {m: ~}}\nb:\n- *x\n- |+\n  line\n   more\n\n- >-\n  "
      "folded\n"
      "  text\n- !!str 12\n? long\n: {<<: *x, y: no}\n---\n- - - 0x1F\n  - -.5e3\n# end\n...\n";
  constexpr std::string_view kBytes = " \n\t:-?{}[],&*!|>'\"%@`#~<=a0.\xC2\x85\xE2\x80\xA8";
  size_t read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text(kSeedText);
    for (unsigned edits = 1 + random() % 4; edits > 0 && !text.empty(); --edits) {
      const size_t at = random() % text.size();
      const size_t length = std::min<size_t>(1 + random() % 8, text.size() - at);
      switch (random() % 4) {
        case 0:
          text[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          text.insert(at, 1, kBytes[random() % kBytes.size()]);
          break;
        case 2:
          text.erase(at, length);
          break;
        default:
          text.insert(random() % text.size(), std::string(text, at, length));
      }
    }
    Problems problems("f");
    const std::vector<YamlDocument> documents = ReadYaml(text, problems);
    if (!problems.empty()) continue;
    for (const YamlDocument& document : documents) {
      ++read;
      ExpectInStep(document.value, document.node);
      const std::string written = ToYaml(document.value);
      StatusOr<std::vector<Json>> again = ParseYaml(written, "again");
      ASSERT_TRUE(again.ok()) << "seed " << kSeed << " round " << round << "\n"
                              << again.status().message() << "\n"
                              << written;
      ASSERT_EQ(again->at(0), document.value) << "round " << round << "\n" << written;
    }
  }
  EXPECT_GT(read, 5'000u);
}

TEST(Duration, TakesGosNotation) {
  using std::chrono::nanoseconds;
  const auto ns = [](std::string_view text) {
    const std::optional<Duration> duration = ParseDuration(text);
    return duration ? duration->count() : -1;
  };
  EXPECT_EQ(ns("1s"), 1'000'000'000);
  EXPECT_EQ(ns("1.5s"), 1'500'000'000);
  EXPECT_EQ(ns("1h2m3s"), 3'723'000'000'000);
  EXPECT_EQ(ns("100ms"), 100'000'000);
  EXPECT_EQ(ns("5us"), 5'000);
  EXPECT_EQ(ns("5µs"), 5'000);
  EXPECT_EQ(ns("0"), 0);
  EXPECT_EQ(ns(".5m"), 30'000'000'000);
  EXPECT_EQ(ns("-2s"), -2'000'000'000);
  EXPECT_EQ(ns("0.000000001s"), 1);
  EXPECT_EQ(ns("1.00000000000000000000000001h"), 3'600'000'000'000);
  for (const char* wrong :
       {"", "1", "s", "1d", "1 s", "soon", ".s", "1s1", "99999999999h", "--1s"}) {
    EXPECT_FALSE(ParseDuration(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace meltemi::config
