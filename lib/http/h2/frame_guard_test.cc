// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/frame_guard.h"

#include <gtest/gtest.h>

namespace meltemi::http::h2 {
namespace {

using Verdict = FrameGuard::Verdict;

class Guard : public ::testing::Test {
 protected:
  Verdict Take(FrameType type, int32_t stream = 0, size_t bytes = 8, uint8_t flags = 0,
               bool is_open = true) {
    return guard_.TakeFrame(type, flags, bytes, stream, is_open, now_);
  }
  // How many of a frame pass.
  int Passing(FrameType type, int32_t stream = 0, size_t bytes = 8, bool is_open = true) {
    int count = 0;
    while (count < 100'000 && Take(type, stream, bytes, 0, is_open) == Verdict::kPass) ++count;
    return count;
  }
  MonotonicTime now_{std::chrono::hours(1)};
  FrameGuard guard_{Http2Options(), true};
};

TEST_F(Guard, CountsControlFramesByTheMinuteAndByWhatIsDoneBesides) {
  EXPECT_EQ(1000, Passing(FrameType::kPing));
  now_ += std::chrono::seconds(61);
  EXPECT_EQ(1000, Passing(FrameType::kSettings));
  now_ += std::chrono::seconds(61);
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kPing));
  for (int i = 0; i < 100; ++i) Take(FrameType::kData, 1);
  EXPECT_EQ(1000 - 1 + 400, Passing(static_cast<FrameType>(0x42)));
}

TEST_F(Guard, PriorityGrowsWithStreamsAndWindowUpdatesWithDataSent) {
  EXPECT_EQ(100, Passing(FrameType::kPriority));
  Take(FrameType::kHeaders, 1);
  EXPECT_EQ(99, Passing(FrameType::kPriority));  // the one refused counts
  EXPECT_EQ(7, Passing(FrameType::kWindowUpdate));
  guard_.NoteSent(FrameType::kData);
  EXPECT_EQ(19, Passing(FrameType::kWindowUpdate));
}

TEST_F(Guard, RefusesTheSecondEmptyFrameInARow) {
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kData, 1, 0));
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kData, 1, 5));
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kData, 1, 0));
  EXPECT_EQ(Verdict::kFlood, Take(FrameType::kData, 1, 0));
}

TEST_F(Guard, TellsStreamsThePeerEndedFromThoseWeEndedAndThoseThatNeverWere) {
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kHeaders, 1, 8, 0, false));
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kHeaders, 3, 8, 0, false));
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kHeaders, 9, 8, 0, false));
  guard_.NoteEnded(1, true);
  guard_.NoteEnded(3, false);
  EXPECT_EQ(Verdict::kStreamClosed, Take(FrameType::kData, 1, 8, 0, false));
  EXPECT_EQ(Verdict::kStreamClosed, Take(FrameType::kHeaders, 1, 8, 0, false));
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kData, 3, 8, 0, false));
  EXPECT_EQ(Verdict::kProtocolError, Take(FrameType::kHeaders, 7, 8, 0, false));
  EXPECT_EQ(Verdict::kProtocolError, Take(FrameType::kData, 5, 8, 0, false));
  // Long ago: not held against the peer.
  for (int32_t id = 11; id < 11 + 2 * 64; id += 2) guard_.NoteEnded(id, true);
  EXPECT_EQ(Verdict::kPass, Take(FrameType::kData, 1, 8, 0, false));
}

TEST_F(Guard, EndsOnceHalfOfTheRequestsWereGivenUp) {
  int given_up = 0;
  while (guard_.NoteRequestOver(true) == Verdict::kPass) ++given_up;
  EXPECT_EQ(249, given_up);
  FrameGuard busy{Http2Options(), true};
  for (int i = 0; i < 10'000; ++i) EXPECT_EQ(Verdict::kPass, busy.NoteRequestOver(false));
  for (int i = 0; i < 9'999; ++i) EXPECT_EQ(Verdict::kPass, busy.NoteRequestOver(true)) << i;
  EXPECT_EQ(Verdict::kFlood, busy.NoteRequestOver(true));
}

}  // namespace
}  // namespace meltemi::http::h2
