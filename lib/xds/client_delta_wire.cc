// SPDX-License-Identifier: Apache-2.0
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/xds/client_verdict.h"
#include "lib/xds/client_wire.h"

namespace meltemi::xds {
namespace {

using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;

Request OfType(Type type) {
  Request request;
  request.set_type_url(std::string(TypeUrl(type)));
  return request;
}

class DeltaWire final : public ClientWire {
 public:
  std::string Ask(Type type, const ClientSubscription& subscription,
                  std::string_view node) const override {
    Request request = OfType(type);
    request.mutable_node()->ParseFromArray(node.data(), static_cast<int>(node.size()));
    if (node.empty()) request.clear_node();
    if (subscription.is_wildcard && !subscription.names.empty())
      request.add_resource_names_subscribe("*");
    for (const std::string& name : subscription.names) request.add_resource_names_subscribe(name);
    for (const auto& [name, version] : subscription.held)
      (*request.mutable_initial_resource_versions())[name] = version;
    return request.SerializeAsString();
  }

  std::string Change(Type type, const ClientSubscription&,
                     const ClientSubscription::Difference& difference) const override {
    Request request = OfType(type);
    for (const std::string& name : difference.added) request.add_resource_names_subscribe(name);
    for (const std::string& name : difference.dropped) request.add_resource_names_unsubscribe(name);
    return request.SerializeAsString();
  }

  std::string Acknowledge(Type type, const ClientSubscription&, const std::string& nonce,
                          const std::string& error) const override {
    return WithVerdict(OfType(type), nonce, error);
  }

  StatusOr<WireResponse> Read(std::string_view message) override {
    if (!response_.ParseFromArray(message.data(), static_cast<int>(message.size())))
      return absl::InvalidArgumentError("a message is no DeltaDiscoveryResponse");
    WireResponse to;
    to.type_url = response_.type_url();
    to.nonce = response_.nonce();
    for (const auto& resource : response_.resources()) {
      if (resource.resource().type_url() != response_.type_url()) {
        to.mismatched.push_back(
            {resource.name(), "its message is of another type than the response"});
        continue;
      }
      to.update.changed.push_back(
          {resource.name(), resource.version(), resource.resource().value()});
    }
    to.update.removed.assign(response_.removed_resources().begin(),
                             response_.removed_resources().end());
    return to;
  }

  bool is_whole() const override { return false; }

 private:
  Response response_;
};

}  // namespace

std::unique_ptr<ClientWire> NewDeltaWire() {
  return std::make_unique<DeltaWire>();
}

}  // namespace meltemi::xds
