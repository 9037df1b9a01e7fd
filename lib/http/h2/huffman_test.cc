// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/huffman.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace meltemi::http::h2 {
namespace {

std::string Encode(std::string_view text) {
  std::string out(HuffmanSize(text), '\0');
  EXPECT_EQ(out.data() + out.size(), HuffmanEncode(text, out.data()));
  return out;
}

std::optional<std::string> Decode(std::string_view coded) {
  std::string out(HuffmanDecodedMax(coded.size()), '\0');
  const std::optional<size_t> size = HuffmanDecode(coded, out.data());
  if (!size) return std::nullopt;
  out.resize(*size);
  return out;
}

TEST(Huffman, ExamplesOfTheRfc) {
  EXPECT_EQ("\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", Encode("www.example.com"));
  EXPECT_EQ("\xa8\xeb\x10\x64\x9c\xbf", Encode("no-cache"));
  EXPECT_EQ("\x64\x02", Encode("302"));
  EXPECT_EQ("\xae\xc3\x77\x1a\x4b", Encode("private"));
}

TEST(Huffman, EveryByteAndRandomTextsComeBack) {
  for (int c = 0; c < 256; ++c) {
    const std::string text(3, static_cast<char>(c));
    EXPECT_EQ(text, Decode(Encode(text))) << c;
  }
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 200, '\0');
    const int range = i % 2 == 0 ? 256 : 96;
    for (char& c : text) c = static_cast<char>(256 - range + static_cast<int>(random()) % range);
    ASSERT_EQ(text, Decode(Encode(text)));
  }
}

TEST(Huffman, BadEndsAreRefused) {
  EXPECT_EQ("", Decode(""));
  EXPECT_EQ("0", Decode("\x07"));                     // 00000 111
  EXPECT_FALSE(Decode(std::string_view("\x00", 1)));  // padded with zeros
  EXPECT_FALSE(Decode("\x07\xff"));                   // a byte of padding
  EXPECT_FALSE(Decode("\xff\xff\xff\xff"));           // the end of a string
  EXPECT_FALSE(Decode("\xff\xff\xff\xfa\xff\xff"));   // 0x1ffffe8... cut off
  EXPECT_FALSE(Decode("\xff"));                       // nothing but padding, a byte of it
}

}  // namespace
}  // namespace meltemi::http::h2
