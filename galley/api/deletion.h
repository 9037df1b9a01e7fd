// SPDX-License-Identifier: Apache-2.0
// What goes with an object that is deleted: everything in it, when it is a Namespace.
#pragma once

#include <vector>

#include "galley/store/writable_store.h"

namespace meltemi::galley {

// The object's own deletion comes last. PermissionDenied for the namespaces a cluster keeps.
StatusOr<std::vector<Write>> DeletionOf(const config::ObjectKey& key, const config::Store& store);

}  // namespace meltemi::galley
