// SPDX-License-Identifier: Apache-2.0
#include "galley/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace meltemi::galley {
namespace {

bool Enforced(std::string_view api_version, std::string_view kind) {
  const config::Kind* found = config::FindKind(api_version, kind);
  EXPECT_NE(found, nullptr) << kind;
  return found != nullptr && IsEnforced(*found);
}

TEST(Judge, TakesWhatPilotReads) {
  for (const char* kind :
       {"VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "WorkloadEntry"}) {
    EXPECT_TRUE(Enforced("networking.istio.io", kind)) << kind;
  }
  EXPECT_TRUE(Enforced("security.istio.io", "PeerAuthentication"));
  EXPECT_TRUE(Enforced("v1", "Service"));
  EXPECT_TRUE(Enforced("apps/v1", "Deployment"));
}

TEST(Judge, RefusesPoliciesThatWouldBeSkipped) {
  EXPECT_FALSE(Enforced("security.istio.io", "AuthorizationPolicy"));
  EXPECT_FALSE(Enforced("security.istio.io", "RequestAuthentication"));
  EXPECT_FALSE(Enforced("networking.istio.io", "EnvoyFilter"));
  EXPECT_FALSE(Enforced("networking.istio.io", "Sidecar"));
  EXPECT_FALSE(Enforced("telemetry.istio.io", "Telemetry"));
  EXPECT_FALSE(Enforced("extensions.istio.io", "WasmPlugin"));
  EXPECT_FALSE(Enforced("networking.k8s.io", "NetworkPolicy"));
  EXPECT_FALSE(Enforced("gateway.networking.k8s.io", "Gateway")) << "not Istio's kind of this name";
}

TEST(Judge, NamesTheObjectTheKindAndWhatToDo) {
  config::Object object;
  object.kind = config::FindKind("security.istio.io", "AuthorizationPolicy");
  object.meta.name = "deny";
  object.meta.ns = "default";
  const Status status = JudgeEnforced(object);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(::testing::HasSubstr("AuthorizationPolicy default/deny"),
                               ::testing::HasSubstr("remove it")));
}

}  // namespace
}  // namespace meltemi::galley
