// SPDX-License-Identifier: Apache-2.0
// istio.metadata_exchange (io.istio.http.peer_metadata.Config): sidecars tell each other who they
// are in two headers, so that both report the same source and destination. The headers never reach
// the app.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <array>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "proxy/filters/registry.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

using google::protobuf::Struct;
using http::HeaderId;

constexpr size_t kPeersMax = 500;                // per worker, as Istio's cache
constexpr size_t kMetadataBytesMax = 16 * 1024;  // of the header, before decoding
constexpr size_t kWorkersMax = 256;

std::string Text(const Struct& from, const std::string& key) {
  const auto it = from.fields().find(key);
  return it == from.fields().end() ? std::string() : it->second.string_value();
}

std::string Label(const Struct& from, const std::string& key) {
  const auto it = from.fields().find("LABELS");
  return it == from.fields().end() ? std::string() : Text(it->second.struct_value(), key);
}

PeerInfo PeerOf(const Struct& from, std::string_view id) {
  PeerInfo peer;
  peer.id = std::string(id);
  peer.workload = Text(from, "WORKLOAD_NAME");
  peer.workload_namespace = Text(from, "NAMESPACE");
  peer.cluster = Text(from, "CLUSTER_ID");
  peer.canonical_service = Label(from, "service.istio.io/canonical-name");
  peer.canonical_revision = Label(from, "service.istio.io/canonical-revision");
  peer.app = Label(from, "app");
  peer.version = Label(from, "version");
  if (peer.canonical_service.empty()) peer.canonical_service = peer.workload;
  if (peer.canonical_revision.empty()) {
    peer.canonical_revision = peer.version.empty() ? "latest" : peer.version;
  }
  return peer;
}

// Equal metadata gives equal bytes, so that the receiver's cache hits.
std::string Deterministic(const Struct& from) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    from.SerializeToCodedStream(&coded);
  }
  return bytes;
}

// What of our own node others are told.
std::string OwnMetadata(const std::string& node_metadata_json) {
  Struct node;
  if (!google::protobuf::util::JsonStringToMessage(node_metadata_json, &node).ok()) return {};
  Struct told;
  for (const char* key : {"NAME", "NAMESPACE", "WORKLOAD_NAME", "CLUSTER_ID", "OWNER", "IDENTITY",
                          "REGION", "AVAILABILITY_ZONE"}) {
    const std::string value = Text(node, key);
    if (!value.empty()) (*told.mutable_fields())[key].set_string_value(value);
  }
  Struct labels;
  for (const char* key : {"app", "version", "service.istio.io/canonical-name",
                          "service.istio.io/canonical-revision"}) {
    const std::string value = Label(node, key);
    if (!value.empty()) (*labels.mutable_fields())[key].set_string_value(value);
  }
  *(*told.mutable_fields())["LABELS"].mutable_struct_value() = labels;
  return absl::Base64Escape(Deterministic(told));
}

struct Settings {
  bool discovers_downstream = false, discovers_upstream = false;
  bool tells_downstream = false, tells_upstream = false;
};

class PeerMetadataFilter final : public HttpFilter {
 public:
  PeerMetadataFilter(Settings settings, std::string id, std::string metadata)
      : settings_(settings), id_(std::move(id)), metadata_(std::move(metadata)) {}
  uint8_t hooks() const override { return kRequest | kResponse; }

  Verdict OnRequest(FilterStream& stream) const override {
    StreamInfo& info = stream.info();
    http::HeaderMap& headers = info.request->headers;
    if (settings_.discovers_downstream) {
      const std::string_view id = headers.Get(HeaderId::kXEnvoyPeerMetadataId);
      const std::string_view text = headers.Get(HeaderId::kXEnvoyPeerMetadata);
      if (!text.empty() && !id.empty()) {
        info.downstream_peer = Decode(*info.worker, id, text);
        info.has_peer_headers = true;
      }
    }
    if (settings_.discovers_downstream || settings_.tells_upstream) Strip(headers);
    if (settings_.tells_upstream && IsInMesh(info)) Tell(headers);
    return Verdict::kContinue;
  }

  void OnResponse(FilterStream& stream) const override {
    StreamInfo& info = stream.info();
    http::HeaderMap& headers = info.response->headers;
    if (settings_.discovers_upstream && !info.is_local) {
      const std::string_view text = headers.Get(HeaderId::kXEnvoyPeerMetadata);
      const std::string_view id = headers.Get(HeaderId::kXEnvoyPeerMetadataId);
      if (!text.empty() && !id.empty()) info.upstream_peer = Decode(*info.worker, id, text);
      Strip(headers);
    }
    if (settings_.tells_downstream) {
      // What the app itself sent under these names is not ours.
      Strip(headers);
      if (info.has_peer_headers) Tell(headers);
    }
  }

 private:
  // Beyond the mesh the headers would only be a leak.
  static bool IsInMesh(const StreamInfo& info) {
    return info.cluster_info != nullptr && info.cluster_name != "PassthroughCluster";
  }

  static void Strip(http::HeaderMap& headers) {
    if (headers.Find(HeaderId::kXEnvoyPeerMetadata) != nullptr) {
      headers.Remove(HeaderId::kXEnvoyPeerMetadata);
    }
    if (headers.Find(HeaderId::kXEnvoyPeerMetadataId) != nullptr) {
      headers.Remove(HeaderId::kXEnvoyPeerMetadataId);
    }
  }

  // The filter outlives the stream, so the texts are lent.
  void Tell(http::HeaderMap& headers) const {
    headers.AddBorrowed(HeaderId::kXEnvoyPeerMetadataId,
                        http::HeaderName(HeaderId::kXEnvoyPeerMetadataId), id_);
    headers.AddBorrowed(HeaderId::kXEnvoyPeerMetadata,
                        http::HeaderName(HeaderId::kXEnvoyPeerMetadata), metadata_);
  }

  using Peers = absl::flat_hash_map<std::string, std::shared_ptr<const PeerInfo>>;

  std::shared_ptr<const PeerInfo> Decode(Worker& worker, std::string_view id,
                                         std::string_view text) const {
    if (worker.index() >= kWorkersMax || text.size() > kMetadataBytesMax) return nullptr;
    std::unique_ptr<Peers>& peers = peers_[worker.index()];
    if (peers == nullptr) peers = std::make_unique<Peers>();
    if (const auto it = peers->find(ToAbsl(text)); it != peers->end()) return it->second;
    std::string bytes;
    Struct metadata;
    if (!absl::Base64Unescape(ToAbsl(text), &bytes) || !metadata.ParseFromString(bytes)) {
      return nullptr;
    }
    if (peers->size() >= kPeersMax) peers->clear();
    auto peer = std::make_shared<const PeerInfo>(PeerOf(metadata, id));
    peers->emplace(std::string(text), peer);
    return peer;
  }

  const Settings settings_;
  const std::string id_;
  const std::string metadata_;
  // One per worker, touched by that worker only.
  mutable std::array<std::unique_ptr<Peers>, kWorkersMax> peers_;
};

// Whether `list` names the method that works by headers; others (by address) need data we do not
// get.
bool HasHeaders(const Struct& from, const std::string& list) {
  const auto it = from.fields().find(list);
  if (it == from.fields().end()) return false;
  for (const auto& method : it->second.list_value().values()) {
    if (method.struct_value().fields().contains("istio_headers")) return true;
  }
  return false;
}

StatusOr<std::shared_ptr<const HttpFilter>> Create(std::string_view serialized,
                                                   const FilterContext& context) {
  Struct from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not a struct");
  }
  Settings settings;
  settings.discovers_downstream = HasHeaders(from, "downstream_discovery");
  settings.discovers_upstream = HasHeaders(from, "upstream_discovery");
  settings.tells_downstream = HasHeaders(from, "downstream_propagation");
  settings.tells_upstream = HasHeaders(from, "upstream_propagation");
  return std::make_shared<const PeerMetadataFilter>(
      settings, context.process.node_id, OwnMetadata(context.process.node_metadata_json));
}

}  // namespace

extern const FilterKind kPeerMetadataFilter;
const FilterKind kPeerMetadataFilter = {
    "istio.metadata_exchange", "io.istio.http.peer_metadata.Config", "", Create, nullptr,
};

}  // namespace meltemi::proxy
