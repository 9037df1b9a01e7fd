// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/tls/testing/tls_fixture.h"

namespace meltemi::tls {
namespace {

using namespace testing;

TEST_F(TlsTest, TenMegabytesBothWays) {
  Start(Server(), Client());
  RunToConnected();
  std::string text;
  for (int i = 0; text.size() < 10'000'000; ++i) text += std::to_string(i);
  for (Side* side : {&server_, &client_}) {
    side->connection->output().Append(text);
    side->connection->Flush();
  }
  RunUntil([&] { return server_.got.size() == text.size() && client_.got.size() == text.size(); });
  EXPECT_TRUE(server_.got == text);
  EXPECT_TRUE(client_.got == text);
  EXPECT_EQ(0u, pool_.blocks_in_use());
}

TEST_F(TlsTest, APausedReaderLosesNothing) {
  Start(Server(), Client());
  RunToConnected();
  server_.is_consuming = false;
  const std::string text(200'000, 'p');
  client_.connection->output().Append(text);
  client_.connection->Flush();
  RunUntil([&] { return server_.connection->input().size() >= net::BlockPool::kBlockBytes; });
  loop_->RunOnce(Duration::zero());
  EXPECT_EQ(net::BlockPool::kBlockBytes, server_.connection->input().size());
  server_.is_consuming = true;
  server_.OnInput();
  server_.connection->ResumeReading();
  RunUntil([&] { return server_.got.size() == text.size(); });
}

TEST_F(TlsTest, CloseNotifyEndsTheInput) {
  Start(Server(), Client());
  RunToConnected();
  client_.connection->output().Append("last words");
  client_.connection->EndOutput();
  RunUntil([&] { return server_.connection->input_ended(); });
  EXPECT_EQ("last words", server_.got);
  server_.connection->output().Append("answer");
  server_.connection->EndOutput();
  RunUntil([&] { return client_.closed.has_value() && server_.closed.has_value(); });
  EXPECT_EQ("answer", client_.got);
  EXPECT_EQ(CloseReason::kRemoteEnd, *client_.closed);
  EXPECT_EQ(CloseReason::kRemoteEnd, *server_.closed);
}

TEST_F(TlsTest, RecordsThatComeByteByByte) {
  Fd server_end, server_wire, client_end, client_wire;
  Pair(SOCK_STREAM, &server_end, &server_wire);
  Pair(SOCK_STREAM, &client_end, &client_wire);
  Put(&server_, std::move(server_end), (*ServerContext::Build(Server()))->NewSession());
  Put(&client_, std::move(client_end), (*ClientContext::Build(Client()))->NewSession());
  client_.connection->output().Append("slow");
  const auto pump = [](const Fd& from, const Fd& to) {
    char byte;
    if (read(from.get(), &byte, 1) == 1) {
      EXPECT_EQ(1, write(to.get(), &byte, 1));
    }
  };
  for (int passes = 0; passes < 20'000 && server_.got.size() < 4; ++passes) {
    pump(client_wire, server_wire);
    pump(server_wire, client_wire);
    loop_->RunOnce(Duration::zero());
  }
  EXPECT_EQ("slow", server_.got);
}

}  // namespace
}  // namespace meltemi::tls
