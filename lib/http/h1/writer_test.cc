// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace meltemi::http::h1 {
namespace {

using ::testing::HasSubstr;

// A view of nothing may have no address: nothing must be copied from there.
TEST(WriteHead, TakesFieldsWithoutAValue) {
  net::BlockPool pool;
  net::Buffer output(pool);
  Arena arena;
  ResponseHead head(arena);
  head.status = 200;
  head.headers.AddBorrowed(HeaderId::kServer, "server", {});
  WriteResponseHead(head, true, {}, output);
  EXPECT_THAT(output.view(), HasSubstr("server: \r\n"));
}

}  // namespace
}  // namespace meltemi::http::h1
