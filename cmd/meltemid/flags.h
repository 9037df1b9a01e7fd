// SPDX-License-Identifier: Apache-2.0
// The command line of meltemid.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/base/clock.h"
#include "lib/net/address.h"

namespace meltemi::cmd {

struct Flags {
  std::string state_dir;                 // "" = no embedded store, nothing is kept
  std::vector<std::string> config_dirs;  // read-only sources of objects
  std::string mesh_config;               // a file; "" = Istio's defaults
  std::string ca_dir;                    // a plugged-in authority; "" = self-signed
  std::string api_token_file;
  std::vector<net::Address> api_addresses;  // empty = no API
  net::Address discovery_address;
  std::optional<net::Address> plaintext_address;
  net::Address monitoring_address;
  std::string domain = "cluster.local";
  std::string trust_domain;  // "" = the mesh configuration's
  std::string mesh = "meltemi";
  // Of workload certificates: when a request names none, and the most it may name.
  Duration certificate_ttl = std::chrono::hours(24);
  Duration certificate_ttl_max = std::chrono::hours(24 * 90);
  std::string log_level = "info";
};

// nullopt: the process ends with `exit_code` (help, version, or a mistake, already printed).
std::optional<Flags> ParseFlags(int argc, char** argv, int& exit_code);

}  // namespace meltemi::cmd
