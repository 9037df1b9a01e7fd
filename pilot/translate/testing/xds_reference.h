// SPDX-License-Identifier: Apache-2.0
// What Istio's own control plane served (../shared/cases/xds-reference), and comparison with ours:
// both sides become protobuf's JSON with every Any opened, and differences are named by path.
#pragma once

#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace meltemi::pilot {

inline constexpr const char* kReferenceFolder = "../shared/cases/xds-reference";

class XdsReference final {
 public:
  // nullptr where the cases or the descriptors (build/xds/all.pb) are absent.
  static std::unique_ptr<XdsReference> Load(const std::string& scenario, const std::string& proxy);

  const nlohmann::json& node() const;
  // Of a full type name, "envoy.config.cluster.v3.Cluster": name → resource.
  const nlohmann::json& Resources(const std::string& type) const;
  // Paths at which the message differs from the resource, with both values; empty = equal.
  std::vector<std::string> Differences(const nlohmann::json& theirs,
                                       const google::protobuf::Message& ours) const;

 private:
  XdsReference() = default;
  nlohmann::json dump_;
};

// Counts and names of what differs, printed at the end of a comparison.
struct ReferenceScore {
  int equal = 0;
  std::vector<std::string> only_theirs, only_ours;
  std::map<std::string, std::vector<std::string>> different;  // name → paths
  int total() const {
    return equal + static_cast<int>(only_theirs.size() + only_ours.size() + different.size());
  }
  std::string Text(const std::string& title) const;
};

}  // namespace meltemi::pilot
