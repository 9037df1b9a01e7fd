// SPDX-License-Identifier: Apache-2.0
// Header compression as other implementations write it: the stories of http2jp/hpack-test-case,
// each the header blocks of one connection. All go through the decoder alone; those of requests
// also through our server, where blocks with fields of HTTP/1 connections are reset and yet must
// leave the table as their sender believes it to be. Those without wire form our client encodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "lib/http/testing/exchange_pair.h"

namespace meltemi::http {
namespace {

using testing::ClientExchange;
using testing::ServerExchange;
using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kStories = "../shared/cases/hpack/stories.json";

std::string FromHex(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame;
  for (const int shift : {16, 8, 0}) frame.push_back(static_cast<char>(payload.size() >> shift));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(stream >> shift));
  return frame.append(payload);
}

// What is left of a request's fields when the codec has taken out what heads have members for.
struct Expected {
  std::string method, scheme, authority, path;
  Fields fields;
};

Expected Expect(const nlohmann::json& headers) {
  Expected out;
  std::string cookie, host;
  for (const auto& header : headers) {
    const std::string name = header[0], value = header[1];
    if (name == ":method") out.method = value;
    if (name == ":scheme") out.scheme = value;
    if (name == ":authority") out.authority = value;
    if (name == ":path") out.path = value;
    if (name == "host") host = value;
    if (name.starts_with(':') || name == "host" || name == "content-length") continue;
    if (name == "cookie") {
      cookie += (cookie.empty() ? "" : "; ") + value;
      continue;
    }
    out.fields.emplace_back(name, value);
  }
  if (out.authority.empty()) out.authority = host;
  if (!cookie.empty()) out.fields.emplace_back("cookie", cookie);
  std::sort(out.fields.begin(), out.fields.end());
  return out;
}

bool HasConnectionField(const nlohmann::json& headers) {
  return std::any_of(headers.begin(), headers.end(), [](const nlohmann::json& header) {
    return header[0] == "connection" || header[0] == "transfer-encoding";
  });
}

bool IsRequest(const nlohmann::json& story) {
  const auto& headers = story["blocks"][0]["headers"];
  return std::any_of(headers.begin(), headers.end(),
                     [](const nlohmann::json& header) { return header[0] == ":method"; });
}

Fields Decode(nghttp2_hd_inflater* inflater, const std::string& wire) {
  Fields fields;
  const auto* at = reinterpret_cast<const uint8_t*>(wire.data());
  size_t left = wire.size();
  for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
    nghttp2_nv field;
    const ssize_t used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, at, left, 1);
    if (used < 0) {
      ADD_FAILURE() << nghttp2_strerror(static_cast<int>(used));
      return fields;
    }
    at += used;
    left -= static_cast<size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0) continue;
    fields.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                        std::string(reinterpret_cast<char*>(field.value), field.valuelen));
  }
  nghttp2_hd_inflate_end_headers(inflater);
  return fields;
}

class Story : public testing::ExchangePair {
 public:
  void Receive(const nlohmann::json& blocks) {
    Limits limits;
    // Whatever limit a story sets midway, its encoder says so in the block itself.
    limits.http2.premature_resets_streams = 1'000'000;
    for (const auto& block : blocks) {
      limits.http2.header_table_bytes =
          std::max(limits.http2.header_table_bytes, block.value("tableSize", 4096u));
    }
    MakeServer(Protocol::kHttp2, limits);
    server_owner.on_request = [](ServerExchange& e) { e.Respond(204, ""); };
    Write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    Write(Frame(4, 0, 0, ""));
    Write(Frame(4, 1, 0, ""));
    uint32_t stream = 1;
    for (const auto& block : blocks) {
      Write(Frame(1, 5, stream, FromHex(block["wire"])));
      stream += 2;
      if (HasConnectionField(block["headers"])) continue;
      const size_t count = server_owner.exchanges.size() + 1;
      RunUntil([&] { return server_owner.exchanges.size() == count; });
      Compare(*server_owner.exchanges.back(), block["headers"]);
      if (::testing::Test::HasFailure()) return;
    }
  }

  void Send(const nlohmann::json& blocks) {
    Make(Protocol::kHttp2);
    server_owner.on_request = [](ServerExchange& e) { e.Respond(204, ""); };
    for (const auto& block : blocks) {
      if (HasConnectionField(block["headers"])) continue;
      const Expected expected = Expect(block["headers"]);
      ClientExchange e;
      e.Open(*client);
      RequestHead head(e.client->arena());
      head.method = expected.method;
      head.scheme = expected.scheme;
      head.authority = expected.authority;
      head.path = expected.path;
      for (const auto& [name, value] : expected.fields) head.headers.Add(name, value);
      e.client->SendRequest(head, true);
      RunUntil([&] { return e.finished || e.reset; });
      ASSERT_TRUE(e.finished);
      Compare(*server_owner.exchanges.back(), block["headers"]);
    }
  }

 private:
  static void Compare(ServerExchange& e, const nlohmann::json& headers) {
    const Expected expected = Expect(headers);
    EXPECT_EQ(expected.method, e.method);
    EXPECT_EQ(expected.scheme, e.scheme);
    EXPECT_EQ(expected.authority, e.authority);
    EXPECT_EQ(expected.path, e.path);
    std::sort(e.headers.begin(), e.headers.end());
    EXPECT_EQ(expected.fields, e.headers);
  }
};

class HeaderCompression : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file{std::string(kStories)};
    if (!file) GTEST_SKIP() << kStories << " is absent";
    suite_ = nlohmann::json::parse(file);
    ASSERT_EQ(suite_["count"], suite_["cases"].size());
  }
  nlohmann::json suite_;
};

TEST_F(HeaderCompression, DecodesStories) {
  size_t blocks = 0;
  for (const auto& story : suite_["cases"]) {
    SCOPED_TRACE(std::string(story["id"]));
    if (!story["blocks"][0].contains("wire")) continue;
    nghttp2_hd_inflater* made = nullptr;
    ASSERT_EQ(0, nghttp2_hd_inflate_new(&made));
    const std::unique_ptr<nghttp2_hd_inflater, void (*)(nghttp2_hd_inflater*)> inflater(
        made, nghttp2_hd_inflate_del);
    unsigned table = 4096;
    for (const auto& block : story["blocks"]) {
      if (const unsigned size = block.value("tableSize", table); size != table) {
        ASSERT_EQ(0, nghttp2_hd_inflate_change_table_size(made, size));
        table = size;
      }
      Fields expected;
      for (const auto& header : block["headers"]) expected.emplace_back(header[0], header[1]);
      ASSERT_EQ(expected, Decode(made, FromHex(block["wire"])));
      ++blocks;
    }
  }
  EXPECT_EQ(619u, blocks);
}

TEST_F(HeaderCompression, StoriesMakeRequests) {
  for (const auto& story : suite_["cases"]) {
    SCOPED_TRACE(std::string(story["id"]));
    if (!IsRequest(story)) continue;
    Story connection;
    if (story["blocks"][0].contains("wire")) {
      connection.Receive(story["blocks"]);
    } else {
      connection.Send(story["blocks"]);
    }
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace meltemi::http
