#include "fault/invariants.h"

#include "engine/model/quote.h"
#include "support/query.h"

namespace sluice::testing {
namespace {

std::string literal(const std::string& text) { return quote_literal(text); }

bool has_ledger(const std::string& conninfo) {
  return query_value(conninfo, "SELECT to_regclass('sluice.work') IS NOT NULL") == "t";
}

// One SELECT whose rows are violations. A run that is not given up is `r`.
std::string questions_about_the_ledger(const std::string& schema) {
  const std::string runs =
      "(SELECT * FROM sluice.run WHERE state <> 'superseded' AND target_schema = " + literal(schema) + ") r";
  return "SELECT 'source ' || source || ' has ' || count(*) || ' runs' FROM " + runs +
         " GROUP BY source HAVING count(*) > 1"
         " UNION ALL SELECT 'the ledger has ' || (SELECT count(*) FROM sluice.failure f WHERE f.run_id = "
         "r.run_id) || ' rejected rows, and its ranges ' || rejected FROM " +
         runs +
         ", LATERAL (SELECT coalesce(sum(rows_rejected), 0) AS rejected FROM sluice.work w WHERE w.run_id = "
         "r.run_id AND done) sums WHERE rejected <> (SELECT count(*) FROM sluice.failure f WHERE f.run_id = "
         "r.run_id)"
         " UNION ALL SELECT 'the run is ' || state || ', and something of it is open' FROM " +
         runs +
         " WHERE state <> 'loading' AND (EXISTS (SELECT FROM sluice.work w WHERE w.run_id = r.run_id AND NOT "
         "done) OR EXISTS (SELECT FROM sluice.step s WHERE s.run_id = r.run_id AND NOT done))"
         " UNION ALL SELECT 'range ' || table_no || '.' || range_no || ' is done and has no digest' FROM "
         "sluice.work WHERE done AND (digest IS NULL OR rows_read IS DISTINCT FROM rows_loaded + "
         "rows_rejected)"
         " UNION ALL SELECT 'table ' || relname || ' belongs to no run' FROM pg_class WHERE relkind = 'r' "
         "AND "
         "relnamespace = to_regnamespace(" +
         literal(quote_identifier(schema)) +
         ") AND NOT EXISTS (SELECT FROM sluice.run JOIN sluice.run_table USING (run_id) WHERE target_schema "
         "= " +
         literal(schema) +
         " AND target = relname)"
         // Keys begin as indexes: what is there under the name may be either.
         " UNION ALL SELECT 'step ' || step_no || ' says that it made ' || kind || ' ' || name || ', which "
         "is "
         "not there' FROM " +
         runs +
         " JOIN sluice.step s USING (run_id) WHERE s.created AND ((phase = 'index' AND NOT EXISTS (SELECT "
         "FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE relname = name AND indisvalid AND "
         "relnamespace = to_regnamespace(" +
         literal(quote_identifier(schema)) +
         "))) OR (phase IN ('constraint', 'validate') AND kind IN ('primary_key', 'unique', 'foreign_key', "
         "'check') AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = name AND connamespace = "
         "to_regnamespace(" +
         literal(quote_identifier(schema)) + ") AND (convalidated OR phase = 'constraint'))))";
}

// The same for one table. Without a key the whole row is one.
std::string questions_about(const std::string& schema, const QueryRow& table) {
  const std::string name = quote_qualified(schema, *table[2]);
  const std::string key = table[3] ? *table[3] : "t::text";
  return " UNION ALL SELECT " + literal(name) +
         " || ' has ' || rows || ' rows, ' || keys || ' keys, and the ledger ' || done FROM (SELECT count(*) "
         "AS rows, count(DISTINCT (" +
         key + ")) AS keys, (SELECT coalesce(sum(rows_loaded), 0) FROM sluice.work WHERE run_id = " +
         literal(*table[0]) + " AND table_no = " + *table[1] + " AND done) AS done FROM " + name +
         " t) counts WHERE rows <> keys OR rows <> done";
}

}  // namespace

std::vector<std::string> violations(const std::string& conninfo, const std::string& schema) {
  if (!has_ledger(conninfo)) {
    // A statement of its own sees what was committed since.
    const std::string tables =
        query_value(conninfo,
                    "SELECT coalesce(string_agg(relname, ', ' ORDER BY relname), '') FROM pg_class WHERE "
                    "relkind = 'r' AND relnamespace = to_regnamespace(" +
                        literal(quote_identifier(schema)) + ") AND to_regclass('sluice.work') IS NULL");
    if (tables.empty()) return {};
    return {"there is no ledger, but tables: " + tables};
  }
  const std::vector<QueryRow> tables = query(
      conninfo,
      "SELECT r.run_id, t.table_no, t.target, (SELECT string_agg(quote_ident(plan::jsonb #>> "
      "ARRAY['columns', place, 'target']), ', ') FROM jsonb_array_elements_text(plan::jsonb->'key_columns') "
      "place) FROM sluice.run r JOIN sluice.run_table t USING (run_id) WHERE r.state <> 'superseded' AND "
      "r.target_schema = " +
          literal(schema));
  std::string sql = questions_about_the_ledger(schema);
  for (const QueryRow& table : tables) sql += questions_about(schema, table);
  std::vector<std::string> lines;
  for (const QueryRow& row : query(conninfo, sql)) lines.push_back(row.front().value_or("NULL"));
  return lines;
}

std::string picture_of(const std::string& conninfo, const std::string& schema) {
  const std::string space = "to_regnamespace(" + literal(quote_identifier(schema)) + ")";
  std::string sql =
      "SELECT 1, format('%s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), "
      "attnotnull) "
      "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relkind IN ('r', 'v') AND relnamespace "
      "= " +
      space +
      " AND attnum > 0 AND NOT attisdropped UNION ALL SELECT 2, pg_get_indexdef(indexrelid) || ' ' || "
      "indisvalid "
      "FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = " +
      space +
      " UNION ALL SELECT 3, format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), "
      "convalidated) FROM pg_constraint WHERE connamespace = " +
      space +
      " UNION ALL SELECT 4, format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger JOIN "
      "pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND relnamespace = " +
      space +
      " UNION ALL SELECT 5, 'run of ' || source || ': ' || state || ' ' || coalesce(root, 'no root') FROM "
      "sluice.run WHERE state <> 'superseded' UNION ALL SELECT 8, format('step %s %s %s %s %s', phase, kind, "
      "table_name, name, created) FROM sluice.step JOIN sluice.run USING (run_id) WHERE state <> "
      "'superseded'";
  for (const QueryRow& relation : query(
           conninfo,
           "SELECT relkind, relname FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace = " + space)) {
    const std::string name = literal(*relation[1]);
    sql +=
        *relation[0] == "S"
            ? " UNION ALL SELECT 6, " + name + " || ' ' || last_value || ' ' || is_called FROM "
            : " UNION ALL SELECT 7, " + name +
                  " || ' ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), "
                  "'') FROM ";
    sql += quote_qualified(schema, *relation[1]) + " t";
  }
  std::string text;
  for (const QueryRow& row : query(conninfo, sql + " ORDER BY 1, 2")) text += row[1].value_or("NULL") + "\n";
  return text;
}

}  // namespace sluice::testing
