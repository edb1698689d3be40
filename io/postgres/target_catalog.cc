#include "io/postgres/target_catalog.h"

#include <algorithm>
#include <optional>

#include "engine/model/quote.h"

namespace sluice {
namespace {

// $1 is the schema as SQL, because to_regnamespace() takes it so. What format_type() and pg_get_*def print is
// qualified, since only pg_catalog is on the search path.

// c.relkind of what a table of the source may be confused with: tables, partitioned ones, views, materialized
// views, foreign tables.
constexpr const char* kTables =
    "SELECT c.relname, c.relkind::text, c.relpersistence::text, EXISTS (SELECT 1 FROM pg_inherits i WHERE "
    "i.inhparent = c.oid), row_security_active(c.oid), has_table_privilege(c.oid, 'SELECT') FROM pg_class c "
    "WHERE c.relnamespace = to_regnamespace($1) AND "
    "c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1";

// A domain says for its base type what a column says for its type, so the modifier comes from the last
// domain of a chain, and NOT NULL and CHECK from any of them.
constexpr const char* kColumns =
    "WITH RECURSIVE typed AS ("
    "SELECT a.attrelid, a.attnum, t.oid AS type, t.typtype, t.typbasetype, t.typtypmod, a.atttypmod AS "
    "modifier, "
    "t.typtype = 'd' AND t.typnotnull AS not_null, EXISTS (SELECT 1 FROM pg_constraint k WHERE k.contypid = "
    "t.oid AND k.contype = 'c') AS checks "
    "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid "
    "WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 "
    "AND NOT a.attisdropped "
    "UNION ALL SELECT d.attrelid, d.attnum, t.oid, t.typtype, t.typbasetype, t.typtypmod, d.typtypmod, "
    "d.not_null OR (t.typtype = 'd' AND t.typnotnull), d.checks OR EXISTS (SELECT 1 FROM pg_constraint k "
    "WHERE k.contypid = t.oid AND k.contype = 'c') FROM typed d JOIN pg_type t ON t.oid = d.typbasetype "
    "WHERE d.typtype = 'd') "
    "SELECT c.relname, a.attname, a.attnotnull OR y.not_null, a.attgenerated <> '', a.attidentity = 'a', "
    "a.atthasdef OR a.attidentity <> '' OR EXISTS (SELECT 1 FROM pg_type t WHERE t.oid = a.atttypid AND "
    "t.typdefault IS NOT NULL), y.type::bigint, y.modifier, y.checks, y.typtype = 'e', "
    "format_type(a.atttypid, a.atttypmod), a.atttypid <> y.type, "
    "EXISTS (SELECT 1 FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = "
    "'pg_type'::regclass AND d.objid = y.type AND d.refclassid = 'pg_extension'::regclass AND e.extname = "
    "'citext' AND EXISTS (SELECT 1 FROM pg_type t WHERE t.oid = y.type AND t.typname = 'citext')), "
    "(SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend d JOIN pg_class s ON s.oid = CASE WHEN "
    "d.classid = 'pg_attrdef'::regclass THEN d.refobjid ELSE d.objid END AND s.relkind = 'S' JOIN "
    "pg_namespace n ON n.oid = s.relnamespace WHERE (d.classid = 'pg_attrdef'::regclass AND d.objid = "
    "(SELECT "
    "f.oid FROM pg_attrdef f WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum) AND d.refclassid = "
    "'pg_class'::regclass) OR (d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND "
    "d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i')) "
    "ORDER BY d.classid = 'pg_attrdef'::regclass DESC, 1 LIMIT 1) "
    "FROM typed y JOIN pg_attribute a ON a.attrelid = y.attrelid AND a.attnum = y.attnum JOIN pg_class c ON "
    "c.oid = a.attrelid WHERE y.typtype <> 'd' ORDER BY c.relname, a.attnum";

constexpr const char* kLabels =
    "SELECT enumtypid::bigint, enumlabel FROM pg_enum ORDER BY enumtypid, enumsortorder";

// What a COPY would fire, whatever it is for: an INSERT trigger (bit 2 of tgtype), or one of TRUNCATE (bit
// 5).
constexpr const char* kTriggers =
    "SELECT c.relname, g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE c.relnamespace "
    "= "
    "to_regnamespace($1) AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND (g.tgtype & 36) <> 0 ORDER BY 1, "
    "2";

// Foreign keys whose triggers are off are not checked, so they are in nobody's way.
constexpr const char* kConstraints =
    "SELECT c.relname, k.conname, k.contype::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid "
    "WHERE c.relnamespace = to_regnamespace($1) AND ((k.contype = 'c' AND NOT k.convalidated) OR (k.contype "
    "= "
    "'f' AND EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgrelid = c.oid AND "
    "g.tgenabled <> 'D'))) ORDER BY 1, 2";

// atttypmod in the words of TypeModifier; nothing for a modifier that those words lack.
std::optional<TypeModifier> modifier_of(PgType type, std::int32_t modifier) {
  constexpr std::int32_t kHeader = 4;  // of a varlena value; modifiers of such types count it
  if (modifier < 0) return TypeModifier{};
  switch (type) {
    case PgType::numeric: {
      const std::int32_t packed = modifier - kHeader;
      const std::int32_t scale = ((packed & 0x7ff) ^ 1024) - 1024;
      if (scale < 0) return std::nullopt;
      return TypeModifier{(packed >> 16) & 0xffff, scale};
    }
    case PgType::time:
    case PgType::timestamp:
    case PgType::timestamptz:
      return TypeModifier{modifier, -1};
    case PgType::varchar:
    case PgType::bpchar:
      return TypeModifier{modifier - kHeader, -1};
    case PgType::interval: {
      // The upper half says which fields there are, the lower half how many digits of a second.
      constexpr std::int32_t kAllFields = 0x7fff;
      constexpr std::int32_t kAllDigits = 0xffff;
      if ((modifier >> 16) != kAllFields) return std::nullopt;
      const std::int32_t digits = modifier & 0xffff;
      return TypeModifier{digits == kAllDigits ? -1 : digits, -1};
    }
    default:
      return std::nullopt;
  }
}

const PgTypeName* type_of_oid(std::int64_t oid) {
  const auto* found = std::find_if(kPgTypeNames.begin(), kPgTypeNames.end(),
                                   [&](const PgTypeName& name) { return name.oid == oid; });
  return found == kPgTypeNames.end() ? nullptr : found;
}

void add_obstacle(ExistingTable& table, std::string what, std::string resolve, bool rebuilt = false) {
  table.obstacles.push_back({std::move(what), std::move(resolve), rebuilt});
}

// What keeps a table from being read as it is: the place of a row must name it, and all rows must be seen.
void add_reading_obstacles(Connection& connection, const std::string& quoted, const Result& result,
                           std::size_t row, ExistingTable& table) {
  const std::string kind = result.text(row, 1);
  const std::string user = quote_identifier(connection.user());
  if (kind == "p") {
    add_obstacle(table, quoted + " is partitioned, which sluice cannot compare yet",
                 "compare its partitions one by one, each with the rows that belong there");
  } else if (kind != "r") {
    add_obstacle(table, quoted + " is not a table", "name a table for it in the mapping, or leave it out");
  } else if (result.boolean(row, 3)) {
    add_obstacle(table, quoted + " has tables that inherit from it, whose rows would count as its own",
                 "leave it out with --tables");
  }
  if (kind == "r" && result.boolean(row, 4)) {
    add_obstacle(table, "row-level security of " + quoted + " hides rows from role " + user,
                 "compare as the owner of the table or a role with BYPASSRLS");
  }
  if (kind == "r" && !result.boolean(row, 5)) {
    add_obstacle(table, "role " + user + " may not read " + quoted,
                 "run as its owner: GRANT SELECT ON " + quoted + " TO " + user);
  }
}

void read_tables(Connection& connection, TargetCatalog& catalog) {
  const Result result = connection.execute(kTables, {quote_identifier(catalog.schema)});
  for (std::size_t row = 0; row < result.rows(); ++row) {
    ExistingTable table;
    table.name = result.text(row, 0);
    const std::string quoted = quote_qualified(catalog.schema, table.name);
    if (catalog.use == TargetUse::compare) {
      add_reading_obstacles(connection, quoted, result, row, table);
      catalog.tables.emplace(table.name, std::move(table));
      continue;
    }
    const std::string kind = result.text(row, 1);
    if (kind == "p") {
      add_obstacle(table, quoted + " is partitioned, which sluice cannot load into yet",
                   "load its partitions, or a plain table that is attached afterwards");
    } else if (kind != "r") {
      add_obstacle(table, quoted + " is not a table", "name a table for it in the mapping, or --exclude it");
    } else if (result.text(row, 2) == "u") {
      add_obstacle(table, quoted + " is UNLOGGED: a crash of the server would empty it, but not the ledger",
                   "ALTER TABLE " + quoted + " SET LOGGED");
    } else if (result.boolean(row, 3)) {
      add_obstacle(table, quoted + " has tables that inherit from it, whose rows would count as its own",
                   "ALTER TABLE ... NO INHERIT for the load");
    }
    catalog.tables.emplace(table.name, std::move(table));
  }
}

void read_columns(Connection& connection, TargetCatalog& catalog) {
  std::map<std::int64_t, std::vector<std::string>> labels;
  const Result enumerations = connection.execute(kLabels);
  for (std::size_t row = 0; row < enumerations.rows(); ++row) {
    labels[enumerations.integer(row, 0)].push_back(enumerations.text(row, 1));
  }
  const Result result = connection.execute(kColumns, {quote_identifier(catalog.schema)});
  for (std::size_t row = 0; row < result.rows(); ++row) {
    const auto table = catalog.tables.find(result.text(row, 0));
    if (table == catalog.tables.end()) continue;
    ExistingColumn& column = table->second.columns.emplace_back();
    column.name = result.text(row, 1);
    column.not_null = result.boolean(row, 2);
    column.generated = result.boolean(row, 3);
    column.identity_always = result.boolean(row, 4);
    column.has_default = result.boolean(row, 5) && !column.generated;
    column.domain_checks = result.boolean(row, 8);
    column.type_name = result.text(row, 10);
    if (!result.is_null(row, 13)) column.sequence = result.text(row, 13);
    const std::int64_t oid = result.integer(row, 6);
    const bool is_domain = result.boolean(row, 11);
    if (result.boolean(row, 9)) {
      column.supported = true;  // an enumeration takes its label's text
      column.labels = labels[oid];
      continue;
    }
    if (result.boolean(row, 12)) {
      column.supported = true;  // citext takes what text takes
      continue;
    }
    const PgTypeName* type = type_of_oid(oid);
    if (type == nullptr) continue;
    const auto modifier = modifier_of(type->type, static_cast<std::int32_t>(result.integer(row, 7)));
    if (!modifier) continue;
    column.supported = true;
    column.type = type->type;
    column.modifier = *modifier;
    if (!is_domain) column.type_name.clear();
  }
}

void read_obstacles(Connection& connection, TargetCatalog& catalog) {
  const Result triggers = connection.execute(kTriggers, {quote_identifier(catalog.schema)});
  for (std::size_t row = 0; row < triggers.rows(); ++row) {
    const auto table = catalog.tables.find(triggers.text(row, 0));
    if (table == catalog.tables.end()) continue;
    const std::string quoted = quote_qualified(catalog.schema, table->first);
    const std::string trigger = quote_identifier(triggers.text(row, 1));
    add_obstacle(table->second, "trigger " + trigger + " of " + quoted + " would fire during the load",
                 "--rebuild, or ALTER TABLE " + quoted + " DISABLE TRIGGER " + trigger + " for the load",
                 true);
  }
  const Result constraints = connection.execute(kConstraints, {quote_identifier(catalog.schema)});
  for (std::size_t row = 0; row < constraints.rows(); ++row) {
    const auto table = catalog.tables.find(constraints.text(row, 0));
    if (table == catalog.tables.end()) continue;
    const std::string quoted = quote_qualified(catalog.schema, table->first);
    const std::string name = quote_identifier(constraints.text(row, 1));
    const bool check = constraints.text(row, 2) == "c";
    add_obstacle(table->second,
                 check ? "constraint " + name + " of " + quoted +
                             " is NOT VALID: rows like those that it spared once may stop the load"
                       : "foreign key " + name + " of " + quoted +
                             " is checked row by row, in whatever order the rows arrive",
                 "--rebuild, or ALTER TABLE " + quoted + " DROP CONSTRAINT " + name + " for the load", true);
  }
}

}  // namespace

TargetCatalog read_target_catalog(Connection& connection, const std::string& schema, TargetUse use) {
  const ReadScope scope(connection);
  TargetCatalog catalog;
  catalog.schema = schema;
  catalog.use = use;
  read_tables(connection, catalog);
  read_columns(connection, catalog);
  if (use == TargetUse::load) read_obstacles(connection, catalog);
  return catalog;
}

}  // namespace sluice
