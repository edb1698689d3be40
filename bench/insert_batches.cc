#include "bench/insert_batches.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <memory>
#include <stdexcept>

#include "bench/bare_scan.h"
#include "bench/floor_session.h"
#include "engine/model/quote.h"

namespace sluice::bench {
namespace {

struct FreeText {
  void operator()(char* text) const noexcept { PQfreemem(text); }
};

void append_value(std::string& sql, sqlite3_stmt* row, int column, pg_conn* session) {
  if (sqlite3_column_type(row, column) == SQLITE_NULL) {
    sql += "NULL";
    return;
  }
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
  const std::unique_ptr<char, FreeText> literal(
      PQescapeLiteral(session, text, static_cast<std::size_t>(sqlite3_column_bytes(row, column))));
  if (!literal) fail(session);
  sql += literal.get();
}

}  // namespace

void insert_in_batches(const std::filesystem::path& file, const std::string& conninfo,
                       const std::string& table, const std::string& quoted_target, std::size_t batch) {
  const File source = open_file(file);
  const Session session = connect(conninfo);
  sqlite3_stmt* raw = nullptr;
  const std::string select = "SELECT * FROM " + quote_identifier(table);
  if (sqlite3_prepare_v2(source.get(), select.c_str(), -1, &raw, nullptr) != SQLITE_OK)
    throw std::runtime_error(sqlite3_errmsg(source.get()));
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> rows(raw, sqlite3_finalize);
  command(session.get(), "BEGIN");
  std::string sql;
  std::size_t collected = 0;
  const auto send = [&] {
    if (collected > 0) command(session.get(), sql);
    sql = "INSERT INTO " + quoted_target + " VALUES ";
    collected = 0;
  };
  send();
  int code = 0;
  while ((code = sqlite3_step(raw)) == SQLITE_ROW) {
    sql += collected == 0 ? "(" : ", (";
    for (int column = 0; column < sqlite3_column_count(raw); ++column) {
      if (column > 0) sql += ", ";
      append_value(sql, raw, column, session.get());
    }
    sql += ")";
    if (++collected == batch) send();
  }
  if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(source.get()));
  send();
  command(session.get(), "COMMIT");
}

}  // namespace sluice::bench
