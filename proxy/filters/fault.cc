// SPDX-License-Identifier: Apache-2.0
// envoy.filters.http.fault: delays and aborts a share of requests, on purpose. Inert without
// settings.
#include <charconv>
#include <optional>

#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "lib/routing/predicates.h"
#include "proxy/filters/registry.h"
#include "proxy/http/route_compiler.h"

namespace meltemi::proxy {
namespace {

namespace envoy_fault = envoy::extensions::filters::http::fault::v3;

constexpr std::string_view kName = "envoy.filters.http.fault";
constexpr uint64_t kDelaySalt = 101;
constexpr uint64_t kAbortSalt = 102;

struct FaultSettings {
  routing::Fraction delay{0, 100};
  Duration delay_for{0};
  bool is_delay_by_header = false;
  routing::Fraction abort{0, 100};
  int abort_status = 0;  // HTTP, or
  int abort_grpc_status = -1;
  bool is_abort_by_header = false;
  std::string upstream_cluster;  // "" = any
  std::vector<routing::HeaderPredicate> headers;

  bool is_inert() const { return delay.numerator == 0 && abort.numerator == 0; }
};

std::optional<uint32_t> NumberIn(const http::HeaderMap& headers, std::string_view name) {
  const std::string_view* text = headers.Find(name);
  if (text == nullptr) return std::nullopt;
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

// A header may lower the share, never raise it.
routing::Fraction Limited(routing::Fraction fraction, const http::HeaderMap& headers,
                          std::string_view header) {
  if (const auto percent = NumberIn(headers, header)) {
    fraction.numerator = std::min(fraction.numerator, *percent);
  }
  return fraction;
}

class FaultFilter final : public HttpFilter {
 public:
  explicit FaultFilter(FaultSettings settings) : settings_(std::move(settings)) {}
  uint8_t hooks() const override { return kRequest; }

  Verdict OnRequest(FilterStream& stream) const override {
    const FaultSettings& settings = SettingsOf(stream);
    if (settings.is_inert() || !Applies(settings, stream.info())) return Verdict::kContinue;
    if (const Duration delay = DelayFor(settings, stream.info()); delay > Duration(0)) {
      stream.info().flags.Set(ResponseFlag::kDelayInjected);
      stream.PauseFor(delay);
      return Verdict::kPaused;
    }
    return Abort(settings, stream);
  }
  Verdict OnResumed(FilterStream& stream) const override {
    return Abort(SettingsOf(stream), stream);
  }

 private:
  const FaultSettings& SettingsOf(FilterStream& stream) const {
    const void* own = stream.Override(kName);
    return own == nullptr ? settings_ : *static_cast<const FaultSettings*>(own);
  }

  static bool Applies(const FaultSettings& settings, const StreamInfo& info) {
    if (!settings.upstream_cluster.empty() && settings.upstream_cluster != info.cluster_name) {
      return false;
    }
    for (const routing::HeaderPredicate& predicate : settings.headers) {
      if (!predicate.Matches(*info.request)) return false;
    }
    return true;
  }

  static Duration DelayFor(const FaultSettings& settings, const StreamInfo& info) {
    const http::HeaderMap& headers = info.request->headers;
    routing::Fraction fraction = settings.delay;
    Duration delay = settings.delay_for;
    if (settings.is_delay_by_header) {
      delay =
          std::chrono::milliseconds(NumberIn(headers, "x-envoy-fault-delay-request").value_or(0));
      fraction = Limited(fraction, headers, "x-envoy-fault-delay-request-percentage");
    }
    return fraction.Selects(routing::Mix(info.random, kDelaySalt)) ? delay : Duration(0);
  }

  static Verdict Abort(const FaultSettings& settings, FilterStream& stream) {
    const http::HeaderMap& headers = stream.info().request->headers;
    routing::Fraction fraction = settings.abort;
    int status = settings.abort_status;
    int grpc_status = settings.abort_grpc_status;
    if (settings.is_abort_by_header) {
      const uint32_t asked = NumberIn(headers, "x-envoy-fault-abort-request").value_or(0);
      status = asked >= 200 && asked < 600 ? static_cast<int>(asked) : 0;
      if (const auto asked_grpc = NumberIn(headers, "x-envoy-fault-abort-grpc-request")) {
        grpc_status = *asked_grpc <= 16 ? static_cast<int>(*asked_grpc) : -1;
      }
      fraction = Limited(fraction, headers, "x-envoy-fault-abort-request-percentage");
    }
    if (status == 0 && grpc_status < 0) return Verdict::kContinue;
    if (!fraction.Selects(routing::Mix(stream.info().random, kAbortSalt)))
      return Verdict::kContinue;
    stream.info().flags.Set(ResponseFlag::kFaultInjected);
    stream.Reply(
        {status == 0 ? 200 : status, "fault filter abort", "fault_filter_abort", grpc_status});
    return Verdict::kAnswered;
  }

  FaultSettings settings_;
};

Status CompileDelay(const envoy_fault::HTTPFault& from, FaultSettings& to) {
  MELTEMI_ASSIGN_OR_RETURN(to.delay, CompileFraction(from.delay().percentage()));
  to.delay_for = ToDuration(from.delay().fixed_delay());
  to.is_delay_by_header = from.delay().has_header_delay();
  return absl::OkStatus();
}

Status CompileAbort(const envoy_fault::HTTPFault& from, FaultSettings& to) {
  MELTEMI_ASSIGN_OR_RETURN(to.abort, CompileFraction(from.abort().percentage()));
  to.is_abort_by_header = from.abort().has_header_abort();
  if (from.abort().error_type_case() == envoy_fault::FaultAbort::kHttpStatus) {
    to.abort_status = static_cast<int>(from.abort().http_status());
    if (to.abort_status < 200 || to.abort_status > 599) {
      return absl::InvalidArgumentError("abort: http_status is not in 200..599");
    }
  }
  if (from.abort().error_type_case() == envoy_fault::FaultAbort::kGrpcStatus) {
    to.abort_grpc_status = static_cast<int>(from.abort().grpc_status());
  }
  return absl::OkStatus();
}

StatusOr<FaultSettings> CompileSettings(std::string_view serialized) {
  envoy_fault::HTTPFault from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not an HTTPFault message");
  }
  if (from.has_response_rate_limit()) {
    return absl::InvalidArgumentError("response_rate_limit is not supported");
  }
  if (from.has_max_active_faults()) {
    return absl::InvalidArgumentError("max_active_faults is not supported");
  }
  FaultSettings to;
  if (from.has_delay()) MELTEMI_RETURN_IF_ERROR(CompileDelay(from, to));
  if (from.has_abort()) MELTEMI_RETURN_IF_ERROR(CompileAbort(from, to));
  to.upstream_cluster = from.upstream_cluster();
  for (const auto& header : from.headers()) {
    MELTEMI_ASSIGN_OR_RETURN(routing::HeaderPredicate predicate, CompileHeaderMatch(header));
    to.headers.push_back(std::move(predicate));
  }
  return to;
}

StatusOr<std::shared_ptr<const HttpFilter>> Create(std::string_view serialized,
                                                   const FilterContext&) {
  MELTEMI_ASSIGN_OR_RETURN(FaultSettings settings, CompileSettings(serialized));
  return std::make_shared<const FaultFilter>(std::move(settings));
}

StatusOr<std::shared_ptr<const void>> CreateOverride(std::string_view serialized) {
  MELTEMI_ASSIGN_OR_RETURN(FaultSettings settings, CompileSettings(serialized));
  return std::make_shared<const FaultSettings>(std::move(settings));
}

}  // namespace

extern const FilterKind kFaultFilter;
const FilterKind kFaultFilter = {
    kName,
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    Create,
    CreateOverride,
};

}  // namespace meltemi::proxy
