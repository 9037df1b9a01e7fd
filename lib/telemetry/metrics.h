// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms as integers: a worker adds to cells of its own, names and label
// text meet the numbers only when somebody scrapes.
//
// Registry is thread-safe (a lock, taken when a series is first seen and at scrapes). A Recorder
// belongs to one thread; the cells it hands out are written by that thread only and read by scrapes
// without a lock.
//
// Invariants:
//  1. Cells live as long as the registry: pointers may be kept.
//  2. A family holds at most `series_max` label tuples; beyond, everything goes to one series whose
//  label
//     values are all "overflow", and meltemi_telemetry_series_overflow_total counts it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace meltemi::telemetry {

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };

// Upper bounds in milliseconds that Istio's and Envoy's histograms use.
std::span<const double> DefaultBounds();

struct FamilyOptions {
  std::string name;  // Prometheus form, e.g. "istio_requests_total"
  std::string help;
  MetricType type = MetricType::kCounter;
  std::vector<std::string> labels;
  std::vector<double> bounds = {};  // histograms; DefaultBounds() when empty
  size_t series_max = 10'000;
  // How Text() names a series, each {} one label's value in order ("tcp.{}.idle_timeout"); an empty
  // value takes the dot behind it along. Empty: the name, then the values behind dots.
  std::string text = {};
};

// One number with one writer: no locked instruction on the way in.
class Cell final {
 public:
  void Add(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void Set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Subtract(uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) - amount, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// One series of one recorder. Counters and gauges use Add/Set; histograms Observe.
class Series final {
 public:
  Series(std::span<const double> bounds, bool is_histogram);
  void Add(uint64_t amount = 1) { cells_[0].Add(amount); }
  void Subtract(uint64_t amount = 1) { cells_[0].Subtract(amount); }
  void Set(uint64_t value) { cells_[0].Set(value); }
  void Observe(double value);
  std::span<const Cell> cells() const { return {cells_.get(), cell_count_}; }

 private:
  std::span<const double> bounds_;
  // Counter, gauge: [value]. Histogram: one per bound, +Inf, then the sum in thousandths.
  std::unique_ptr<Cell[]> cells_;
  size_t cell_count_;
};

class Family;

class Registry final {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Adding a name again returns the family it already has.
  Family* Add(FamilyOptions options);
  // A value computed when scraped, on the scraping thread. `text` is its name in Text(), where it
  // has another ("server.live").
  void AddSource(std::string name, std::string help, MetricType type,
                 std::function<double()> source, std::string text = {});

  std::string Prometheus() const;  // text exposition format 0.0.4
  std::string Text() const;        // "name.label.label: value" lines as Envoy's /stats

 private:
  friend class Recorder;
  struct State;
  std::unique_ptr<State> state_;
};

// A thread's way into the registry.
class Recorder final {
 public:
  explicit Recorder(Registry& registry);
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // The series of these label values (as many as the family has labels). A hash look-up; keep the
  // pointer where the values are known ahead.
  Series& Find(Family* family, std::span<const std::string_view> label_values);
  Series& Find(Family* family) { return Find(family, {}); }

 private:
  struct Index;
  Registry& registry_;
  std::unique_ptr<Index> index_;
};

}  // namespace meltemi::telemetry
