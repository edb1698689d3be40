#include "io/postgres/ledger.h"

#include <algorithm>
#include <array>

#include "engine/model/failpoint.h"
#include "engine/model/hex.h"
#include "engine/model/quote.h"
#include "io/postgres/copy_stream.h"
#include "io/wire/buffer.h"
#include "io/wire/row_encoder.h"
#include "io/wire/uuid.h"
#include "verify/leaves.h"

namespace sluice {
namespace {

// Raised when the tables below change shape. A ledger of a newer sluice is refused, not guessed at.
constexpr int kLedgerFormat = 3;

void refuse_newer_ledger(Connection& connection) {
  const Result formats = connection.execute("SELECT max(format) FROM sluice.run");
  if (formats.is_null(0, 0) || formats.integer(0, 0) <= kLedgerFormat) return;
  throw Error(Fault::target_refused, "the ledger was written by a newer sluice",
              "use that version; sluice verify --scan compares without the ledger");
}

constexpr const char* kTables = R"sql(
CREATE TABLE IF NOT EXISTS sluice.run (
  run_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  format integer NOT NULL,
  source text NOT NULL,
  fingerprint text NOT NULL,
  plan_hash text NOT NULL,
  target_schema text NOT NULL,
  state text NOT NULL,
  root text,
  sluice_version text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz);
CREATE TABLE IF NOT EXISTS sluice.run_table (
  run_id uuid NOT NULL REFERENCES sluice.run,
  table_no integer NOT NULL,
  source text NOT NULL,
  target text NOT NULL,
  created boolean NOT NULL,
  plan json,
  root text,
  PRIMARY KEY (run_id, table_no));
CREATE TABLE IF NOT EXISTS sluice.work (
  run_id uuid NOT NULL REFERENCES sluice.run,
  table_no integer NOT NULL,
  range_no integer NOT NULL,
  extent text NOT NULL,
  done boolean NOT NULL DEFAULT false,
  rows_read bigint,
  rows_loaded bigint,
  rows_rejected bigint,
  bytes bigint,
  seconds double precision,
  digest text,
  leaves bytea,
  server_sums bytea,
  xid bigint,
  done_at timestamptz,
  PRIMARY KEY (run_id, table_no, range_no));
CREATE TABLE IF NOT EXISTS sluice.step (
  run_id uuid NOT NULL REFERENCES sluice.run,
  step_no integer NOT NULL,
  phase text NOT NULL,
  kind text NOT NULL,
  table_name text NOT NULL,
  name text NOT NULL,
  sql text NOT NULL,
  done boolean NOT NULL DEFAULT false,
  created boolean,
  reason text,
  sqlstate text,
  done_at timestamptz,
  PRIMARY KEY (run_id, step_no));
CREATE TABLE IF NOT EXISTS sluice.failure (
  run_id uuid NOT NULL REFERENCES sluice.run,
  table_no integer NOT NULL,
  range_no integer NOT NULL,
  row_no bigint NOT NULL,
  record json NOT NULL);
CREATE TABLE IF NOT EXISTS sluice.repair (
  repair_id uuid NOT NULL,
  run_id uuid REFERENCES sluice.run,
  source text NOT NULL,
  target_schema text NOT NULL,
  target text NOT NULL,
  leaf bigint NOT NULL,
  rows_deleted bigint NOT NULL,
  rows_inserted bigint NOT NULL,
  repaired_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS sluice.file_column (
  target_schema text NOT NULL,
  target text NOT NULL,
  content text NOT NULL,
  path text NOT NULL,
  storage_type text NOT NULL,
  size text,
  sha256 text,
  media_type text,
  store text NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (target_schema, target, path, store));
)sql";

// From format 2.
constexpr const char* kUpgrade = R"sql(
ALTER TABLE sluice.run_table ADD COLUMN IF NOT EXISTS plan json, ADD COLUMN IF NOT EXISTS root text;
ALTER TABLE sluice.work ADD COLUMN IF NOT EXISTS server_sums bytea;
)sql";

constexpr std::array<std::string_view, 6> kStateNames = {"loading",  "loaded",    "verified",
                                                         "rejected", "different", "superseded"};

constexpr std::array<std::string_view, 5> kPhaseNames = {"index", "constraint", "validate", "finish", "view"};

// In front of the phase of a step that puts back what was taken out of the way of the load.
constexpr std::string_view kRebuild = "rebuild ";

StepPhase parse_phase(std::string_view name) {
  for (std::size_t i = 0; i < kPhaseNames.size(); ++i) {
    if (kPhaseNames[i] == name) return static_cast<StepPhase>(i);
  }
  throw Error(Fault::internal, "the ledger holds an unknown phase: " + std::string(name));
}

constexpr const char* kRunColumns =
    "run_id, source, fingerprint, plan_hash, target_schema, state, coalesce(root, ''), "
    "to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), "
    "coalesce(to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '')";

RunRecord run_of(const Result& result, std::size_t row) {
  return {result.text(row, 0), result.text(row, 1), result.text(row, 2),
          result.text(row, 3), result.text(row, 4), parse_run_state(result.text(row, 5)),
          result.text(row, 6), result.text(row, 7), result.text(row, 8)};
}

void put_text(Buffer& buffer, std::string_view text) {
  buffer.put_int32(static_cast<std::int32_t>(text.size()));
  buffer.append(text);
}

void put_int(Buffer& buffer, std::int32_t value) {
  buffer.put_int32(4);
  buffer.put_int32(value);
}

// From libpq's text form of bytea, \x616263.
std::string bytes_of_text(const std::string& text) {
  const std::optional<std::string> bytes =
      bytes_of_hex(std::string_view(text).substr(std::min<std::size_t>(text.size(), 2)));
  if (!bytes) throw Error(Fault::internal, "the ledger holds bytes that cannot be read");
  return *bytes;
}

}  // namespace

void append_run_id(Buffer& buffer, std::string_view run_id) {
  std::array<std::byte, 16> bytes;
  if (!parse_uuid(run_id, bytes)) throw Error(Fault::internal, "the ledger gave a run without a uuid");
  buffer.put_int32(static_cast<std::int32_t>(bytes.size()));
  buffer.append(std::span<const std::byte>(bytes));
}

std::string_view name_of(RunState state) { return kStateNames[static_cast<std::size_t>(state)]; }

RunState parse_run_state(std::string_view name) {
  for (std::size_t i = 0; i < kStateNames.size(); ++i) {
    if (kStateNames[i] == name) return static_cast<RunState>(i);
  }
  throw Error(Fault::target_refused, "the ledger holds an unknown state of a run: " + std::string(name),
              "it was written by a newer sluice; use that one");
}

bool ledger_exists(Connection& connection, LedgerUse use) {
  const ReadScope scope(connection);
  const bool reads = use == LedgerUse::read;
  const auto refuse = [&] {
    const std::string user = quote_identifier(connection.user());
    throw Error(Fault::target_refused,
                std::string("no privilege to ") + (reads ? "read" : "use") + " the ledger (schema sluice)",
                reads ? "run as its owner: GRANT USAGE ON SCHEMA sluice TO " + user +
                            "; GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO " + user +
                            " (sluice verify --scan does without the ledger)"
                      : "run as its owner: GRANT USAGE, CREATE ON SCHEMA sluice TO " + user +
                            "; GRANT ALL ON ALL TABLES IN SCHEMA sluice TO " + user);
  };
  const Result schema = connection.execute(
      "SELECT n.oid IS NOT NULL AND NOT has_schema_privilege(n.oid, 'USAGE') FROM (SELECT "
      "to_regnamespace('sluice')::oid AS oid) n");
  if (!schema.is_null(0, 0) && schema.boolean(0, 0)) refuse();
  if (!connection.execute("SELECT to_regclass('sluice.run') IS NOT NULL").boolean(0, 0)) return false;
  // What every reader of the ledger reads.
  const bool readable =
      !reads || connection
                    .execute(
                        "SELECT bool_and(has_table_privilege(to_regclass('sluice.' || name), 'SELECT')) FROM "
                        "unnest('{run,run_table,work}'::text[]) name")
                    .boolean(0, 0);
  if (!readable) refuse();
  return true;
}

bool ledger_is_readable(Connection& connection) {
  const ReadScope scope(connection);
  return connection
      .execute(
          "SELECT count(*) = 4 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname "
          "= "
          "'sluice' AND c.relname IN ('run', 'run_table', 'work', 'step') AND has_schema_privilege(n.oid, "
          "'USAGE') AND has_table_privilege(c.oid, 'SELECT')")
      .boolean(0, 0);
}

bool ledger_is_current(Connection& connection) {
  const ReadScope scope(connection);
  return ledger_exists(connection) && connection
                                          .execute(
                                              "SELECT to_regclass('sluice.repair') IS NOT NULL AND "
                                              "to_regclass('sluice.file_column') IS NOT NULL")
                                          .boolean(0, 0);
}

void install_ledger(Connection& connection) {
  if (!ledger_is_current(connection)) {
    // IF NOT EXISTS would ask for the CREATE privilege even where the schema is there already.
    if (!connection.execute("SELECT to_regnamespace('sluice') IS NOT NULL").boolean(0, 0)) {
      connection.execute("CREATE SCHEMA sluice");
    }
    connection.execute(std::string(kTables) + kUpgrade);
  }
  refuse_newer_ledger(connection);
}

std::vector<RunRecord> list_runs(Connection& connection) {
  const ReadScope scope(connection);
  refuse_newer_ledger(connection);
  const Result result =
      connection.execute(std::string("SELECT ") + kRunColumns + " FROM sluice.run ORDER BY started_at");
  std::vector<RunRecord> runs;
  for (std::size_t row = 0; row < result.rows(); ++row) runs.push_back(run_of(result, row));
  return runs;
}

std::string insert_run(Connection& connection, const RunRecord& run, const MigrationPlan& plan,
                       const std::vector<std::string>& table_plans, const std::vector<bool>& created,
                       const std::vector<Step>& rebuild, const std::string& version) {
  const Result inserted = connection.execute(
      "INSERT INTO sluice.run (format, source, fingerprint, plan_hash, target_schema, state, sluice_version) "
      "VALUES ($1, $2, $3, $4, $5, 'loading', $6) RETURNING run_id",
      {std::to_string(kLedgerFormat), run.source, run.fingerprint, run.plan_hash, run.schema, version});
  const std::string run_id = inserted.text(0, 0);

  // By COPY, since a large file has thousands of ranges.
  Buffer buffer;
  for (std::size_t i = 0; i < plan.tables.size(); ++i) {
    const TablePlan& table = plan.tables[i];
    buffer.put_int16(6);
    append_run_id(buffer, run_id);
    put_int(buffer, static_cast<std::int32_t>(table.id));
    put_text(buffer, table.source);
    put_text(buffer, table.target);
    buffer.put_int32(1);
    buffer.put_byte(created[i] ? std::byte{1} : std::byte{0});
    put_text(buffer, table_plans[i]);
  }
  CopyStream tables(
      connection,
      "COPY sluice.run_table (run_id, table_no, source, target, created, plan) FROM STDIN (FORMAT binary)");
  tables.write(buffer.span());
  static_cast<void>(tables.finish());

  buffer.clear();
  for (const TablePlan& table : plan.tables) {
    for (std::size_t number = 0; number < table.extents.size(); ++number) {
      buffer.put_int16(4);
      append_run_id(buffer, run_id);
      put_int(buffer, static_cast<std::int32_t>(table.id));
      put_int(buffer, static_cast<std::int32_t>(number));
      put_text(buffer, format_extent(table.extents[number]));
    }
  }
  CopyStream work(connection,
                  "COPY sluice.work (run_id, table_no, range_no, extent) FROM STDIN (FORMAT binary)");
  work.write(buffer.span());
  static_cast<void>(work.finish());

  buffer.clear();
  for (std::size_t number = 0; number < plan.steps.size() + rebuild.size(); ++number) {
    const bool planned = number < plan.steps.size();
    const Step& step = planned ? plan.steps[number] : rebuild[number - plan.steps.size()];
    buffer.put_int16(7);
    append_run_id(buffer, run_id);
    put_int(buffer, static_cast<std::int32_t>(number));
    put_text(buffer,
             std::string(planned ? "" : kRebuild).append(kPhaseNames[static_cast<std::size_t>(step.phase)]));
    put_text(buffer, step.object.kind);
    put_text(buffer, step.object.table);
    put_text(buffer, step.object.name);
    put_text(buffer, step.sql);
  }
  CopyStream steps(
      connection,
      "COPY sluice.step (run_id, step_no, phase, kind, table_name, name, sql) FROM STDIN (FORMAT binary)");
  steps.write(buffer.span());
  static_cast<void>(steps.finish());
  return run_id;
}

bool set_run_state(Connection& connection, const std::string& run_id, RunState state,
                   const std::string& root) {
  const std::string update =
      "UPDATE sluice.run SET state = $2, root = nullif($3, ''), "
      "finished_at = CASE WHEN $2 = 'loading' THEN NULL ELSE clock_timestamp() END "
      "WHERE run_id = $1 AND state <> 'superseded'";
  return connection.execute(update, {run_id, std::string(name_of(state)), root}).affected() == 1;
}

namespace {

[[noreturn]] void throw_lost_steps() {
  throw Error(Fault::commits_lost, "the server lost what was done after the load",
              "run the same command again to do it again");
}

}  // namespace

bool conclude_run(Connection& connection, const std::string& run_id, RunState state, const std::string& root,
                  const std::vector<std::string>& table_roots) {
  Transaction transaction(connection, "SET LOCAL synchronous_commit = on");
  refuse_lost_ranges(connection, run_id);
  const Result lost = connection.execute(
      "SELECT EXISTS (SELECT 1 FROM sluice.step WHERE run_id = $1 AND NOT done)", {run_id});
  if (lost.boolean(0, 0)) throw_lost_steps();
  failpoint("before conclude");
  const bool done = set_run_state(connection, run_id, state, root);
  for (std::size_t i = 0; done && i < table_roots.size(); ++i) {
    connection.execute("UPDATE sluice.run_table SET root = $3 WHERE run_id = $1 AND table_no = $2",
                       {run_id, std::to_string(i), table_roots[i]});
  }
  failpoint("after conclude");
  transaction.commit();
  return done;
}

// Advisory locks, because they queue: a row lock that is waited for does not hold back new sharers, and with
// several lanes there would always be one.
void lock_run(Connection& connection, const std::string& run_id) {
  connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", {run_id});
}

void share_run(Connection& connection, const std::string& run_id) {
  connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))", {run_id});
  // A statement of its own: its snapshot must be newer than the lock.
  const Result run = connection.execute("SELECT state FROM sluice.run WHERE run_id = $1", {run_id});
  if (run.rows() == 0) {
    throw Error(Fault::target_refused, "the ledger has lost this run",
                "load again from the beginning with --restart");
  }
  if (parse_run_state(run.text(0, 0)) == RunState::superseded) throw given_up();
}

bool is_superseded(Connection& connection, const std::string& run_id) {
  const ReadScope scope(connection);
  const Result run = connection.execute("SELECT state FROM sluice.run WHERE run_id = $1", {run_id});
  return run.rows() > 0 && parse_run_state(run.text(0, 0)) == RunState::superseded;
}

Error given_up() {
  return Error(Fault::target_refused, "this run was given up for another one that began meanwhile",
               "let that one finish; sluice status shows it");
}

std::vector<TableRecord> list_tables(Connection& connection, const std::string& run_id) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      std::string("SELECT table_no, source, target, created, ") +
          (ledger_is_current(connection) ? "coalesce(plan::text, ''), coalesce(root, '')" : "'', ''") +
          " FROM sluice.run_table WHERE run_id = $1 ORDER BY table_no",
      {run_id});
  std::vector<TableRecord> tables;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    tables.push_back({static_cast<TableId>(result.integer(row, 0)), result.text(row, 1), result.text(row, 2),
                      result.boolean(row, 3), result.text(row, 4), result.text(row, 5)});
  }
  return tables;
}

namespace {

// For `$2::int IS NULL OR table_no = $2`.
Connection::Parameter parameter_of(std::optional<TableId> table) {
  return table ? Connection::Parameter(std::to_string(static_cast<std::uint32_t>(*table))) : std::nullopt;
}

}  // namespace

void refuse_lost_ranges(Connection& connection, const std::string& run_id, std::optional<TableId> table,
                        const std::vector<TableId>& unfinished) {
  const ReadScope scope(connection);
  std::string numbers = "{";
  for (const TableId id : unfinished) {
    numbers += (numbers.size() > 1 ? "," : "") + std::to_string(static_cast<std::uint32_t>(id));
  }
  const Result lost = connection.execute(
      "SELECT EXISTS (SELECT 1 FROM sluice.work WHERE run_id = $1 AND NOT done AND "
      "($2::int IS NULL OR table_no = $2::int) AND table_no <> ALL ($3::int[]))",
      {run_id, parameter_of(table), numbers + "}"});
  if (!lost.boolean(0, 0)) return;
  throw Error(Fault::commits_lost, "the server lost ranges that it had taken",
              "run the same command again to load them");
}

void refuse_lost_steps(Connection& connection, const std::string& run_id, StepPhase phase,
                       std::size_t number) {
  const ReadScope scope(connection);
  std::string before;  // {index,constraint}
  for (std::size_t i = 0; i < static_cast<std::size_t>(phase); ++i) {
    before.append(i == 0 ? "" : ",").append(kPhaseNames[i]);
  }
  const Result lost = connection.execute(
      "SELECT EXISTS (SELECT 1 FROM sluice.step WHERE run_id = $1 AND NOT done AND (replace(phase, $2, '') = "
      "ANY ($3::text[]) OR ($4 AND phase = 'view' AND step_no < $5)))",
      {run_id, std::string(kRebuild), "{" + before + "}", phase == StepPhase::view ? "t" : "f",
       std::to_string(number)});
  if (lost.boolean(0, 0)) throw_lost_steps();
}

std::vector<WorkRecord> list_work(Connection& connection, const std::string& run_id,
                                  std::optional<TableId> table) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      std::string("SELECT table_no, range_no, extent, done, rows_read, rows_loaded, rows_rejected, bytes, "
                  "seconds, digest, leaves, xid, ") +
          (ledger_is_current(connection) ? "server_sums" : "NULL") +
          " FROM sluice.work WHERE run_id = $1 AND ($2::int IS NULL OR table_no = $2::int) "
          "ORDER BY table_no, range_no",
      {run_id, parameter_of(table)});
  std::vector<WorkRecord> work;
  work.reserve(result.rows());
  for (std::size_t row = 0; row < result.rows(); ++row) {
    WorkRecord record;
    record.table = static_cast<TableId>(result.integer(row, 0));
    record.number = static_cast<RangeNumber>(result.integer(row, 1));
    record.extent = parse_extent(result.text(row, 2));
    record.done = result.boolean(row, 3);
    if (record.done) {
      RangeSeal& seal = record.seal;
      seal.table = record.table;
      seal.number = record.number;
      seal.rows_read = static_cast<std::uint64_t>(result.integer(row, 4));
      seal.rows_loaded = static_cast<std::uint64_t>(result.integer(row, 5));
      seal.rows_rejected = static_cast<std::uint64_t>(result.integer(row, 6));
      seal.bytes = static_cast<std::uint64_t>(result.integer(row, 7));
      seal.seconds = result.real(row, 8);
      seal.digest.total = {parse_digest(result.text(row, 9)), seal.rows_loaded};
      seal.digest.leaves = unpack_leaves(bytes_of_text(result.text(row, 10)));
      record.transaction = static_cast<std::uint32_t>(result.integer(row, 11));
      record.server_sums = !result.is_null(row, 12) &&
                           unpack_server_sums(bytes_of_text(result.text(row, 12)), seal.digest.leaves);
    }
    work.push_back(std::move(record));
  }
  return work;
}

std::vector<StepRecord> list_steps(Connection& connection, const std::string& run_id) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      "SELECT step_no, done, kind, table_name, name, sql, coalesce(created, false), coalesce(reason, ''), "
      "coalesce(sqlstate, ''), phase "
      "FROM sluice.step WHERE run_id = $1 ORDER BY step_no",
      {run_id});
  std::vector<StepRecord> steps;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    StepRecord record;
    record.number = static_cast<std::size_t>(result.integer(row, 0));
    record.done = result.boolean(row, 1);
    record.object.kind = result.text(row, 2);
    record.object.table = result.text(row, 3);
    record.object.name = result.text(row, 4);
    record.object.sql = result.text(row, 5);
    record.object.created = result.boolean(row, 6);
    record.object.reason = result.text(row, 7);
    record.sqlstate = result.text(row, 8);
    std::string phase = result.text(row, 9);
    record.rebuild = phase.starts_with(kRebuild);
    if (record.rebuild) phase.erase(0, kRebuild.size());
    record.phase = parse_phase(phase);
    steps.push_back(std::move(record));
  }
  return steps;
}

void read_failures(Connection& connection, const std::string& run_id,
                   const std::function<void(std::string_view)>& each) {
  const ReadScope scope(connection);
  copy_out(connection,
           "SELECT record::text FROM sluice.failure WHERE run_id = " + quote_literal(run_id) +
               " ORDER BY table_no, range_no, row_no",
           [&](std::span<const std::byte> tuple) {
             const std::span<const std::byte> value = TupleFields(tuple).next().value;
             each({reinterpret_cast<const char*>(value.data()), value.size()});
           });
}

std::vector<FailureGroup> group_failures(Connection& connection, const std::string& run_id) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      "SELECT record->>'table', record->>'column', record->>'declared_type', record->>'target_type', "
      "record->>'storage_class', record->>'reason', count(*) FROM sluice.failure WHERE run_id = $1 "
      "GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC, 1, 2, 3, 4, 5, 6",
      {run_id});
  std::vector<FailureGroup> groups;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    groups.push_back({result.text(row, 0), result.text(row, 1), result.text(row, 2), result.text(row, 3),
                      result.text(row, 4), result.text(row, 5),
                      static_cast<std::uint64_t>(result.integer(row, 6))});
  }
  return groups;
}

}  // namespace sluice
