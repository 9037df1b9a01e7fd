// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/xds/client_verdict.h"
#include "lib/xds/client_wire.h"

namespace meltemi::xds {
namespace {

using Request = envoy::service::discovery::v3::DiscoveryRequest;
using Response = envoy::service::discovery::v3::DiscoveryResponse;
using Wrapped = envoy::service::discovery::v3::Resource;
constexpr std::string_view kWrappedUrl = "type.googleapis.com/envoy.service.discovery.v3.Resource";

// In this form a resource's name stands only inside it: in field 1 of every type that there is.
std::string NameOf(const std::string& message) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::ArrayInputStream bytes(message.data(), static_cast<int>(message.size()));
  google::protobuf::io::CodedInputStream input(&bytes);
  constexpr uint32_t kNameTag =
      WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  std::string name;
  while (const uint32_t tag = input.ReadTag()) {
    const bool is_read = tag == kNameTag ? WireFormatLite::ReadBytes(&input, &name)
                                         : WireFormatLite::SkipField(&input, tag);
    if (!is_read) break;
  }
  return name;
}

class SotwWire final : public ClientWire {
 public:
  std::string Ask(Type type, const ClientSubscription& subscription,
                  std::string_view node) const override {
    Request request = Whole(type, subscription);
    if (!node.empty())
      request.mutable_node()->ParseFromArray(node.data(), static_cast<int>(node.size()));
    return request.SerializeAsString();
  }

  std::string Change(Type type, const ClientSubscription& subscription,
                     const ClientSubscription::Difference&) const override {
    Request request = Whole(type, subscription);
    request.set_response_nonce(subscription.nonce);
    return request.SerializeAsString();
  }

  std::string Acknowledge(Type type, const ClientSubscription& subscription,
                          const std::string& nonce, const std::string& error) const override {
    return WithVerdict(Whole(type, subscription), nonce, error);
  }

  StatusOr<WireResponse> Read(std::string_view message) override {
    if (!response_.ParseFromArray(message.data(), static_cast<int>(message.size())))
      return absl::InvalidArgumentError("a message is no DiscoveryResponse");
    wrapped_.clear();
    wrapped_.reserve(static_cast<size_t>(response_.resources_size()));  // views point into it
    WireResponse to;
    to.type_url = response_.type_url();
    to.nonce = response_.nonce();
    to.version = response_.version_info();
    for (const auto& resource : response_.resources()) ReadResource(resource, to);
    return to;
  }

  bool is_whole() const override { return true; }

 private:
  static Request Whole(Type type, const ClientSubscription& subscription) {
    Request request;
    request.set_type_url(std::string(TypeUrl(type)));
    request.set_version_info(subscription.version);
    if (subscription.is_wildcard && !subscription.names.empty()) request.add_resource_names("*");
    for (const std::string& name : subscription.names) request.add_resource_names(name);
    return request;
  }

  void ReadResource(const google::protobuf::Any& resource, WireResponse& to) {
    const google::protobuf::Any* inner = &resource;
    std::string name;
    if (resource.type_url() == kWrappedUrl) {
      Wrapped& wrapped = wrapped_.emplace_back();
      if (!wrapped.ParseFromString(resource.value())) {
        to.mismatched.push_back({"", "a wrapped resource cannot be decoded"});
        return;
      }
      name = wrapped.name();
      inner = &wrapped.resource();
    }
    if (name.empty()) name = NameOf(inner->value());
    if (inner->type_url() != response_.type_url()) {
      to.mismatched.push_back({name, "its message is of another type than the response"});
      return;
    }
    to.update.changed.push_back({std::move(name), response_.version_info(), inner->value()});
  }

  Response response_;
  std::vector<Wrapped> wrapped_;
};

}  // namespace

std::unique_ptr<ClientWire> NewSotwWire() {
  return std::make_unique<SotwWire>();
}

}  // namespace meltemi::xds
