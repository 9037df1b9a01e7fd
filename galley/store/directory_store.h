// SPDX-License-Identifier: Apache-2.0
// Objects from watched, read-only directories of YAML and JSON. Loop-thread only.
//
// Invariants:
//  1. One scan is one batch. A scan begins when changes have settled, so that a file is not read
//     while it is being written.
//  2. A file with an error gives nothing; what it gave before stays live until it is mended or
//     removed. A directory that cannot be read changes nothing.
//  3. Of two objects with the same kind, namespace and name, the one whose file's path sorts first
//     counts.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "galley/store/object_table.h"
#include "galley/store/yaml_files.h"
#include "lib/config/store.h"
#include "lib/runtime/path_watch.h"

namespace meltemi::galley {

inline constexpr Duration kSettleTime = std::chrono::milliseconds(20);
inline constexpr Duration kSettleTimeMax = std::chrono::milliseconds(250);

class DirectoryStore final : public config::Store {
 public:
  // Reads everything once. Problems of files do not make it fail; a directory that is missing, or
  // that cannot be watched, does.
  static StatusOr<std::unique_ptr<DirectoryStore>> Open(runtime::Loop& loop,
                                                        std::vector<std::string> directories);
  ~DirectoryStore() override;

  // Sorted by path; what a later scan finds mended is gone from here.
  const std::vector<FileProblem>& problems() const { return problems_; }
  // Of the content that is live: SHA-256 over lines "SHA256-OF-FILE  PATH", sorted by path: what
  // `sha256sum DIR/*.yaml | sha256sum` prints when no file is in error.
  const std::string& content_hash() const { return content_hash_; }
  // Counts the scans that changed what is live, the first one too.
  uint64_t sequence() const { return sequence_; }

  // config::Store
  config::ObjectList List(const config::Kind* kind, const std::string& ns) const override {
    return table_.List(kind, ns);
  }
  config::ObjectPtr Get(const config::ObjectKey& key) const override { return table_.Get(key); }
  StatusOr<std::unique_ptr<config::Watch>> StartWatch(
      const config::WatchOptions& options,
      std::function<void(const std::vector<config::Event>&)> on_events) override {
    return table_.StartWatch(options, std::move(on_events));
  }
  StatusOr<config::ObjectPtr> Create(config::ObjectPtr object) override;
  StatusOr<config::ObjectPtr> Update(config::ObjectPtr object) override;
  StatusOr<config::ObjectPtr> UpdateStatus(config::ObjectPtr object) override;
  Status Delete(const config::ObjectKey& key, const std::string& resource_version) override;
  uint64_t version() const override { return table_.version(); }

 private:
  // One file: what its last good content gave, and what is wrong with its present one.
  struct File {
    FileMark mark;
    WallTime read_at{};
    std::string live_hash;  // "" = never was good
    std::vector<config::ObjectPtr> objects;
    WallTime modified_at{};  // of the live content
    std::string problem;
  };
  // An object as its file says it, beside the form the table holds.
  struct Live {
    config::ObjectPtr written;
    config::ObjectPtr stored;
  };
  struct Wanted {
    config::ObjectPtr written;
    WallTime modified_at;
  };
  using WantedObjects = std::map<config::ObjectKey, Wanted>;

  DirectoryStore(runtime::Loop& loop, std::vector<std::string> directories);
  void OnChange();
  void Scan();
  void WatchPlaces();
  void ReadFiles(const FileListing& listing);
  void ReadFile(const ListedFile& listed, File& file);
  WantedObjects Merge(std::vector<FileProblem>& problems) const;
  void Apply(const WantedObjects& wanted);
  config::ObjectPtr Stamp(const Wanted& wanted, const Live* before, uint64_t version) const;
  void UpdateHash();
  void Tell(std::vector<FileProblem> problems);
  Status Refuse() const;

  runtime::Loop& loop_;
  const std::vector<std::string> directories_;
  ObjectTable table_;
  std::unique_ptr<runtime::PathWatch> watch_;
  runtime::Timer settle_;
  MonotonicTime scan_by_{};
  std::map<std::string, File> files_;
  std::map<config::ObjectKey, Live> live_;
  std::vector<FileProblem> problems_;
  std::string content_hash_;
  uint64_t sequence_ = 0;
};

}  // namespace meltemi::galley
