// SPDX-License-Identifier: Apache-2.0
#include "cmd/meltemid/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <numeric>

#include "lib/base/edit_distance.h"
#include "lib/config/duration.h"
#include "lib/identity/spiffe_id.h"

namespace meltemi::cmd {
namespace {

constexpr const char* kApiDefault = "127.0.0.1:8181";

// As typed, before addresses are judged.
struct Raw {
  std::vector<std::string> api;
  std::string discovery = ":15012";
  std::string plaintext = "127.0.0.1:15010";
  std::string monitoring = ":15014";
  std::string certificate_ttl = "24h";
  std::string certificate_ttl_max = "2160h";  // Istio's 90 days
  bool has_discovery = false;
  bool has_plaintext = false;
};

std::string NearestFlag(const CLI::App& app, const std::string& typed) {
  std::string nearest;
  size_t least = SIZE_MAX;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const size_t distance = EditDistance(typed.substr(0, typed.find('=')), "--" + name);
      if (distance < least) least = distance, nearest = "--" + name;
    }
  }
  return nearest;
}

// ":PORT" means every address of this machine.
StatusOr<net::Address> ParseAddress(const char* flag, const std::string& text) {
  auto address = net::Address::Parse(text.starts_with(":") ? "0.0.0.0" + text : text);
  if (address.ok()) return address;
  return absl::InvalidArgumentError(fmt::format(
      "{}: \"{}\" is no address: {}\nwrite IP:PORT, such as 127.0.0.1:15012 or [::1]:15012, or "
      ":PORT for every address",
      flag, text, Message(address.status())));
}

Status JudgeAddresses(const Raw& raw, Flags& flags) {
  MELTEMI_ASSIGN_OR_RETURN(flags.discovery_address,
                           ParseAddress("--discovery-address", raw.discovery));
  MELTEMI_ASSIGN_OR_RETURN(flags.monitoring_address,
                           ParseAddress("--monitoring-address", raw.monitoring));
  // Whoever places the TLS port decides about the unprotected one too.
  const bool wants_plaintext = raw.has_plaintext || !raw.has_discovery;
  if (wants_plaintext && !raw.plaintext.empty() && raw.plaintext != "none") {
    MELTEMI_ASSIGN_OR_RETURN(flags.plaintext_address,
                             ParseAddress("--plaintext-address", raw.plaintext));
  }
  for (const std::string& text : raw.api) {
    MELTEMI_ASSIGN_OR_RETURN(net::Address address, ParseAddress("--api-address", text));
    const bool is_local =
        !address.is_ip() || address.ip().starts_with("127.") || address.ip() == "::1";
    if (!is_local && flags.api_token_file.empty()) {
      return absl::InvalidArgumentError(fmt::format(
          "--api-address: anyone who reaches {} could change the mesh\ngive --api-token-file too, "
          "or choose unix:PATH or an address of this machine alone",
          text));
    }
    flags.api_addresses.push_back(std::move(address));
  }
  return absl::OkStatus();
}

StatusOr<Duration> ParseTtl(const char* flag, const std::string& text) {
  const auto ttl = config::ParseDuration(text);
  if (ttl.has_value() && *ttl >= std::chrono::seconds(1)) return *ttl;
  return absl::InvalidArgumentError(fmt::format(
      "{}: \"{}\" is no lifetime of a second or more\nwrite it as 24h or 30m", flag, text));
}

Status Judge(const Raw& raw, Flags& flags) {
  if (flags.state_dir.empty() && flags.config_dirs.empty()) {
    return absl::InvalidArgumentError(
        "there is nothing to serve\ngive --state-dir DIR for a store with an API, --config-dir DIR "
        "for a directory of YAML, or both");
  }
  if (!identity::IsIdentityPart(flags.domain)) {
    return absl::InvalidArgumentError(fmt::format(
        "--domain: \"{}\" is no DNS name\nleave it out for cluster.local", flags.domain));
  }
  MELTEMI_ASSIGN_OR_RETURN(flags.certificate_ttl,
                           ParseTtl("--default-workload-cert-ttl", raw.certificate_ttl));
  MELTEMI_ASSIGN_OR_RETURN(flags.certificate_ttl_max,
                           ParseTtl("--max-workload-cert-ttl", raw.certificate_ttl_max));
  return JudgeAddresses(raw, flags);
}

void AddOptions(CLI::App& app, Flags& flags, Raw& raw) {
  app.set_version_flag("--version", fmt::format("meltemid {}", MELTEMI_VERSION));
  app.add_option("--state-dir", flags.state_dir,
                 "where objects and keys are kept; made if missing");
  app.add_option("--config-dir", flags.config_dirs, "a watched directory of YAML; repeatable");
  app.add_option("--mesh-config", flags.mesh_config, "Istio's MeshConfig, a YAML file");
  app.add_option("--ca-dir", flags.ca_dir,
                 "a CA of yours: ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem");
  app.add_option("--api-address", raw.api,
                 "Kubernetes-shaped API: IP:PORT or unix:PATH; repeatable (127.0.0.1:8181 with "
                 "--state-dir)");
  app.add_option("--api-token-file", flags.api_token_file, "bearer token the API asks for on TCP");
  app.add_option("--discovery-address", raw.discovery, "xDS and certificates over TLS")
      ->capture_default_str();
  app.add_option("--plaintext-address", raw.plaintext,
                 "xDS without TLS, for whoever reaches it; none = off, which is the default when "
                 "--discovery-address is given")
      ->capture_default_str();
  app.add_option("--monitoring-address", raw.monitoring, "readiness, metrics, debugging")
      ->capture_default_str();
  app.add_option("--domain", flags.domain, "DNS domain of services")->capture_default_str();
  app.add_option("--trust-domain", flags.trust_domain, "instead of the mesh configuration's");
  app.add_option("--default-workload-cert-ttl", raw.certificate_ttl,
                 "lifetime of certificates whose request names none")
      ->envname("DEFAULT_WORKLOAD_CERT_TTL")
      ->capture_default_str();
  app.add_option("--max-workload-cert-ttl", raw.certificate_ttl_max,
                 "requests for a longer lifetime are refused")
      ->envname("MAX_WORKLOAD_CERT_TTL")
      ->capture_default_str();
  app.add_option("--mesh", flags.mesh, "name of the mesh, for people")->capture_default_str();
  app.add_option("-l,--log-level", flags.log_level,
                 "trace, debug, info, warning, error, critical, off")
      ->capture_default_str();
}

}  // namespace

std::optional<Flags> ParseFlags(int argc, char** argv, int& exit_code) {
  CLI::App app("Meltemi's control plane: objects in, xDS and certificates out.");
  Flags flags;
  Raw raw;
  AddOptions(app, flags, raw);
  app.allow_extras();  // told below, with the nearest flag
  exit_code = 1;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? 0 : 1;
    return std::nullopt;
  }
  if (const auto unknown = app.remaining(); !unknown.empty()) {
    fmt::print(stderr, "meltemid: there is no {}\ndid you mean {}? `meltemid --help` lists all\n",
               unknown.front(), NearestFlag(app, unknown.front()));
    return std::nullopt;
  }
  raw.has_discovery = app.count("--discovery-address") > 0;
  raw.has_plaintext = app.count("--plaintext-address") > 0;
  if (raw.api.empty() && !flags.state_dir.empty()) raw.api = {kApiDefault};
  const Status status = Judge(raw, flags);
  if (!status.ok()) {
    fmt::print(stderr, "meltemid: {}\n", Message(status));
    return std::nullopt;
  }
  return flags;
}

}  // namespace meltemi::cmd
