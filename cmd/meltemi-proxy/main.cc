// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "cmd/meltemi-proxy/flags.h"
#include "lib/base/log.h"
#include "proxy/agent/run.h"

int main(int argc, char** argv) {
  using namespace meltemi;
  int exit_code = 1;
  auto flags = cmd::ParseProxyFlags(argc, argv, exit_code);
  if (!flags.has_value()) return exit_code;
  if (!log::Configure(flags->log_level)) {
    fmt::print(stderr, "meltemi-proxy: --log-level: no level '{}'\n", flags->log_level);
    return 1;
  }
  for (const std::string& name : flags->ignored) MELTEMI_LOG(debug, "{} has no effect here", name);
  if (auto* bootstrap = std::get_if<proxy::BootstrapOptions>(&flags->form))
    return proxy::RunBootstrap(std::move(*bootstrap));
  return proxy::RunWorkload(std::get<proxy::WorkloadOptions>(std::move(flags->form)));
}
