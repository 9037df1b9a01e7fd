// SPDX-License-Identifier: Apache-2.0
// Header compression: the RFC's examples, both directions against nghttp2, and hostile blocks.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "lib/http/h2/hpack_decoder.h"
#include "lib/http/h2/hpack_encoder.h"

namespace meltemi::http::h2 {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

class Sink final : public FieldSink {
 public:
  void OnField(const Field& field) override { fields.emplace_back(field.name, field.value); }
  Fields fields;
};

std::string FromHex(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

// A block, whole and then byte by byte into another decoder.
class Decoders {
 public:
  void SetLimit(size_t bytes) {
    whole_.SetTableLimit(bytes);
    pieces_.SetTableLimit(bytes);
  }
  std::optional<Fields> Decode(std::string_view block) {
    Sink sink, in_pieces;
    const bool is_good = whole_.Decode(block, true, sink);
    bool is_good_in_pieces = true;
    for (size_t i = 0; i < block.size() && is_good_in_pieces; ++i) {
      is_good_in_pieces = pieces_.Decode(block.substr(i, 1), i + 1 == block.size(), in_pieces);
    }
    EXPECT_EQ(is_good, is_good_in_pieces);
    if (!is_good) return std::nullopt;
    EXPECT_EQ(sink.fields, in_pieces.fields);
    return sink.fields;
  }

 private:
  HpackDecoder whole_, pieces_;
};

TEST(Hpack, ExamplesOfTheRfc) {
  const Fields first = {
      {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}};
  Fields second = first, third = first;
  second.emplace_back("cache-control", "no-cache");
  third[1].second = "https";
  third[2].second = "/index.html";
  third.emplace_back("custom-key", "custom-value");
  // C.3 and C.4: without and with Huffman codes.
  const std::vector<std::vector<std::string>> requests = {
      {"828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
       "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"},
      {"828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
       "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"}};
  for (const auto& blocks : requests) {
    Decoders decoders;
    EXPECT_EQ(first, decoders.Decode(FromHex(blocks[0])));
    EXPECT_EQ(second, decoders.Decode(FromHex(blocks[1])));
    EXPECT_EQ(third, decoders.Decode(FromHex(blocks[2])));
  }
}

TEST(Hpack, EvictionInTheResponsesOfTheRfc) {  // C.6: a table of 256 bytes
  Decoders decoders;
  decoders.SetLimit(256);
  const std::string shrink = FromHex("3fe101");
  Fields expected = {{":status", "302"},
                     {"cache-control", "private"},
                     {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
                     {"location", "https://www.example.com"}};
  EXPECT_EQ(
      expected,
      decoders.Decode(shrink + FromHex("488264025885aec3771a4b6196d07abe941054d444a8200595040b"
                                       "8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3")));
  expected[0].second = "307";
  EXPECT_EQ(expected, decoders.Decode(FromHex("4883640effc1c0bf")));
  EXPECT_EQ(
      (Fields{{":status", "200"},
              {"cache-control", "private"},
              {"date", "Mon, 21 Oct 2013 20:13:22 GMT"},
              {"location", "https://www.example.com"},
              {"content-encoding", "gzip"},
              {"set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"}}),
      decoders.Decode(FromHex("88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77"
                              "ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587"
                              "316065c003ed4ee5b1063d5007")));
}

TEST(Hpack, HostileBlocksAreRefused) {
  const std::map<std::string, std::string> blocks = {
      {"80", "index zero"},
      {"be", "an entry that is not there"},
      {"ffffffffff7f", "a number without end"},
      {"ff80808080808000", "a number padded with zeros"},
      {"40", "a name that is missing"},
      {"400161", "a value that is missing"},
      {"40016105", "a value cut short"},
      {"4001617fff7f", "a value larger than any"},
      {"400161810000", "a Huffman text padded with zeros"},
      {"823f01", "a new size behind a field"},
      {"3fe2ff03", "a size above the limit"},
      {"3f", "half a number"}};
  for (const auto& [block, what] : blocks) {
    EXPECT_FALSE(Decoders().Decode(FromHex(block))) << what;
  }
  Decoders lowered;
  lowered.SetLimit(100);
  EXPECT_FALSE(lowered.Decode(FromHex("82"))) << "a lower limit has to be taken up";
  Decoders obeys;
  obeys.SetLimit(100);
  EXPECT_TRUE(obeys.Decode(FromHex("3f4582")));
}

TEST(Hpack, FieldsOfNoLengthFillTheTable) {
  Decoders decoders;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ((Fields{{"", ""}, {"", ""}}), decoders.Decode(FromHex("400000be")));
  }
}

std::string Encode(HpackEncoder& encoder, const Fields& fields) {
  net::BlockPool pool;
  net::Buffer out(pool);
  encoder.BeginBlock(out);
  for (const auto& [name, value] : fields) encoder.Encode(LookUpHeader(name), name, value, out);
  return std::string(out.view());
}

TEST(Hpack, WhatRepeatsCostsAByteAndWhatIsSecretIsNotKept) {
  HpackEncoder encoder;
  const Fields plain = {{":method", "GET"},          {":scheme", "http"},
                        {":path", "/some/path?n=1"}, {":authority", "service.namespace:8080"},
                        {"user-agent", "load/1.0"},  {"x-forwarded-proto", "http"},
                        {"x-custom-name", "a value"}};
  Encode(encoder, plain);
  Encode(encoder, plain);
  EXPECT_EQ(plain.size(), Encode(encoder, plain).size());
  const std::pair<std::string, std::string> secrets[] = {{"authorization", "Bearer abcdef"},
                                                         {"proxy-authorization", "Basic abcdef"},
                                                         {"set-cookie", "session=abcdef"},
                                                         {"cookie", "session=abcdef"}};
  for (const auto& secret : secrets) {
    std::string block;
    for (int i = 0; i < 3; ++i) block = Encode(encoder, {secret});
    EXPECT_EQ(0x10, block[0] & 0xf0) << secret.first;
    EXPECT_GT(block.size(), 8u);
  }
  EXPECT_EQ(plain.size(), Encode(encoder, plain).size());
}

TEST(Hpack, ValuesThatNeverComeAgainPushNothingOut) {
  HpackEncoder encoder;
  const Fields kept = {{"x-kept", std::string(100, 'k')}};
  Encode(encoder, kept);
  Encode(encoder, kept);
  for (int i = 0; i < 1000; ++i) Encode(encoder, {{"x-request-id", "id-" + std::to_string(i)}});
  EXPECT_EQ(1u, Encode(encoder, kept).size());
}

// -- against nghttp2

class Lists {
 public:
  explicit Lists(unsigned seed) : random_(seed) {}
  Fields Next() {
    static const char* const kNames[] = {":path",      ":status", "accept",        "cookie",
                                         "x-a",        "x-b",     "authorization", "date",
                                         "set-cookie", "vary",    "server",        "x-request-id"};
    Fields fields;
    for (size_t i = random_() % 20; i > 0; --i) {
      const size_t kind = random_() % 10;
      std::string name = kNames[random_() % std::size(kNames)];
      if (kind == 0) name = Text(random_() % 30 + 1);
      std::string value =
          kind < 6 ? Text(random_() % 3) : Text(random_() % (kind == 9 ? 3000 : 40));
      fields.emplace_back(name, value);
    }
    return fields;
  }
  unsigned Number(unsigned below) { return random_() % below; }

 private:
  std::string Text(size_t size) {
    std::string text(size, '\0');
    const bool is_binary = random_() % 8 == 0;
    for (char& c : text) {
      c = static_cast<char>(is_binary ? 128 + random_() % 128 : 'a' + random_() % 4);
    }
    return text;
  }
  std::mt19937 random_;
};

TEST(HpackDifferential, WeReadWhatNghttp2Writes) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  Lists lists(seed);
  for (int connection = 0; connection < 20; ++connection) {
    nghttp2_hd_deflater* deflater = nullptr;
    ASSERT_EQ(0, nghttp2_hd_deflate_new(&deflater, 8192));
    Decoders decoders;
    decoders.SetLimit(8192);
    for (int round = 0; round < 60; ++round) {
      if (lists.Number(10) == 0) {
        nghttp2_hd_deflate_change_table_size(deflater, lists.Number(8193));
      }
      Fields fields = lists.Next();
      std::vector<nghttp2_nv> list;
      for (auto& [name, value] : fields) {
        const uint8_t flags =
            lists.Number(5) == 0 ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
        list.push_back({reinterpret_cast<uint8_t*>(name.data()),
                        reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(),
                        flags});
      }
      std::string block(nghttp2_hd_deflate_bound(deflater, list.data(), list.size()), '\0');
      const ssize_t size = nghttp2_hd_deflate_hd(deflater, reinterpret_cast<uint8_t*>(block.data()),
                                                 block.size(), list.data(), list.size());
      ASSERT_GE(size, 0);
      block.resize(static_cast<size_t>(size));
      if (block.empty()) continue;
      ASSERT_EQ(fields, decoders.Decode(block));
    }
    nghttp2_hd_deflate_del(deflater);
  }
}

Fields Inflate(nghttp2_hd_inflater* inflater, std::string_view block) {
  Fields fields;
  const auto* at = reinterpret_cast<const uint8_t*>(block.data());
  size_t left = block.size();
  for (;;) {
    nghttp2_nv nv;
    int flags = 0;
    const ssize_t taken = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
    if (taken < 0) {
      ADD_FAILURE() << nghttp2_strerror(static_cast<int>(taken));
      return {};
    }
    at += taken;
    left -= static_cast<size_t>(taken);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      fields.emplace_back(std::string(reinterpret_cast<char*>(nv.name), nv.namelen),
                          std::string(reinterpret_cast<char*>(nv.value), nv.valuelen));
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
  }
  nghttp2_hd_inflate_end_headers(inflater);
  return fields;
}

TEST(HpackDifferential, Nghttp2ReadsWhatWeWrite) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  Lists lists(seed);
  for (int connection = 0; connection < 20; ++connection) {
    nghttp2_hd_inflater* inflater = nullptr;
    ASSERT_EQ(0, nghttp2_hd_inflate_new(&inflater));
    HpackEncoder encoder;
    for (int round = 0; round < 100; ++round) {
      if (lists.Number(10) == 0) {
        const size_t bytes = lists.Number(4097);
        ASSERT_EQ(0, nghttp2_hd_inflate_change_table_size(inflater, bytes));
        encoder.SetTableSize(bytes);
        if (lists.Number(2) == 0) {
          ASSERT_EQ(0, nghttp2_hd_inflate_change_table_size(inflater, 4096));
          encoder.SetTableSize(4096);
        }
      }
      const Fields fields = lists.Next();
      const std::string block = Encode(encoder, fields);
      if (!block.empty()) {
        ASSERT_EQ(fields, Inflate(inflater, block));
      }
    }
    nghttp2_hd_inflate_del(inflater);
  }
}

}  // namespace
}  // namespace meltemi::http::h2
