// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/chunked.h"

#include <gtest/gtest.h>

#include <string>

namespace meltemi::http::h1 {
namespace {

using State = ChunkedDecoder::State;

// Decodes in pieces, in place.
State Decode(std::string text, size_t piece, std::string& body, size_t* consumed = nullptr) {
  ChunkedDecoder decoder;
  size_t used = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t size = std::min(piece, text.size() - at);
    const ChunkedDecoder::Result r = decoder.Decode(&text[at], size, &text[at]);
    body.append(text, at, r.produced);
    used += r.consumed;
    if (r.consumed < size) break;
    at += size;
  }
  if (consumed != nullptr) *consumed = used;
  return decoder.state();
}

TEST(ChunkedDecoder, DecodesHoweverTheBytesCome) {
  const std::string text = "4\r\nWiki\r\n0A;ext=\"v\"\r\npedia in\r\n\r\n1\r\n!\r\n000\r\n\r\nnext";
  for (size_t piece = 1; piece < 70; ++piece) {
    std::string body;
    size_t consumed = 0;
    EXPECT_EQ(State::kTrailers, Decode(text, piece, body, &consumed)) << piece;
    EXPECT_EQ("Wikipedia in\r\n!", body);
    EXPECT_EQ("\r\nnext", text.substr(consumed));
  }
}

TEST(ChunkedDecoder, RefusesWhatOthersMightReadOtherwise) {
  for (const std::string& text :
       {std::string("0x3\r\nabc\r\n"), std::string("3 \r\nabc\r\n"), std::string(" 3\r\nabc\r\n"),
        std::string("+3\r\nabc\r\n"), std::string("-1\r\n"), std::string("\r\n"),
        std::string("3\nabc\r\n"), std::string("3\r\nabcd\r\n"), std::string("3\r\nabc\n0\r\n"),
        std::string("3\rabc"), std::string("g\r\n"), std::string(";x\r\n"),
        std::string("3;a\nb\r\nabc\r\n"), std::string("3;a\0b\r\n", 7),
        std::string("10000000000000000\r\n"), std::string("0000000000000001\r\n"),
        "1;" + std::string(5000, 'x') + "\r\n"}) {
    std::string body;
    EXPECT_EQ(State::kBad, Decode(text, 1000, body)) << text.substr(0, 40);
  }
}

TEST(ChunkedDecoder, BoundsExtensionsOverTheWholeMessage) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "1;" + std::string(50, 'e') + "\r\nx\r\n";
  std::string body;
  EXPECT_EQ(State::kBad, Decode(text, 1000, body));
}

}  // namespace
}  // namespace meltemi::http::h1
