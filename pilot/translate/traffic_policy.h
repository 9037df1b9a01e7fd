// SPDX-License-Identifier: Apache-2.0
// Finding the service, port and DestinationRule behind a cluster's name. Pure but for what is read.
#pragma once

#include <optional>

#include "pilot/translate/names.h"
#include "pilot/translate/reader.h"

namespace meltemi::pilot {

// An outbound cluster's subject. `policy` is what holds for the port and subset; empty without a
// rule.
struct OutboundTarget {
  ServicePtr service;
  ServicePort port;
  std::map<std::string, std::string> subset_labels;
  istio::networking::v1::TrafficPolicy policy;
  std::optional<config::ObjectKey> rule;
};
// nullopt when the service, port or subset does not exist as seen from `ns`, or the port is one no
// cluster is made for (UDP).
std::optional<OutboundTarget> FindTarget(Reader& reader, const std::string& ns,
                                         const ClusterName& name);

}  // namespace meltemi::pilot
