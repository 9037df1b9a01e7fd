// SPDX-License-Identifier: Apache-2.0
// What the monitoring port tells, as text and JSON. Model-thread only; reads, changes nothing.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "citadel/authority.h"
#include "citadel/csr_service.h"
#include "cmd/meltemid/config_feed.h"
#include "galley/store/directory_store.h"
#include "lib/http/service.h"
#include "lib/xds/server.h"

namespace meltemi::cmd {

inline constexpr size_t kProblemsToldMax = 1000;

// What there is to tell about; all of it outlives the reports.
struct Sources {
  const ConfigFeed& feed;
  const pilot::Pilot& pilot;
  const xds::AdsServer& ads;
  const citadel::Authority& authority;
  const citadel::CsrService& csr;
  const galley::DirectoryStore* directory;  // nullptr = none
  std::string mesh;
  MonotonicTime started;
};

std::string_view TypeName(xds::Type type);  // Istio's: "cds", "eds" …
http::ServiceResponse JsonPage(const nlohmann::json& value);

std::string MetricsText(const Sources& sources, MonotonicTime now);
nlohmann::json ConfigVersion(const Sources& sources);
nlohmann::json Syncz(const Sources& sources);
// The mesh's own objects; no Secret is among them.
nlohmann::json Configz(const Sources& sources);

}  // namespace meltemi::cmd
