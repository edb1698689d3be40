#pragma once
// How far a run is and who is at it, as any session can see it: sums of the ledger, and what the server shows
// of other sessions. SELECT on the tables of schema sluice is enough. What only the sessions' own role or
// pg_read_all_stats may see (how far a COPY or an index is) is left out where it is not shown.
//
// Whoever works on a range or a step holds the run's advisory lock, shared, until the transaction ends: see
// share_run(). pg_locks shows that to everybody, whatever application_name the target's address sets and
// whatever pooler is in between, and so it does the lock on the table that says what is being done to it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/range.h"
#include "io/postgres/connection.h"

namespace sluice {

struct TableProgress {
  TableId table{};
  std::size_t ranges = 0;
  std::size_t ranges_done = 0;
  std::size_t ranges_in_flight = 0;  // claimed by a session; of the rest
  std::uint64_t rows_loaded = 0;     // committed, as all that follows
  std::uint64_t rows_rejected = 0;
  std::uint64_t bytes = 0;  // COPY payload
  double seconds = 0;       // of all lanes together

  [[nodiscard]] std::size_t ranges_left() const { return ranges - ranges_done - ranges_in_flight; }
};

enum class SessionWork : std::uint8_t {
  load,       // of a range
  index,      // makes one
  step,       // another step after the load, or the beginning of a range
  read_back,  // compares
};
std::string_view name_of(SessionWork work);

struct WorkingSession {
  std::int64_t pid = 0;
  std::string application;  // what it calls itself
  std::string user;
  SessionWork work = SessionWork::step;
  std::optional<TableId> table;
  // As far as the server shows them; of a load.
  std::optional<std::uint64_t> rows;
  std::optional<std::uint64_t> bytes;
  // Of an index: what the server is at, and how much of that is done, 0 to 1.
  std::string phase;
  std::optional<double> fraction;
  std::vector<std::int64_t> waits_for;  // sessions that hold a lock it waits for
};

// What was committed lately, by all processes.
struct Pace {
  double seconds = 0;  // that it is measured over, at most a minute
  double rows_per_second = 0;
  double bytes_per_second = 0;
};

struct RunActivity {
  std::vector<TableProgress> tables;  // in the order of their numbers
  std::vector<WorkingSession> sessions;
  // Sessions of sluice in this database that are at nothing of this run: between two transactions of it, or
  // at something else.
  std::size_t sessions_elsewhere = 0;
  std::optional<Pace> pace;  // nothing when no session loads and no range was finished in the last minute
};

// One transaction reads all of it, which may be the caller's.
RunActivity read_activity(Connection& connection, const std::string& run_id);

// Until the last range is committed, if ranges go on as they did: the bytes of those that are left are taken
// for the mean of their table's. Nothing when no session loads, or too little is known.
std::optional<double> seconds_to_load(const RunActivity& activity);

}  // namespace sluice
