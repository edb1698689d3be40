// Whole migrations of real databases that nobody on this project wrote.
//
// What arrived is judged by compare_databases.py, which shares no code with us, and by questions of this
// file's own to both catalogs. Each database is migrated once; the tests look at it from different sides.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/command.h"
#include "support/corpus.h"
#include "support/directories.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::CommandResult;
using testing::query;
using testing::query_value;
using testing::run_command;
using testing::shared_test_server;
using testing::TemporaryDirectory;

// ---- Migrating and comparing ----

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

const TemporaryDirectory& reports() {
  static const TemporaryDirectory directory("sluice-reports");
  return directory;
}

struct Migrated {
  fs::path source;
  std::string conninfo;
  fs::path report_directory;
  CommandResult run;
  json report;

  [[nodiscard]] const json& table(const std::string& name) const {
    for (const json& entry : report.at("tables")) {
      if (entry.at("source") == name) return entry;
    }
    throw std::runtime_error("the report has no table " + name);
  }
  // Table name to digest.
  [[nodiscard]] std::map<std::string, std::string> digests() const {
    std::map<std::string, std::string> digests;
    for (const json& entry : report.at("tables")) digests[entry.at("source")] = entry.at("digest");
    return digests;
  }
};

Migrated migrate(const fs::path& source, const std::string& database, std::vector<std::string> flags = {}) {
  Migrated migrated;
  migrated.source = source;
  migrated.conninfo = shared_test_server().create_database(database);
  // Statistics are ours or there are none: autovacuum does not come for rows that nobody counts.
  testing::execute(migrated.conninfo, "ALTER DATABASE \"" + database + "\" SET track_counts = off");
  migrated.report_directory = reports() / database;
  std::vector<std::string> argv = {
      testing::sluice_program(), "migrate",    source, migrated.conninfo, "--report",
      migrated.report_directory, "--progress", "none"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  migrated.run = run_command(std::move(argv));
  migrated.report = json::parse(content_of(migrated.report_directory / "report.json"), nullptr, false);
  if (migrated.report.is_discarded()) {
    throw std::runtime_error("no report.json: exit status " + std::to_string(migrated.run.exit_status) +
                             ", " + migrated.run.err);
  }
  return migrated;
}

CommandResult compare_databases(const fs::path& source, const std::string& conninfo, const fs::path& report) {
  return run_command({"python3", testing::source_directory() + "/tests/support/compare_databases.py", source,
                      conninfo, report});
}

// ---- Asking the source ----

using SourceRow = std::vector<std::optional<std::string>>;

// SQLite itself, read only, with none of our code around it.
class Source {
 public:
  explicit Source(const fs::path& path) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
    database_.reset(raw);
    if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(raw));
  }

  // Throws what SQLite says; PRAGMA foreign_key_check says "foreign key mismatch".
  [[nodiscard]] std::vector<SourceRow> rows(const std::string& sql) const {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(database_.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) fail(sql);
    const std::unique_ptr<sqlite3_stmt, Finalize> statement(raw);
    std::vector<SourceRow> rows;
    int code = 0;
    while ((code = sqlite3_step(raw)) == SQLITE_ROW) {
      SourceRow& row = rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(raw); ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(raw, i));
        row.push_back(text == nullptr ? std::nullopt : std::optional<std::string>(text));
      }
    }
    if (code != SQLITE_DONE) fail(sql);
    return rows;
  }
  [[nodiscard]] std::int64_t integer(const std::string& sql) const {
    return std::stoll(rows(sql).at(0).at(0).value_or("0"));
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  [[noreturn]] void fail(const std::string& sql) const {
    throw std::runtime_error(std::string(sqlite3_errmsg(database_.get())) + " in: " + sql);
  }

  std::unique_ptr<sqlite3, Close> database_;
};

// Both SQLite and PostgreSQL quote names like this.
std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + '"';
}

std::string literal(const std::string& value) {
  std::string text = "'";
  for (const char c : value) text += c == '\'' ? std::string("''") : std::string(1, c);
  return text + "'";
}

std::string folded(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// Source names to target names, from the report.
struct Mapping {
  explicit Mapping(const json& report) {
    for (const json& entry : report.at("tables")) {
      const std::string table = folded(entry.at("source"));
      tables[table] = entry.at("target");
      for (const json& column : entry.at("columns")) {
        columns[{table, folded(column.at("source"))}] = column.at("target");
        types[{table, folded(column.at("source"))}] = column.at("type");
      }
    }
  }
  [[nodiscard]] std::string column(const std::string& table, const std::string& name) const {
    return columns.at({folded(table), folded(name)});
  }

  std::map<std::string, std::string> tables;
  std::map<std::pair<std::string, std::string>, std::string> columns;
  std::map<std::pair<std::string, std::string>, std::string> types;
};

std::vector<std::string> primary_key(const Source& source, const std::string& table) {
  std::vector<std::string> columns;
  for (const SourceRow& row :
       source.rows("SELECT name FROM pragma_table_xinfo(" + literal(table) + ") WHERE pk > 0 ORDER BY pk")) {
    columns.push_back(*row[0]);
  }
  // Full text arrives with its rowid, which is how everything else refers to a document.
  if (!source.rows("SELECT 1 FROM pragma_table_list(" + literal(table) + ") WHERE type = 'virtual'")
           .empty()) {
    columns = {"rowid"};
  }
  return columns;
}

// ---- Objects of a schema, as lines to compare ----

// What the source declares, told apart by whether PostgreSQL could have it just like that.
struct Declared {
  std::multiset<std::string> expected;
  // For each that is more than a list of columns (partial, on an expression, with a collation) or a primary
  // key with NULLs, the table it belongs to: it is either translated or listed.
  std::vector<std::string> special;
};

bool key_holds_null(const Source& source, const std::string& table, const std::vector<std::string>& key) {
  std::string condition;
  for (const std::string& column : key) {
    condition += (condition.empty() ? "" : " OR ") + quoted(column) + " IS NULL";
  }
  return source.integer("SELECT count(*) FROM " + quoted(table) + " WHERE " + condition) > 0;
}

// "primary key film_actor (actor_id, film_id)", "unique rental (...)", "index film (title DESC)"
Declared declared_indexes(const Source& source, const Mapping& mapping, const std::string& table) {
  Declared declared;
  const std::string target = mapping.tables.at(folded(table));
  const std::vector<std::string> key = primary_key(source, table);
  if (!key.empty()) {
    std::vector<std::string> columns;
    for (const std::string& column : key) columns.push_back(mapping.column(table, column));
    // A key with NULLs, which SQLite takes, is UNIQUE there.
    const bool nulls = key_holds_null(source, table, key);
    declared.expected.insert((nulls ? "unique " : "primary key ") + target + " (" + joined(columns) + ")");
  }
  for (const SourceRow& index : source.rows("SELECT name, \"unique\", partial FROM pragma_index_list(" +
                                            literal(table) + ") WHERE origin <> 'pk'")) {
    bool translatable = *index[2] == "0";
    std::vector<std::string> columns;
    for (const SourceRow& part : source.rows("SELECT name, \"desc\", coll FROM pragma_index_xinfo(" +
                                             literal(*index[0]) + ") WHERE key = 1 ORDER BY seqno")) {
      if (!part[0]) {  // an expression
        translatable = false;
        break;
      }
      const bool text = mapping.types.at({folded(table), folded(*part[0])}) == "text";
      if (text && folded(part[2].value_or("")) != "binary") translatable = false;
      columns.push_back(mapping.column(table, *part[0]) + (*part[1] == "1" ? " DESC" : ""));
    }
    if (translatable) {
      declared.expected.insert((*index[1] == "1" ? "unique " : "index ") + target + " (" + joined(columns) +
                               ")");
    } else {
      declared.special.push_back(table);
    }
  }
  return declared;
}

std::multiset<std::string> created_indexes(const std::string& conninfo, const std::string& target) {
  std::multiset<std::string> lines;
  for (const auto& row :
       query(conninfo,
             "SELECT CASE WHEN i.indisprimary THEN 'primary key ' WHEN i.indisunique THEN 'unique ' ELSE "
             "'index ' END || c.relname || ' (' || (SELECT string_agg(a.attname || CASE WHEN "
             "i.indoption[k.place - 1] & 1 = 1 THEN ' DESC' ELSE '' END, ', ' ORDER BY k.place) FROM "
             "unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) JOIN pg_attribute a ON a.attrelid = c.oid "
             "AND a.attnum = k.attnum) || ')' || CASE WHEN i.indisvalid THEN '' ELSE ' invalid' END "
             "FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
             "WHERE i.indpred IS NULL AND i.indexprs IS NULL AND c.relnamespace = 'public'::regnamespace "
             "AND c.relname = " +
                 literal(target))) {
    lines.insert(row[0].value());
  }
  return lines;
}

// Indexes with a WHERE clause or on an expression.
std::size_t count_translated_indexes(const std::string& conninfo, const std::string& target) {
  return std::stoul(query_value(
      conninfo,
      "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE (i.indpred IS NOT NULL OR "
      "i.indexprs IS NOT NULL) AND c.relnamespace = 'public'::regnamespace AND c.relname = " +
          literal(target)));
}

// "orders (customer_id) -> customers (id) on update NO ACTION, on delete CASCADE, valid"
struct DeclaredKeys {
  std::multiset<std::string> expected;
  std::size_t orphans = 0;  // rows without a parent, over all keys
};

DeclaredKeys declared_foreign_keys(const Source& source, const Mapping& mapping, const std::string& table) {
  struct Key {
    std::string parent;
    std::vector<std::string> columns;
    std::vector<std::string> parent_columns;
    std::string actions;
  };
  std::map<std::string, Key> keys;
  for (const SourceRow& row : source.rows("SELECT id, \"table\", \"from\", \"to\", on_update, on_delete FROM "
                                          "pragma_foreign_key_list(" +
                                          literal(table) + ") ORDER BY id, seq")) {
    Key& key = keys[*row[0]];
    key.parent = *row[1];
    key.columns.push_back(mapping.column(table, *row[2]));
    if (row[3]) key.parent_columns.push_back(mapping.column(key.parent, *row[3]));
    key.actions = " on update " + *row[4] + ", on delete " + *row[5];
  }
  std::map<std::string, std::size_t> orphans;
  for (const SourceRow& row : source.rows("PRAGMA foreign_key_check(" + quoted(table) + ")")) {
    ++orphans[*row[3]];
  }
  DeclaredKeys declared;
  for (auto& [id, key] : keys) {
    if (key.parent_columns.empty()) {
      for (const std::string& column : primary_key(source, key.parent)) {
        key.parent_columns.push_back(mapping.column(key.parent, column));
      }
    }
    declared.orphans += orphans[id];
    declared.expected.insert(mapping.tables.at(folded(table)) + " (" + joined(key.columns) + ") -> " +
                             mapping.tables.at(folded(key.parent)) + " (" + joined(key.parent_columns) + ")" +
                             key.actions + (orphans[id] == 0 ? ", valid" : ", not valid"));
  }
  return declared;
}

std::multiset<std::string> created_foreign_keys(const std::string& conninfo, const std::string& target) {
  const auto columns = [](const std::string& table, const std::string& key) {
    return "(SELECT string_agg(a.attname, ', ' ORDER BY k.place) FROM unnest(f." + key +
           ") WITH ORDINALITY AS k(attnum, place) JOIN pg_attribute a ON a.attrelid = f." + table +
           " AND a.attnum = k.attnum)";
  };
  const auto action = [](const std::string& name) {
    return "CASE f." + name +
           " WHEN 'a' THEN 'NO ACTION' WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET "
           "NULL' ELSE 'SET DEFAULT' END";
  };
  std::multiset<std::string> lines;
  for (const auto& row :
       query(conninfo,
             "SELECT c.relname || ' (' || " + columns("conrelid", "conkey") +
                 " || ') -> ' || "
                 "p.relname || ' (' || " +
                 columns("confrelid", "confkey") + " || ') on update ' || " + action("confupdtype") +
                 " || ', on delete ' || " + action("confdeltype") +
                 " || CASE WHEN f.convalidated THEN ', valid' ELSE ', not valid' END "
                 "FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class p ON p.oid = "
                 "f.confrelid WHERE f.contype = 'f' AND c.relnamespace = 'public'::regnamespace AND "
                 "c.relname = " +
                 literal(target))) {
    lines.insert(row[0].value());
  }
  return lines;
}

std::size_t count_not_created(const json& report, const std::string& table,
                              const std::set<std::string>& kinds) {
  std::size_t count = 0;
  for (const json& object : report.at("objects")) {
    if (object.at("table") != table || !kinds.contains(object.at("kind"))) continue;
    if (object.at("status") == "not_created") ++count;
  }
  return count;
}

// ---- The corpus ----

constexpr const char* kFiles[] = {
    "chinook",
    "northwind_efcore",
    "northwind_big",
    "sakila",
    "sql_murder_mystery",
    "datasette_fixtures",
    "fdw_core",
    "fdw_common",
    "pocketbase_data",
    "uptime_kuma",
    "micro_pgloader_storage",
    "micro_pgloader_sqlite",
};

// The migration of a corpus file with default flags, done once; nullptr where the file is not there.
const Migrated* migrated_corpus(const std::string& name) {
  static std::map<std::string, std::optional<Migrated>> known;
  const auto [found, is_new] = known.try_emplace(name);
  if (is_new) {
    if (const auto file = testing::corpus_file(name)) found->second = migrate(*file, name);
  }
  return found->second ? &*found->second : nullptr;
}

class Corpus : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    migrated_ = migrated_corpus(GetParam());
    if (migrated_ == nullptr) GTEST_SKIP() << "no corpus file " << GetParam();
  }

  const Migrated* migrated_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Files, Corpus, ::testing::ValuesIn(kFiles),
                         [](const auto& parameter) { return std::string(parameter.param); });

TEST_P(Corpus, EndsVerifiedOrWithEveryRejectedRowExplained) {
  const json& report = migrated_->report;
  const CommandResult& run = migrated_->run;
  EXPECT_EQ(run.signal, 0);
  ASSERT_EQ(run.exit_status, 0) << run.err << run.out;  // no value of the corpus is lost
  EXPECT_EQ(report.at("exit_status"), run.exit_status);
  EXPECT_EQ(report.at("status"), run.exit_status == 0 ? "verified" : "rejected");
  EXPECT_EQ(report.at("root").get<std::string>().size(), 32u);

  std::map<std::string, std::uint64_t> rejected;
  const std::string rejects = content_of(migrated_->report_directory / "rejects.jsonl");
  for (std::size_t start = 0; start < rejects.size();) {
    const std::size_t end = rejects.find('\n', start);
    ASSERT_NE(end, std::string::npos) << "the last line is cut off";
    const json record = json::parse(rejects.substr(start, end - start), nullptr, false);
    ASSERT_TRUE(record.is_object()) << rejects.substr(start, end - start);
    for (const char* key : {"table", "target", "key", "column", "declared_type", "target_type",
                            "storage_class", "length", "hex", "reason"}) {
      EXPECT_TRUE(record.contains(key)) << key << " in " << record;
    }
    ++rejected[record.at("table")];
    start = end + 1;
  }
  for (const json& table : report.at("tables")) {
    const std::uint64_t source = table.at("rows_source");
    const std::uint64_t loaded = table.at("rows_loaded");
    EXPECT_EQ(source, loaded + table.at("rows_rejected").get<std::uint64_t>()) << table;
    EXPECT_EQ(table.at("rows_rejected"), rejected[table.at("source")]) << table;
    EXPECT_EQ(table.at("verified"), true) << table;
    EXPECT_GE(table.at("ranges"), 1) << table;
    EXPECT_EQ(table.at("digest").get<std::string>().size(), 32u) << table;
  }
  EXPECT_EQ(rejects.empty(), run.exit_status == 0);
}

TEST_P(Corpus, ArrivesValueByValue) {
  const CommandResult comparison =
      compare_databases(migrated_->source, migrated_->conninfo, migrated_->report_directory);
  EXPECT_EQ(comparison.exit_status, 0) << comparison.out << comparison.err;
}

TEST_P(Corpus, HasItsKeysAndIndexes) {
  const Source source(migrated_->source);
  const Mapping mapping(migrated_->report);
  for (const json& entry : migrated_->report.at("tables")) {
    const std::string table = entry.at("source");
    const Declared declared = declared_indexes(source, mapping, table);
    EXPECT_EQ(created_indexes(migrated_->conninfo, entry.at("target")), declared.expected) << table;
    EXPECT_EQ(count_not_created(migrated_->report, table, {"primary_key", "unique", "index"}) +
                  count_translated_indexes(migrated_->conninfo, entry.at("target")),
              declared.special.size())
        << table;
  }
}

TEST_P(Corpus, HasItsForeignKeysAndTheyAreValidExceptWhereRowsHaveNoParent) {
  const Source source(migrated_->source);
  const Mapping mapping(migrated_->report);
  for (const json& entry : migrated_->report.at("tables")) {
    const std::string table = entry.at("source");
    EXPECT_EQ(created_foreign_keys(migrated_->conninfo, entry.at("target")),
              declared_foreign_keys(source, mapping, table).expected)
        << table;
    EXPECT_EQ(count_not_created(migrated_->report, table, {"foreign_key"}), 0u) << table;
  }
}

TEST_P(Corpus, SaysWhyAnObjectWasNotCreated) {
  const Source source(migrated_->source);
  std::map<std::string, std::int64_t> not_created;
  for (const json& object : migrated_->report.at("objects")) {
    if (object.at("status") == "created") continue;
    EXPECT_EQ(object.at("status"), "not_created");
    EXPECT_FALSE(object.at("reason").get<std::string>().empty()) << object;
    EXPECT_FALSE(object.at("sql").get<std::string>().empty()) << object;
    EXPECT_FALSE(object.at("proposal").get<std::string>().empty()) << object;
    ++not_created[object.at("kind")];
  }
  // views_test.cc looks at what views show; here, that none is forgotten.
  std::int64_t views = 0;
  for (const json& object : migrated_->report.at("objects")) views += object.at("kind") == "view" ? 1 : 0;
  EXPECT_EQ(views, source.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'view'"));
  EXPECT_EQ(not_created["trigger"],
            source.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"));
  EXPECT_EQ(
      not_created["table"],
      source.integer("SELECT count(*) FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%content%=%'"))
      << "full text over another table's rows";
}

TEST_P(Corpus, TakesNoViewOrShadowTableForData) {
  const Source source(migrated_->source);
  std::set<std::string> arrived;
  for (const json& entry : migrated_->report.at("tables")) arrived.insert(entry.at("source"));
  for (const SourceRow& row : source.rows(
           "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type NOT IN ('table', 'virtual')")) {
    EXPECT_FALSE(arrived.contains(*row[0])) << *row[0];
  }
  EXPECT_EQ(query_value(migrated_->conninfo,
                        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND "
                        "relnamespace = 'public'::regnamespace"),
            std::to_string(arrived.size()));
}

TEST_P(Corpus, HasStatisticsForThePlanner) {
  for (const json& entry : migrated_->report.at("tables")) {
    const double rows = std::stod(
        query_value(migrated_->conninfo, "SELECT reltuples FROM pg_class WHERE oid = " +
                                             literal("public." + quoted(entry.at("target"))) + "::regclass"));
    if (entry.at("rows_loaded") > 0) {
      EXPECT_GT(rows, 0) << entry.at("source");
    } else {
      EXPECT_EQ(rows, 0) << entry.at("source") << ": -1 means never analyzed";
    }
  }
}

// A new row gets the key that SQLite would have given it, or a later one where AUTOINCREMENT remembers more.
TEST_P(Corpus, GivesTheNextRowTheNextKey) {
  const Source source(migrated_->source);
  const Mapping mapping(migrated_->report);
  const bool has_sequences =
      source.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'") > 0;
  for (const json& entry : migrated_->report.at("tables")) {
    const std::string table = entry.at("source");
    const std::vector<std::string> key = primary_key(source, table);
    // SQLite needs no index for the key that is the rowid.
    const bool is_rowid =
        key.size() == 1 &&
        source.rows("SELECT 1 FROM pragma_index_list(" + literal(table) + ") WHERE origin = 'pk'").empty();
    const std::string target = "public." + quoted(entry.at("target"));
    if (!is_rowid) {
      EXPECT_EQ(query_value(migrated_->conninfo, "SELECT count(*) FROM pg_attribute WHERE attrelid = " +
                                                     literal(target) + "::regclass AND attidentity <> ''"),
                "0")
          << table;
      continue;
    }
    std::int64_t used = source.integer("SELECT max(" + quoted(key[0]) + ") FROM " + quoted(table));
    if (has_sequences) {
      used = std::max(used,
                      source.integer("SELECT max(seq) FROM sqlite_sequence WHERE name = " + literal(table)));
    }
    ASSERT_LT(used, INT64_MAX) << table;
    const std::string column = mapping.column(table, key[0]);

    std::vector<std::string> others;
    for (const json& other : entry.at("columns")) {
      if (other.at("target") != column) others.push_back(quoted(other.at("target")));
    }
    std::size_t unique = 0;
    for (const std::string& line : created_indexes(migrated_->conninfo, entry.at("target"))) {
      if (!line.starts_with("index ")) ++unique;
    }
    // A copy of some row keeps every constraint but a second unique one. The connection ends without a
    // COMMIT, so only the sequence moves.
    const bool can_copy = unique == 1 && entry.at("rows_loaded") > 0 && !others.empty();
    const std::string next =
        can_copy ? query_value(migrated_->conninfo, "BEGIN; INSERT INTO " + target + " (" + joined(others) +
                                                        ") SELECT " + joined(others) + " FROM " + target +
                                                        " LIMIT 1 RETURNING " + quoted(column))
                 : query_value(migrated_->conninfo, "SELECT nextval(pg_get_serial_sequence(" +
                                                        literal(target) + ", " + literal(column) + "))");
    EXPECT_EQ(next, std::to_string(std::max<std::int64_t>(used, 0) + 1)) << table;
  }
}

TEST_P(Corpus, HasTheSameRootWhateverTheLanesAndRanges) {
  const std::string name = GetParam();
  const bool large = name == "northwind_big";  // its ranges should be many, but not thousands
  const Migrated one_lane = migrate(migrated_->source, name + "_one", {"--jobs", "1", "--verify", "none"});
  const Migrated many_ranges =
      migrate(migrated_->source, name + "_many", {"--jobs", "4", "--range-size", large ? "1MiB" : "16KiB"});
  for (const Migrated* other : {&one_lane, &many_ranges}) {
    ASSERT_EQ(other->run.exit_status, migrated_->run.exit_status) << other->run.err;
    EXPECT_EQ(other->digests(), migrated_->digests());
    EXPECT_EQ(other->report.at("root"), migrated_->report.at("root"));
  }
  EXPECT_NE(migrated_->run.out.find(migrated_->report.at("root").get<std::string>()), std::string::npos);
}

TEST_P(Corpus, HasTheSameRootAfterItsFileWasWrittenAnew) {
  const TemporaryDirectory folder;
  const fs::path copy = folder / "copy.sqlite";
  static_cast<void>(Source(migrated_->source).rows("VACUUM INTO " + literal(copy.string())));
  const Migrated again = migrate(copy, std::string(GetParam()) + "_vacuumed", {"--verify", "none"});
  ASSERT_TRUE(again.run.exit_status == 0 || again.run.exit_status == 3) << again.run.err;
  EXPECT_EQ(again.digests(), migrated_->digests());
  EXPECT_EQ(again.report.at("root"), migrated_->report.at("root"));
}

TEST_P(Corpus, HasNearlyAllOfItsSchemaAndReasonsForTheRest) {
  const std::set<std::string> kinds = {"primary_key", "unique",      "index", "check",
                                       "default",     "foreign_key", "view",  "generated"};
  std::size_t created = 0;
  std::size_t all = 0;
  for (const json& object : migrated_->report.at("objects")) {
    if (!kinds.contains(object.at("kind"))) continue;
    ++all;
    if (object.at("status") == "created") {
      ++created;
    } else {
      EXPECT_NE(object.at("reason"), "") << object;
      EXPECT_NE(object.at("sql"), "") << object;
    }
  }
  const std::string name = GetParam();
  const std::set<std::string> usual = {"sakila", "chinook", "northwind_efcore", "northwind_big",
                                       "pocketbase_data"};
  if (usual.contains(name)) {
    EXPECT_GE(created * 100, all * 95) << created << " of " << all;
  }
  RecordProperty("created", std::to_string(created) + " of " + std::to_string(all));
}

// ---- What single files are here for ----

// The corpus file, or the end of the test.
#define MIGRATED_OR_SKIP(variable, name)                  \
  const Migrated* const variable = migrated_corpus(name); \
  if (variable == nullptr) GTEST_SKIP() << "no corpus file " << (name)

TEST(CorpusChinook, NothingButItsRowsKeysAndIndexesToCreate) {
  MIGRATED_OR_SKIP(chinook, "chinook");
  EXPECT_EQ(chinook->run.exit_status, 0);
  for (const json& object : chinook->report.at("objects"))
    EXPECT_EQ(object.at("status"), "created") << object;
}

TEST(CorpusNorthwind, EveryKeyAndIndexIsThere) {
  for (const char* name : {"northwind_big", "sakila", "chinook"}) {
    MIGRATED_OR_SKIP(migrated, name);
    for (const json& object : migrated->report.at("objects")) {
      const std::string kind = object.at("kind");
      if (kind == "primary_key" || kind == "unique" || kind == "index" || kind == "foreign_key" ||
          kind == "identity") {
        EXPECT_EQ(object.at("status"), "created") << object;
        EXPECT_EQ(object.at("reason"), "") << object;
      }
    }
  }
}

TEST(CorpusNorthwind, SplitsItsLargeTable) {
  MIGRATED_OR_SKIP(northwind, "northwind_big");
  EXPECT_EQ(northwind->table("Order Details").at("rows_loaded"), 609480);
  EXPECT_GT(northwind->table("Order Details").at("ranges"), 1);
}

TEST(CorpusMurderMystery, LeavesTheKeysOfOrphansNotValidAndSaysHowToFindThem) {
  MIGRATED_OR_SKIP(mystery, "sql_murder_mystery");
  const Source source(mystery->source);
  const Mapping mapping(mystery->report);
  std::size_t orphans = 0;
  for (const json& entry : mystery->report.at("tables")) {
    orphans += declared_foreign_keys(source, mapping, entry.at("source")).orphans;
  }
  EXPECT_EQ(orphans, 2502u);

  std::size_t orphans_by_proposal = 0;
  for (const json& object : mystery->report.at("objects")) {
    const std::string reason = object.at("reason");
    if (object.at("kind") != "foreign_key" || reason.empty()) continue;
    EXPECT_NE(reason.find("NOT VALID"), std::string::npos) << object;
    EXPECT_NE(reason.find("23503"), std::string::npos) << object;
    // The query that the report proposes finds them.
    const std::string proposal = object.at("proposal");
    const std::size_t start = proposal.find("SELECT");
    ASSERT_NE(start, std::string::npos) << object;
    orphans_by_proposal +=
        query(mystery->conninfo, proposal.substr(start, proposal.find(';') - start)).size();
  }
  EXPECT_EQ(orphans_by_proposal, 2502u);
}

// ---- Does the comparison see anything? ----

TEST(CompareDatabases, SeesEveryCorruptionOfItsOwnSamples) {
  const CommandResult test = run_command(
      {"python3", testing::source_directory() + "/tests/support/compare_databases.py", "--self-test"});
  EXPECT_EQ(test.exit_status, 0) << test.out << test.err;
}

TEST(CompareDatabases, SeesOneChangedValueAmongAll) {
  MIGRATED_OR_SKIP(chinook, "chinook");
  const std::pair<std::string, std::string> changes[] = {
      {"Invoice", "UPDATE \"Invoice\" SET \"Total\" = \"Total\" + 0.001 WHERE \"InvoiceId\" = 412"},
      {"Invoice",
       "UPDATE \"Invoice\" SET \"InvoiceDate\" = \"InvoiceDate\" + interval '1 microsecond' "
       "WHERE \"InvoiceId\" = 1"},
      {"Artist", "UPDATE \"Artist\" SET \"Name\" = upper(\"Name\") WHERE \"ArtistId\" = 3"},
      {"Customer", "UPDATE \"Customer\" SET \"Company\" = '' WHERE \"CustomerId\" = 2"},
      {"Album", "UPDATE \"Album\" SET \"ArtistId\" = 3 - \"ArtistId\" WHERE \"AlbumId\" IN (1, 2)"},
      {"PlaylistTrack", "DELETE FROM \"PlaylistTrack\" WHERE \"PlaylistId\" = 18"},
      {"Genre", "INSERT INTO \"Genre\" VALUES (26, 'Opera')"},
      {"Genre", "ALTER TABLE \"Genre\" ALTER COLUMN \"Name\" TYPE varchar(120)"},
  };
  for (const auto& [table, change] : changes) {
    const std::string conninfo = shared_test_server().create_database("chinook_changed");
    testing::execute(shared_test_server().conninfo(), "DROP DATABASE chinook_changed");
    testing::execute(shared_test_server().conninfo(), "CREATE DATABASE chinook_changed TEMPLATE chinook");
    testing::execute(conninfo, change);
    const CommandResult comparison = compare_databases(chinook->source, conninfo, chinook->report_directory);
    EXPECT_EQ(comparison.exit_status, 1) << change << "\n" << comparison.out << comparison.err;
    const bool named = comparison.out.find("different: " + table + ":") != std::string::npos ||
                       comparison.out.find("table " + table + ":") != std::string::npos;
    EXPECT_TRUE(named) << change << "\n" << comparison.out;
  }
}

// The same with our own verification: running the command again reads the target back once more.
TEST(Verification, SeesOneChangedValueAmongAll) {
  MIGRATED_OR_SKIP(chinook, "chinook");
  const Migrated migrated = migrate(chinook->source, "chinook_tampered");
  ASSERT_EQ(migrated.run.exit_status, 0) << migrated.run.err;
  testing::execute(migrated.conninfo,
                   "UPDATE \"Invoice\" SET \"Total\" = \"Total\" + 0.001 WHERE \"InvoiceId\" = 412");
  const CommandResult again =
      run_command({testing::sluice_program(), "migrate", migrated.source, migrated.conninfo, "--report",
                   migrated.report_directory, "--progress", "none"});
  EXPECT_EQ(again.exit_status, 4) << again.out << again.err;
  const json report = json::parse(content_of(migrated.report_directory / "report.json"));
  EXPECT_EQ(report.at("status"), "different");
  EXPECT_EQ(report.at("root"), migrated.report.at("root")) << "the root is that of the source";
  for (const json& table : report.at("tables")) {
    EXPECT_EQ(table.at("verified"), table.at("source") != "Invoice") << table;
  }
}

// ---- What the corpus has no file for ----

class Writer {
 public:
  explicit Writer(const fs::path& path) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open(path.c_str(), &raw);
    database_.reset(raw);
    if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(raw));
  }
  void run(const std::string& sql) const {
    if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      throw std::runtime_error(std::string(sqlite3_errmsg(database_.get())) + " in: " + sql);
    }
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

// A database whose rows are all in FILE-wal; FILE itself is one empty page.
void write_to_log_only(const Writer& writer) {
  writer.run(
      "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
      "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
      "INSERT INTO notes SELECT i, 'note ' || i FROM n;");
}

void expect_notes(const Migrated& migrated) {
  ASSERT_EQ(migrated.run.exit_status, 0) << migrated.run.err;
  EXPECT_EQ(query_value(migrated.conninfo, "SELECT count(*) FROM notes"), "5000");
  const CommandResult comparison =
      compare_databases(migrated.source, migrated.conninfo, migrated.report_directory);
  EXPECT_EQ(comparison.exit_status, 0) << comparison.out << comparison.err;
}

TEST(WriteAheadLog, RowsThatAreOnlyInTheLogOfARunningApplicationArriveWhole) {
  const TemporaryDirectory folder;
  const fs::path file = folder / "live.sqlite";
  const Writer application(file);
  write_to_log_only(application);
  const std::string pages = content_of(file);
  const std::string log = content_of(file.string() + "-wal");
  ASSERT_LT(pages.size(), log.size());
  expect_notes(migrate(file, "log_live"));
  EXPECT_EQ(content_of(file), pages) << "the source was written to";
  EXPECT_EQ(content_of(file.string() + "-wal"), log) << "the log was written to";
}

TEST(WriteAheadLog, RowsInALogThatACrashLeftBehindArriveWhole) {
  const TemporaryDirectory folder;
  const fs::path file = folder / "left.sqlite";
  {
    const Writer application(folder / "live.sqlite");
    write_to_log_only(application);
    // What a crash leaves on the disk: no -shm counts, and the log was never checkpointed.
    fs::copy_file(folder / "live.sqlite", file);
    fs::copy_file(folder / "live.sqlite-wal", file.string() + "-wal");
  }
  const std::string log = content_of(file.string() + "-wal");
  expect_notes(migrate(file, "log_left"));
  EXPECT_EQ(content_of(file.string() + "-wal"), log) << "the log was written to";
}

TEST(ShadowTables, AreToldFromUserTablesByWhatSqliteSaysAndNotByTheirNames) {
  const TemporaryDirectory folder;
  const fs::path file = folder / "shadows.sqlite";
  Writer(file).run(
      "CREATE VIRTUAL TABLE docs USING fts5(title, body);"
      "INSERT INTO docs VALUES ('one', 'first'), ('two', 'second');"
      "CREATE VIRTUAL TABLE places USING rtree(id, x0, x1);"
      "INSERT INTO places VALUES (1, 0, 1);"
      "CREATE TABLE notes_data (id INTEGER PRIMARY KEY, block BLOB);"
      "INSERT INTO notes_data VALUES (1, x'00ff'), (2, NULL);"
      "CREATE TABLE docs_contents (c0); INSERT INTO docs_contents VALUES ('a user''s own');");
  const Migrated migrated = migrate(file, "shadows");
  ASSERT_EQ(migrated.run.exit_status, 0) << migrated.run.err;
  std::set<std::string> tables;
  for (const json& entry : migrated.report.at("tables")) tables.insert(entry.at("source"));
  EXPECT_EQ(tables, (std::set<std::string>{"docs", "docs_contents", "notes_data", "places"}));
  std::set<std::string> listed;
  for (const json& object : migrated.report.at("objects")) {
    if (object.at("kind") == "table") listed.insert(object.at("name"));
  }
  EXPECT_EQ(listed, (std::set<std::string>{"docs", "places"}));
  const CommandResult comparison =
      compare_databases(migrated.source, migrated.conninfo, migrated.report_directory);
  EXPECT_EQ(comparison.exit_status, 0) << comparison.out << comparison.err;
}

}  // namespace
}  // namespace sluice
