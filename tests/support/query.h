#pragma once
// Asking the server directly, in one line per question. Each call makes its own connection: a test must
// not see what the code under test has not committed, nor share its session settings.

#include <optional>
#include <string>
#include <vector>

namespace sluice::testing {

using QueryRow = std::vector<std::optional<std::string>>;  // nullopt is NULL

// All rows of the last statement in `sql`. Throws std::runtime_error with the server's message, which
// contains the SQLSTATE.
std::vector<QueryRow> query(const std::string& conninfo, const std::string& sql);

// The first column of the only row; "NULL" for NULL. Throws when there is not exactly one row.
std::string query_value(const std::string& conninfo, const std::string& sql);

// For statements without rows, or whose rows do not matter. Several statements run in one transaction.
void execute(const std::string& conninfo, const std::string& sql);

}  // namespace sluice::testing
