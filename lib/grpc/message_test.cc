// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc/message.h"

#include <gtest/gtest.h>

#include <vector>

namespace meltemi::grpc {
namespace {

TEST(MessageReader, CutsHoweverTheBytesCome) {
  std::string wire;
  const std::vector<std::string> sent = {"one", "", std::string(70'000, 'x'), "last"};
  for (const std::string& message : sent) wire += MessagePrefix(message.size()) + message;
  for (const size_t piece : {1, 2, 5, 6, 4096, 1'000'000}) {
    MessageReader reader(100'000);
    std::vector<std::string> got;
    for (size_t at = 0; at < wire.size(); at += piece) {
      EXPECT_EQ(MessageReader::Verdict::kOk, reader.Take(std::string_view(wire).substr(at, piece),
                                                         [&](std::string_view message) {
                                                           got.emplace_back(message);
                                                           return true;
                                                         }));
    }
    EXPECT_EQ(sent, got) << piece;
    EXPECT_TRUE(reader.is_between_messages());
  }
}

TEST(MessageReader, RefusesLargeAndCompressed) {
  const auto never = [](std::string_view) { return ADD_FAILURE(), true; };
  EXPECT_EQ(MessageReader::Verdict::kTooLarge, MessageReader(10).Take(MessagePrefix(11), never));
  MessageReader split(10);
  EXPECT_EQ(MessageReader::Verdict::kOk, split.Take(std::string_view("\0\xff\xff", 3), never));
  EXPECT_EQ(MessageReader::Verdict::kTooLarge, split.Take("\xff\xff", never));
  EXPECT_EQ(MessageReader::Verdict::kCompressed, MessageReader(10).Take("\x01", never));
}

TEST(PercentCoding, CarriesAnyText) {
  const std::string text = "50% caf\xc3\xa9\n~ ";
  EXPECT_EQ("50%25 caf%C3%A9%0A~ ", PercentEncode(text));
  EXPECT_EQ(text, PercentDecode(PercentEncode(text)));
  EXPECT_EQ("%", PercentDecode("%"));
  EXPECT_EQ("%zz%4", PercentDecode("%zz%4"));
}

}  // namespace
}  // namespace meltemi::grpc
