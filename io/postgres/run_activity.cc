#include "io/postgres/run_activity.h"

#include <algorithm>
#include <charconv>

namespace sluice {
namespace {

std::vector<TableProgress> read_tables(Connection& connection, const std::string& run_id) {
  const Result result = connection.execute(
      "SELECT t.table_no, count(w.range_no), count(*) FILTER (WHERE w.done), coalesce(sum(w.rows_loaded), "
      "0), "
      "coalesce(sum(w.rows_rejected), 0), coalesce(sum(w.bytes), 0), coalesce(sum(w.seconds), 0) "
      "FROM sluice.run_table t LEFT JOIN sluice.work w USING (run_id, table_no) WHERE run_id = $1 "
      "GROUP BY t.table_no ORDER BY t.table_no",
      {run_id});
  std::vector<TableProgress> tables;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    TableProgress& table = tables.emplace_back();
    table.table = static_cast<TableId>(result.integer(row, 0));
    table.ranges = static_cast<std::size_t>(result.integer(row, 1));
    table.ranges_done = static_cast<std::size_t>(result.integer(row, 2));
    table.rows_loaded = static_cast<std::uint64_t>(result.integer(row, 3));
    table.rows_rejected = static_cast<std::uint64_t>(result.integer(row, 4));
    table.bytes = static_cast<std::uint64_t>(result.integer(row, 5));
    table.seconds = result.real(row, 6);
  }
  return tables;
}

// By their locks: a COPY takes ROW EXCLUSIVE on its table, CREATE INDEX takes SHARE, and who reads takes
// ACCESS SHARE alone. Workers of a parallel query or build belong to their leader.
constexpr const char* kSessions = R"sql(
WITH own AS (
  SELECT oid AS database FROM pg_database WHERE datname = current_database()
), holder AS (
  SELECT DISTINCT pid FROM pg_locks, own
  WHERE locktype = 'advisory' AND pg_locks.database = own.database AND objsubid = 1 AND granted AND
    (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)
), member AS (
  SELECT c.oid AS relation, t.table_no FROM sluice.run r JOIN sluice.run_table t USING (run_id)
  JOIN pg_namespace n ON n.nspname = r.target_schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.target
  WHERE r.run_id::text = $1
), held AS (
  SELECT pid, min(table_no) AS any_table,
    min(table_no) FILTER (WHERE mode = 'RowExclusiveLock') AS loads,
    min(table_no) FILTER (WHERE mode = 'ShareLock') AS indexes,
    bool_and(mode = 'AccessShareLock') AS reads
  FROM pg_locks JOIN member USING (relation), own
  WHERE locktype = 'relation' AND pg_locks.database = own.database GROUP BY pid
)
SELECT a.pid, a.application_name, coalesce(a.usename, ''), h.pid IS NOT NULL,
  CASE WHEN h.pid IS NOT NULL OR held.reads THEN held.any_table END, held.loads, held.indexes, c.tuples_processed, c.bytes_processed, coalesce(i.phase, ''),
  CASE WHEN i.blocks_total > 0 THEN i.blocks_done::float8 / i.blocks_total
    WHEN i.tuples_total > 0 THEN i.tuples_done::float8 / i.tuples_total END,
  CASE WHEN EXISTS (SELECT 1 FROM pg_locks w WHERE w.pid = a.pid AND NOT w.granted)
    THEN array_to_string(pg_blocking_pids(a.pid), ' ') ELSE '' END
FROM pg_stat_activity a
LEFT JOIN holder h USING (pid)
LEFT JOIN held USING (pid)
LEFT JOIN pg_stat_progress_copy c ON c.pid = a.pid AND c.command = 'COPY FROM'
LEFT JOIN pg_stat_progress_create_index i ON i.pid = a.pid
WHERE a.pid <> pg_backend_pid() AND a.leader_pid IS NULL AND
  (h.pid IS NOT NULL OR (a.application_name = 'sluice' AND a.datname = current_database()))
ORDER BY a.pid
)sql";

std::vector<std::int64_t> numbers_of(const std::string& list) {
  std::vector<std::int64_t> numbers;
  const char* const end = list.data() + list.size();
  for (const char* at = list.data(); at != end;) {
    std::int64_t number = 0;
    const auto [rest, status] = std::from_chars(at, end, number);
    if (status != std::errc{}) break;
    numbers.push_back(number);
    at = rest == end ? end : rest + 1;
  }
  return numbers;
}

void read_sessions(Connection& connection, const std::string& run_id, RunActivity& activity) {
  const Result result = connection.execute(kSessions, {run_id});
  const auto table_of = [&](std::size_t row, std::size_t column) {
    return result.is_null(row, column) ? std::nullopt
                                       : std::optional(static_cast<TableId>(result.integer(row, column)));
  };
  const auto count_of = [&](std::size_t row, std::size_t column) {
    return result.is_null(row, column)
               ? std::nullopt
               : std::optional(static_cast<std::uint64_t>(result.integer(row, column)));
  };
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const bool holds = result.boolean(row, 3);
    const std::optional<TableId> any_table = table_of(row, 4);
    if (!holds && !any_table) {
      ++activity.sessions_elsewhere;
      continue;
    }
    WorkingSession session;
    session.pid = result.integer(row, 0);
    session.application = result.text(row, 1);
    session.user = result.text(row, 2);
    session.waits_for = numbers_of(result.text(row, 11));
    session.table = any_table;
    const std::optional<TableId> loads = table_of(row, 5);
    const std::optional<TableId> indexes = table_of(row, 6);
    if (!holds) {
      session.work = SessionWork::read_back;
    } else if (loads) {
      session.work = SessionWork::load;
      session.table = loads;
      session.rows = count_of(row, 7);
      session.bytes = count_of(row, 8);
    } else if (indexes) {
      session.work = SessionWork::index;
      session.table = indexes;
      session.phase = result.text(row, 9);
      if (!result.is_null(row, 10)) session.fraction = result.real(row, 10);
    }
    activity.sessions.push_back(std::move(session));
  }
}

std::size_t loading_sessions(const RunActivity& activity) {
  return static_cast<std::size_t>(
      std::count_if(activity.sessions.begin(), activity.sessions.end(),
                    [](const WorkingSession& session) { return session.work == SessionWork::load; }));
}

std::optional<Pace> read_pace(Connection& connection, const std::string& run_id,
                              const RunActivity& activity) {
  // Since the first of these ranges began, or a minute ago. By the server's clock, as the times of the
  // ledger.
  const Result result = connection.execute(
      "SELECT sum(rows_read), sum(bytes), extract(epoch FROM clock_timestamp() - "
      "greatest(min(done_at - seconds * interval '1 second'), clock_timestamp() - interval '1 minute')) "
      "FROM sluice.work WHERE run_id = $1 AND done AND done_at > clock_timestamp() - interval '1 minute'",
      {run_id});
  if (!result.is_null(0, 2) && result.real(0, 2) > 0) {
    const double seconds = result.real(0, 2);
    return Pace{seconds, result.real(0, 0) / seconds, result.real(0, 1) / seconds};
  }
  // Long ranges: what a lane has done so far, times the lanes of now.
  const auto lanes = static_cast<double>(loading_sessions(activity));
  double seconds = 0;
  Pace pace;
  for (const TableProgress& table : activity.tables) {
    seconds += table.seconds;
    pace.rows_per_second += static_cast<double>(table.rows_loaded + table.rows_rejected);
    pace.bytes_per_second += static_cast<double>(table.bytes);
  }
  if (seconds <= 0 || lanes <= 0) return std::nullopt;
  pace.seconds = seconds / lanes;
  pace.rows_per_second /= pace.seconds;
  pace.bytes_per_second /= pace.seconds;
  return pace;
}

}  // namespace

std::string_view name_of(SessionWork work) {
  switch (work) {
    case SessionWork::load:
      return "load";
    case SessionWork::index:
      return "index";
    case SessionWork::read_back:
      return "read_back";
    case SessionWork::step:
      break;
  }
  return "step";
}

RunActivity read_activity(Connection& connection, const std::string& run_id) {
  const ReadScope scope(connection);
  RunActivity activity;
  activity.tables = read_tables(connection, run_id);
  read_sessions(connection, run_id, activity);
  for (const WorkingSession& session : activity.sessions) {
    if (session.work != SessionWork::load) continue;
    for (TableProgress& table : activity.tables) {
      // The sessions were looked at after the ledger: a range may have been finished in between.
      if (table.table == *session.table && table.ranges_left() > 0) ++table.ranges_in_flight;
    }
  }
  activity.pace = read_pace(connection, run_id, activity);
  return activity;
}

std::optional<double> seconds_to_load(const RunActivity& activity) {
  std::size_t done = 0;
  double bytes = 0;
  for (const TableProgress& table : activity.tables) {
    done += table.ranges_done;
    bytes += static_cast<double>(table.bytes);
  }
  if (done == 0 || loading_sessions(activity) == 0 || !activity.pace ||
      activity.pace->bytes_per_second <= 0) {
    return std::nullopt;
  }
  double left = 0;
  for (const TableProgress& table : activity.tables) {
    const double mean = table.ranges_done == 0
                            ? bytes / static_cast<double>(done)
                            : static_cast<double>(table.bytes) / static_cast<double>(table.ranges_done);
    left += mean * static_cast<double>(table.ranges - table.ranges_done);
  }
  for (const WorkingSession& session : activity.sessions) {
    if (session.work == SessionWork::load) left -= static_cast<double>(session.bytes.value_or(0));
  }
  return std::max(left, 0.0) / activity.pace->bytes_per_second;
}

}  // namespace sluice
