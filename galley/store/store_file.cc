// SPDX-License-Identifier: Apache-2.0
#include "galley/store/store_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using config::Event;
using config::EventType;
using config::ObjectPtr;
using nlohmann::json;

// The group rather than the version: a kind keeps its row when its preferred version moves on.
constexpr const char* kTables = R"(
CREATE TABLE meta(key TEXT PRIMARY KEY, value);
CREATE TABLE objects(
  api_group TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY(api_group, kind, namespace, name));
)";

// No rollback journal and no shared memory beside us: the lock makes us the only user.
constexpr const char* kSettings = R"(
PRAGMA locking_mode=EXCLUSIVE;
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA trusted_schema=OFF;
PRAGMA cell_size_check=ON;
PRAGMA temp_store=MEMORY;
)";

Status MakeDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST) return absl::OkStatus();
  const std::string why = std::strerror(errno);
  return absl::FailedPreconditionError(
      fmt::format("the state directory {} cannot be made: {}\nMake it, or name another one with "
                  "--state-dir",
                  directory, why));
}

}  // namespace

StatusOr<std::unique_ptr<StoreFile>> StoreFile::Open(const std::string& state_dir,
                                                     uint64_t bytes_max) {
  MELTEMI_RETURN_IF_ERROR(MakeDirectory(state_dir));
  std::unique_ptr<StoreFile> file(new StoreFile(state_dir));
  MELTEMI_RETURN_IF_ERROR(file->Lock());
  if (const Status status = file->Prepare(bytes_max); !status.ok()) return file->Explain(status);
  return file;
}

Status StoreFile::Lock() {
  const std::string path = directory_ + "/store.lock";
  lock_ = Fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) {
    return absl::FailedPreconditionError(
        fmt::format("{} cannot be opened: {}\nMake the directory writable for this user, or name "
                    "another one with --state-dir",
                    path, std::strerror(errno)));
  }
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    char holder[24] = {};
    const ssize_t got = pread(lock_.get(), holder, sizeof holder - 1, 0);
    return absl::FailedPreconditionError(
        fmt::format("another meltemid (process {}) uses the state directory {}\nStop it (meltemi "
                    "down), or name another one with --state-dir",
                    got > 0 ? holder : "unknown", directory_));
  }
  const std::string process = std::to_string(getpid());
  if (ftruncate(lock_.get(), 0) != 0 ||
      pwrite(lock_.get(), process.data(), process.size(), 0) < 0) {
    // The number only makes the message above better.
  }
  return absl::OkStatus();
}

Status StoreFile::Prepare(uint64_t bytes_max) {
  // Secrets are inside: the file is made with its mode before SQLite sees it; SQLite gives the same
  // mode to the log beside it.
  const Fd file(open(path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return absl::ErrnoToStatus(errno, "opening it");
  MELTEMI_ASSIGN_OR_RETURN(database_, Database::Open(path()));
  MELTEMI_RETURN_IF_ERROR(database_->Execute(kSettings));
  MELTEMI_RETURN_IF_ERROR(CheckIntegrity());
  MELTEMI_RETURN_IF_ERROR(CheckLayout());
  MELTEMI_ASSIGN_OR_RETURN(Statement page_size, database_->Prepare("PRAGMA page_size"));
  MELTEMI_RETURN_IF_ERROR(page_size.Step().status());
  const auto page_bytes = static_cast<uint64_t>(page_size.Number(0));
  return database_->Execute(fmt::format("PRAGMA max_page_count={}", bytes_max / page_bytes));
}

Status StoreFile::CheckIntegrity() {
  MELTEMI_ASSIGN_OR_RETURN(Statement check, database_->Prepare("PRAGMA quick_check(1)"));
  MELTEMI_RETURN_IF_ERROR(check.Step().status());
  if (check.Text(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(ToAbsl(check.Text(0)));
}

Status StoreFile::CheckLayout() {
  MELTEMI_ASSIGN_OR_RETURN(
      Statement tables,
      database_->Prepare("SELECT count(*), sum(name IN ('meta', 'objects')) FROM sqlite_schema "
                         "WHERE type = 'table'"));
  MELTEMI_RETURN_IF_ERROR(tables.Step().status());
  if (tables.Number(0) == 0) {
    const Status made = database_->Execute(
        fmt::format("BEGIN;{}INSERT INTO meta VALUES('layout', {}), ('version', 0);COMMIT", kTables,
                    kStoreLayout));
    if (!made.ok()) database_->Rollback();
    return made;
  }
  if (tables.Number(1) != 2) {
    return absl::FailedPreconditionError("has no layout that this meltemid knows");
  }
  MELTEMI_ASSIGN_OR_RETURN(const int64_t layout, ReadMeta("layout", -1));
  if (layout == kStoreLayout) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("has layout {}, and this meltemid reads layout {}", layout, kStoreLayout));
}

StatusOr<int64_t> StoreFile::ReadMeta(std::string_view key, int64_t otherwise) {
  MELTEMI_ASSIGN_OR_RETURN(Statement select,
                           database_->Prepare("SELECT value FROM meta WHERE key = ?"));
  MELTEMI_ASSIGN_OR_RETURN(const bool has_row, select.Bind(1, key).Step());
  return has_row ? select.Number(0) : otherwise;
}

StatusOr<StoreFile::Content> StoreFile::Read() {
  Content content;
  MELTEMI_ASSIGN_OR_RETURN(const int64_t version, ReadMeta("version", 0));
  content.version = static_cast<uint64_t>(version);
  MELTEMI_ASSIGN_OR_RETURN(
      Statement rows, database_->Prepare("SELECT document, kind, namespace, name FROM objects"));
  while (true) {
    const auto has_row = rows.Step();
    if (!has_row.ok()) return Explain(has_row.status());
    if (!*has_row) return content;
    json document = json::parse(rows.Text(0), nullptr, /*allow_exceptions=*/false);
    const std::string what = fmt::format("{} {}/{}", rows.Text(1), rows.Text(2), rows.Text(3));
    if (document.is_discarded()) return Explain(absl::DataLossError(what + " is not JSON"));
    auto object = config::DecodeObject(std::move(document), std::string(rows.Text(2)));
    if (!object.ok()) {
      // Serving without it would drop a policy unseen.
      return Explain(absl::FailedPreconditionError(fmt::format(
          "holds {}, which this meltemid cannot read ({})", what, Message(object.status()))));
    }
    content.objects.push_back(*std::move(object));
  }
}

Status StoreFile::Append(const std::vector<Event>& batch) {
  Status status = database_->Execute("BEGIN IMMEDIATE");
  if (status.ok()) status = Write(batch);
  if (status.ok()) status = database_->Execute("COMMIT");
  if (status.ok()) return status;
  database_->Rollback();
  return Explain(status);
}

Status StoreFile::Write(const std::vector<Event>& batch) {
  MELTEMI_ASSIGN_OR_RETURN(
      Statement put,
      database_->Prepare("INSERT INTO objects(api_group, kind, namespace, name, document) "
                         "VALUES(?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                         "document = excluded.document"));
  MELTEMI_ASSIGN_OR_RETURN(Statement drop,
                           database_->Prepare("DELETE FROM objects WHERE api_group = ? AND "
                                              "kind = ? AND namespace = ? AND name = ?"));
  for (const Event& event : batch) {
    const config::Object& object = *event.object;
    Statement& statement = event.type == EventType::kDeleted ? drop : put;
    statement.Bind(1, object.kind->group).Bind(2, object.kind->kind);
    statement.Bind(3, object.meta.ns).Bind(4, object.meta.name);
    std::string text;
    if (event.type != EventType::kDeleted) {
      text = object.document->dump(-1, ' ', false, json::error_handler_t::replace);
      statement.Bind(5, text);
    }
    MELTEMI_RETURN_IF_ERROR(statement.Run());
  }
  MELTEMI_ASSIGN_OR_RETURN(Statement count,
                           database_->Prepare("UPDATE meta SET value = ? WHERE key = 'version'"));
  return count.Bind(1, static_cast<int64_t>(batch.back().version)).Run();
}

Status StoreFile::Explain(const Status& status) const {
  const std::string_view message = Message(status);
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return absl::ResourceExhaustedError(
          fmt::format("{} could not be written, and nothing was: {}\nMake room on the disk of {} "
                      "and try again",
                      path(), message, directory_));
    case absl::StatusCode::kDataLoss:
      return absl::DataLossError(
          fmt::format("{} is damaged: {}\nPut back a copy of it, or move {} away to begin with an "
                      "empty store",
                      path(), message, directory_));
    case absl::StatusCode::kFailedPrecondition:
      return absl::FailedPreconditionError(
          fmt::format("{} {}\nUse the meltemid that wrote it, or move {} away to begin with an "
                      "empty store",
                      path(), message, directory_));
    case absl::StatusCode::kPermissionDenied:
      return absl::FailedPreconditionError(
          fmt::format("{} cannot be opened: {}\nMake it and its directory writable for this user, "
                      "or name another one with --state-dir",
                      path(), message));
    default:
      return Status(status.code(), ToAbsl(fmt::format("{}: {}\nSee whether the disk of {} is well",
                                                      path(), message, directory_)));
  }
}

}  // namespace meltemi::galley
