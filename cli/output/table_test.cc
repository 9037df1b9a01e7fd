// SPDX-License-Identifier: Apache-2.0
#include "cli/output/table.h"

#include <gtest/gtest.h>

namespace meltemi::cli {
namespace {

TEST(Table, PadsAllButTheLastColumn) {
  Table table({"NAME", "AGE"});
  table.Add({"reviews-v1", "4m"});
  table.Add({"x", "12m"});
  EXPECT_EQ(table.Text(), "NAME         AGE\nreviews-v1   4m\nx            12m\n");
}

TEST(HumanDuration, PicksAUnit) {
  EXPECT_EQ(HumanDuration(0.0384), "38 ms");
  EXPECT_EQ(HumanDuration(1.24), "1.2 s");
  EXPECT_EQ(HumanDuration(90), "90s");
  EXPECT_EQ(HumanDuration(600), "10m");
  EXPECT_EQ(HumanDuration(3 * 86400), "3d");
}

}  // namespace
}  // namespace meltemi::cli
