// SPDX-License-Identifier: Apache-2.0
#include "galley/api/deletion.h"

#include <algorithm>
#include <string_view>

namespace meltemi::galley {
namespace {

constexpr std::string_view kLastingNamespaces[] = {"default", "kube-system"};

}  // namespace

StatusOr<std::vector<Write>> DeletionOf(const config::ObjectKey& key, const config::Store& store) {
  std::vector<Write> writes;
  if (key.kind == &config::kinds::kNamespace) {
    if (std::ranges::count(kLastingNamespaces, key.name) > 0) {
      return absl::PermissionDeniedError("namespaces \"" + key.name +
                                         "\" is forbidden: this namespace may not be deleted");
    }
    for (const config::ObjectPtr& inside : store.List(nullptr, key.name).objects) {
      writes.push_back({.verb = Write::Verb::kDelete, .key = inside->key()});
    }
  }
  writes.push_back({.verb = Write::Verb::kDelete, .key = key});
  return writes;
}

}  // namespace meltemi::galley
