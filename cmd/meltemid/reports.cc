// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemid/reports.h"

#include <fmt/format.h>

#include <array>

#include "galley/judge.h"
#include "lib/config/parse.h"

namespace meltemi::cmd {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, xds::kTypes> kTypeNames = {"cds", "eds",  "lds", "rds",
                                                                  "sds", "ecds", "nds"};

class MetricsWriter final {
 public:
  void Family(std::string_view name, std::string_view type, std::string_view help) {
    text_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  void Sample(std::string_view series, uint64_t value) {
    text_ += fmt::format("{} {}\n", series, value);
  }
  void One(std::string_view name, std::string_view type, std::string_view help, uint64_t value) {
    Family(name, type, help);
    Sample(name, value);
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

uint64_t Seconds(WallTime time) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  return seconds > 0 ? static_cast<uint64_t>(seconds) : 0;
}

void WriteDiscovery(MetricsWriter& out, const Sources& sources) {
  out.Family("pilot_xds", "gauge", "Connected proxies.");
  out.Sample(fmt::format("pilot_xds{{version=\"{}\"}}", MELTEMI_VERSION),
             sources.ads.Status().size());
  out.Family("pilot_xds_pushes", "counter", "Discovery responses sent.");
  for (size_t i = 0; i < xds::kTypes; ++i) {
    out.Sample(fmt::format("pilot_xds_pushes{{type=\"{}\"}}", kTypeNames[i]),
               sources.ads.responses_sent(static_cast<xds::Type>(i)));
  }
  out.Family("pilot_total_xds_rejects", "counter", "Discovery responses that proxies rejected.");
  for (size_t i = 0; i < xds::kTypes; ++i) {
    out.Sample(fmt::format("pilot_total_xds_rejects{{type=\"{}\"}}", kTypeNames[i]),
               sources.ads.rejections(static_cast<xds::Type>(i)));
  }
  out.Family("meltemi_pilot_computed_total", "counter", "Values computed, by derivation.");
  for (const pilot::Counter& counter : sources.pilot.Counters()) {
    out.Sample(fmt::format("meltemi_pilot_computed_total{{derivation=\"{}\"}}", counter.name),
               counter.computed);
  }
}

void WriteCitadel(MetricsWriter& out, const Sources& sources) {
  const citadel::CsrService::Counters& counters = sources.csr.counters();
  out.One("citadel_server_csr_count", "counter", "Signing requests.", counters.csr_count);
  out.One("citadel_server_authentication_failure_count", "counter",
          "Signing requests of callers that proved no identity.",
          counters.authentication_failure_count);
  out.One("citadel_server_csr_sign_err_count", "counter", "Signing requests that were refused.",
          counters.csr_sign_err_count);
  out.One("citadel_server_success_cert_issuance_count", "counter", "Certificates given out.",
          counters.success_cert_issuance_count);
  out.One("citadel_server_root_cert_expiry_timestamp", "gauge", "When the root ends, Unix time.",
          Seconds(sources.authority.root_expiry()));
}

// Of files, of kinds nobody enforces, and of objects that Pilot could not use whole.
json Problems(const Sources& sources) {
  json problems = json::array();
  const auto tell = [&](json problem) {
    if (problems.size() < kProblemsToldMax) problems.push_back(std::move(problem));
  };
  if (sources.directory != nullptr) {
    for (const galley::FileProblem& problem : sources.directory->problems()) {
      tell({{"path", problem.path}, {"message", problem.message}});
    }
  }
  for (const auto& [key, object] : sources.feed.unenforced()) {
    tell({{"path", object->source.file},
          {"object", key.text()},
          {"message", std::string(Message(galley::JudgeEnforced(*object)))}});
  }
  for (const pilot::Pilot::Problem& problem : sources.pilot.Problems()) {
    if (sources.feed.unenforced().contains(problem.object)) continue;
    json told = {{"object", problem.object.text()}, {"message", problem.message}};
    const auto object =
        sources.directory != nullptr ? sources.directory->Get(problem.object) : nullptr;
    if (object != nullptr) told["path"] = object->source.file;
    tell(std::move(told));
  }
  return problems;
}

std::string_view State(const xds::TypeStatus& type) {
  if (!type.error.empty()) return "REJECTED";
  return type.is_in_flight ? "STALE" : "SYNCED";
}

}  // namespace

std::string_view TypeName(xds::Type type) {
  return type < xds::Type::kCount ? kTypeNames[static_cast<size_t>(type)] : std::string_view();
}

http::ServiceResponse JsonPage(const json& value) {
  // Texts of peers may hold bytes that are no UTF-8.
  return {.content_type = "application/json",
          .body = value.dump(2, ' ', false, json::error_handler_t::replace) + "\n"};
}

std::string MetricsText(const Sources& sources, MonotonicTime now) {
  MetricsWriter out;
  out.Family("istio_build", "gauge", "The version that runs.");
  out.Sample(fmt::format("istio_build{{component=\"pilot\",tag=\"{}\"}}", MELTEMI_VERSION), 1);
  out.One("istiod_uptime_seconds", "gauge", "Seconds since the start.",
          static_cast<uint64_t>(
              std::chrono::duration_cast<std::chrono::seconds>(now - sources.started).count()));
  WriteDiscovery(out, sources);
  WriteCitadel(out, sources);
  out.One("meltemi_config_version", "gauge", "Batches of configuration taken.",
          sources.feed.version());
  out.One("meltemi_config_problems", "gauge", "Problems that /debug/config_version lists.",
          Problems(sources).size());
  if (sources.directory != nullptr) {
    out.One("meltemi_directory_sequence", "gauge", "Scans that changed the configuration.",
            sources.directory->sequence());
  }
  return out.Take();
}

json ConfigVersion(const Sources& sources) {
  const bool has_directory = sources.directory != nullptr;
  return {{"hash", has_directory ? sources.directory->content_hash() : ""},
          {"sequence", has_directory ? sources.directory->sequence() : 0},
          {"version", sources.feed.version()},
          {"live", sources.ads.live_version() >= sources.feed.version()},
          {"problems", Problems(sources)}};
}

json Syncz(const Sources& sources) {
  json proxies = json::array();
  for (const xds::SessionStatus& proxy : sources.ads.Status()) {
    json types = json::object();
    for (const xds::TypeStatus& type : proxy.types) {
      json& one = types[std::string(TypeName(type.type))];
      one = {{"state", State(type)}, {"held", type.held}, {"acked_version", type.acked_version}};
      if (!type.error.empty()) one["error"] = type.error;
    }
    proxies.push_back({{"proxy", proxy.node_id},
                       {"cluster", proxy.cluster},
                       {"peer", proxy.peer},
                       {"identity", proxy.identity},
                       {"protocol", proxy.is_delta ? "delta" : "sotw"},
                       {"connected_at", config::TimeText(proxy.connected_at)},
                       {"live_version", proxy.live_version},
                       {"live", proxy.live_version >= sources.feed.version()},
                       {"types", std::move(types)}});
  }
  return proxies;
}

json Configz(const Sources& sources) {
  json objects = json::array();
  for (const config::ObjectPtr& object : sources.feed.Objects()) {
    if (object->kind->strictness != config::Strictness::kStrict) continue;
    objects.push_back(*object->document);
  }
  return objects;
}

}  // namespace meltemi::cmd
