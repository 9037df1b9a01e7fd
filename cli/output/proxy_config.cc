// SPDX-License-Identifier: Apache-2.0
#include "cli/output/proxy_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "cli/output/table.h"
#include "lib/config/parse.h"
#include "lib/identity/certificate.h"

namespace meltemi::cli {
namespace {

using nlohmann::json;

const json kNothing = json::object();

const json& At(const json& value, std::string_view path) {
  const json* at = &value;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    const std::string key(path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    if (!at->is_object()) return kNothing;
    const auto found = at->find(key);
    if (found == at->end()) return kNothing;
    at = &*found;
  }
  return *at;
}

std::string Text(const json& value, std::string_view path, std::string_view otherwise = "") {
  const json& at = At(value, path);
  if (at.is_string()) return at.get<std::string>();
  if (at.is_number() || at.is_boolean()) return at.dump();
  return std::string(otherwise);
}

// Calls `visit` with each `inner` object of the dump's static and dynamic lists.
void ForEach(const json& config_dump, const std::string& dump,
             const std::vector<std::string>& lists, const std::string& inner,
             const std::function<void(const json&)>& visit) {
  const json* found = FindDump(config_dump, dump);
  if (found == nullptr) return;
  for (const std::string& list : lists) {
    for (const json& entry : At(*found, list)) {
      const json& item = At(entry, inner);
      if (item.is_object() && !item.empty()) visit(item);
    }
  }
}

// istioctl's columns of the first certificate in `base64`, a PEM text.
void AddCertificate(const std::string& base64, WallTime now, std::vector<std::string>* row) {
  std::string pem;
  if (!absl::Base64Unescape(base64, &pem)) return;
  const auto certificate = identity::Certificate::Parse(pem);
  if (!certificate.ok()) return;
  const WallTime from = certificate->not_before(), until = certificate->not_after();
  row->push_back(from <= now && now < until ? "true" : "false");
  row->push_back(certificate->serial_number());
  row->push_back(config::TimeText(until));
  row->push_back(config::TimeText(from));
}

std::string Matches(const json& chain) {
  const json& match = At(chain, "filter_chain_match");
  std::vector<std::string> parts;
  if (const std::string port = Text(match, "destination_port"); !port.empty()) {
    parts.push_back("port " + port);
  }
  if (const std::string transport = Text(match, "transport_protocol"); !transport.empty()) {
    parts.push_back("trans " + transport);
  }
  const auto list = [&](const char* key, const char* word) {
    const json& values = At(match, key);
    if (!values.is_array() || values.empty()) return;
    std::vector<std::string> names;
    for (const json& value : values)
      names.push_back(value.is_string() ? value.get<std::string>() : Text(value, "address_prefix"));
    parts.push_back(fmt::format("{} {}", word, fmt::join(names, ",")));
  };
  list("application_protocols", "app");
  list("server_names", "SNI");
  list("prefix_ranges", "addr");
  return parts.empty() ? "ALL" : fmt::format("{}", fmt::join(parts, "; "));
}

// "Route: 9080", "Inline route", "Cluster: outbound|…" of a chain's last filter.
std::string Destination(const json& chain) {
  const json& filters = At(chain, "filters");
  if (!filters.is_array() || filters.empty()) return "";
  const json& config = At(filters.back(), "typed_config");
  if (const std::string rds = Text(config, "rds.route_config_name"); !rds.empty()) {
    return "Route: " + rds;
  }
  if (!At(config, "route_config").empty())
    return "Inline Route: " + Text(config, "route_config.name", "*");
  if (const std::string cluster = Text(config, "cluster"); !cluster.empty()) {
    return "Cluster: " + cluster;
  }
  if (!At(config, "weighted_clusters").empty()) return "Weighted clusters";
  return Text(filters.back(), "name");
}

std::string RouteMatch(const json& route) {
  for (const char* kind : {"prefix", "path", "path_separated_prefix"}) {
    if (const std::string text = Text(route, std::string("match.") + kind); !text.empty()) {
      return std::string_view(kind) == "path" ? text : text + "*";
    }
  }
  const std::string regex = Text(route, "match.safe_regex.regex");
  return regex.empty() ? "*" : "~" + regex;
}

std::string RouteTarget(const json& route) {
  if (const std::string cluster = Text(route, "route.cluster"); !cluster.empty()) return cluster;
  const json& weighted = At(route, "route.weighted_clusters.clusters");
  if (weighted.is_array()) {
    std::vector<std::string> parts;
    for (const json& cluster : weighted) {
      parts.push_back(fmt::format("{} {}", Text(cluster, "weight", "0"), Text(cluster, "name")));
    }
    return fmt::format("{}", fmt::join(parts, ", "));
  }
  if (!At(route, "redirect").empty()) return "redirect";
  if (!At(route, "direct_response").empty())
    return "direct " + Text(route, "direct_response.status");
  return "";
}

}  // namespace

const json* FindDump(const json& config_dump, const std::string& dump) {
  for (const json& config : At(config_dump, "configs")) {
    const std::string type = Text(config, "@type");
    if (type.size() > dump.size() && type.ends_with("." + dump)) return &config;
  }
  return nullptr;
}

std::string ListenerTable(const json& config_dump) {
  Table table({"ADDRESSES", "PORT", "MATCH", "DESTINATION"});
  const auto add = [&](const json& listener) {
    const std::string address = Text(listener, "address.socket_address.address");
    const std::string port = Text(listener, "address.socket_address.port_value");
    for (const json& chain : At(listener, "filter_chains")) {
      table.Add({address, port, Matches(chain), Destination(chain)});
    }
    const json& otherwise = At(listener, "default_filter_chain");
    if (!otherwise.empty()) table.Add({address, port, "ALL", Destination(otherwise)});
  };
  ForEach(config_dump, "ListenersConfigDump", {"static_listeners"}, "listener", add);
  ForEach(config_dump, "ListenersConfigDump", {"dynamic_listeners"}, "active_state.listener", add);
  return table.Text();
}

std::string RouteTable(const json& config_dump) {
  Table table({"NAME", "VHOST NAME", "DOMAINS", "MATCH", "TARGET"});
  ForEach(config_dump, "RoutesConfigDump", {"static_route_configs", "dynamic_route_configs"},
          "route_config", [&](const json& config) {
            for (const json& host : At(config, "virtual_hosts")) {
              const json& domains = At(host, "domains");
              const std::string first =
                  domains.is_array() && !domains.empty() ? domains[0].get<std::string>() : "";
              const std::string more =
                  domains.size() > 1 ? fmt::format(", +{} more", domains.size() - 1) : "";
              for (const json& route : At(host, "routes")) {
                table.Add({Text(config, "name"), Text(host, "name"), first + more,
                           RouteMatch(route), RouteTarget(route)});
              }
            }
          });
  return table.Text();
}

std::string ClusterTable(const json& config_dump) {
  Table table({"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE"});
  const auto add = [&](const json& cluster) {
    // Istio's names: direction|port|subset|host; others stand as they are.
    const std::string name = Text(cluster, "name");
    std::vector<std::string> parts;
    size_t at = 0;
    for (size_t bar; (bar = name.find('|', at)) != std::string::npos; at = bar + 1) {
      parts.push_back(name.substr(at, bar - at));
    }
    parts.push_back(name.substr(at));
    const std::string type = Text(cluster, "type", "STATIC");
    if (parts.size() != 4) {
      table.Add({name, "-", "-", "-", type});
    } else {
      table.Add({parts[3].empty() ? "-" : parts[3], parts[1], parts[2].empty() ? "-" : parts[2],
                 parts[0], type});
    }
  };
  ForEach(config_dump, "ClustersConfigDump", {"static_clusters", "dynamic_active_clusters"},
          "cluster", add);
  return table.Text();
}

std::string EndpointTable(const json& clusters) {
  Table table({"ENDPOINT", "STATUS", "CLUSTER"});
  for (const json& cluster : At(clusters, "cluster_statuses")) {
    for (const json& host : At(cluster, "host_statuses")) {
      table.Add({fmt::format("{}:{}", Text(host, "address.socket_address.address"),
                             Text(host, "address.socket_address.port_value")),
                 Text(host, "health_status.eds_health_status", "HEALTHY"), Text(cluster, "name")});
    }
  }
  return table.Text();
}

std::string SecretTable(const json& config_dump, WallTime now) {
  Table table({"RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER",
               "NOT BEFORE"});
  ForEach(config_dump, "SecretsConfigDump", {"static_secrets", "dynamic_active_secrets"}, "secret",
          [&](const json& secret) {
            const bool is_chain = !At(secret, "tls_certificate").empty();
            std::vector<std::string> row = {Text(secret, "name"), is_chain ? "Cert Chain" : "CA",
                                            "ACTIVE"};
            AddCertificate(Text(secret, is_chain ? "tls_certificate.certificate_chain.inline_bytes"
                                                 : "validation_context.trusted_ca.inline_bytes"),
                           now, &row);
            table.Add(std::move(row));
          });
  return table.Text();
}

}  // namespace meltemi::cli
