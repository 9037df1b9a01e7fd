// SPDX-License-Identifier: Apache-2.0
// From stores to Pilot: the stores' events, one batch after the other, under one version count.
// Model-thread only; outlived by the stores and Pilot.
//
// Invariants:
//  1. Where two stores hold an object of the same kind, namespace and name, the earlier store's
//     counts; when that one goes, the later one's takes its place.
//  2. Objects of a directory that nothing enforces are told, once each, and listed as long as they
//     are there.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "lib/config/store.h"
#include "pilot/pilot.h"

namespace meltemi::cmd {

class ConfigFeed final {
 public:
  struct Input {
    config::Store* store;
    bool is_judged;  // its API has refused what is not enforced
  };
  // What every store held at one moment.
  using Mark = std::vector<uint64_t>;

  // Gives Pilot all there is, then what changes.
  static StatusOr<std::unique_ptr<ConfigFeed>> Start(const std::vector<Input>& inputs,
                                                     pilot::Pilot& pilot,
                                                     std::function<void()> on_applied);
  ConfigFeed(const ConfigFeed&) = delete;
  ConfigFeed& operator=(const ConfigFeed&) = delete;

  uint64_t version() const { return version_; }  // the last one given to Pilot
  Mark Now() const;
  bool HasApplied(const Mark& mark) const;
  // Every store's objects, the ones that count.
  std::vector<config::ObjectPtr> Objects() const;
  const std::map<config::ObjectKey, config::ObjectPtr>& unenforced() const { return unenforced_; }

 private:
  struct Fed {
    Input input;
    uint64_t applied = 0;  // the store's version
    std::unique_ptr<config::Watch> watch = {};
  };

  ConfigFeed(pilot::Pilot& pilot, std::function<void()> on_applied)
      : pilot_(pilot), on_applied_(std::move(on_applied)) {}
  Status Open(const std::vector<Input>& inputs);
  void Take(size_t at, const std::vector<config::Event>& events);
  // What an event of store `at` means with the others beside it; nullopt = nothing.
  std::optional<config::Event> Resolve(size_t at, const config::Event& event) const;
  void Judge(const config::Event& event);

  pilot::Pilot& pilot_;
  const std::function<void()> on_applied_;
  std::vector<Fed> stores_;
  std::map<config::ObjectKey, config::ObjectPtr> unenforced_;
  uint64_t version_ = 0;
};

}  // namespace meltemi::cmd
