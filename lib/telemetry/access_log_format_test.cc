// SPDX-License-Identifier: Apache-2.0
#include "lib/telemetry/access_log_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace meltemi::telemetry {
namespace {

class FakeValues final : public LogValues {
 public:
  bool Append(const LogCommand& command, std::string& out) const override {
    if (command.field == LogField::kStartTime) {
      AppendTime(WallTime(std::chrono::milliseconds(1'700'000'000'123)), command.argument, out);
      return true;
    }
    for (const std::string& name : {command.argument, command.alternative}) {
      if (const auto found = headers.find(name); found != headers.end()) {
        out += found->second;
        return true;
      }
    }
    if (const auto found = fields.find(command.field); found != fields.end()) {
      out += found->second;
      return true;
    }
    return false;
  }
  std::map<std::string, std::string> headers;
  std::map<LogField, std::string> fields;
};

std::string RunText(std::string_view format, const FakeValues& values) {
  const auto compiled = AccessLogFormat::CompileText(format);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  std::string out;
  compiled->Run(values, out);
  return out;
}

TEST(AccessLogFormat, IstiosDefaultCompilesAndShowsDashesForWhatIsMissing) {
  FakeValues values;
  values.headers = {{":method", "GET"}, {":path", "/x"}, {":authority", "reviews:9080"}};
  values.fields = {{LogField::kResponseCode, "200"}, {LogField::kProtocol, "HTTP/1.1"}};
  EXPECT_EQ(RunText(IstioTextFormat(), values),
            "[2023-11-14T22:13:20.123Z] \"GET /x HTTP/1.1\" 200 - - - \"-\" - - - - \"-\" \"-\" "
            "\"-\" \"reviews:9080\" \"-\" - - - - - -\n");
}

TEST(AccessLogFormat, TakesAlternativesAndLengths) {
  FakeValues values;
  values.headers = {{"b", "abcdef"}};
  EXPECT_EQ(RunText("%REQ(A?B):3%|%REQ(A)%|100%%", values), "abc|-|100%");
}

TEST(AccessLogFormat, FormatsTimesWithPatterns) {
  EXPECT_EQ(RunText("%START_TIME(%Y/%m %H:%M:%S.%3f %s)%", FakeValues()),
            "2023/11 22:13:20.123 1700000000");
}

TEST(AccessLogFormat, AHeaderCannotForgeALine) {
  FakeValues values;
  values.headers = {{"x", "a\nb\rc"}};
  EXPECT_EQ(RunText("%REQ(X)%\n", values), "a?b?c\n");
}

TEST(AccessLogFormat, JsonKeepsTypesAndEscapes) {
  FakeValues values;
  values.headers = {{"x", "say \"hi\"\n"}};
  values.fields = {{LogField::kResponseCode, "200"}};
  const auto compiled = AccessLogFormat::CompileJson({{"code", "%RESPONSE_CODE%"},
                                                      {"x", "%REQ(X)%"},
                                                      {"none", "%DURATION%"},
                                                      {"mixed", "a%DURATION%b"}});
  ASSERT_TRUE(compiled.ok());
  std::string out;
  compiled->Run(values, out);
  EXPECT_EQ(out,
            "{\"code\":200,\"x\":\"say \\\"hi\\\"\\u000a\",\"none\":null,\"mixed\":\"a-b\"}\n");
}

TEST(AccessLogFormat, NamesWhatItDoesNotKnow) {
  EXPECT_THAT(AccessLogFormat::CompileText("%NO_SUCH%").status().message(),
              ::testing::HasSubstr("%NO_SUCH%"));
  EXPECT_FALSE(AccessLogFormat::CompileText("100% sure").ok());
  EXPECT_FALSE(AccessLogFormat::CompileText("%REQ(X%").ok());
  EXPECT_FALSE(AccessLogFormat::CompileText("%REQ(X):y%").ok());
}

}  // namespace
}  // namespace meltemi::telemetry
