// SPDX-License-Identifier: Apache-2.0
// Pieces of Envoy's messages that many resources share. Pure functions.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/struct.pb.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/config/object.h"
#include "pilot/model/service.h"

namespace envoy::config::core::v3 {
class Address;
class ConfigSource;
}  // namespace envoy::config::core::v3
namespace envoy::extensions::transport_sockets::tls::v3 {
class SdsSecretConfig;
}

namespace meltemi::pilot {

// Maps in a fixed order: equal messages must be equal bytes, or every computation would look like a
// change.
void Serialize(const google::protobuf::MessageLite& from, std::string& to);
void Pack(const google::protobuf::MessageLite& from, std::string_view type_name,
          google::protobuf::Any& to);
template <typename T>
void Pack(const T& from, google::protobuf::Any& to) {
  Pack(from, T::descriptor()->full_name(), to);
}
// Configuration of a filter whose message nobody links in, as a struct.
void PackTypedStruct(std::string_view type_name, google::protobuf::Struct value,
                     google::protobuf::Any& to);

void SetText(std::string_view key, std::string_view value, google::protobuf::Struct& to);
// An item of the list `key` with the members host, name and namespace.
void AddServiceFacts(const Service& service, google::protobuf::Struct& to);
// "/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews", as Istio names the
// object that a resource came from.
std::string OriginPath(const config::ObjectKey& key);

void SetAds(envoy::config::core::v3::ConfigSource& source);
// A secret of the proxy's own agent ("default", "ROOTCA", "file-root:…"), by way of the cluster
// sds-grpc that Istio's bootstrap has; our proxy knows these names itself.
void SetAgentSecret(std::string_view name, bool waits,
                    envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig& secret);
void SetAddress(std::string_view ip, uint32_t port, envoy::config::core::v3::Address& address);

// istio.metadata_exchange on a connection: peers tell who they are during the ALPN handshake.
// Works on listener::v3::Filter and cluster::v3::Filter alike.
const google::protobuf::Any& ConnectionMetadataExchange();

}  // namespace meltemi::pilot
