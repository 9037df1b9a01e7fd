// SPDX-License-Identifier: Apache-2.0
#include "lib/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace meltemi::telemetry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Registry, AddsUpWhatRecordersCounted) {
  Registry registry;
  Family* requests =
      registry.Add({.name = "requests_total", .help = "Requests", .labels = {"code"}});
  const std::string_view ok[] = {"200"};
  auto work = [&] {
    Recorder recorder(registry);
    for (int i = 0; i < 1000; ++i) recorder.Find(requests, ok).Add();
  };
  std::thread a(work), b(work);
  a.join();
  b.join();
  EXPECT_THAT(registry.Prometheus(),
              HasSubstr("# TYPE requests_total counter\nrequests_total{code=\"200\"} 2000\n"));
}

TEST(Registry, WritesHistogramsCumulatively) {
  Registry registry;
  Family* times = registry.Add(
      {.name = "ms", .help = "h", .type = MetricType::kHistogram, .labels = {}, .bounds = {1, 10}});
  Recorder recorder(registry);
  for (const double value : {0.5, 1.0, 5.0, 50.0}) recorder.Find(times).Observe(value);
  EXPECT_THAT(registry.Prometheus(),
              HasSubstr("ms_bucket{le=\"1\"} 2\nms_bucket{le=\"10\"} 3\nms_bucket{le=\"+Inf\"} "
                        "4\nms_sum 56.5\nms_count 4\n"));
}

TEST(Registry, EscapesLabelValues) {
  Registry registry;
  Family* family = registry.Add({.name = "f", .help = "h", .labels = {"l"}});
  Recorder recorder(registry);
  const std::string_view nasty[] = {"a\"b\\c\nd"};
  recorder.Find(family, nasty).Add();
  EXPECT_THAT(registry.Prometheus(), HasSubstr("f{l=\"a\\\"b\\\\c\\nd\"} 1"));
}

TEST(Registry, BoundsTheTuplesOfAFamily) {
  Registry registry;
  Family* family = registry.Add({.name = "f", .help = "h", .labels = {"l"}, .series_max = 3});
  Recorder recorder(registry);
  for (int i = 0; i < 100; ++i) {
    const std::string text = std::to_string(i);
    const std::string_view values[] = {text};
    recorder.Find(family, values).Add();
  }
  const std::string text = registry.Prometheus();
  EXPECT_THAT(text, HasSubstr("f{l=\"overflow\"} 97"));
  EXPECT_THAT(text, HasSubstr("meltemi_telemetry_series_overflow_total 97"));
  EXPECT_THAT(text, Not(HasSubstr("l=\"50\"")));
}

TEST(Recorder, ReturnsTheSameSeriesForTheSameValues) {
  Registry registry;
  Family* family = registry.Add({.name = "f", .help = "h", .labels = {"a", "b"}});
  Recorder recorder(registry);
  const std::string_view one[] = {"x", "yz"};
  const std::string_view other[] = {"xy", "z"};
  EXPECT_EQ(&recorder.Find(family, one), &recorder.Find(family, one));
  EXPECT_NE(&recorder.Find(family, one), &recorder.Find(family, other));
}

}  // namespace
}  // namespace meltemi::telemetry
