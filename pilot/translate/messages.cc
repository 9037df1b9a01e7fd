// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/messages.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "lib/config/kind.h"
#include "udpa/type/v1/typed_struct.pb.h"

namespace meltemi::pilot {
namespace {

constexpr std::string_view kTypePrefix = "type.googleapis.com/";

// "DestinationRule" → "destination-rule".
std::string KebabCase(std::string_view word) {
  std::string out;
  for (const char c : word) {
    const bool is_upper = c >= 'A' && c <= 'Z';
    if (is_upper && !out.empty()) out += '-';
    out += is_upper ? static_cast<char>(c + 32) : c;
  }
  return out;
}

}  // namespace

void Serialize(const google::protobuf::MessageLite& from, std::string& to) {
  to.clear();
  google::protobuf::io::StringOutputStream stream(&to);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  from.SerializeToCodedStream(&coded);
  coded.Trim();
}

void Pack(const google::protobuf::MessageLite& from, std::string_view type_name,
          google::protobuf::Any& to) {
  to.set_type_url(fmt::format("{}{}", kTypePrefix, type_name));
  Serialize(from, *to.mutable_value());
}

void PackTypedStruct(std::string_view type_name, google::protobuf::Struct value,
                     google::protobuf::Any& to) {
  udpa::type::v1::TypedStruct typed;
  typed.set_type_url(fmt::format("{}{}", kTypePrefix, type_name));
  *typed.mutable_value() = std::move(value);
  Pack(typed, to);
}

void SetText(std::string_view key, std::string_view value, google::protobuf::Struct& to) {
  (*to.mutable_fields())[std::string(key)].set_string_value(std::string(value));
}

void AddServiceFacts(const Service& service, google::protobuf::Struct& to) {
  auto& item = *(*to.mutable_fields())["services"].mutable_list_value()->add_values();
  SetText("host", service.host, *item.mutable_struct_value());
  SetText("name", service.name, *item.mutable_struct_value());
  SetText("namespace", service.ns, *item.mutable_struct_value());
}

std::string OriginPath(const config::ObjectKey& key) {
  if (key.kind == nullptr) return "";
  return fmt::format("/apis/{}/namespaces/{}/{}/{}", key.kind->api_version(), key.ns,
                     KebabCase(key.kind->kind), key.name);
}

void SetAds(envoy::config::core::v3::ConfigSource& source) {
  source.mutable_ads();
  // Wait for ever: going on without the resource would answer requests with errors.
  source.mutable_initial_fetch_timeout();
  source.set_resource_api_version(envoy::config::core::v3::V3);
}

void SetAgentSecret(std::string_view name, bool waits,
                    envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig& secret) {
  using envoy::config::core::v3::ApiConfigSource;
  secret.set_name(std::string(name));
  auto& source = *secret.mutable_sds_config();
  auto& api = *source.mutable_api_config_source();
  api.set_api_type(ApiConfigSource::GRPC);
  api.set_transport_api_version(envoy::config::core::v3::V3);
  api.set_set_node_on_first_message_only(true);
  api.add_grpc_services()->mutable_envoy_grpc()->set_cluster_name("sds-grpc");
  source.set_resource_api_version(envoy::config::core::v3::V3);
  if (waits) source.mutable_initial_fetch_timeout();
}

void SetAddress(std::string_view ip, uint32_t port, envoy::config::core::v3::Address& address) {
  if (ip.starts_with('/') || ip.starts_with('@')) {
    address.mutable_pipe()->set_path(std::string(ip));
    return;
  }
  address.mutable_socket_address()->set_address(std::string(ip));
  address.mutable_socket_address()->set_port_value(port);
}

const google::protobuf::Any& ConnectionMetadataExchange() {
  static const google::protobuf::Any kConfig = [] {
    google::protobuf::Struct value;
    SetText("protocol", "istio-peer-exchange", value);
    (*value.mutable_fields())["enable_discovery"].set_bool_value(true);
    google::protobuf::Any any;
    PackTypedStruct("envoy.tcp.metadataexchange.config.MetadataExchange", std::move(value), any);
    return any;
  }();
  return kConfig;
}

}  // namespace meltemi::pilot
