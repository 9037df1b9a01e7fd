// SPDX-License-Identifier: Apache-2.0
// SQLite as owned handles and Statuses. One connection belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace meltemi::galley {

// A prepared statement; reset before each use. Must not outlive its database.
class Statement final {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) = delete;
  ~Statement();

  // Positions count from 1. The text must live until the statement was stepped.
  Statement& Bind(int position, std::string_view text);
  Statement& Bind(int position, int64_t number);
  // True = there is a row.
  StatusOr<bool> Step();
  // For statements without rows; leaves the statement ready for new values.
  Status Run();
  // Of the row: valid until the next step.
  std::string_view Text(int column) const;
  int64_t Number(int column) const;

 private:
  friend class Database;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  sqlite3_stmt* statement_;
};

class Database final {
 public:
  static StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  Status Execute(const std::string& sql);
  StatusOr<Statement> Prepare(std::string_view sql);
  // Ends a transaction that failed, whether or not SQLite did so by itself.
  void Rollback();

 private:
  explicit Database(sqlite3* database) : database_(database) {}
  sqlite3* database_;
};

// ResourceExhausted = full disk or page limit; DataLoss = damaged or not a database; Unavailable =
// locked by another; Internal = the rest.
Status SqliteError(sqlite3* database, int code);

}  // namespace meltemi::galley
