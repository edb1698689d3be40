#pragma once
// How an application script moves a table: SELECT from SQLite, INSERT of many rows at a time into PostgreSQL,
// values as text, one connection, one transaction. A contestant, not a floor.

#include <cstddef>
#include <filesystem>
#include <string>

namespace sluice::bench {

// Throws std::runtime_error with what either side said.
void insert_in_batches(const std::filesystem::path& file, const std::string& conninfo,
                       const std::string& table, const std::string& quoted_target, std::size_t batch);

}  // namespace sluice::bench
