// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/http_stats.h"

namespace meltemi::proxy {
namespace {

using telemetry::MetricType;
constexpr std::string_view kClass = "downstream_rq_{}xx";
constexpr std::string_view kClassLabel = "envoy_response_code_class";
constexpr std::string_view kClassHelp = "Answers by the class of their status.";

constexpr telemetry::StatDefinition kDefinitions[] = {
#define MELTEMI_HTTP_STAT(id, type, name, help) {name, MetricType::type, help},
#include "proxy/http/http_stats.def"
#undef MELTEMI_HTTP_STAT
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "1"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "2"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "3"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "4"},
    {kClass, MetricType::kCounter, kClassHelp, kClassLabel, "5"},
};

}  // namespace

std::shared_ptr<const telemetry::StatFamilies> NewHttpStatFamilies(telemetry::Registry& registry) {
  return std::make_shared<const telemetry::StatFamilies>(
      registry, "http.{}.", "envoy_http_conn_manager_prefix", kDefinitions);
}

}  // namespace meltemi::proxy
