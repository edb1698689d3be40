#include "datasets/database.h"

#include <sqlite3.h>

#include <cassert>
#include <stdexcept>

namespace sluice::datasets {

namespace {

std::string quoted(std::string_view name) {
  std::string result = "\"";
  for (const char character : name) {
    result += character;
    if (character == '"') result += '"';
  }
  return result + '"';
}

std::string message_of(sqlite3* database) {
  return database == nullptr ? "out of memory" : sqlite3_errmsg(database);
}

DatabaseHandle open_handle(const std::filesystem::path& path, int flags) {
  sqlite3* raw = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  DatabaseHandle handle(raw);  // SQLite hands one out even when it fails
  if (status != SQLITE_OK) {
    throw std::runtime_error("cannot open " + path.string() + ": " + message_of(raw));
  }
  return handle;
}

}  // namespace

void CloseDatabase::operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }

void FinalizeStatement::operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }

Database Database::create(const std::filesystem::path& path) {
  Database database(open_handle(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  // Everything a build of SQLite may choose for itself and that shows in the file is set here.
  database.run(R"sql(
    PRAGMA page_size = 4096;
    PRAGMA encoding = 'UTF-8';
    PRAGMA auto_vacuum = NONE;
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA secure_delete = OFF;
    PRAGMA foreign_keys = OFF;
    PRAGMA cache_size = -65536;
  )sql");
  return database;
}

Database Database::open(const std::filesystem::path& path) {
  return Database(open_handle(path, SQLITE_OPEN_READONLY));
}

void Database::run(const std::string& script) {
  if (sqlite3_exec(handle_.get(), script.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw std::runtime_error(message_of(handle_.get()));
  }
}

StatementHandle Database::prepare(const std::string& sql) const {
  sqlite3_stmt* raw = nullptr;
  const int status = sqlite3_prepare_v2(handle_.get(), sql.c_str(), -1, &raw, nullptr);
  StatementHandle statement(raw);
  if (status != SQLITE_OK) {
    throw std::runtime_error(message_of(handle_.get()) + " in: " + sql);
  }
  return statement;
}

std::int64_t Database::integer(const std::string& query) const {
  const StatementHandle statement = prepare(query);
  if (sqlite3_step(statement.get()) != SQLITE_ROW) {
    throw std::runtime_error("no row from: " + query);
  }
  return sqlite3_column_int64(statement.get(), 0);
}

std::vector<std::string> Database::texts(const std::string& query) const {
  const StatementHandle statement = prepare(query);
  std::vector<std::string> result;
  int status;
  while ((status = sqlite3_step(statement.get())) == SQLITE_ROW) {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement.get(), 0));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), 0));
    result.emplace_back(bytes == nullptr ? "" : std::string(bytes, size));
  }
  if (status != SQLITE_DONE) {
    throw std::runtime_error(message_of(handle_.get()) + " in: " + query);
  }
  return result;
}

Insert::Insert(const Database& database, std::string_view table) : table_(table) {
  columns_ = database.texts("PRAGMA table_info(" + quoted(table) + ")").size();
  std::string sql = "INSERT INTO " + quoted(table) + " VALUES (";
  for (std::size_t column = 0; column < columns_; ++column) {
    sql += column == 0 ? "?" : ",?";
  }
  statement_ = database.prepare(sql + ")");
}

void Insert::row(std::span<const Value> values) {
  assert(values.size() == columns_);
  sqlite3_stmt* statement = statement_.get();
  int index = 0;
  int status = SQLITE_OK;
  for (const Value& value : values) {
    ++index;
    // SQLITE_STATIC: the values live until this function has stepped the statement.
    if (const auto* number = std::get_if<std::int64_t>(&value.held_)) {
      status |= sqlite3_bind_int64(statement, index, *number);
    } else if (const auto* real = std::get_if<double>(&value.held_)) {
      status |= sqlite3_bind_double(statement, index, *real);
    } else if (const auto* text = std::get_if<std::string_view>(&value.held_)) {
      status |= sqlite3_bind_text64(statement, index, text->data() == nullptr ? "" : text->data(),
                                    text->size(), SQLITE_STATIC, SQLITE_UTF8);
    } else if (const auto* bytes = std::get_if<std::span<const std::byte>>(&value.held_)) {
      // A null pointer would bind NULL; an empty blob is something else.
      status |= bytes->empty()
                    ? sqlite3_bind_zeroblob(statement, index, 0)
                    : sqlite3_bind_blob64(statement, index, bytes->data(), bytes->size(), SQLITE_STATIC);
    } else {
      status |= sqlite3_bind_null(statement, index);
    }
  }
  const int stepped = status == SQLITE_OK ? sqlite3_step(statement) : status;
  if (stepped != SQLITE_DONE) {
    const std::string message = message_of(sqlite3_db_handle(statement));
    sqlite3_reset(statement);
    throw std::runtime_error("cannot insert into " + table_ + ": " + message);
  }
  sqlite3_reset(statement);
}

}  // namespace sluice::datasets
