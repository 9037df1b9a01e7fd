// SPDX-License-Identifier: Apache-2.0
#include "galley/store/directory_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "galley/store/body.h"
#include "galley/store/uid.h"
#include "lib/base/log.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using config::Event;
using config::EventType;
using config::ObjectKey;
using config::ObjectPtr;

// A file written twice within a tick of the file system's clock keeps its times: one that was young
// when it was read is read again.
constexpr auto kMarkTrustedAfter = std::chrono::seconds(2);

std::string Place(const config::Source& source) {
  return fmt::format("{}:{}:{}", source.file, source.line, source.column);
}

std::string WithoutTrailingSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool IsUnder(const std::string& path, const std::string& directory) {
  return path.starts_with(directory + "/");
}

// Versions begin at the clock's milliseconds: a watcher of an earlier run of the process, whose
// version means another content, is sent to list again.
uint64_t FirstVersion() {
  const auto now = RealClock().Wall().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

StatusOr<std::unique_ptr<DirectoryStore>> DirectoryStore::Open(
    runtime::Loop& loop, std::vector<std::string> directories) {
  for (std::string& directory : directories) {
    directory = WithoutTrailingSlash(std::move(directory));
    struct stat info;
    if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      return absl::NotFoundError("the configuration directory " + directory +
                                 " does not exist\nCreate it, or name another one");
    }
  }
  std::unique_ptr<DirectoryStore> store(new DirectoryStore(loop, std::move(directories)));
  MELTEMI_ASSIGN_OR_RETURN(
      store->watch_, runtime::PathWatch::Create(loop, [at = store.get()] { at->OnChange(); }));
  store->watch_->Begin();
  for (const std::string& directory : store->directories_) {
    MELTEMI_RETURN_IF_ERROR(store->watch_->Add(directory));
  }
  store->Scan();
  return store;
}

DirectoryStore::DirectoryStore(runtime::Loop& loop, std::vector<std::string> directories)
    : loop_(loop),
      directories_(std::move(directories)),
      table_(loop),
      settle_(loop, [this] { Scan(); }) {
  table_.Load({}, FirstVersion());
}

DirectoryStore::~DirectoryStore() = default;

void DirectoryStore::OnChange() {
  if (!settle_.is_armed()) scan_by_ = loop_.Now() + kSettleTimeMax;
  settle_.Arm(std::min<Duration>(kSettleTime, scan_by_ - loop_.Now()));
}

void DirectoryStore::Scan() {
  watch_->Begin();
  WatchPlaces();
  FileListing listing = ListConfigFiles(
      directories_, [this](const std::string& directory) { return watch_->Add(directory); });
  for (const ListedFile& file : listing.files) {
    // What a link leads to may be written without a change beside the link.
    if (file.is_link) (void)watch_->Add(file.path);
  }
  watch_->Finish();
  ReadFiles(listing);
  std::vector<FileProblem> problems = std::move(listing.problems);
  Apply(Merge(problems));
  UpdateHash();
  Tell(std::move(problems));
}

// That a directory itself is replaced shows in the one above it.
void DirectoryStore::WatchPlaces() {
  for (const std::string& directory : directories_) {
    const size_t slash = directory.rfind('/');
    const std::string above = slash == std::string::npos ? "."
                              : slash == 0               ? "/"
                                                         : directory.substr(0, slash);
    const std::string name = slash == std::string::npos ? directory : directory.substr(slash + 1);
    // Without leave to watch there, replacing the directory goes unseen; its content does not.
    if (name != "." && name != ".." && !name.empty()) (void)watch_->AddEntry(above, name);
  }
}

void DirectoryStore::ReadFiles(const FileListing& listing) {
  std::map<std::string, File> present;
  for (const ListedFile& listed : listing.files) {
    const auto at = files_.find(listed.path);
    File file = at == files_.end() ? File() : std::move(at->second);
    if (at != files_.end()) files_.erase(at);
    ReadFile(listed, file);
    present.emplace(listed.path, std::move(file));
  }
  for (auto& [path, file] : files_) {
    const bool is_unknown =
        std::any_of(listing.unreadable.begin(), listing.unreadable.end(),
                    [&](const std::string& directory) { return IsUnder(path, directory); });
    if (is_unknown) present.emplace(path, std::move(file));
  }
  files_ = std::move(present);
}

void DirectoryStore::ReadFile(const ListedFile& listed, File& file) {
  const bool is_trusted = ModifiedAt(file.mark) + kMarkTrustedAfter < file.read_at;
  if (file.mark == listed.mark && is_trusted) return;
  file.read_at = RealClock().Wall();
  file.mark = listed.mark;
  auto text = ReadConfigFile(listed.path);
  if (!text.ok()) {
    file.problem = std::string(text.status().message());
    return;
  }
  std::string hash = Sha256Hex(*text);
  if (hash == file.live_hash) {
    file.problem.clear();
    return;
  }
  auto objects = config::ParseObjects(*text, {.file = listed.path});
  if (!objects.ok()) {
    file.problem = std::string(objects.status().message());
    return;
  }
  file.problem.clear();
  file.live_hash = std::move(hash);
  file.objects = *std::move(objects);
  file.modified_at = ModifiedAt(listed.mark);
}

DirectoryStore::WantedObjects DirectoryStore::Merge(std::vector<FileProblem>& problems) const {
  WantedObjects wanted;
  for (const auto& [path, file] : files_) {
    if (!file.problem.empty()) {
      problems.push_back(
          {path,
           file.problem + (file.live_hash.empty() ? "\nNothing of this file is used."
                                                  : "\nWhat this file said before stays in use.")});
    }
    for (const ObjectPtr& object : file.objects) {
      const auto [at, is_new] = wanted.try_emplace(object->key(), Wanted{object, file.modified_at});
      if (is_new) continue;
      problems.push_back({path, fmt::format("{}: {} is defined at {} already, which counts; remove "
                                            "one of them",
                                            Place(object->source), object->key().text(),
                                            Place(at->second.written->source))});
    }
  }
  return wanted;
}

void DirectoryStore::Apply(const WantedObjects& wanted) {
  std::vector<Event> events;
  uint64_t version = table_.version();
  for (auto at = live_.begin(); at != live_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    events.push_back({EventType::kDeleted, at->second.stored, ++version});
    at = live_.erase(at);
  }
  for (const auto& [key, one] : wanted) {
    const auto at = live_.find(key);
    const Live* before = at == live_.end() ? nullptr : &at->second;
    if (before != nullptr &&
        (before->written == one.written || *before->written->document == *one.written->document)) {
      at->second.written = one.written;
      continue;
    }
    ObjectPtr stored = Stamp(one, before, ++version);
    events.push_back(
        {before == nullptr ? EventType::kAdded : EventType::kModified, stored, version});
    live_[key] = {one.written, std::move(stored)};
  }
  table_.Commit(std::move(events));
}

ObjectPtr DirectoryStore::Stamp(const Wanted& wanted, const Live* before, uint64_t version) const {
  const config::Object& object = *wanted.written;
  config::Metadata meta = object.meta;
  if (meta.uid.empty()) meta.uid = StableUid(object.key().text());
  if (meta.created == WallTime{}) {
    meta.created = before == nullptr ? wanted.modified_at : before->stored->meta.created;
  }
  if (meta.generation == 0) {
    meta.generation = 1;
    if (before != nullptr) {
      const bool is_same = IsSameBody(*before->written->document, *object.document);
      meta.generation = before->stored->meta.generation + (is_same ? 0 : 1);
    }
  }
  meta.resource_version = std::to_string(version);
  return config::WithMetadata(object, std::move(meta));
}

void DirectoryStore::UpdateHash() {
  std::string lines;
  for (const auto& [path, file] : files_) {
    if (!file.live_hash.empty()) lines += file.live_hash + "  " + path + "\n";
  }
  std::string hash = Sha256Hex(lines);
  if (hash == content_hash_) return;
  content_hash_ = std::move(hash);
  ++sequence_;
}

void DirectoryStore::Tell(std::vector<FileProblem> problems) {
  std::sort(problems.begin(), problems.end(), [](const FileProblem& a, const FileProblem& b) {
    return std::tie(a.path, a.message) < std::tie(b.path, b.message);
  });
  for (const FileProblem& problem : problems) {
    if (std::find(problems_.begin(), problems_.end(), problem) != problems_.end()) continue;
    MELTEMI_LOG(warn, "configuration file {}: {}", problem.path, problem.message);
  }
  problems_ = std::move(problems);
}

Status DirectoryStore::Refuse() const {
  return absl::FailedPreconditionError(
      "objects of configuration directories are read-only\nChange the files under " +
      (directories_.empty() ? std::string("the directory") : directories_.front()) +
      ", or start meltemid with --state-dir to write through the API");
}

StatusOr<ObjectPtr> DirectoryStore::Create(ObjectPtr) {
  return Refuse();
}
StatusOr<ObjectPtr> DirectoryStore::Update(ObjectPtr) {
  return Refuse();
}
StatusOr<ObjectPtr> DirectoryStore::UpdateStatus(ObjectPtr) {
  return Refuse();
}
Status DirectoryStore::Delete(const ObjectKey&, const std::string&) {
  return Refuse();
}

}  // namespace meltemi::galley
