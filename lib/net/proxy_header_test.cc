// SPDX-License-Identifier: Apache-2.0
// What whole programs do not show: the bounds of the parser and of the encoder. The vectors that a
// listener takes or refuses are in tests/proxy/test_proxy_protocol.py.
#include "lib/net/proxy_header.h"

#include <gtest/gtest.h>

namespace meltemi::net {
namespace {

using State = ParsedProxyHeader::State;

Address Parse(std::string_view text) {
  return *Address::Parse(text);
}

TEST(ProxyHeader, EveryPrefixOfAHeaderNeedsMore) {
  const std::vector<ProxyTlv> tlvs = {{1, "h2"}, {0xe0, ""}};
  const std::string headers[] = {
      EncodeProxyText(Parse("1.2.3.4:5"), Parse("6.7.8.9:10")),
      EncodeProxyText(Parse("[fd00::1]:5"), Parse("[fd00::2]:10")),
      *EncodeProxyBinary(Parse("[fd00::1]:5"), Parse("[fd00::2]:10"), tlvs), EncodeProxyLocal()};
  for (const std::string& header : headers) {
    for (size_t i = 0; i < header.size(); ++i) {
      const ParsedProxyHeader parsed = ParseProxyHeader(std::string_view(header).substr(0, i));
      EXPECT_EQ(parsed.state, State::kNeedMore) << header << " " << i;
      EXPECT_LE(parsed.bytes, header.size());
    }
    const ParsedProxyHeader whole = ParseProxyHeader(header + "\n\0x");
    EXPECT_EQ(whole.state, State::kWhole) << header;
    EXPECT_EQ(whole.bytes, header.size());
  }
}

TEST(ProxyHeader, FamiliesThatDifferAreToldAsIpv6) {
  const auto binary = EncodeProxyBinary(Parse("1.2.3.4:5"), Parse("[fd00::2]:10"), {});
  ASSERT_TRUE(binary.has_value());
  const ParsedProxyHeader parsed = ParseProxyHeader(*binary);
  EXPECT_EQ(parsed.header.source.text(), "[::ffff:1.2.3.4]:5");
  EXPECT_EQ(parsed.header.destination.text(), "[fd00::2]:10");
  EXPECT_EQ(EncodeProxyText(Parse("1.2.3.4:5"), Parse("[fd00::2]:10")),
            "PROXY TCP6 ::ffff:1.2.3.4 fd00::2 5 10\r\n");
}

TEST(ProxyHeader, NeverMoreThanTheLengthFieldTells) {
  const Address address = Parse("1.2.3.4:5");
  const size_t room = 65535 - 12 - 3;
  const std::vector<ProxyTlv> fits = {{1, std::string(room, 'x')}};
  const std::vector<ProxyTlv> exceeds = {{1, std::string(room + 1, 'x')}};
  const std::vector<ProxyTlv> two = {{1, std::string(room, 'x')}, {2, ""}};
  const std::vector<ProxyTlv> huge = {{1, std::string(70000, 'x')}};
  EXPECT_EQ(ParseProxyHeader(*EncodeProxyBinary(address, address, fits)).state, State::kWhole);
  for (const auto& tlvs : {exceeds, two, huge}) {
    EXPECT_FALSE(EncodeProxyBinary(address, address, tlvs).has_value());
  }
}

}  // namespace
}  // namespace meltemi::net
