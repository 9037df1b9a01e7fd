// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/chain_matcher.h"

#include <gtest/gtest.h>

namespace meltemi::proxy {
namespace {

struct Seen {
  std::string destination = "10.0.0.1:80";
  std::string source = "10.9.9.9:4000";
  std::string server_name = {};
  std::string transport = {};
  std::vector<std::string> alpn = {};
};

class Chains {
 public:
  void Add(ChainMatch match) {
    matches_.push_back(std::move(match));
    names_.push_back(std::to_string(names_.size()));
  }
  StatusOr<ChainMatcher> Build() const {
    std::vector<const ChainMatch*> pointers;
    for (const ChainMatch& match : matches_) pointers.push_back(&match);
    return ChainMatcher::Build(pointers, names_);
  }
  int Find(const Seen& seen) const {
    const net::Address destination = *net::Address::Parse(seen.destination);
    const net::Address source = *net::Address::Parse(seen.source);
    return Build()->Find({destination, source, seen.server_name, seen.transport, seen.alpn});
  }

 private:
  std::vector<ChainMatch> matches_;
  std::vector<std::string> names_;
};

ChainMatch Port(uint32_t port) {
  ChainMatch match;
  match.destination_port = port;
  return match;
}

IpPrefix Prefix(std::string_view ip, uint32_t length) {
  return *IpPrefix::Parse(ip, length);
}

TEST(ChainMatcher, PermissiveInboundOfIstioAuto) {
  Chains chains;  // data-plane: PERMISSIVE, protocol auto, one port
  ChainMatch match = Port(80);
  match.transport_protocol = "tls";
  match.application_protocols = {"istio-http/1.0", "istio-http/1.1", "istio-h2"};
  chains.Add(match);
  match.transport_protocol = "raw_buffer";
  match.application_protocols = {"http/1.0", "http/1.1", "h2c"};
  chains.Add(match);
  match.transport_protocol = "tls";
  match.application_protocols = {"istio-peer-exchange", "istio"};
  chains.Add(match);
  match.application_protocols.clear();
  match.transport_protocol = "raw_buffer";
  chains.Add(match);
  match.transport_protocol = "tls";
  chains.Add(match);

  EXPECT_EQ(chains.Find({.transport = "tls", .alpn = {"istio-http/1.1", "istio"}}), 0);
  EXPECT_EQ(chains.Find({.transport = "raw_buffer", .alpn = {"http/1.1"}}), 1);
  EXPECT_EQ(chains.Find({.transport = "tls", .alpn = {"istio-peer-exchange", "istio"}}), 2);
  EXPECT_EQ(chains.Find({.transport = "raw_buffer"}), 3);
  EXPECT_EQ(chains.Find({.transport = "tls", .alpn = {"h2"}}), 4);
  EXPECT_EQ(chains.Find({.destination = "10.0.0.1:81", .transport = "tls"}), -1);
}

TEST(ChainMatcher, DoesNotGoBackFromAMoreSpecificLevel) {
  Chains chains;
  ChainMatch exact;
  exact.destination_prefixes = {Prefix("10.0.0.1", 32)};
  exact.application_protocols = {"h2"};
  chains.Add(exact);
  chains.Add({});  // would fit all
  EXPECT_EQ(chains.Find({.alpn = {"h2"}}), 0);
  EXPECT_EQ(chains.Find({.alpn = {"http/1.1"}}), -1) << "the address chose, the ALPN did not fit";
  EXPECT_EQ(chains.Find({.destination = "10.0.0.2:80"}), 1);
}

TEST(ChainMatcher, TakesTheLongestPrefix) {
  Chains chains;
  ChainMatch match;
  match.destination_prefixes = {Prefix("10.0.0.0", 8)};
  chains.Add(match);
  match.destination_prefixes = {Prefix("10.0.0.0", 30), Prefix("fd00::", 8)};
  chains.Add(match);
  EXPECT_EQ(chains.Find({.destination = "10.0.0.3:1"}), 1);
  EXPECT_EQ(chains.Find({.destination = "10.0.0.4:1"}), 0);
  EXPECT_EQ(chains.Find({.destination = "[fd12::1]:1"}), 1);
  EXPECT_EQ(chains.Find({.destination = "11.0.0.1:1"}), -1);
}

TEST(ChainMatcher, PrefersExactThenLongestWildcardServerName) {
  Chains chains;
  ChainMatch match;
  for (const char* name : {"a.example.com", "*.example.com", "*.com"}) {
    match.server_names = {name};
    chains.Add(match);
  }
  chains.Add({});
  EXPECT_EQ(chains.Find({.server_name = "a.example.com"}), 0);
  EXPECT_EQ(chains.Find({.server_name = "b.example.com"}), 1);
  EXPECT_EQ(chains.Find({.server_name = "example.com"}), 2);
  EXPECT_EQ(chains.Find({.server_name = "example.org"}), 3);
  EXPECT_EQ(chains.Find({}), 3);
}

TEST(ChainMatcher, TellsLocalFromExternalSources) {
  Chains chains;
  ChainMatch match;
  match.source_type = SourceType::kSameIpOrLoopback;
  chains.Add(match);
  match.source_type = SourceType::kExternal;
  match.source_ports = {};
  chains.Add(match);
  EXPECT_EQ(chains.Find({.source = "127.0.0.1:9"}), 0);
  EXPECT_EQ(chains.Find({.source = "10.0.0.1:9"}), 0);
  EXPECT_EQ(chains.Find({.source = "10.0.0.2:9"}), 1);
}

TEST(ChainMatcher, RefusesEqualMatches) {
  Chains chains;
  chains.Add(Port(80));
  chains.Add(Port(80));
  const auto built = chains.Build();
  ASSERT_FALSE(built.ok());
  EXPECT_NE(Message(built.status()).find("same filter_chain_match"), std::string_view::npos);
}

TEST(IpPrefix, RefusesTooManyBits) {
  EXPECT_FALSE(IpPrefix::Parse("10.0.0.1", 33).ok());
}

}  // namespace
}  // namespace meltemi::proxy
