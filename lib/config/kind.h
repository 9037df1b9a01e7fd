// SPDX-License-Identifier: Apache-2.0
// The catalogue of object kinds: one constant descriptor each, in one explicit list (kinds.cc).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

namespace meltemi::config {

enum class Strictness {
  kStrict,   // Istio's kinds: an unknown field is an error
  kLenient,  // core kinds: we decode what we use and keep the rest
};

// Where the message's fields stand in the document.
enum class Body {
  kSpec,  // under "spec": Istio's kinds; the message is the kind's own (VirtualService)
  kRoot,  // beside metadata: core kinds; the message has spec and status (Service, Pod) or data
          // (Secret)
};

struct Kind {
  std::string_view group;    // "" = core
  std::string_view version;  // the one stored and served by default
  std::string_view kind;     // "VirtualService"
  std::string_view plural;   // "virtualservices"
  std::string_view singular;
  std::string_view short_names;  // comma separated, "vs"
  bool is_namespaced = true;
  Strictness strictness = Strictness::kStrict;
  Body body = Body::kSpec;
  // Prototype of the decoded form, or nullptr when nothing of ours reads it.
  const google::protobuf::Message* (*prototype)() = nullptr;
  std::string_view other_versions;  // also accepted, equal in shape: "v1beta1,v1alpha3"

  std::string api_version() const;                    // "networking.istio.io/v1"
  bool accepts(std::string_view version_word) const;  // "v1beta1"
};

// Every kind, alphabetical by kind.
std::span<const Kind* const> AllKinds();
// By "group/version", or group alone, and kind ("networking.istio.io/v1beta1", "VirtualService").
// nullptr = unknown, or a version that is not accepted.
const Kind* FindKind(std::string_view api_version, std::string_view kind);
// By what a user types: kind, plural, singular, short name, any case, optional ".group".
const Kind* FindKindByWord(std::string_view word);
// Whether any kind of the catalogue is of this group ("" = core).
bool IsKnownGroup(std::string_view group);
// The group of "group/version" ("" for "v1").
std::string_view GroupOf(std::string_view api_version);
// By path of the API: group and plural.
const Kind* FindKindByPlural(std::string_view group, std::string_view plural);

// The ones code names; each is an element of AllKinds().
namespace kinds {
extern const Kind kAuthorizationPolicy, kConfigMap, kDeployment, kDestinationRule, kEndpointSlice,
    kGateway, kNamespace, kNode, kPeerAuthentication, kPod, kRequestAuthentication, kSecret,
    kService, kServiceAccount, kServiceEntry, kSidecar, kTelemetry, kVirtualService, kWorkloadEntry;
}

}  // namespace meltemi::config
