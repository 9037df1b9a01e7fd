// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/client_hello.h"

#include <gtest/gtest.h>

#include "proxy/listener/testing/client_hello_bytes.h"

namespace meltemi::proxy {
namespace {

using State = ClientHello::State;

using namespace proxy::testing;

TEST(ClientHello, ReadsLowerCasedNameAndProtocols) {
  const std::string grease = Extension(0x0a0a, "");
  const auto hello = ParseClientHello(
      Record(Message(grease + ServerName("Api.Example.COM") + Alpn({"h2", "istio"}))));
  EXPECT_EQ(hello.state, State::kTls);
  EXPECT_EQ(hello.server_name, "api.example.com");
  EXPECT_EQ(hello.alpn, (std::vector<std::string>{"h2", "istio"}));
}

TEST(ClientHello, AsksForMoreAtEveryProperPrefix) {
  const std::string whole = Record(Message(ServerName("a.b") + Alpn({"h2"})));
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(ParseClientHello(whole.substr(0, i)).state, State::kNeedMore) << i;
  }
  EXPECT_EQ(ParseClientHello(whole + "later bytes").state, State::kTls);
}

TEST(ClientHello, JoinsRecords) {
  // A post-quantum key share makes it longer than a segment; some clients split records on purpose.
  const std::string message = Message(Extension(51, std::string(3000, 'k')) + ServerName("a.b"));
  std::string split;
  for (size_t i = 0; i < message.size(); i += 100) split += Record(message.substr(i, 100));
  const auto hello = ParseClientHello(split);
  EXPECT_EQ(hello.state, State::kTls);
  EXPECT_EQ(hello.server_name, "a.b");
}

TEST(ClientHello, TellsOtherProtocols) {
  EXPECT_EQ(ParseClientHello("GET / HTTP/1.1\r\n").state, State::kNotTls);
  EXPECT_EQ(ParseClientHello("\x16\x02").state, State::kNotTls);
  EXPECT_EQ(ParseClientHello("").state, State::kNeedMore);
}

TEST(ClientHello, RefusesWhatIsBroken) {
  const auto state = [](const std::string& extensions) {
    return ParseClientHello(Record(Message(extensions))).state;
  };
  EXPECT_EQ(state(ServerName("a") + ServerName("b")), State::kInvalid);
  EXPECT_EQ(state(ServerName(std::string("a\0b", 3))), State::kInvalid);
  EXPECT_EQ(state(ServerName("")), State::kInvalid);
  EXPECT_EQ(state(Alpn({""})), State::kInvalid);
  EXPECT_EQ(state(Number(16, 2) + Number(9, 2) + "short"), State::kInvalid);
  EXPECT_EQ(ParseClientHello("\x16\x03\x01" + Number(0, 2) + "\x01").state, State::kInvalid);
  const std::string endless = Number(1, 1) + Number(kClientHelloBytesMax, 3);
  EXPECT_EQ(ParseClientHello(Record(endless)).state, State::kInvalid);
}

// An empty record that was called broken TLS until the sixth byte showed that it is no TLS at all.
TEST(ClientHello, VerdictsDoNotChange) {
  const std::string_view bytes("\x16\x03\0\0\0\0\0\x01\x02\x57\x16", 11);
  EXPECT_EQ(ClientHello::State::kNeedMore, ParseClientHello(bytes.substr(0, 5)).state);
  EXPECT_EQ(ClientHello::State::kNotTls, ParseClientHello(bytes).state);
}

}  // namespace
}  // namespace meltemi::proxy
