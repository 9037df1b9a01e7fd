// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/bootstrap.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <fstream>

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config/address_compiler.h"
#include "proxy/config/overload_compiler.h"
#include "proxy/config/yaml_json.h"

namespace meltemi::proxy {
namespace {

using Proto = envoy::config::bootstrap::v3::Bootstrap;

// Messages that appear only inside google.protobuf.Any: naming them keeps the linker from leaving
// them out, and the JSON reader finds types by what is linked.
void KeepAnyTypes() {
  namespace filters = envoy::extensions::filters::listener;
  namespace sockets = envoy::extensions::transport_sockets;
  google::protobuf::LinkMessageReflection<filters::http_inspector::v3::HttpInspector>();
  google::protobuf::LinkMessageReflection<filters::original_dst::v3::OriginalDst>();
  google::protobuf::LinkMessageReflection<filters::proxy_protocol::v3::ProxyProtocol>();
  google::protobuf::LinkMessageReflection<filters::tls_inspector::v3::TlsInspector>();
  google::protobuf::LinkMessageReflection<
      sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport>();
  KeepOverloadTypes();
  google::protobuf::LinkMessageReflection<sockets::raw_buffer::v3::RawBuffer>();
  google::protobuf::LinkMessageReflection<sockets::tls::v3::UpstreamTlsContext>();
  google::protobuf::LinkMessageReflection<
      envoy::extensions::upstreams::http::v3::HttpProtocolOptions>();
}

bool IsJson(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{';
}

template <typename List>
Bootstrap::Resources Collect(const List& from) {
  Bootstrap::Resources to;
  for (const auto& resource : from) to.emplace_back(resource.name(), resource.SerializeAsString());
  return to;
}

Status ReadNode(const Proto& from, Bootstrap& to) {
  to.node_id = from.node().id();
  to.node_cluster = from.node().cluster();
  to.region = from.node().locality().region();
  to.zone = from.node().locality().zone();
  to.sub_zone = from.node().locality().sub_zone();
  if (!from.node().has_metadata()) return absl::OkStatus();
  to.node_metadata_json.clear();
  if (!google::protobuf::util::MessageToJsonString(from.node().metadata(), &to.node_metadata_json)
           .ok()) {
    return absl::InvalidArgumentError("node.metadata cannot be read");
  }
  return absl::OkStatus();
}

// Later layers win (Envoy). The value may be written as a word.
void ReadRuntime(const Proto& from, Bootstrap& to) {
  for (const auto& layer : from.layered_runtime().layers()) {
    const auto& fields = layer.static_layer().fields();
    const auto at = fields.find("envoy.reloadable_features.http_reject_path_with_fragment");
    if (at == fields.end()) continue;
    to.rejects_path_fragments = at->second.bool_value() || at->second.string_value() == "true";
  }
}

}  // namespace

StatusOr<Bootstrap> ParseBootstrap(std::string_view text) {
  KeepAnyTypes();
  std::string json;
  if (IsJson(text)) {
    json = std::string(text);
  } else {
    MELTEMI_ASSIGN_OR_RETURN(json, YamlToJson(text));
  }
  Proto from;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &from, options);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(fmt::format("not a bootstrap: {}", parsed.ToString()));
  }
  if (from.has_dynamic_resources()) {
    return absl::UnimplementedError(
        "dynamic_resources: a bootstrap file brings static resources only in this version\n"
        "use static_resources, or `meltemi-proxy sidecar|router --discovery IP:PORT`, which make "
        "a bootstrap of their own");
  }
  Bootstrap to;
  MELTEMI_RETURN_IF_ERROR(ReadNode(from, to));
  auto overload = CompileOverload(from.overload_manager());
  if (!overload.ok()) return WithContext(overload.status(), "overload_manager");
  to.overload = *std::move(overload);
  ReadRuntime(from, to);
  if (from.admin().has_address()) {
    auto address = CompileAddress(from.admin().address());
    if (!address.ok()) return WithContext(address.status(), "admin.address");
    to.admin = *std::move(address);
  }
  to.secrets = Collect(from.static_resources().secrets());
  to.clusters = Collect(from.static_resources().clusters());
  to.listeners = Collect(from.static_resources().listeners());
  for (size_t i = 0; i < to.listeners.size(); ++i) {
    // Envoy gives a static listener without a name one; ours tells where it stands.
    if (to.listeners[i].first.empty()) to.listeners[i].first = fmt::format("static_listener_{}", i);
  }
  from.SerializeToString(&to.serialized);
  return to;
}

StatusOr<Bootstrap> LoadBootstrap(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return absl::NotFoundError(fmt::format("cannot read {}", path));
  const auto size = static_cast<size_t>(file.tellg());
  if (size > kBootstrapBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("{} is larger than {} bytes", path, kBootstrapBytesMax));
  }
  std::string text(size, '\0');
  file.seekg(0);
  file.read(text.data(), static_cast<std::streamsize>(size));
  auto bootstrap = ParseBootstrap(text);
  if (!bootstrap.ok()) return WithContext(bootstrap.status(), path);
  return bootstrap;
}

Status ApplyStatic(const Bootstrap& bootstrap, ConfigSink& sink, std::function<void()> adopted) {
  const auto give = [&](xds::Type type, const Bootstrap::Resources& resources) -> Status {
    std::vector<ResourceUpdate> updates;
    for (const auto& [name, bytes] : resources) updates.push_back({name, bytes, ""});
    const auto rejections = sink.Update(type, updates, {});
    if (rejections.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("static_resources: {}: {}", rejections[0].name, rejections[0].reason));
  };
  MELTEMI_RETURN_IF_ERROR(give(xds::Type::kSecret, bootstrap.secrets));
  MELTEMI_RETURN_IF_ERROR(give(xds::Type::kCluster, bootstrap.clusters));
  MELTEMI_RETURN_IF_ERROR(give(xds::Type::kListener, bootstrap.listeners));
  sink.Commit(std::move(adopted));
  return absl::OkStatus();
}

}  // namespace meltemi::proxy
