// SPDX-License-Identifier: Apache-2.0
// Virtual addresses for ServiceEntries that have none, so that DNS can answer and TCP be told
// apart: from 240.240.0.0/16, as Istio. An address follows from the name alone unless two names
// collide. Model-thread only.
#pragma once

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace meltemi::pilot {

class AutoAddresses final {
 public:
  // The address of `name` ("NS/HOST"); "" when the range is used up. The same until Release.
  std::string Take(const std::string& name);
  void Release(const std::string& name);

 private:
  absl::flat_hash_map<std::string, uint16_t> taken_;
  absl::flat_hash_map<uint16_t, std::string> owners_;
};

}  // namespace meltemi::pilot
