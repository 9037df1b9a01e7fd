// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/dump.h"

#include <fmt/format.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <re2/re2.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"

namespace meltemi::proxy {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kAdmin = "type.googleapis.com/envoy.admin.v3.";

using Message = google::protobuf::Message;

// Messages that appear only inside Any: naming them keeps the linker from leaving them out.
void KeepAnyTypes() {
  namespace ext = envoy::extensions;
  google::protobuf::LinkMessageReflection<ext::access_loggers::file::v3::FileAccessLog>();
  google::protobuf::LinkMessageReflection<ext::filters::http::grpc_stats::v3::FilterConfig>();
  google::protobuf::LinkMessageReflection<ext::filters::http::rbac::v3::RBAC>();
  google::protobuf::LinkMessageReflection<ext::filters::network::rbac::v3::RBAC>();
  google::protobuf::LinkMessageReflection<ext::request_id::uuid::v3::UuidRequestIdConfig>();
  google::protobuf::LinkMessageReflection<
      ext::retry::host::previous_hosts::v3::PreviousHostsPredicate>();
}

void Replace(Message& message, int depth);

// The JSON printer knows only types that are built in: any other becomes a Struct that says what
// it was.
void ReplaceAny(google::protobuf::Any& any, int depth) {
  const std::string name = any.type_url().substr(any.type_url().rfind('/') + 1);
  const auto* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  const Message* prototype =
      type == nullptr ? nullptr
                      : google::protobuf::MessageFactory::generated_factory()->GetPrototype(type);
  if (prototype != nullptr) {
    const std::unique_ptr<Message> inner(prototype->New());
    if (inner->ParseFromString(any.value())) {
      Replace(*inner, depth + 1);
      any.set_value(inner->SerializeAsString());
      return;
    }
  }
  google::protobuf::Struct unknown;
  (*unknown.mutable_fields())["type_url"].set_string_value(any.type_url());
  (*unknown.mutable_fields())["bytes"].set_number_value(static_cast<double>(any.value().size()));
  any.PackFrom(unknown);
}

void Replace(Message& message, int depth) {
  constexpr int kDepthMax = 64;  // what the compilers accepted is far shallower
  if (depth > kDepthMax) return message.Clear();
  if (auto* any = dynamic_cast<google::protobuf::Any*>(&message)) return ReplaceAny(*any, depth);
  const google::protobuf::Reflection* reflection = message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      Replace(*reflection->MutableMessage(&message, field), depth + 1);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i)
      Replace(*reflection->MutableRepeatedMessage(&message, field, i), depth + 1);
  }
}

Json Decode(Message&& message, const std::string& bytes, std::string_view type) {
  KeepAnyTypes();
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  const bool is_parsed = message.ParseFromString(bytes);
  if (is_parsed) Replace(message, 0);
  const bool is_read =
      is_parsed && google::protobuf::util::MessageToJsonString(message, &text, options).ok();
  Json json = is_read ? Json::parse(text, nullptr, false) : Json::object();
  // What cannot be printed is named at least.
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
Json Bytes(const std::string& bytes) {
  return {{"inline_bytes", absl::Base64Escape(bytes)}};
}

// As Envoy shows them: certificates, and of keys that there is one.
Json Redacted(const std::string& name, const SecretValue& secret) {
  Json json = {{"name", name}};
  if (secret.certificate.has_value())
    json["tls_certificate"] = {{"certificate_chain", Bytes(secret.certificate->chain_pem)},
                               {"private_key", Bytes("[redacted]")}};
  if (secret.validation.has_value())
    json["validation_context"] = {
        {"trusted_ca", Bytes(absl::StrJoin(secret.validation->trusted_pem, "\n"))}};
  return json;
}

Json SecretsOf(const Model& model, const Filter& filter) {
  Json dump = {{"@type", fmt::format("{}SecretsConfigDump", kAdmin)}};
  for (const auto& [name, stored] : model.secret_versions()) {
    if (!filter.Wants("dynamic_active_secrets", name)) continue;
    const auto held = model.secrets().find(name);
    if (held == model.secrets().end()) continue;
    Json entry = Described("secret", stored, Redacted(name, held->second));
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
                                        SecretsOf(model, filter)}) {
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
