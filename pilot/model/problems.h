// SPDX-License-Identifier: Apache-2.0
// Objects that could not be used, and why. Model-thread only.
#pragma once

#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/status.h"
#include "lib/config/object.h"

namespace meltemi::pilot {

class Problems final {
 public:
  void Set(const config::ObjectKey& key, const Status& status) {
    if (status.ok()) {
      messages_.erase(key);
    } else {
      messages_[key] = std::string(Message(status));
    }
  }
  const absl::flat_hash_map<config::ObjectKey, std::string>& messages() const { return messages_; }

 private:
  absl::flat_hash_map<config::ObjectKey, std::string> messages_;
};

}  // namespace meltemi::pilot
