#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::datasets {

struct CloseDatabase {
  void operator()(sqlite3* database) const noexcept;
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept;
};
using DatabaseHandle = std::unique_ptr<sqlite3, CloseDatabase>;
using StatementHandle = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// One SQLite file, used by one thread. Every failure is a std::runtime_error with SQLite's message.
class Database {
 public:
  // A new file with 4096-byte pages, UTF-8, no journal and no syncing: a crash while it is written
  // leaves rubbish, so write to a name nobody reads yet. REQUIRES: the file does not exist.
  static Database create(const std::filesystem::path& path);

  // An existing file, read only.
  static Database open(const std::filesystem::path& path);

  // Runs every statement of a script and ignores what they return.
  void run(const std::string& script);

  // The first column of the first row. Throws if there is no row.
  std::int64_t integer(const std::string& query) const;

  // The first column of every row.
  std::vector<std::string> texts(const std::string& query) const;

 private:
  friend class Insert;
  explicit Database(DatabaseHandle handle) : handle_(std::move(handle)) {}
  StatementHandle prepare(const std::string& sql) const;

  DatabaseHandle handle_;
};

// One value to insert. Text and bytes are borrowed until the row has been inserted.
class Value {
 public:
  Value(std::nullptr_t) : held_(nullptr) {}
  template <std::integral Integer>
  Value(Integer value) : held_(static_cast<std::int64_t>(value)) {}
  Value(double value) : held_(value) {}
  Value(const char* value) : held_(std::string_view(value)) {}
  Value(std::string_view value) : held_(value) {}
  Value(const std::string& value) : held_(std::string_view(value)) {}
  Value(std::span<const std::byte> value) : held_(value) {}
  Value(const std::vector<std::byte>& value) : held_(std::span<const std::byte>(value)) {}
  template <typename Held>
  Value(const std::optional<Held>& value) : Value(value ? Value(*value) : Value(nullptr)) {}

 private:
  friend class Insert;
  std::variant<std::nullptr_t, std::int64_t, double, std::string_view, std::span<const std::byte>> held_;
};

// A prepared INSERT into all columns of one table. The database must outlive it.
class Insert {
 public:
  Insert(const Database& database, std::string_view table);

  // Inserts one row. The values come in braces on purpose: C++ evaluates those from left to right, so
  // values drawn from one Random come out the same whichever compiler built the program.
  // REQUIRES: as many values as the table has columns.
  void row(std::initializer_list<Value> values) {
    row(std::span<const Value>(values.begin(), values.size()));
  }
  void row(std::span<const Value> values);

 private:
  std::string table_;
  std::size_t columns_;
  StatementHandle statement_;
};

}  // namespace sluice::datasets
