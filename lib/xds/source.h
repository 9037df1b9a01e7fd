// SPDX-License-Identifier: Apache-2.0
// What an xDS server serves: resources by type and name, as one proxy sees them. Pilot implements
// it; the server sessions of lib/xds consume it. Model-thread only.
//
// Each resource is encoded once and shared by every proxy that holds it; equal versions mean equal
// bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/grpc/server.h"

namespace meltemi::xds {

inline constexpr std::string_view kTypePrefix = "type.googleapis.com/";

// Resource types in the order a client must get them (make before break).
enum class Type : uint8_t {
  kCluster,
  kEndpoint,
  kListener,
  kRoute,
  kSecret,
  kExtension,
  kNameTable,
  kCount
};
std::string_view TypeUrl(Type type);
std::optional<Type> FindType(std::string_view type_url);

struct Resource {
  std::string name;
  uint64_t version = 0;  // changes exactly when `message` does (a content hash)
  grpc::Slice message;   // the serialized message, without Any
};
using ResourcePtr = std::shared_ptr<const Resource>;

// Who connects: the first request's node, decoded.
struct NodeInfo {
  std::string id;  // "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local"
  std::string cluster;
  std::string metadata_json;            // the Struct as JSON
  std::vector<std::string> extensions;  // names an Envoy announces; empty when it sent none
  std::string region, zone, sub_zone;
  std::string authenticated_uri;  // SPIFFE id of the connection, "" on plaintext
};

// One connected proxy's view. Destroying it unsubscribes.
class View {
 public:
  virtual ~View() = default;
  // Every resource of the type that this proxy should hold when it asks by wildcard; sorted by
  // name.
  virtual std::vector<ResourcePtr> All(Type type) = 0;
  // nullptr = does not exist for this proxy.
  virtual ResourcePtr Find(Type type, const std::string& name) = 0;
  // Told when a type was accepted (ACK) or rejected, for status and `wait --for=live`.
  virtual void OnAck(Type type, uint64_t snapshot_version) = 0;
  virtual void OnNack(Type type, const std::string& error) = 0;
};

// Names that changed since the last call, by type: only these need comparing. `all_names` =
// wildcard content may differ anywhere.
struct Change {
  Type type;
  bool is_everything = false;
  std::vector<std::string> names;
};

class Source {
 public:
  virtual ~Source() = default;
  // `on_change` runs from the loop when something this view holds may have changed, with the
  // version of the configuration it belongs to; changes of one batch come in one call, in the order
  // of Type.
  virtual StatusOr<std::unique_ptr<View>> Connect(
      const NodeInfo& node,
      std::function<void(const std::vector<Change>& changes, uint64_t snapshot_version)>
          on_change) = 0;
  virtual uint64_t snapshot_version() const = 0;
};

}  // namespace meltemi::xds
