#include "support/query.h"

#include <libpq-fe.h>

#include <memory>
#include <stdexcept>

namespace sluice::testing {
namespace {

struct Finish {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};

}  // namespace

std::vector<QueryRow> query(const std::string& conninfo, const std::string& sql) {
  const std::unique_ptr<PGconn, Finish> connection(PQconnectdb(conninfo.c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    throw std::runtime_error(PQerrorMessage(connection.get()));
  }
  PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);
  // Notices ("drop cascades to ...") would only litter the test log.
  PQsetNoticeProcessor(
      connection.get(), [](void*, const char*) {}, nullptr);

  const std::unique_ptr<PGresult, Clear> result(PQexec(connection.get(), sql.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) return {};
  if (status != PGRES_TUPLES_OK) {
    throw std::runtime_error(std::string(PQerrorMessage(connection.get())) + "in: " + sql);
  }
  std::vector<QueryRow> rows(static_cast<std::size_t>(PQntuples(result.get())));
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    QueryRow& cells = rows[static_cast<std::size_t>(row)];
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      if (PQgetisnull(result.get(), row, column) == 1) {
        cells.emplace_back();
      } else {
        cells.emplace_back(std::in_place, PQgetvalue(result.get(), row, column),
                           static_cast<std::size_t>(PQgetlength(result.get(), row, column)));
      }
    }
  }
  return rows;
}

std::string query_value(const std::string& conninfo, const std::string& sql) {
  const std::vector<QueryRow> rows = query(conninfo, sql);
  if (rows.size() != 1 || rows.front().empty()) {
    throw std::runtime_error("expected one value, got " + std::to_string(rows.size()) + " rows from: " + sql);
  }
  return rows.front().front().value_or("NULL");
}

void execute(const std::string& conninfo, const std::string& sql) { query(conninfo, sql); }

}  // namespace sluice::testing
