// SPDX-License-Identifier: Apache-2.0
#include "lib/telemetry/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include "absl/container/flat_hash_map.h"
#include "lib/base/check.h"

namespace meltemi::telemetry {
namespace {

constexpr double kBounds[] = {0.5,   1,      5,      10,      25,     50,    100,
                              250,   500,    1000,   2500,    5000,   10000, 30000,
                              60000, 300000, 600000, 1800000, 3600000};
constexpr char kSeparator = '\x1f';  // between label values in a key; not valid in label text
constexpr std::string_view kOverflow = "overflow";

std::string Escape(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text;
}

std::string Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return fmt::format("{:.0f}", value);
  return fmt::format("{}", value);
}

}  // namespace

std::span<const double> DefaultBounds() {
  return kBounds;
}

class Family final {
 public:
  explicit Family(FamilyOptions given) : options(std::move(given)) {
    if (options.type == MetricType::kHistogram && options.bounds.empty()) {
      options.bounds.assign(std::begin(kBounds), std::end(kBounds));
    }
  }

  // Label values -> the cells of every recorder that used them; guarded by the registry's lock.
  struct Tuple {
    std::vector<std::string> values;
    std::vector<std::unique_ptr<Series>> series;

    std::vector<uint64_t> Sum() const {
      std::vector<uint64_t> cells(series.empty() ? 1 : series[0]->cells().size());
      for (const auto& one : series) {
        for (size_t i = 0; i < cells.size(); ++i) cells[i] += one->cells()[i].value();
      }
      return cells;
    }
  };

  Series* AddSeries(std::string_view key, std::vector<std::string> values) {
    auto found = tuples.find(key);
    if (found == tuples.end()) {
      found = tuples.emplace(std::string(key), Tuple{std::move(values), {}}).first;
    }
    found->second.series.push_back(
        std::make_unique<Series>(options.bounds, options.type == MetricType::kHistogram));
    return found->second.series.back().get();
  }

  FamilyOptions options;
  std::map<std::string, Tuple, std::less<>> tuples;
};

Series::Series(std::span<const double> bounds, bool is_histogram)
    : bounds_(bounds), cell_count_(is_histogram ? bounds.size() + 2 : 1) {
  cells_ = std::make_unique<Cell[]>(cell_count_);
}

void Series::Observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  cells_[bucket].Add(1);
  cells_[cell_count_ - 1].Add(static_cast<uint64_t>(std::max(0.0, value) * 1000));
}

struct Registry::State {
  struct SourceMetric {
    std::string name, help;
    MetricType type;
    std::function<double()> value;
    std::string text;
  };

  mutable std::mutex mutex;
  std::map<std::string, std::unique_ptr<Family>> families;
  std::vector<SourceMetric> sources;
  uint64_t overflows = 0;
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

Family* Registry::Add(FamilyOptions options) {
  const std::lock_guard lock(state_->mutex);
  std::unique_ptr<Family>& family = state_->families[options.name];
  if (family == nullptr) family = std::make_unique<Family>(std::move(options));
  return family.get();
}

void Registry::AddSource(std::string name, std::string help, MetricType type,
                         std::function<double()> source, std::string text) {
  const std::lock_guard lock(state_->mutex);
  if (text.empty()) text = name;
  state_->sources.push_back(
      {std::move(name), std::move(help), type, std::move(source), std::move(text)});
}

namespace {

std::string LabelText(const Family& family, const Family::Tuple& tuple, std::string_view extra) {
  std::string text;
  for (size_t i = 0; i < family.options.labels.size(); ++i) {
    if (!text.empty()) text += ',';
    text += fmt::format("{}=\"{}\"", family.options.labels[i], Escape(tuple.values[i]));
  }
  if (!extra.empty()) {
    if (!text.empty()) text += ',';
    text += extra;
  }
  return text.empty() ? text : "{" + text + "}";
}

std::string_view TypeName(MetricType type) {
  constexpr std::string_view kNames[] = {"counter", "gauge", "histogram"};
  return kNames[static_cast<size_t>(type)];
}

void AppendHead(std::string& out, const std::string& name, const std::string& help,
                MetricType type) {
  out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, TypeName(type));
}

void AppendHistogram(std::string& out, const Family& family, const Family::Tuple& tuple,
                     const std::vector<uint64_t>& cells) {
  const std::string& name = family.options.name;
  uint64_t cumulative = 0;
  for (size_t i = 0; i <= family.options.bounds.size(); ++i) {
    cumulative += cells[i];
    const std::string bound =
        i < family.options.bounds.size() ? Number(family.options.bounds[i]) : "+Inf";
    out += fmt::format("{}_bucket{} {}\n", name,
                       LabelText(family, tuple, fmt::format("le=\"{}\"", bound)), cumulative);
  }
  const std::string labels = LabelText(family, tuple, "");
  out +=
      fmt::format("{}_sum{} {}\n", name, labels, Number(static_cast<double>(cells.back()) / 1000));
  out += fmt::format("{}_count{} {}\n", name, labels, cumulative);
}

std::string StatName(const FamilyOptions& options, const std::vector<std::string>& values) {
  if (options.text.empty()) {
    std::string name = options.name;
    for (const std::string& value : values) name += "." + value;
    return name;
  }
  std::string name;
  std::string_view rest = options.text;
  for (const std::string& value : values) {
    const size_t at = rest.find("{}");
    if (at == std::string_view::npos) break;
    name += rest.substr(0, at);
    name += value;
    rest.remove_prefix(at + 2);
    if (value.empty() && rest.starts_with('.')) rest.remove_prefix(1);
  }
  return name + std::string(rest);
}

void AppendStatLine(std::string& out, const Family& family, const Family::Tuple& tuple,
                    const std::vector<uint64_t>& cells) {
  const std::string name = StatName(family.options, tuple.values);
  if (family.options.type != MetricType::kHistogram) {
    out += fmt::format("{}: {}\n", name, cells[0]);
    return;
  }
  uint64_t count = 0;
  for (size_t i = 0; i + 1 < cells.size(); ++i) count += cells[i];
  out += fmt::format("{}: count={} sum={}\n", name, count,
                     Number(static_cast<double>(cells.back()) / 1000));
}

}  // namespace

std::string Registry::Prometheus() const {
  const std::lock_guard lock(state_->mutex);
  std::string out;
  for (const auto& [name, family] : state_->families) {
    if (family->tuples.empty()) continue;
    AppendHead(out, name, family->options.help, family->options.type);
    for (const auto& [key, tuple] : family->tuples) {
      if (family->options.type == MetricType::kHistogram) {
        AppendHistogram(out, *family, tuple, tuple.Sum());
      } else {
        out += fmt::format("{}{} {}\n", name, LabelText(*family, tuple, ""), tuple.Sum()[0]);
      }
    }
  }
  for (const State::SourceMetric& source : state_->sources) {
    AppendHead(out, source.name, source.help, source.type);
    out += fmt::format("{} {}\n", source.name, Number(source.value()));
  }
  const std::string overflow = "meltemi_telemetry_series_overflow_total";
  AppendHead(out, overflow, "Label tuples beyond a family's limit", MetricType::kCounter);
  return out + fmt::format("{} {}\n", overflow, state_->overflows);
}

std::string Registry::Text() const {
  const std::lock_guard lock(state_->mutex);
  std::string out;
  for (const auto& [name, family] : state_->families) {
    for (const auto& [key, tuple] : family->tuples) {
      AppendStatLine(out, *family, tuple, tuple.Sum());
    }
  }
  for (const State::SourceMetric& source : state_->sources) {
    out += fmt::format("{}: {}\n", source.text, Number(source.value()));
  }
  return out;
}

struct Recorder::Index {
  struct KeyHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const {
      return absl::HashOf(absl::string_view(text.data(), text.size()));
    }
  };
  struct KeyEqual {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };
  absl::flat_hash_map<std::string, Series*, KeyHash, KeyEqual> series;
  absl::flat_hash_map<Family*, Series*> overflows;  // this recorder's share of a full family
  std::string key;                                  // scratch, so that a look-up allocates nothing
};

Recorder::Recorder(Registry& registry) : registry_(registry), index_(std::make_unique<Index>()) {}
Recorder::~Recorder() = default;

Series& Recorder::Find(Family* family, std::span<const std::string_view> label_values) {
  MELTEMI_DCHECK(label_values.size() == family->options.labels.size());
  std::string& key = index_->key;
  key.assign(reinterpret_cast<const char*>(&family), sizeof(family));
  for (const std::string_view value : label_values) {
    key += value;
    key += kSeparator;
  }
  if (const auto found = index_->series.find(std::string_view(key));
      found != index_->series.end()) {
    return *found->second;
  }

  Registry::State& state = *registry_.state_;
  const std::lock_guard lock(state.mutex);
  const std::string_view tuple_key = std::string_view(key).substr(sizeof(family));
  if (!family->tuples.contains(tuple_key) && family->tuples.size() >= family->options.series_max) {
    ++state.overflows;
    // Overflowed tuples are not remembered: the memory they would take is what the limit is for.
    Series*& series = index_->overflows[family];
    if (series == nullptr) {
      series = family->AddSeries(
          kOverflow, std::vector<std::string>(label_values.size(), std::string(kOverflow)));
    }
    return *series;
  }
  Series* series = family->AddSeries(
      tuple_key, std::vector<std::string>(label_values.begin(), label_values.end()));
  index_->series.emplace(key, series);
  return *series;
}

}  // namespace meltemi::telemetry
