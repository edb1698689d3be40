#pragma once
// How big a table will be in PostgreSQL, and how long it will take. Arithmetic on the profile: nothing is
// tried.
//
// Size: rows of a 24-byte header (more with many nullable columns), aligned columns and a 4-byte line pointer
// on pages of 8 kB; b-tree entries of 8 bytes, aligned keys and a line pointer, 90 % full. Rows above 2 kB
// move their long values out of line, often compressed, and equal keys share entries: nobody knows by how
// much before, hence a range. tests/pg/inspect_test.cc holds it against pg_total_relation_size.
//
// Time: profile, load, indexes and verification as measured on two cores shared with the server, two
// connections, a Unix socket and a warm cache. Another machine is another number; the range says so.

#include <cstdint>

#include "engine/model/facts.h"
#include "engine/model/plan.h"

namespace sluice {

struct Estimate {
  double low = 0;
  double likely = 0;
  double high = 0;
};

struct TableEstimate {
  Estimate bytes;            // the table, what is out of line, and its indexes
  double payload_bytes = 0;  // of COPY
  double index_entries = 0;
};

// `facts` as in SourceTable::columns. `source_bytes`: of the table's leaf pages, for columns that were not
// examined.
TableEstimate estimate_table(const MigrationPlan& plan, const TablePlan& table, const TableFacts& facts,
                             std::uint64_t source_bytes);

// Seconds for tables of which these are the sums.
Estimate estimate_seconds(std::size_t tables, double rows, double payload_bytes, double index_entries,
                          std::size_t jobs);

}  // namespace sluice
