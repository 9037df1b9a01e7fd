// SPDX-License-Identifier: Apache-2.0
// The file store.db of a state directory: which objects there are, and the last version.
// Loop-thread only.
//
// Invariants:
//  1. One process at a time holds a state directory (a lock on store.lock, released by the kernel
//     when the process ends, however it ends).
//  2. Append() returns ok after the transaction is on the disk (WAL, synchronous=FULL), and leaves
//     the file as it was otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "galley/store/sqlite.h"
#include "lib/base/fd.h"
#include "lib/config/store.h"

namespace meltemi::galley {

inline constexpr int64_t kStoreLayout = 1;
inline constexpr uint64_t kStoreBytesMax = 8ULL * 1024 * 1024 * 1024;

class StoreFile final {
 public:
  struct Content {
    std::vector<config::ObjectPtr> objects;
    uint64_t version = 0;
  };

  // Makes the directory and the file where they are missing. Messages have two lines: what is
  // wrong, and what to do.
  static StatusOr<std::unique_ptr<StoreFile>> Open(const std::string& state_dir,
                                                   uint64_t bytes_max = kStoreBytesMax);

  StatusOr<Content> Read();
  // One transaction; the version kept is the last event's.
  Status Append(const std::vector<config::Event>& batch);

 private:
  explicit StoreFile(std::string directory) : directory_(std::move(directory)) {}
  std::string path() const { return directory_ + "/store.db"; }
  Status Lock();
  Status Prepare(uint64_t bytes_max);
  Status CheckIntegrity();
  Status CheckLayout();
  StatusOr<int64_t> ReadMeta(std::string_view key, int64_t otherwise);
  Status Write(const std::vector<config::Event>& batch);
  // Adds the path and the remedy.
  Status Explain(const Status& status) const;

  const std::string directory_;
  Fd lock_;
  std::unique_ptr<Database> database_;
};

}  // namespace meltemi::galley
