// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/dump.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <re2/re2.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace meltemi::proxy {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kAdmin = "type.googleapis.com/envoy.admin.v3.";

Json Decode(google::protobuf::Message&& message, const std::string& bytes, std::string_view type) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  const bool is_read = message.ParseFromString(bytes) &&
                       google::protobuf::util::MessageToJsonString(message, &text, options).ok();
  Json json = is_read ? Json::parse(text, nullptr, false) : Json::object();
  // An extension whose message is not built in cannot be printed; the resource is named at least.
  if (json.is_discarded()) json = Json::object();
  Json typed = {{"@type", fmt::format("type.googleapis.com/{}", type)}};
  typed.update(json);
  return typed;
}

std::string Timestamp(WallTime time) {
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = since / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", text, since % 1000);
}

class Filter final {
 public:
  Filter(std::string resource, const std::string& regex)
      : resource_(std::move(resource)), regex_(regex, RE2::Quiet) {}
  bool Wants(std::string_view field, const std::string& name) const {
    if (!resource_.empty() && resource_ != field) return false;
    return regex_.pattern().empty() || (regex_.ok() && RE2::PartialMatch(name, regex_));
  }

 private:
  const std::string resource_;
  const RE2 regex_;
};

Json Described(const char* key, const Stored& stored, Json body) {
  Json entry;
  if (!stored.version.empty()) entry["version_info"] = stored.version;
  entry[key] = std::move(body);
  entry["last_updated"] = Timestamp(stored.updated);
  return entry;
}

Json Clusters(const Model& model, const Filter& filter) {
  Json dump = {{"@type", fmt::format("{}ClustersConfigDump", kAdmin)}};
  for (const auto& [name, entry] : model.clusters()) {
    const char* field = entry.is_static   ? "static_clusters"
                        : entry.published ? "dynamic_active_clusters"
                                          : "dynamic_warming_clusters";
    if (!filter.Wants(field, name)) continue;
    dump[field].push_back(Described("cluster", entry.stored,
                                    Decode(envoy::config::cluster::v3::Cluster(),
                                           entry.stored.bytes, "envoy.config.cluster.v3.Cluster")));
  }
  return dump;
}

Json Listeners(const Model& model, const Filter& filter) {
  Json dump = {{"@type", fmt::format("{}ListenersConfigDump", kAdmin)}};
  for (const auto& [name, entry] : model.listeners()) {
    const char* field = entry.is_static ? "static_listeners" : "dynamic_listeners";
    if (!filter.Wants(field, name)) continue;
    Json state = Described("listener", entry.stored,
                           Decode(envoy::config::listener::v3::Listener(), entry.stored.bytes,
                                  "envoy.config.listener.v3.Listener"));
    if (!entry.is_static) {
      state = {{"name", name},
               {entry.published ? "active_state" : "warming_state", std::move(state)}};
    }
    dump[field].push_back(std::move(state));
  }
  return dump;
}

Json Routes(const Model& model, const Filter& filter) {
  Json dump = {{"@type", fmt::format("{}RoutesConfigDump", kAdmin)}};
  for (const auto& [name, entry] : model.routes()) {
    if (!filter.Wants("dynamic_route_configs", name)) continue;
    dump["dynamic_route_configs"].push_back(
        Described("route_config", entry.stored,
                  Decode(envoy::config::route::v3::RouteConfiguration(), entry.stored.bytes,
                         "envoy.config.route.v3.RouteConfiguration")));
  }
  return dump;
}

Json Endpoints(const Model& model, const Filter& filter) {
  Json dump = {{"@type", fmt::format("{}EndpointsConfigDump", kAdmin)}};
  for (const auto& [name, entry] : model.assignments()) {
    if (!filter.Wants("dynamic_endpoint_configs", name)) continue;
    dump["dynamic_endpoint_configs"].push_back(
        Described("endpoint_config", entry.stored,
                  Decode(envoy::config::endpoint::v3::ClusterLoadAssignment(), entry.stored.bytes,
                         "envoy.config.endpoint.v3.ClusterLoadAssignment")));
  }
  return dump;
}

// Names and versions only: neither keys nor certificates leave through this page.
Json SecretNames(const Model& model, const Filter& filter) {
  Json dump = {{"@type", fmt::format("{}SecretsConfigDump", kAdmin)}};
  for (const auto& [name, stored] : model.secret_versions()) {
    if (!filter.Wants("dynamic_active_secrets", name)) continue;
    Json entry = Described("secret", stored, {{"name", name}});
    entry["name"] = name;
    dump["dynamic_active_secrets"].push_back(std::move(entry));
  }
  return dump;
}

const char* HealthText(balance::Health health) {
  if (health == balance::Health::kHealthy) return "HEALTHY";
  return health == balance::Health::kDegraded ? "DEGRADED" : "UNHEALTHY";
}

Json AddressJson(const net::Address& address) {
  if (!address.is_ip()) return {{"pipe", {{"path", address.text().substr(5)}}}};
  return {{"socket_address", {{"address", address.ip()}, {"port_value", address.port()}}}};
}

Json HostJson(const EndpointSet& endpoints, size_t i) {
  const HostInfo& host = *endpoints.hosts[i];
  Json json = {{"address", AddressJson(host.address)},
               {"health_status", {{"eds_health_status", HealthText(endpoints.health[i])}}},
               {"weight", endpoints.weight[i]}};
  if (!host.hostname.empty()) json["hostname"] = host.hostname;
  if (host.priority != 0) json["priority"] = host.priority;
  json["locality"] = {{"region", host.region}, {"zone", host.zone}, {"sub_zone", host.sub_zone}};
  return json;
}

std::string Text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string DumpConfig(const Model& model, const std::string& resource,
                       const std::string& name_regex) {
  const Filter filter(resource, name_regex);
  Json configs = Json::array();
  for (Json& dump : std::array<Json, 5>{Clusters(model, filter), Endpoints(model, filter),
                                        Listeners(model, filter), Routes(model, filter),
                                        SecretNames(model, filter)}) {
    if (resource.empty() || dump.size() > 1) configs.push_back(std::move(dump));
  }
  return Text({{"configs", std::move(configs)}});
}

std::string DumpClustersText(const Model& model) {
  std::string text;
  for (const auto& [name, entry] : model.clusters()) {
    if (!entry.published) continue;
    const ClusterConfig& config = *entry.published->config;
    text += fmt::format("{}::observability_name::{}\n", name, config.info.stat_name);
    text += fmt::format("{}::default_priority::max_connections::{}\n", name,
                        config.breakers.connections_max);
    text += fmt::format("{}::default_priority::max_pending_requests::{}\n", name,
                        config.breakers.pending_max);
    text +=
        fmt::format("{}::default_priority::max_requests::{}\n", name, config.breakers.requests_max);
    text +=
        fmt::format("{}::default_priority::max_retries::{}\n", name, config.breakers.retries_max);
    text += fmt::format("{}::added_via_api::{}\n", name, !entry.is_static);
    if (!entry.published->endpoints) continue;
    const EndpointSet& endpoints = *entry.published->endpoints;
    for (size_t i = 0; i < endpoints.hosts.size(); ++i) {
      const HostInfo& host = *endpoints.hosts[i];
      const std::string at = fmt::format("{}::{}", name, host.address.text());
      const bool is_healthy = endpoints.health[i] == balance::Health::kHealthy;
      text += fmt::format("{}::hostname::{}\n", at, host.hostname);
      text +=
          fmt::format("{}::health_flags::{}\n", at, is_healthy ? "healthy" : "/failed_eds_health");
      text += fmt::format("{}::weight::{}\n", at, endpoints.weight[i]);
      text += fmt::format("{}::region::{}\n{}::zone::{}\n{}::sub_zone::{}\n", at, host.region, at,
                          host.zone, at, host.sub_zone);
      text += fmt::format("{}::priority::{}\n", at, host.priority);
    }
  }
  return text;
}

std::string DumpClustersJson(const Model& model) {
  Json statuses = Json::array();
  for (const auto& [name, entry] : model.clusters()) {
    if (!entry.published) continue;
    Json status = {{"name", name}, {"added_via_api", !entry.is_static}};
    status["observability_name"] = entry.published->config->info.stat_name;
    if (entry.published->endpoints) {
      const EndpointSet& endpoints = *entry.published->endpoints;
      for (size_t i = 0; i < endpoints.hosts.size(); ++i) {
        status["host_statuses"].push_back(HostJson(endpoints, i));
      }
    }
    statuses.push_back(std::move(status));
  }
  return Text({{"cluster_statuses", std::move(statuses)}});
}

std::string DumpListenersText(const Model& model) {
  std::string text;
  for (const auto& [name, entry] : model.listeners()) {
    if (entry.published) text += fmt::format("{}::{}\n", name, entry.published->address.text());
  }
  return text;
}

std::string DumpListenersJson(const Model& model) {
  Json statuses = Json::array();
  for (const auto& [name, entry] : model.listeners()) {
    if (!entry.published) continue;
    statuses.push_back({{"name", name}, {"local_address", AddressJson(entry.published->address)}});
  }
  return Text({{"listener_statuses", std::move(statuses)}});
}

}  // namespace meltemi::proxy
