// SPDX-License-Identifier: Apache-2.0
// Makes a test program that was started as root go on as an ordinary user, so that the rootless way
// is the one tested. Include in one test file per program.
#pragma once

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace meltemi::host::testing {

inline constexpr unsigned kOrdinaryUser = 1500;

class OrdinaryUser final : public ::testing::Environment {
 public:
  void SetUp() override {
    if (::geteuid() != 0) return;
    ASSERT_EQ(::setgroups(0, nullptr), 0);
    ASSERT_EQ(::setresgid(kOrdinaryUser, kOrdinaryUser, kOrdinaryUser), 0);
    ASSERT_EQ(::setresuid(kOrdinaryUser, kOrdinaryUser, kOrdinaryUser), 0);
    // A process that changed its uid without exec owns none of its /proc files, its uid_map among
    // them.
    ASSERT_EQ(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
  }
};

}  // namespace meltemi::host::testing
