// SPDX-License-Identifier: Apache-2.0
#include "lib/telemetry/access_log_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace meltemi::telemetry {
namespace {

using std::chrono::milliseconds;

class AccessLogFileTest : public testing::Test {
 protected:
  AccessLogFileTest() : loop_(*runtime::Loop::Create()) {
    std::string pattern = testing::TempDir() + "access_log_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~AccessLogFileTest() override { std::filesystem::remove_all(folder_); }
  static std::string Content(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  std::unique_ptr<runtime::Loop> loop_;
  std::string folder_;
};

TEST_F(AccessLogFileTest, LinesLeaveByTimerOrBySize) {
  const std::string path = folder_ + "/log";
  auto file =
      *AccessLogFile::Open(*loop_, path, {.flush_after = milliseconds(5), .flush_bytes = 10});
  file->Write("one\n");
  EXPECT_EQ("", Content(path));
  while (file->buffered_bytes() > 0) loop_->RunOnce(std::chrono::seconds(1));
  EXPECT_EQ("one\n", Content(path));
  file->Write("two two two\n");
  EXPECT_EQ("one\ntwo two two\n", Content(path));
}

TEST_F(AccessLogFileTest, RotationKeepsEveryLine) {
  const std::string path = folder_ + "/log";
  auto file = *AccessLogFile::Open(*loop_, path);
  file->Write("before\n");
  std::filesystem::rename(path, path + ".1");
  ASSERT_TRUE(file->Reopen().ok());
  file->Write("after\n");
  file.reset();
  EXPECT_EQ("before\n", Content(path + ".1"));
  EXPECT_EQ("after\n", Content(path));
}

TEST_F(AccessLogFileTest, AStuckPipeCostsLinesNotMemory) {
  const std::string path = folder_ + "/pipe";
  ASSERT_EQ(0, mkfifo(path.c_str(), 0600));
  const Fd reader(open(path.c_str(), O_RDONLY | O_NONBLOCK));
  auto file = *AccessLogFile::Open(*loop_, path, {.buffer_bytes_max = 100'000});
  const std::string line = std::string(99, 'x') + "\n";
  for (int i = 0; i < 5000; ++i) file->Write(line);
  EXPECT_LE(file->buffered_bytes(), 100'000u);
  EXPECT_GT(file->dropped(), 0u);
  std::string got;
  char bytes[65536];
  for (;;) {
    const ssize_t count = read(reader.get(), bytes, sizeof bytes);
    if (count > 0) got.append(bytes, count);
    if (count <= 0 && file->buffered_bytes() == 0) break;
    file->Flush();
  }
  EXPECT_EQ(5000u * 100, got.size() + file->dropped() * 100);
  for (size_t at = 0; at < got.size(); at += 100) ASSERT_EQ(line, got.substr(at, 100));
}

TEST_F(AccessLogFileTest, APathThatCannotBeOpenedIsRefused) {
  EXPECT_FALSE(AccessLogFile::Open(*loop_, folder_ + "/absent/log").ok());
}

}  // namespace
}  // namespace meltemi::telemetry
