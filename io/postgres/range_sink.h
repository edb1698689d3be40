#pragma once
// The Sink that writes to PostgreSQL: claims a range in the ledger, encodes and hashes its rows while
// they are hot, sends them by COPY, and commits them together with the ledger row.
//
// One transaction per range:
//   BEGIN; claim the work row (its lock is the lease, and dies with the session); COPY; UPDATE the work
//   row, which must touch exactly one row that was not done; COMMIT
// A table that is one range and that the run created gets a new file in between (TRUNCATE) and COPY FREEZE.

#include <memory>
#include <string>

#include "engine/model/load.h"
#include "io/postgres/connection.h"

namespace sluice {

struct RangeSinkOptions {
  // Wire bytes collected before they are sent. Larger amortises calls into libpq; beyond the second-level
  // cache the digest pass starts to pay for memory instead.
  std::size_t send_bytes = std::size_t{128} << 10;

  // Bytes of reject records held back while the COPY of the data has the connection. When full, the COPY
  // is ended, they are stored, and a new COPY begins in the same transaction.
  std::size_t reject_bytes_max = std::size_t{1} << 20;

  // Also sums the server's own hashes of the rows, for a verification in which no row travels. It costs the
  // load a second hash of every row.
  bool server_sums = false;
};

// The connection is borrowed and must outlive the sink and its writers.
std::unique_ptr<Sink> make_range_sink(Connection& connection, std::string run_id,
                                      RangeSinkOptions options = {});

}  // namespace sluice
