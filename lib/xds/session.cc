// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/session.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "envoy/config/core/v3/base.pb.h"
#include "lib/base/log.h"
#include "lib/xds/server.h"

namespace meltemi::xds {
namespace {

constexpr int kInvalidArgument = 3;
constexpr int kResourceExhausted = 8;
constexpr int kUnavailable = 14;
constexpr size_t kErrorBytesMax = 4096;  // of a NACK's text, kept for status

NodeInfo ToNodeInfo(const envoy::config::core::v3::Node& node) {
  NodeInfo info;
  info.id = node.id();
  info.cluster = node.cluster();
  if (node.has_metadata()) {
    // Only nesting beyond protobuf's own limit fails here, and parsing has refused that already.
    (void)google::protobuf::util::MessageToJsonString(node.metadata(), &info.metadata_json);
  }
  for (const auto& extension : node.extensions()) info.extensions.push_back(extension.name());
  info.region = node.locality().region();
  info.zone = node.locality().zone();
  info.sub_zone = node.locality().sub_zone();
  return info;
}

}  // namespace

Session::Session(AdsServer& server, grpc::ServerCall& call, std::optional<Type> only)
    : server_(server), call_(call), only_(only) {
  server_.sessions_.insert(this);
}

Session::~Session() {
  server_.sessions_.erase(this);
}

void Session::OnEnd() {
  if (view_ != nullptr) MELTEMI_LOG(info, "xds: {} disconnected", node_.id);
  is_finished_ = true;
  view_.reset();
  server_.Progress();
}

void Session::OnClientDone() {
  if (is_finished_) return;
  OnEnd();
  call_.Finish({});
}

void Session::Refuse(int code, std::string message) {
  MELTEMI_LOG(warn, "xds: {} refused: {}", call_.peer().remote.text(), message);
  is_finished_ = true;
  view_.reset();
  call_.Finish({code, std::move(message)});
}

std::optional<Type> Session::Begin(const RequestHead& head) {
  if (is_finished_) return std::nullopt;
  if (view_ == nullptr && !Connect(*head.node)) return std::nullopt;
  std::optional<Type> type = FindType(head.type_url);
  if (only_.has_value()) {
    if (head.type_url.empty()) type = only_;
    if (type != only_) {
      Refuse(kInvalidArgument, fmt::format("this service has no type {}", head.type_url));
      return std::nullopt;
    }
  }
  // A type we do not serve gets no answer, as under Istio; the stream serves the others.
  if (!type.has_value()) {
    MELTEMI_LOG(debug, "xds: {} asks for {}, which is not served", node_.id, head.type_url);
  }
  return type;
}

bool Session::Connect(const envoy::config::core::v3::Node& node) {
  if (!server_.is_ready()) {
    Refuse(kUnavailable, "the control plane has not read its configuration yet");
    return false;
  }
  if (node.id().empty()) {
    Refuse(kInvalidArgument, "the first request of a stream must carry node.id");
    return false;
  }
  node_ = ToNodeInfo(node);
  StatusOr<std::string> identity = server_.Admit(call_.peer(), node_);
  if (!identity.ok()) {
    Refuse(static_cast<int>(identity.status().code()), std::string(Message(identity.status())));
    return false;
  }
  node_.authenticated_uri = *std::move(identity);
  auto view = server_.source().Connect(
      node_, [this](const std::vector<Change>& changes, uint64_t) { OnChange(changes); });
  if (!view.ok()) {
    Refuse(static_cast<int>(view.status().code()), std::string(Message(view.status())));
    return false;
  }
  view_ = *std::move(view);
  connected_at_ = server_.clock().Wall();
  MELTEMI_LOG(info, "xds: {} connected from {}", node_.id, call_.peer().remote.text());
  return true;
}

bool Session::CheckNames(Type type) {
  if (state(type).subscription.names_count() <= kSubscribedNamesMax) return true;
  Refuse(kResourceExhausted, fmt::format("more than {} names subscribed", kSubscribedNamesMax));
  return false;
}

void Session::Settle(Type type, const std::string* error) {
  TypeState& s = state(type);
  s.is_in_flight = false;
  if (error != nullptr) {
    s.error = error->empty() ? "no reason given" : error->substr(0, kErrorBytesMax);
    // Envoy takes what is good of a response and names what is not.
    for (const std::string& name : s.traced) {
      if (!name.empty() && s.error.find(name) != std::string::npos) s.rejected.insert(name);
    }
    ++server_.rejections_[static_cast<size_t>(type)];
    MELTEMI_LOG(warn, "xds: {} rejects {}: {}", node_.id, TypeUrl(type), s.error);
    view_->OnNack(type, s.error);
    return;
  }
  for (const std::string& name : s.traced) s.rejected.erase(name);
  if (s.rejected.empty()) s.error.clear();
  s.acked_version = s.sent_version;
  view_->OnAck(type, s.acked_version);
}

void Session::Forgive(Type type, const std::string& name) {
  TypeState& s = state(type);
  if (s.rejected.erase(name) > 0 && s.rejected.empty()) s.error.clear();
}

void Session::OnChange(const std::vector<Change>& changes) {
  if (is_finished_) return;
  for (const Change& change : changes) {
    TypeState& s = state(change.type);
    if (!s.is_active) continue;
    s.is_everything_changed |= change.is_everything;
    if (s.is_everything_changed) continue;
    for (const std::string& name : change.names) {
      if (s.subscription.Covers(name)) s.changed.insert(name);
    }
  }
  Pump();
}

bool Session::IsRoutingPending() const {
  for (const Type type : {Type::kListener, Type::kRoute}) {
    if (state(type).is_active && (state(type).is_in_flight || state(type).has_changes())) {
      return true;
    }
  }
  return false;
}

bool Session::is_settled() const {
  for (const TypeState& s : types_) {
    if (s.is_active && (s.is_in_flight || s.is_due || s.has_changes() || !s.leaving.empty())) {
      return false;
    }
  }
  return true;
}

bool Session::is_rejecting() const {
  for (const TypeState& s : types_) {
    if (s.is_active && !s.error.empty()) return true;
  }
  return false;
}

uint64_t Session::live_version() const {
  const bool is_live = is_settled() && !is_rejecting();
  return is_live ? server_.source().snapshot_version() : settled_version_;
}

void Session::Pump() {
  if (is_finished_ || is_clogged()) return;
  bool is_held_back = false;
  for (size_t i = 0; i < kTypes; ++i) {
    const auto type = static_cast<Type>(i);
    TypeState& s = types_[i];
    if (!s.is_active) continue;
    if (s.is_in_flight) {
      is_held_back |= s.has_changes();
    } else if (s.is_due || (s.has_changes() && !is_held_back)) {
      SendType(type, /*may_remove=*/type > Type::kEndpoint || !IsRoutingPending());
    }
  }
  if (!IsRoutingPending()) {
    for (const Type type : {Type::kCluster, Type::kEndpoint}) {
      TypeState& s = state(type);
      if (s.leaving.empty() || s.is_in_flight) continue;
      s.changed.merge(s.leaving);
      s.leaving.clear();
      SendType(type, /*may_remove=*/true);
    }
  }
  settled_version_ = live_version();
  if (is_settled()) server_.Progress();
}

ResponseHead Session::NextHead(Type type) {
  return {TypeUrl(type), std::to_string(server_.source().snapshot_version()),
          std::to_string(++nonce_count_)};
}

void Session::Sent(Type type, const std::string& nonce, const std::vector<ResourcePtr>& changed,
                   const std::vector<std::string>& removed) {
  TypeState& s = state(type);
  s.traced.clear();
  if (changed.size() + removed.size() <= kTracedNamesMax) {
    for (const ResourcePtr& resource : changed) s.traced.push_back(resource->name);
    s.traced.insert(s.traced.end(), removed.begin(), removed.end());
  }
  s.nonce = nonce;
  s.is_in_flight = true;
  s.sent_version = server_.source().snapshot_version();
  ++server_.responses_sent_[static_cast<size_t>(type)];
  if (type == Type::kCluster) RenewEndpoints(changed);
  if (type == Type::kEndpoint) clusters_without_endpoints_.clear();
}

void Session::RenewEndpoints(const std::vector<ResourcePtr>& clusters) {
  TypeState& endpoints = state(Type::kEndpoint);
  for (const ResourcePtr& cluster : clusters) {
    if (!endpoints.is_active) clusters_without_endpoints_.insert(cluster->name);
    if (endpoints.subscription.Held(cluster->name) == nullptr) continue;
    endpoints.subscription.Drop(cluster->name, /*is_told=*/false);
    endpoints.changed.insert(cluster->name);
  }
}

SessionStatus Session::Status() const {
  SessionStatus status{.node_id = node_.id,
                       .cluster = node_.cluster,
                       .peer = call_.peer().remote.text(),
                       .identity = node_.authenticated_uri,
                       .is_delta = is_delta(),
                       .connected_at = connected_at_,
                       .live_version = live_version(),
                       .is_settled = is_settled(),
                       .types = {}};
  for (size_t i = 0; i < kTypes; ++i) {
    const TypeState& s = types_[i];
    if (!s.is_active) continue;
    status.types.push_back({.type = static_cast<Type>(i),
                            .is_in_flight = s.is_in_flight,
                            .held = s.subscription.held_count(),
                            .acked_version = s.acked_version,
                            .error = s.error});
  }
  return status;
}

}  // namespace meltemi::xds
