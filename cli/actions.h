// SPDX-License-Identifier: Apache-2.0
// What a batch did, for people and for scripts.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "lib/base/status.h"
#include "lib/config/kind.h"

namespace meltemi::cli {

// "virtualservice.networking.istio.io/reviews", as kubectl -o name writes it.
std::string NameOfObject(const config::Kind& kind, std::string_view name);

// A line for each result of an apply or delete: "service/reviews created".
void PrintActions(const nlohmann::json& answer);

// The kind a user's word means; the error names the nearest one.
StatusOr<const config::Kind*> KindByWord(const std::string& word);

}  // namespace meltemi::cli
