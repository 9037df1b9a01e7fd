// SPDX-License-Identifier: Apache-2.0
// A store that takes several writes as one: what the API over it needs beyond config::Store.
// Loop-thread only.
#pragma once

#include <string>
#include <vector>

#include "lib/config/store.h"

namespace meltemi::galley {

struct Write {
  enum class Verb {
    kCreate,           // AlreadyExists when it is there
    kUpdate,           // NotFound when it is not
    kApply,            // whichever fits
    kUpdateStatus,     // only .status of `object`
    kDelete,           // NotFound when it is not there
    kDeleteIfPresent,  // result nullptr when it is not there
  };
  Verb verb;
  config::ObjectPtr object = {};      // for all but deletes
  config::ObjectKey key = {};         // for deletes
  std::string resource_version = {};  // of deletes: Aborted when it is set and not the stored one
  std::string uid = {};               // of deletes: likewise
};

class WritableStore : public config::Store {
 public:
  // All or nothing: one transaction, one batch of events. Results stand in the order of the writes:
  // the object as stored (the very pointer that was stored before, when nothing changed), or the
  // last state of a deleted one. The same object may not stand twice: InvalidArgument. A trial
  // checks and answers as if, and stores nothing.
  virtual StatusOr<std::vector<config::ObjectPtr>> WriteAll(std::vector<Write> writes,
                                                            bool is_trial = false) = 0;
  // Create-or-update of each.
  StatusOr<std::vector<config::ObjectPtr>> ApplyAll(std::vector<config::ObjectPtr> objects) {
    std::vector<Write> writes;
    for (auto& object : objects) {
      writes.push_back({.verb = Write::Verb::kApply, .object = std::move(object)});
    }
    return WriteAll(std::move(writes));
  }
};

}  // namespace meltemi::galley
