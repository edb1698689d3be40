#pragma once
// What the tests of io/sqlite share: a SQLite of their own to write with, plans without a planner.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/load.h"
#include "io/sqlite/catalog.h"
#include "io/sqlite/handle.h"
#include "io/sqlite/snapshot.h"
#include "support/temporary_directory.h"

namespace sluice::testing {

using Folder = TemporaryDirectory;

inline std::set<std::string> names_in(const Folder& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.insert(entry.path().filename());
  }
  return names;
}

// The application that owns the database: an ordinary connection, with none of our precautions.
class Writer {
 public:
  explicit Writer(const std::filesystem::path& path) {
    initialize_sqlite();
    sqlite3* raw = nullptr;
    const int code = sqlite3_open(path.c_str(), &raw);
    database_.reset(raw);
    EXPECT_EQ(code, SQLITE_OK);
    sqlite3_busy_timeout(raw, 10000);
  }

  [[nodiscard]] sqlite3* get() const { return database_.get(); }
  [[nodiscard]] int try_run(const std::string& sql) const {
    return sqlite3_exec(get(), sql.c_str(), nullptr, nullptr, nullptr);
  }
  void run(const std::string& sql) const {
    ASSERT_EQ(try_run(sql), SQLITE_OK) << sqlite3_errmsg(get()) << sql;
  }
  [[nodiscard]] std::int64_t integer(const std::string& sql) const {
    sqlite3_stmt* raw = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(get(), sql.c_str(), -1, &raw, nullptr), SQLITE_OK) << sqlite3_errmsg(get());
    const StatementHandle statement(raw);
    EXPECT_EQ(sqlite3_step(raw), SQLITE_ROW) << sql;
    return sqlite3_column_int64(raw, 0);
  }

 private:
  DatabaseHandle database_;
};

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void put_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline TablePlan plan_of(const SourceTable& table) {
  TablePlan plan;
  plan.source = table.name;
  for (const SourceColumn& column : table.columns) {
    ColumnPlan planned;
    planned.source = column.name;
    plan.columns.push_back(planned);
  }
  plan.rowid_name = table.rowid_name;
  plan.without_rowid = table.without_rowid;
  plan.key_columns = table.primary_key();
  plan.row_key = table.rowid_alias           ? RowKey::ordered_integer
                 : table.without_rowid       ? RowKey::columns
                 : !table.rowid_name.empty() ? RowKey::rowid
                                             : RowKey::none;
  return plan;
}

inline const SourceTable& table_named(const Catalog& catalog, const std::string& name) {
  for (const SourceTable& table : catalog.tables) {
    if (table.name == name) return table;
  }
  throw std::runtime_error("no table " + name);
}

// A database made by SQL, and a connection that has its state pinned.
class DatabaseTest : public ::testing::Test {
 protected:
  void make(const std::string& sql) {
    Writer(path()).run(sql);
    open();
  }
  // Anew, when called again.
  void open() {
    connection_.reset();
    connection_ = std::make_unique<SqliteConnection>(path(), Access::read);
    connection_->pin();
    catalog_ = read_catalog(*connection_);
    opened();
  }
  // For what a test keeps on the connection.
  virtual void opened() {}

  [[nodiscard]] std::filesystem::path path() const { return folder_ / "a.db"; }
  [[nodiscard]] TablePlan plan(const std::string& table) const {
    return plan_of(table_named(catalog_, table));
  }

  Folder folder_;
  std::unique_ptr<SqliteConnection> connection_;
  Catalog catalog_;
};

// Every extent that the outline allows.
inline std::vector<Extent> extents_of(const TableOutline& outline) {
  std::vector<Extent> extents;
  if (!outline.rowids.empty()) {
    RowidRange range;
    for (const std::int64_t rowid : outline.rowids) {
      range.last = rowid;
      extents.emplace_back(range);
      range.first = rowid + 1;
    }
    range.last = INT64_MAX;
    extents.emplace_back(range);
  } else if (!outline.key_tuples.empty()) {
    PrimaryKeyRange range;
    for (const auto& tuple : outline.key_tuples) {
      range.until = tuple;
      extents.emplace_back(range);
      range.from = tuple;
    }
    range.until.clear();
    extents.emplace_back(range);
  } else {
    extents.emplace_back(WholeTable{});
  }
  return extents;
}

// i5 r0.5 t'text' x'...' null, separated by blanks
inline std::string printed(Row row) {
  std::ostringstream out;
  for (const Cell& cell : row) {
    if (&cell != row.data()) out << ' ';
    switch (cell.storage()) {
      case StorageClass::null:
        out << "null";
        break;
      case StorageClass::integer:
        out << 'i' << cell.integer();
        break;
      case StorageClass::real:
        out << 'r' << cell.real();
        break;
      case StorageClass::text:
        out << 't' << cell.text();
        break;
      case StorageClass::blob:
        out << 'x';
        for (const std::byte byte : cell.bytes()) {
          out << "0123456789abcdef"[std::to_integer<int>(byte) >> 4]
              << "0123456789abcdef"[std::to_integer<int>(byte) & 15];
        }
        break;
    }
  }
  return out.str();
}

inline std::vector<std::string> rows_of(Source& source, const TablePlan& plan, const Extent& extent) {
  std::vector<std::string> rows;
  const auto scan = source.scan(plan, extent);
  while (const auto row = scan->next()) rows.push_back(printed(*row));
  return rows;
}

inline std::vector<std::string> rows_of(Snapshot& snapshot, const std::string& table,
                                        const Extent& extent = WholeTable{}) {
  return rows_of(snapshot.reader(0), plan_of(table_named(snapshot.catalog(), table)), extent);
}

// The error that opening a snapshot ends in; fails the test when there is none.
inline Error error_of(const std::filesystem::path& path) {
  try {
    const Snapshot snapshot(path, 1);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << path << " was opened";
  return Error(Fault::internal, "none");
}

}  // namespace sluice::testing
