// SPDX-License-Identifier: Apache-2.0
#include "galley/store/sqlite.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "lib/base/check.h"

namespace meltemi::galley {

Status SqliteError(sqlite3* database, int code) {
  const std::string message = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  switch (code & 0xff) {  // the primary code of an extended one
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return absl::OkStatus();
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(message);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return absl::PermissionDeniedError(message);
    case SQLITE_IOERR: {
      const int error = database != nullptr ? sqlite3_system_errno(database) : 0;
      // A quota or a file-size limit is a full disk to the user.
      if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        return absl::ResourceExhaustedError(message);
      }
      return absl::InternalError(message);
    }
    default:
      return absl::InternalError(message);
  }
}

Statement::Statement(Statement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)) {}

Statement::~Statement() {
  sqlite3_finalize(statement_);
}

Statement& Statement::Bind(int position, std::string_view text) {
  MELTEMI_CHECK(sqlite3_bind_text64(statement_, position, text.data(), text.size(), SQLITE_STATIC,
                                    SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(int position, int64_t number) {
  MELTEMI_CHECK(sqlite3_bind_int64(statement_, position, number) == SQLITE_OK);
  return *this;
}

StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteError(sqlite3_db_handle(statement_), code);
}

Status Statement::Run() {
  const auto stepped = Step();
  sqlite3_reset(statement_);
  return stepped.status();
}

std::string_view Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

int64_t Statement::Number(int column) const {
  return sqlite3_column_int64(statement_, column);
}

StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  std::unique_ptr<Database> database(new Database(handle));
  MELTEMI_RETURN_IF_ERROR(SqliteError(handle, code));
  sqlite3_extended_result_codes(handle, 1);
  return database;
}

Database::~Database() {
  sqlite3_close(database_);
}

Status Database::Execute(const std::string& sql) {
  return SqliteError(database_, sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr));
}

StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) return SqliteError(database_, code);
  return Statement(statement);
}

void Database::Rollback() {
  if (sqlite3_get_autocommit(database_) == 0) (void)Execute("ROLLBACK");
}

}  // namespace meltemi::galley
