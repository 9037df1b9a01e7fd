// SPDX-License-Identifier: Apache-2.0
// Tells that something under a set of paths changed (inotify). Loop-thread only. It says that, not
// what: the reader looks again at everything it cares for.
//
// Paths are renewed as a set: Begin(), Add() each path still of interest, Finish().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "lib/base/fd.h"
#include "lib/base/status.h"
#include "lib/runtime/loop.h"

namespace meltemi::runtime {

class PathWatch final : private FdHandler {
 public:
  static StatusOr<std::unique_ptr<PathWatch>> Create(Loop& loop, std::function<void()> on_change);
  ~PathWatch();
  PathWatch(const PathWatch&) = delete;
  PathWatch& operator=(const PathWatch&) = delete;

  void Begin() { ++round_; }
  // A directory with every entry, or a file; a symbolic link is followed.
  Status Add(const std::string& path);
  // One entry of a directory: that it comes, goes or is replaced.
  Status AddEntry(const std::string& directory, const std::string& name);
  void Finish();  // forgets what was not added since Begin()

 private:
  struct Watched {
    uint64_t round = 0;
    bool is_whole = false;
    std::set<std::string> names;  // when not whole
  };

  PathWatch(Loop& loop, Fd fd, std::function<void()> on_change)
      : loop_(loop), fd_(std::move(fd)), on_change_(std::move(on_change)) {}
  StatusOr<Watched*> Register(const std::string& path);
  bool IsOfInterest(int descriptor, uint32_t mask, const char* name);
  void OnReady(Ready ready) override;

  Loop& loop_;
  Fd fd_;
  std::function<void()> on_change_;
  std::map<int, Watched> watched_;
  uint64_t round_ = 0;
};

}  // namespace meltemi::runtime
