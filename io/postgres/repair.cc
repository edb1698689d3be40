#include "io/postgres/repair.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <utility>

#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "io/postgres/ledger.h"
#include "verify/row_digest.h"

namespace sluice {
namespace {

// Asynchronous: the rows and their record share the write-ahead log, and settle_repair() has the last word.
constexpr const char* kSettings = "SET LOCAL synchronous_commit = off; ";
constexpr const char* kWithoutTriggers = "SET LOCAL session_replication_role = replica; ";

bool may_silence_triggers(Connection& connection) {
  try {
    const Transaction probe(connection, kWithoutTriggers);
    return true;
  } catch (const Error& error) {
    if (error.sqlstate() != "42501") throw;
    return false;
  }
}

// The ledger's rows go where the repair goes, so that neither is ever there alone.
bool prepare_record(Connection& connection) {
  const std::string user = quote_identifier(connection.user());
  try {
    Transaction transaction(connection);
    const bool was_there = ledger_exists(connection);
    try {
      install_ledger(connection);
    } catch (const Error& error) {
      // Without a ledger nothing is missing in it.
      if (was_there || error.sqlstate() != "42501") throw;
      return false;
    }
    if (!connection.execute("SELECT has_table_privilege('sluice.repair', 'INSERT')").boolean(0, 0)) {
      throw Error(Fault::target_refused, "no privilege to record a repair in the ledger",
                  "run as its owner: GRANT INSERT ON sluice.repair TO " + user);
    }
    transaction.commit();
    return true;
  } catch (const Error& error) {
    if (error.fault() != Fault::target_refused || error.sqlstate() != "42501") throw;
    throw Error(Fault::target_refused,
                std::string("the ledger cannot take the record of a repair: ") + error.what(),
                "run as its owner: sluice migrate once, which brings it up to date, then GRANT INSERT ON "
                "sluice.repair TO " +
                    user)
        .set_sqlstate(error.sqlstate());
  }
}

// The columns that a repair fills, as literals.
std::string sent_names(const TablePlan& plan) {
  std::string names;
  for (std::size_t i = 0; i < sent_columns(plan); ++i) {
    names += (i == 0 ? "" : ", ") + quote_literal(plan.columns[i].target);
  }
  return names;
}

// The first thing of the table that would act on rows that come or go, as a replica or not. ALWAYS means
// always.
std::string what_would_act(Connection& connection, const TablePlan& plan, bool as_replica) {
  const ReadScope scope(connection);
  const Result triggers = connection.execute(
      "SELECT 'trigger ' || quote_ident(tgname) FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT "
      "tgisinternal AND tgenabled IN ('A', $2::\"char\") AND (tgtype & 12) <> 0 UNION ALL SELECT 'foreign "
      "key ' || "
      "quote_ident(conname) || ' of ' || conrelid::regclass FROM pg_constraint WHERE confrelid = "
      "to_regclass($1) AND contype = 'f' AND confdeltype IN ('c', 'n', 'd') AND $2 = 'O' ORDER BY 1 LIMIT 1",
      {quoted_name(plan), as_replica ? "R" : "O"});
  return triggers.rows() == 0 ? std::string() : triggers.text(0, 0);
}

}  // namespace

RepairRights prepare_repair(Connection& connection, const std::vector<RepairNeeds>& needs) {
  const std::string user = quote_identifier(connection.user());
  RepairRights rights;
  for (const RepairNeeds& need : needs) {
    const ReadScope scope(connection);
    const std::string table = quoted_name(*need.plan);
    std::vector<std::string> missing;
    for (const auto& [wanted, privilege] :
         {std::pair(need.insert, "INSERT"), std::pair(need.remove, "DELETE")}) {
      if (!wanted) continue;
      // INSERT on the columns that are sent is enough for COPY, and no less.
      const std::string question =
          std::string(privilege) == "INSERT"
              ? "SELECT has_table_privilege($1, 'INSERT') OR (SELECT bool_and(has_column_privilege($1, name, "
                "'INSERT')) FROM unnest(ARRAY[" +
                    sent_names(*need.plan) + "]::text[]) name)"
              : "SELECT has_table_privilege($1, 'DELETE')";
      if (!connection.execute(question, {table}).boolean(0, 0)) missing.emplace_back(privilege);
    }
    if (missing.empty()) continue;
    throw Error(Fault::target_refused,
                "no privilege to repair " + table + ": role " + user + " lacks " + joined(missing, " and "),
                "run as its owner: GRANT " + joined(missing) + " ON " + table + " TO " + user);
  }
  rights.without_triggers = may_silence_triggers(connection);
  for (const RepairNeeds& need : needs) {
    const std::string acting = what_would_act(connection, *need.plan, rights.without_triggers);
    if (acting.empty()) continue;
    throw Error(
        Fault::target_refused,
        acting + " would act on the repair of " + quoted_name(*need.plan) +
            (rights.without_triggers ? std::string() : ", and role " + user + " may not keep it from that"),
        rights.without_triggers
            ? "disable it for the repair"
            : "run as a superuser: GRANT SET ON PARAMETER session_replication_role TO " + user);
  }
  rights.recorded = prepare_record(connection);
  return rights;
}

std::string make_repair_id(Connection& connection) {
  const ReadScope scope(connection);
  return connection.execute("SELECT gen_random_uuid()").text(0, 0);
}

LeafRepair::LeafRepair(Connection& connection, const TablePlan& plan, const RepairRights& rights,
                       RepairRecord record)
    : connection_(connection),
      plan_(plan),
      rights_(rights),
      record_(std::move(record)),
      transaction_(connection, std::string(kSettings) + (rights.without_triggers ? kWithoutTriggers : ""),
                   TransactionMode::one_snapshot) {}

void LeafRepair::remove(std::vector<DoomedRow> rows) {
  assert(!copy_);
  if (rows.empty()) return;
  std::map<Place, Digest> wanted;
  std::vector<Place> places;
  for (const DoomedRow& row : rows) {
    wanted.emplace(row.place, row.row);
    places.push_back(row.place);
  }
  std::size_t met = 0;
  read_places(connection_, plan_, places, [&](Place place, std::span<const std::byte> tuple) {
    const auto found = wanted.find(place);
    if (found != wanted.end() && found->second == digest_of_row(tuple)) ++met;
  });
  // The snapshot is taken: what changes from here on is refused by the server.
  const std::uint64_t gone =
      met != rows.size() ? met
                         : connection_
                               .execute("DELETE FROM " + quoted_name(plan_) + " WHERE ctid = ANY ($1::tid[])",
                                        {array_of_places(places)})
                               .affected();
  if (gone != rows.size()) {
    throw Error(Fault::target_unavailable,
                "rows of " + quoted_name(plan_) + " were changed by someone else while they were compared",
                "stop the writer and repair again; what was repaired so far stays");
  }
  removed_ += gone;
}

void LeafRepair::insert(std::span<const std::span<const std::byte>> pieces) {
  if (!copy_) {
    copy_.emplace(connection_, "COPY " + quoted_name(plan_) + " (" + quoted_sent_columns(plan_) +
                                   ") FROM STDIN (FORMAT binary)");
  }
  for (const std::span<const std::byte> piece : pieces) copy_->write(piece);
  ++inserted_;
}

void LeafRepair::commit() {
  if (copy_) {
    const std::uint64_t counted = copy_->finish();
    copy_.reset();
    if (counted != inserted_) {
      throw Error(Fault::internal, "the server took " + std::to_string(counted) + " rows of " +
                                       std::to_string(inserted_) + " sent");
    }
  }
  if (rights_.recorded) {
    connection_.execute(
        "INSERT INTO sluice.repair (repair_id, run_id, source, target_schema, target, leaf, rows_deleted, "
        "rows_inserted) VALUES ($1, nullif($2, '')::uuid, $3, $4, $5, $6, $7, $8)",
        {record_.repair_id, record_.run_id, record_.source, plan_.schema, plan_.target,
         std::to_string(record_.leaf), std::to_string(removed_), std::to_string(inserted_)});
  }
  transaction_.commit();
}

void settle_repair(Connection& connection) {
  Transaction transaction(connection, "SET LOCAL synchronous_commit = on");
  // A transaction that has written nothing would not wait for the log.
  connection.execute("SELECT pg_current_xact_id()");
  connection.execute("SELECT pg_logical_emit_message(true, 'sluice', 'repair')");
  transaction.commit();
}

std::vector<RepairSummary> list_repairs(Connection& connection) {
  std::vector<RepairSummary> repairs;
  if (!ledger_is_current(connection)) return repairs;
  const ReadScope scope(connection);
  const Result result = connection.execute(
      "SELECT repair_id, source, target_schema, target, to_char(min(repaired_at) AT TIME ZONE 'UTC', "
      "'YYYY-MM-DD HH24:MI:SS'), count(*), sum(rows_deleted)::bigint, sum(rows_inserted)::bigint FROM "
      "sluice.repair GROUP BY 1, 2, 3, 4 ORDER BY min(repaired_at), 4");
  for (std::size_t row = 0; row < result.rows(); ++row) {
    repairs.push_back({result.text(row, 0), result.text(row, 1), result.text(row, 2), result.text(row, 3),
                       result.text(row, 4), static_cast<std::uint64_t>(result.integer(row, 5)),
                       static_cast<std::uint64_t>(result.integer(row, 6)),
                       static_cast<std::uint64_t>(result.integer(row, 7))});
  }
  return repairs;
}

}  // namespace sluice
