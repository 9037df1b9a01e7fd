// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/canonical.h"

#include <initializer_list>

namespace meltemi::pilot {
namespace {

std::string FirstOf(const std::map<std::string, std::string>& labels,
                    std::initializer_list<const char*> keys, std::string_view otherwise) {
  for (const char* key : keys) {
    if (const auto found = labels.find(key); found != labels.end()) return found->second;
  }
  return std::string(otherwise);
}

}  // namespace

std::string CanonicalName(const std::map<std::string, std::string>& labels,
                          const std::string& workload) {
  return FirstOf(labels, {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"},
                 workload);
}

std::string CanonicalRevision(const std::map<std::string, std::string>& labels) {
  return FirstOf(labels,
                 {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"},
                 kLatestRevision);
}

}  // namespace meltemi::pilot
