// SPDX-License-Identifier: Apache-2.0
// The command line of meltemi-proxy: Envoy's flags for a bootstrap, our own for `sidecar` and
// `router`.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "proxy/agent/options.h"

namespace meltemi::cmd {

struct ProxyFlags {
  std::string log_level = "info";
  std::vector<std::string> ignored;  // Envoy's flags that have no meaning here, as given
  std::variant<proxy::BootstrapOptions, proxy::WorkloadOptions> form;
};

// nullopt: the process ends with `exit_code` (help, version, or a mistake, already printed).
std::optional<ProxyFlags> ParseProxyFlags(int argc, char** argv, int& exit_code);

}  // namespace meltemi::cmd
