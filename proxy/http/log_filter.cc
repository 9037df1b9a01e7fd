// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/log_filter.h"

#include <algorithm>
#include <string>
#include <vector>

#include "proxy/http/route_compiler.h"

namespace meltemi::proxy {

namespace envoy_log = envoy::config::accesslog::v3;

namespace {

using LogFilters = std::vector<std::unique_ptr<const LogFilter>>;

class Comparison final : public LogFilter {
 public:
  enum class What : uint8_t { kStatus, kDuration };
  Comparison(What what, envoy_log::ComparisonFilter::Op op, uint32_t value)
      : what_(what), op_(op), value_(value) {}
  bool Selects(const StreamInfo& info) const override {
    const int64_t have =
        what_ == What::kStatus
            ? info.status
            : std::chrono::duration_cast<std::chrono::milliseconds>(info.end - info.start).count();
    switch (op_) {
      case envoy_log::ComparisonFilter::GE:
        return have >= value_;
      case envoy_log::ComparisonFilter::LE:
        return have <= value_;
      case envoy_log::ComparisonFilter::NE:
        return have != value_;
      default:
        return have == value_;
    }
  }

 private:
  const What what_;
  const envoy_log::ComparisonFilter::Op op_;
  const int64_t value_;
};

class FlagFilter final : public LogFilter {
 public:
  explicit FlagFilter(std::vector<std::string> flags) : flags_(std::move(flags)) {}
  bool Selects(const StreamInfo& info) const override {
    if (info.flags.empty()) return false;
    if (flags_.empty()) return true;
    std::string_view rest = info.flags.Short(*info.arena);
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (std::find(flags_.begin(), flags_.end(), rest.substr(0, comma)) != flags_.end())
        return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return false;
  }

 private:
  const std::vector<std::string> flags_;
};

class JoinedFilter final : public LogFilter {
 public:
  JoinedFilter(bool is_and, LogFilters parts) : is_and_(is_and), parts_(std::move(parts)) {}
  bool Selects(const StreamInfo& info) const override {
    for (const auto& part : parts_) {
      if (part->Selects(info) != is_and_) return !is_and_;
    }
    return is_and_;
  }

 private:
  const bool is_and_;
  const LogFilters parts_;
};

class HeaderLogFilter final : public LogFilter {
 public:
  explicit HeaderLogFilter(routing::HeaderPredicate predicate) : predicate_(std::move(predicate)) {}
  bool Selects(const StreamInfo& info) const override { return predicate_.Matches(*info.request); }

 private:
  const routing::HeaderPredicate predicate_;
};

template <typename Parts>
StatusOr<std::unique_ptr<const LogFilter>> CompileJoined(bool is_and, const Parts& from) {
  LogFilters parts;
  for (const auto& part : from) {
    MELTEMI_ASSIGN_OR_RETURN(auto filter, CompileLogFilter(part));
    parts.push_back(std::move(filter));
  }
  return std::make_unique<const JoinedFilter>(is_and, std::move(parts));
}

}  // namespace

StatusOr<std::unique_ptr<const LogFilter>> CompileLogFilter(
    const envoy_log::AccessLogFilter& from) {
  using Filter = envoy_log::AccessLogFilter;
  switch (from.filter_specifier_case()) {
    case Filter::kStatusCodeFilter: {
      const auto& comparison = from.status_code_filter().comparison();
      return std::make_unique<const Comparison>(Comparison::What::kStatus, comparison.op(),
                                                comparison.value().default_value());
    }
    case Filter::kDurationFilter: {
      const auto& comparison = from.duration_filter().comparison();
      return std::make_unique<const Comparison>(Comparison::What::kDuration, comparison.op(),
                                                comparison.value().default_value());
    }
    case Filter::kResponseFlagFilter: {
      const auto& flags = from.response_flag_filter().flags();
      return std::make_unique<const FlagFilter>(
          std::vector<std::string>(flags.begin(), flags.end()));
    }
    case Filter::kHeaderFilter: {
      MELTEMI_ASSIGN_OR_RETURN(auto predicate, CompileHeaderMatch(from.header_filter().header()));
      return std::make_unique<const HeaderLogFilter>(std::move(predicate));
    }
    case Filter::kAndFilter:
      return CompileJoined(true, from.and_filter().filters());
    case Filter::kOrFilter:
      return CompileJoined(false, from.or_filter().filters());
    default:
      return absl::InvalidArgumentError(
          "filter: only status_code, duration, response_flag, header, and, or are supported");
  }
}

}  // namespace meltemi::proxy
