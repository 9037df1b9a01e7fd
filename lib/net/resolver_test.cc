// SPDX-License-Identifier: Apache-2.0
#include "lib/net/resolver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <functional>

#include "lib/base/fd.h"
#include "lib/net/listener_socket.h"

namespace meltemi::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Answers A of "v4.test." and both of "both.test."; knows no other name; can be silent.
class DnsServer final : public runtime::FdHandler {
 public:
  explicit DnsServer(runtime::Loop& loop) : loop_(loop) {
    fd_.Reset(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const Address any = *Address::Parse("127.0.0.1:0");
    EXPECT_EQ(0, bind(fd_.get(), any.data(), any.length()));
    EXPECT_TRUE(loop_.Watch(fd_.get(), this).ok());
  }
  ~DnsServer() { loop_.Unwatch(fd_.get(), this); }
  std::string at() const { return BoundAddress(fd_.get())->text(); }
  void OnReady(runtime::Ready) override {
    char bytes[512];
    sockaddr_storage from;
    socklen_t length = sizeof from;
    ssize_t count;
    while ((count = recvfrom(fd_.get(), bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from),
                             &length)) > 12) {
      ++questions;
      if (is_silent) continue;
      const std::string reply = Answer(std::string(bytes, count));
      sendto(fd_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }
  bool is_silent = false;
  int questions = 0;

 private:
  static std::string Answer(std::string question) {
    const size_t name_end = question.find('\0', 12);
    question.resize(name_end + 5);  // drops EDNS
    const bool is_v6 = question[name_end + 2] == 28;
    const bool is_both = question.find("both") != std::string::npos;
    const bool is_known = is_both || question.find("\2v4") != std::string::npos;
    const bool has_answer = is_known && (!is_v6 || is_both);
    question[2] = '\x81';
    question[3] = is_known ? '\x80' : '\x83';
    question[7] = has_answer ? 1 : 0;
    question[11] = 0;
    if (!has_answer) return question;
    question +=
        std::string("\xc0\x0c\0", 3) + (is_v6 ? '\x1c' : '\x01') + std::string("\0\1\0\0\0\x1e", 6);
    if (is_v6) return question + std::string("\0\x10", 2) + std::string(15, '\0') + '\x01';
    return question + std::string("\0\4\x0a\1\2\3", 6);
  }
  runtime::Loop& loop_;
  Fd fd_;
};

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() : loop_(*runtime::Loop::Create()), server_(*loop_) {
    resolver_ = *Resolver::Create(
        *loop_, {.servers = {server_.at()}, .timeout = milliseconds(50), .tries = 2});
  }
  Resolution Ask(std::string_view name, LookupFamily family = LookupFamily::kAll) {
    std::optional<Resolution> got;
    const auto query =
        resolver_->Resolve(name, family, [&](Resolution answer) { got = std::move(answer); });
    EXPECT_FALSE(got.has_value()) << "no callback inside the call";
    for (int i = 0; i < 200 && !got; ++i) loop_->RunOnce(seconds(1));
    return got ? *got : Resolution{.status = absl::InternalError("no callback came")};
  }
  std::unique_ptr<runtime::Loop> loop_;
  DnsServer server_;
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(ResolverTest, AddressesWithTheirTtl) {
  const Resolution got = Ask("v4.test.", LookupFamily::kV4Only);
  ASSERT_TRUE(got.status.ok()) << got.status;
  ASSERT_EQ(1u, got.addresses.size());
  EXPECT_EQ("10.1.2.3", got.addresses[0].ip());
  EXPECT_EQ(seconds(30), got.ttl);
}

TEST_F(ResolverTest, Families) {
  EXPECT_EQ(2u, Ask("both.test.", LookupFamily::kAll).addresses.size());
  EXPECT_EQ("::1", Ask("both.test.", LookupFamily::kAuto).addresses.at(0).ip());
  EXPECT_EQ("10.1.2.3", Ask("both.test.", LookupFamily::kV4Preferred).addresses.at(0).ip());
  EXPECT_EQ("10.1.2.3", Ask("v4.test.", LookupFamily::kAuto).addresses.at(0).ip());
  EXPECT_TRUE(absl::IsNotFound(Ask("v4.test.", LookupFamily::kV6Only).status));
}

TEST_F(ResolverTest, AnUnknownNameIsNotFoundAndASilentServerATimeout) {
  EXPECT_TRUE(absl::IsNotFound(Ask("nobody.test.").status));
  server_.is_silent = true;
  EXPECT_TRUE(absl::IsDeadlineExceeded(Ask("v4.test.").status));
}

TEST_F(ResolverTest, HostsFileAndLiteralsNeedNoServer) {
  EXPECT_EQ("127.0.0.1", Ask("localhost", LookupFamily::kV4Only).addresses.at(0).ip());
  EXPECT_EQ("10.9.8.7", Ask("10.9.8.7", LookupFamily::kV4Only).addresses.at(0).ip());
  EXPECT_EQ(0, server_.questions);
}

TEST_F(ResolverTest, ADroppedQueryHasNoCallback) {
  bool called = false;
  auto query =
      resolver_->Resolve("v4.test.", LookupFamily::kV4Only, [&](Resolution) { called = true; });
  query.reset();
  EXPECT_TRUE(Ask("v4.test.", LookupFamily::kV4Only).status.ok());
  EXPECT_FALSE(called);
}

TEST_F(ResolverTest, EndsWithQuestionsUnderWay) {
  server_.is_silent = true;
  bool called = false;
  const auto query =
      resolver_->Resolve("v4.test.", LookupFamily::kAll, [&](Resolution) { called = true; });
  loop_->RunOnce(milliseconds(20));
  resolver_.reset();
  loop_->RunOnce(Duration::zero());
  EXPECT_FALSE(called);
}

TEST_F(ResolverTest, ABadServerIsRefused) {
  EXPECT_FALSE(Resolver::Create(*loop_, {.servers = {"not an address"}}).ok());
}

}  // namespace
}  // namespace meltemi::net
