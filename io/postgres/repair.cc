#include "io/postgres/repair.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <utility>

#include "engine/model/error.h"
#include "engine/model/failpoint.h"
#include "engine/model/quote.h"
#include "io/postgres/ledger.h"
#include "io/wire/row_encoder.h"
#include "verify/row_digest.h"

namespace sluice {
namespace {

// Asynchronous: the rows and their record share the write-ahead log, and settle_repair() has the last word.
// Defaults of columns that are not sent are those of the role's own time zone.
constexpr const char* kSettings = "SET LOCAL synchronous_commit = off; SET LOCAL timezone TO DEFAULT; ";
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
                "run as its owner: GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO " + user +
                    "; GRANT INSERT ON sluice.repair TO " + user +
                    " (sluice migrate makes that table where an earlier one made the ledger)")
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
// always. Rules act on DELETE, never on COPY.
std::string what_would_act(Connection& connection, const TablePlan& plan, bool as_replica) {
  const ReadScope scope(connection);
  const Result triggers = connection.execute(
      "SELECT 'trigger ' || quote_ident(tgname) FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT "
      "tgisinternal AND tgenabled IN ('A', $2::\"char\") AND (tgtype & 12) <> 0 "
      "UNION ALL SELECT 'rule ' || quote_ident(rulename) FROM pg_rewrite WHERE ev_class = to_regclass($1) "
      "AND "
      "ev_type = '4' AND ev_enabled IN ('A', $2::\"char\") "
      "UNION ALL SELECT 'foreign key ' || quote_ident(conname) || ' of ' || conrelid::regclass FROM "
      "pg_constraint WHERE confrelid = to_regclass($1) AND contype = 'f' AND confdeltype IN ('c', 'n', 'd') "
      "AND $2 = 'O' ORDER BY 1 LIMIT 1",
      {quoted_name(plan), as_replica ? "R" : "O"});
  return triggers.rows() == 0 ? std::string() : triggers.text(0, 0);
}

std::vector<std::string> columns_beyond(Connection& connection, const TablePlan& plan) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped "
      "AND attgenerated = '' ORDER BY attnum",
      {quoted_name(plan)});
  std::vector<std::string> beyond;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const std::string name = result.text(row, 0);
    const bool planned = std::any_of(plan.columns.begin(), plan.columns.end(),
                                     [&](const ColumnPlan& column) { return column.target == name; });
    if (!planned) beyond.push_back(quote_identifier(name));
  }
  return beyond;
}

bool must_insert_as_replica(Connection& connection, const TablePlan& plan) {
  const ReadScope scope(connection);
  return connection
      .execute(
          "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT tgisinternal AND "
          "tgenabled = 'O' AND (tgtype & 4) <> 0) OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = "
          "to_regclass($1) AND contype = 'f' AND NOT convalidated)",
          {quoted_name(plan)})
      .boolean(0, 0);
}

// Of partitions the parent's constraint is the one that counts; theirs follow from it.
std::vector<RepairTable::Reference> references_to(Connection& connection, const TablePlan& plan) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      "SELECT quote_ident(conname), conrelid::regclass, conrelid = confrelid, (SELECT "
      "string_agg(format('r.%I "
      "OPERATOR(pg_catalog.=) t.%I', ra.attname, ta.attname), ' AND ') FROM unnest(conkey, confkey) AS "
      "k(referring, referred) JOIN pg_attribute ra ON ra.attrelid = conrelid AND ra.attnum = k.referring "
      "JOIN "
      "pg_attribute ta ON ta.attrelid = confrelid AND ta.attnum = k.referred) FROM pg_constraint WHERE "
      "confrelid = to_regclass($1) AND contype = 'f' AND convalidated AND conparentid = 0 ORDER BY 1",
      {quoted_name(plan)});
  std::vector<RepairTable::Reference> references;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const std::string table = result.text(row, 1);
    std::string sql = "SELECT FROM " + table + " r JOIN " + quoted_name(plan) + " t ON " +
                      result.text(row, 3) + " WHERE t.ctid = ANY ($1::tid[])";
    // A row that goes too refers to nothing.
    if (result.boolean(row, 2)) sql += " AND r.ctid <> ALL ($1::tid[])";
    references.push_back({result.text(row, 0), table, sql + " LIMIT 1"});
  }
  return references;
}

// Parents before children, as far as there are no circles.
void rank_tables(Connection& connection, std::vector<RepairTable>& tables) {
  const ReadScope scope(connection);
  const auto refers = [&](const RepairTable& child, const RepairTable& parent) {
    return connection
        .execute(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = to_regclass($1) AND "
            "confrelid = to_regclass($2))",
            {quoted_name(*child.plan), quoted_name(*parent.plan)})
        .boolean(0, 0);
  };
  std::vector<std::pair<RepairTable*, const RepairTable*>> edges;
  for (RepairTable& child : tables) {
    for (const RepairTable& parent : tables) {
      if (child.plan == nullptr || parent.plan == nullptr || &child == &parent) continue;
      if (refers(child, parent)) edges.emplace_back(&child, &parent);
    }
  }
  for (std::size_t round = 0; round < tables.size(); ++round) {
    for (const auto& [child, parent] : edges) {
      if (parent->rank < tables.size()) child->rank = std::max(child->rank, parent->rank + 1);
    }
  }
}

}  // namespace

RepairRights prepare_repair(Connection& connection, const std::vector<RepairNeeds>& needs) {
  const std::string user = quote_identifier(connection.user());
  RepairRights rights;
  for (const RepairNeeds& need : needs) {
    if (need.plan == nullptr) continue;
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
  rights.tables.resize(needs.size());
  for (std::size_t i = 0; i < needs.size(); ++i) {
    if (needs[i].plan == nullptr) continue;
    const TablePlan& plan = *needs[i].plan;
    const std::string acting = what_would_act(connection, plan, rights.without_triggers);
    if (!acting.empty()) {
      throw Error(
          Fault::target_refused,
          acting + " would act on the repair of " + quoted_name(plan) +
              (rights.without_triggers ? std::string() : ", and role " + user + " may not keep it from that"),
          rights.without_triggers
              ? "disable it for the repair"
              : "run as a superuser: GRANT SET ON PARAMETER session_replication_role TO " + user);
    }
    RepairTable& table = rights.tables[i];
    table.plan = &plan;
    if (needs[i].insert && needs[i].remove) table.carried = columns_beyond(connection, plan);
    table.insert_as_replica = rights.without_triggers && must_insert_as_replica(connection, plan);
    // Without the right the server checks by itself.
    if (needs[i].remove && rights.without_triggers) table.references = references_to(connection, plan);
  }
  rank_tables(connection, rights.tables);
  rights.recorded = prepare_record(connection);
  return rights;
}

RepairLock::RepairLock(const std::string& conninfo, const std::vector<TablePlan>& tables)
    : connection_(conninfo), transaction_(connection_, "") {
  for (const TablePlan& plan : tables) {
    // One half of the key says whose lock it is ("slui" in ASCII), the other which table.
    const Result taken = connection_.execute(
        "SELECT pg_try_advisory_xact_lock(1936487785, to_regclass($1)::oid::bigint::bit(32)::integer)",
        {quoted_name(plan)});
    if (taken.boolean(0, 0)) continue;
    throw Error(Fault::target_unavailable,
                "table " + quoted_name(plan) + " is being repaired by another sluice",
                "let it finish, then run the same command again")
        .set_may_pass(false);
  }
}

bool RepairLock::held() {
  try {
    connection_.execute("SELECT 1");
    return true;
  } catch (const Error& error) {
    if (error.fault() != Fault::connection_lost) throw;
    return false;
  }
}

std::string make_repair_id(Connection& connection) {
  const ReadScope scope(connection);
  return connection.execute("SELECT gen_random_uuid()").text(0, 0);
}

RepairTransaction::RepairTransaction(Connection& connection, const RepairRights& rights,
                                     const RepairRecord& record)
    : connection_(connection),
      rights_(rights),
      record_(record),
      as_replica_(rights.without_triggers),
      transaction_(connection, std::string(kSettings) + (rights.without_triggers ? kWithoutTriggers : ""),
                   TransactionMode::one_snapshot) {}

void RepairTransaction::take_role(bool replica) {
  if (!rights_.without_triggers || as_replica_ == replica) return;
  connection_.execute(replica ? kWithoutTriggers : "SET LOCAL session_replication_role = origin");
  as_replica_ = replica;
}

void RepairTransaction::refuse_referenced(const RepairTable& table, const std::vector<DoomedRow>& rows) {
  std::vector<Place> gone;
  for (const DoomedRow& row : rows) {
    if (!row.returns) gone.push_back(row.place);
  }
  if (gone.empty()) return;
  for (const RepairTable::Reference& reference : table.references) {
    if (connection_.execute(reference.sql, {array_of_places(gone)}).rows() == 0) continue;
    throw Error(Fault::target_refused,
                "rows of " + reference.table + " refer to it by foreign key " + reference.name,
                "repair that table too, or delete those rows by hand")
        .set_sqlstate("23503");
  }
}

// The fields beyond the plan's, as the server sends them.
void RepairTransaction::carry(const RepairTable& table, std::span<const Place> places) {
  copy_out(connection_,
           "SELECT ctid, " + joined(table.carried) + " FROM " + quoted_name(*table.plan) +
               " WHERE ctid = ANY (" + quote_literal(array_of_places(places)) + "::tid[])",
           [&](std::span<const std::byte> tuple) {
             TupleFields fields(tuple);
             const Place place = place_of_field(fields.next().value);
             std::string& kept = carried_[{table.plan, place}];
             for (std::size_t i = 1; i < fields.count(); ++i) {
               const auto field = fields.next().with_length;
               kept.append(reinterpret_cast<const char*>(field.data()), field.size());
             }
           });
}

void RepairTransaction::remove(const RepairTable& table, std::size_t leaf,
                               const std::vector<DoomedRow>& rows) {
  assert(!copy_);
  Change& change = changes_[{table.plan, leaf}];
  if (rows.empty()) return;
  take_role(true);
  std::map<Place, Digest> wanted;
  std::vector<Place> places;
  for (const DoomedRow& row : rows) {
    wanted.emplace(row.place, row.row);
    places.push_back(row.place);
  }
  std::size_t met = 0;
  read_places(connection_, *table.plan, places, [&](const TargetRow& row) {
    const auto found = wanted.find(row.place);
    if (found != wanted.end() && found->second == row.digest) ++met;
  });
  std::uint64_t gone = met;
  if (met == rows.size()) {
    refuse_referenced(table, rows);
    if (!table.carried.empty()) carry(table, places);
    failpoint("before repair DELETE");
    // The snapshot is taken: what changes from here on is refused by the server.
    gone = connection_
               .execute("DELETE FROM " + quoted_name(*table.plan) + " WHERE ctid = ANY ($1::tid[])",
                        {array_of_places(places)})
               .affected();
  }
  if (gone != rows.size()) {
    throw Error(
        Fault::target_unavailable,
        "rows of " + quoted_name(*table.plan) + " were changed by someone else while they were compared",
        "stop the writer and repair again; what was repaired so far stays")
        .set_may_pass(false);
  }
  failpoint("after repair DELETE");
  change.removed += gone;
}

void RepairTransaction::open_copy(const RepairTable& table, bool with_carried) {
  if (copy_ && copy_table_ == table.plan && copy_with_carried_ == with_carried) return;
  finish_copy();
  take_role(table.insert_as_replica);
  std::string columns = quoted_sent_columns(*table.plan);
  if (with_carried) columns += ", " + joined(table.carried);
  copy_.emplace(connection_,
                "COPY " + quoted_name(*table.plan) + " (" + columns + ") FROM STDIN (FORMAT binary)");
  copy_table_ = table.plan;
  copy_with_carried_ = with_carried;
}

void RepairTransaction::finish_copy() {
  if (!copy_) return;
  const std::uint64_t counted = copy_->finish();
  copy_.reset();
  const std::uint64_t sent = std::exchange(copied_, 0);
  if (counted == sent) return;
  throw Error(Fault::internal,
              "the server took " + std::to_string(counted) + " rows of " + std::to_string(sent) + " sent");
}

void RepairTransaction::insert(const RepairTable& table, std::size_t leaf,
                               std::span<const std::span<const std::byte>> pieces,
                               std::optional<Place> replaced) {
  const bool with_carried = replaced && !table.carried.empty();
  open_copy(table, with_carried);
  failpoint("before repair row");
  ++copied_;
  ++changes_[{table.plan, leaf}].inserted;
  if (!with_carried) {
    for (const std::span<const std::byte> piece : pieces) copy_->write(piece);
    return;
  }
  // The tuple says how many fields it has, and is longer by those that were carried.
  constexpr std::size_t kCountBytes = sizeof(std::int16_t);
  assert(pieces.front().size() >= kCountBytes);
  const auto count =
      to_big_endian(static_cast<std::int16_t>(sent_columns(*table.plan) + table.carried.size()));
  copy_->write(std::as_bytes(std::span(&count, 1)));
  copy_->write(pieces.front().subspan(kCountBytes));
  for (const std::span<const std::byte> piece : pieces.subspan(1)) copy_->write(piece);
  copy_->write(std::as_bytes(std::span(carried_.at({table.plan, *replaced}))));
}

void RepairTransaction::commit(const std::map<const TablePlan*, std::string>& runs) {
  finish_copy();
  failpoint("before repair record");
  for (const auto& [where, change] : changes_) {
    if (!rights_.recorded) break;
    const TablePlan& plan = *where.first;
    const auto run = runs.find(&plan);
    connection_.execute(
        "INSERT INTO sluice.repair (repair_id, run_id, source, target_schema, target, leaf, rows_deleted, "
        "rows_inserted) VALUES ($1, nullif($2, '')::uuid, $3, $4, $5, $6, $7, $8)",
        {record_.repair_id, run == runs.end() ? std::string() : run->second, record_.source, plan.schema,
         plan.target, std::to_string(where.second), std::to_string(change.removed),
         std::to_string(change.inserted)});
  }
  failpoint("after repair record");
  transaction_.commit();
}

void settle_repair(Connection& connection) {
  failpoint("before settle");
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
