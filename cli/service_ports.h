// SPDX-License-Identifier: Apache-2.0
// Ports as `meltemi run` takes them, and the Service that stands for them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lib/base/status.h"

namespace meltemi::cli {

struct ServicePort {
  uint16_t number = 0;
  std::string protocol;  // a name Istio takes as the prefix of a port's name
  std::string name;      // "http", "http-9081" from the second on
};

// "9080" is HTTP; "9000/tcp" says otherwise.
StatusOr<std::vector<ServicePort>> ReadPorts(const std::vector<std::string>& texts);

// A DNS label that begins with a letter.
bool IsServiceName(const std::string& name);

nlohmann::json ServiceFor(const std::string& ns, const std::string& name,
                          const std::vector<ServicePort>& ports);

}  // namespace meltemi::cli
