// Views of real databases, and hand-made ones, by what they show: both databases are asked for all rows of
// every view that was created, and the answers are compared as multisets.

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/corpus.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + '"';
}

std::string folded(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

// ---- values of both sides, brought to one spelling by the type of the target's column ----

struct Value {
  std::string text;
  bool number = false;  // then compared with a tolerance
  double real = 0;

  bool operator<(const Value& other) const {
    if (number && other.number) return real < other.real;
    return number != other.number ? number : text < other.text;
  }
};

Value number_value(double real) {
  Value value;
  value.number = true;
  value.real = real;
  char room[40];
  std::snprintf(room, sizeof room, "%.12g", real == 0 ? 0.0 : real);
  value.text = room;
  return value;
}

std::string moment_text(std::string text) {
  if (text.size() > 10 && text[10] == 'T') text[10] = ' ';
  if (text.size() == 10) text += " 00:00:00";
  if (text.size() == 16) text += ":00";
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
  }
  return text;
}

Value value_of(const std::string& text, const std::string& type) {
  if (type == "boolean") return number_value(text == "t" || text == "1" ? 1 : 0);
  if (type == "bigint" || type == "integer" || type == "smallint" || type == "numeric" ||
      type == "double precision") {
    return number_value(std::strtod(text.c_str(), nullptr));
  }
  if (type.starts_with("timestamp")) return {moment_text(text)};
  if (type == "json" || type == "jsonb") {
    const Json parsed = Json::parse(text, nullptr, false);
    return {parsed.is_discarded() ? text : parsed.dump()};
  }
  if (type == "uuid") return {folded(text)};
  return {text};
}

using Row = std::vector<Value>;
struct Content {
  std::vector<std::string> columns;
  std::vector<std::string> types;
  std::vector<Row> rows;  // none when there are very many
  std::uint64_t count = 0;
  std::uint64_t sum = 0;  // of hashes of the rows: the order does not matter
};

constexpr std::uint64_t kRowsKept = 50'000;

void take(Content& content, Row row) {
  std::string all;
  for (const Value& value : row) all += value.text + '\x1f';
  ++content.count;
  content.sum += std::hash<std::string>{}(all);
  if (content.count <= kRowsKept) content.rows.push_back(std::move(row));
}

Content target_content(const std::string& conninfo, const std::string& view) {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(conninfo.c_str()), PQfinish);
  Content content;
  for (const QueryRow& row :
       query(conninfo, "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = '" +
                           quoted(view) + "'::regclass AND attnum > 0 ORDER BY attnum")) {
    content.columns.push_back(row[0].value());
    content.types.push_back(row[1].value());
  }
  if (PQsendQuery(connection.get(), ("SELECT * FROM " + quoted(view)).c_str()) == 0 ||
      PQsetSingleRowMode(connection.get()) == 0) {
    throw std::runtime_error(PQerrorMessage(connection.get()));
  }
  for (;;) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQgetResult(connection.get()), PQclear);
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK) continue;
    if (status != PGRES_SINGLE_TUPLE) throw std::runtime_error(PQerrorMessage(connection.get()));
    Row row;
    for (int i = 0; i < PQnfields(result.get()); ++i) {
      row.push_back(
          PQgetisnull(result.get(), 0, i) != 0
              ? Value{"\x01null"}
              : value_of(PQgetvalue(result.get(), 0, i), content.types[static_cast<std::size_t>(i)]));
    }
    take(content, std::move(row));
  }
  return content;
}

Content source_content(const fs::path& file, const std::string& view, const std::vector<std::string>& types) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> database(raw, sqlite3_close);
  sqlite3_stmt* made = nullptr;
  if (opened != SQLITE_OK ||
      sqlite3_prepare_v2(raw, ("SELECT * FROM " + quoted(view)).c_str(), -1, &made, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(raw));
  }
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(made, sqlite3_finalize);
  Content content;
  content.types = types;
  for (int i = 0; i < sqlite3_column_count(made); ++i)
    content.columns.emplace_back(sqlite3_column_name(made, i));
  if (content.columns.size() != types.size()) throw std::runtime_error("another number of columns");
  int code = 0;
  while ((code = sqlite3_step(made)) == SQLITE_ROW) {
    Row row;
    for (int i = 0; i < sqlite3_column_count(made); ++i) {
      const std::string& type = types[static_cast<std::size_t>(i)];
      if (sqlite3_column_type(made, i) == SQLITE_NULL) {
        row.push_back({"\x01null"});
      } else if (type == "bytea") {
        std::string hex = "\\x";
        const auto* bytes = static_cast<const unsigned char*>(sqlite3_column_blob(made, i));
        for (int k = 0; k < sqlite3_column_bytes(made, i); ++k) {
          char two[3];
          std::snprintf(two, sizeof two, "%02x", bytes[k]);
          hex += two;
        }
        row.push_back({hex});
      } else if (sqlite3_column_type(made, i) == SQLITE_FLOAT) {
        // Its own text has 15 digits only.
        row.push_back(number_value(sqlite3_column_double(made, i)));
      } else {
        row.push_back(value_of(reinterpret_cast<const char*>(sqlite3_column_text(made, i)), type));
      }
    }
    take(content, std::move(row));
  }
  if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(raw));
  return content;
}

std::string shown(const Row& row) {
  std::string text;
  for (const Value& value : row) text += (text.empty() ? "" : " | ") + value.text;
  return text;
}

bool equal(const Value& left, const Value& right) {
  if (left.number != right.number) return false;
  if (!left.number) return left.text == right.text;
  return std::abs(left.real - right.real) <=
         1e-9 * std::max({1.0, std::abs(left.real), std::abs(right.real)});
}

// Sorted by what is compared exactly first, so that last digits do not move a row.
void sort_rows(std::vector<Row>& rows) {
  std::sort(rows.begin(), rows.end(), [](const Row& left, const Row& right) {
    for (const bool numbers : {false, true}) {
      for (std::size_t i = 0; i < left.size(); ++i) {
        const bool number = left[i].number || right[i].number;
        if (number != numbers) continue;
        if (left[i] < right[i]) return true;
        if (right[i] < left[i]) return false;
      }
    }
    return false;
  });
}

// SQLite 3.40 turns a join in parentheses into a subquery, and then numbers the names that stand in several
// of its tables; what the view says is what its owner meant.
std::vector<std::string> without_numbers(std::vector<std::string> names) {
  for (std::string& name : names) {
    const std::size_t colon = name.rfind(':');
    if (colon != std::string::npos && name.find_first_not_of("0123456789", colon + 1) == std::string::npos) {
      name.erase(colon);
    }
  }
  return names;
}

void expect_equal_content(const fs::path& file, const std::string& conninfo, const std::string& source,
                          const std::string& target) {
  SCOPED_TRACE("view " + source);
  Content theirs = target_content(conninfo, target);
  Content ours;
  ASSERT_NO_THROW(ours = source_content(file, source, theirs.types));
  EXPECT_TRUE(theirs.columns == ours.columns || theirs.columns == without_numbers(ours.columns))
      << ::testing::PrintToString(theirs.columns) << " and in SQLite "
      << ::testing::PrintToString(ours.columns);
  ASSERT_EQ(theirs.count, ours.count);
  if (theirs.count > kRowsKept) {
    EXPECT_EQ(theirs.sum, ours.sum);
    return;
  }
  sort_rows(theirs.rows);
  sort_rows(ours.rows);
  int differences = 0;
  for (std::size_t i = 0; i < ours.rows.size() && differences < 3; ++i) {
    if (std::equal(ours.rows[i].begin(), ours.rows[i].end(), theirs.rows[i].begin(), theirs.rows[i].end(),
                   equal)) {
      continue;
    }
    ++differences;
    ADD_FAILURE() << "SQLite:     " << shown(ours.rows[i]) << "\nPostgreSQL: " << shown(theirs.rows[i]);
  }
}

// ---- migrations ----

class Views : public ::testing::Test {
 protected:
  void migrate_file(const fs::path& file, const std::vector<std::string>& flags = {},
                    int expected_status = 0) {
    file_ = file;
    if (target_.empty()) target_ = shared_test_server().create_database("views_test");
    const std::string report = (folder_ / "report").string();
    std::vector<std::string> argv = {sluice_program(), "migrate", file,         target_,
                                     "--report",       report,    "--progress", "none"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    result_ = run_command(std::move(argv));
    ASSERT_EQ(result_.exit_status, expected_status) << result_.err << result_.out;
    std::ifstream json(report + "/report.json");
    report_ = Json::parse(json);
  }

  void migrate(const std::string& script, const std::vector<std::string>& flags = {}) {
    const fs::path file = folder_ / "source.sqlite";
    fs::remove(file);
    CommandOptions options;
    options.input = script;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", file}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
    migrate_file(file, flags);
  }

  // Every view that was created shows the same; says how many there are, and how many were.
  void compare_views(std::size_t& created, std::size_t& all) {
    created = all = 0;
    for (const Json& object : report_["objects"]) {
      if (object["kind"] != "view") continue;
      ++all;
      if (object["status"] != "created") {
        EXPECT_FALSE(object["reason"].get<std::string>().empty()) << object;
        EXPECT_FALSE(object["sql"].get<std::string>().empty()) << object;
        continue;
      }
      ++created;
      expect_equal_content(file_, target_, object["name"], object["name"]);
    }
  }

  Json view(const std::string& name) const {
    for (const Json& object : report_["objects"]) {
      if (object["kind"] == "view" && object["name"] == name) return object;
    }
    ADD_FAILURE() << "view " << name << " is not in the report";
    return {};
  }

  void expect_refused(const std::string& name, const std::string& part) const {
    const Json object = view(name);
    EXPECT_EQ(object["status"], "not_created") << object;
    EXPECT_NE(object["reason"].get<std::string>().find(part), std::string::npos) << object;
  }
  void expect_created(const std::string& name, const std::string& remark = "") {
    const Json object = view(name);
    EXPECT_EQ(object["status"], "created") << object;
    EXPECT_NE(object["reason"].get<std::string>().find(remark), std::string::npos) << object;
    if (object["status"] == "created") expect_equal_content(file_, target_, name, name);
  }

  TemporaryDirectory folder_;
  fs::path file_;
  std::string target_;
  CommandResult result_;
  Json report_;
};

constexpr const char* kPeople =
    "CREATE TABLE p(id INTEGER PRIMARY KEY, name TEXT NOT NULL, born DATE, seen DATETIME, pay NUMERIC, score "
    "REAL,"
    " vip BOOLEAN, note TEXT COLLATE NOCASE, data JSON, boss INTEGER);"
    "INSERT INTO p VALUES(1, 'Ann', '1980-02-29', '2020-01-01 10:00:00', 10.5, 1.25, 1, 'x', '{\"a\": 1}', "
    "NULL),"
    "(2, 'bob', '1990-12-31', '2020-06-30 23:59:59', 7, 2.5, 0, 'X', '[1]', 1),"
    "(3, 'Cid', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1),"
    "(4, 'ann', '1980-01-01', '2021-01-01 00:00:00', 3, -4.5, 1, 'y', NULL, 2);";

TEST_F(Views, OfManyFormsShowTheSame) {
  const std::map<std::string, std::string> views = {
      {"stars", "SELECT * FROM p AS a LEFT JOIN p AS b ON a.boss = b.id"},
      {"using", "SELECT * FROM p JOIN (SELECT id, name AS called FROM p) USING (id)"},
      {"natural", "SELECT q.name, pay FROM p NATURAL JOIN (SELECT id, name FROM p WHERE vip) AS q"},
      {"comma", "SELECT a.name, b.name FROM p a, p b JOIN p c ON c.id = a.id WHERE a.boss = b.id"},
      {"grouped",
       "SELECT vip, count(*) AS n, sum(id), total(pay), avg(score), min(name), max(seen) FROM p "
       "GROUP BY vip HAVING count(*) >= 1"},
      {"by_place",
       "SELECT strftime('%Y', seen) AS year, count(DISTINCT boss) FROM p GROUP BY 1 ORDER BY 1 DESC"},
      {"by_alias", "SELECT substr(name, 1, 1) AS initial, sum(pay) AS pay FROM p GROUP BY initial"},
      {"by_key", "SELECT p.id, p.name, count(b.id) FROM p LEFT JOIN p b ON b.boss = p.id GROUP BY p.id"},
      {"scalar", "SELECT name, (SELECT max(pay) FROM p AS q WHERE q.boss = p.id) AS most FROM p"},
      {"exists_in",
       "SELECT name FROM p WHERE EXISTS (SELECT 1 FROM p b WHERE b.boss = p.id) OR id IN (SELECT boss FROM "
       "p)"},
      {"with_it",
       "WITH rich(who, pay) AS (SELECT name, pay FROM p WHERE pay > 5) SELECT who, pay * 2 FROM rich"},
      {"united",
       "SELECT name, pay FROM p UNION SELECT 'nobody', 0 UNION ALL SELECT name, id FROM p ORDER BY 2, name"},
      {"left_over", "SELECT id FROM p EXCEPT SELECT boss FROM p INTERSECT SELECT 4"},
      {"listed", "VALUES (1, 'a'), (2, 'b')"},
      {"limited", "SELECT name FROM p ORDER BY name LIMIT 2 OFFSET 1"},
      {"unlimited", "SELECT name FROM p LIMIT -1"},
      {"quoting", "SELECT [name], `pay`, \"score\", \"no such column\" AS 'text' FROM \"p\""},
      {"divided", "SELECT id, pay / 2, pay / 0, id / 2, id / 0, score / 2, 1 / pay FROM p"},
      {"numbers_of_text",
       "SELECT id, name + 1, '3 apples' * 2, -pay, CAST(name AS INTEGER), round(score, 1) FROM p"},
      {"moments",
       "SELECT id, date(seen), datetime(born), strftime('%d.%m.%Y', seen), CAST(strftime('%m', born) AS INT) "
       "+ 1,"
       " julianday(seen), date(seen, 'start of month'), date(born, '+1 day'), born || '!' FROM p"},
      {"days", "SELECT id FROM p WHERE seen >= '2020-01-01' AND seen < '2021-01-01' AND born > '1980-01-01'"},
      {"chosen",
       "SELECT CASE vip WHEN 1 THEN 'yes' ELSE 'no' END, iif(pay > 5, 'a', 'b'), ifnull(pay, 0), nullif(id, "
       "2),"
       " coalesce(boss, id) FROM p"},
      {"like_glob", "SELECT name FROM p WHERE name LIKE 'a%' OR name GLOB 'C*' OR note = 'X'"},
      {"joined", "SELECT boss, group_concat(name) AS names FROM p GROUP BY boss HAVING count(*) = 1"},
      {"windows",
       "SELECT name, row_number() OVER (ORDER BY name) AS n, sum(id) OVER (PARTITION BY vip ORDER BY id) "
       "FROM p"},
      {"same_names", "SELECT name, name, name FROM p"},
      {"expressions", "SELECT id+1, count(*) FROM p GROUP BY id + 1"},
      {"filtered", "SELECT count(*) FILTER (WHERE vip = 1) AS vips FROM p"},
      {"rowids", "SELECT rowid, name FROM p WHERE _rowid_ > 1"},
      {"derived",
       "SELECT n * 2 AS twice, first || '.' AS dotted FROM (SELECT count(*) AS n, min(name) AS first FROM "
       "p)"},
      {"compared", "SELECT a.name FROM p a JOIN p b ON a.pay > (SELECT avg(score) FROM p) AND a.id = b.id"},
  };
  std::string script = kPeople;
  for (const auto& [name, select] : views) script += "CREATE VIEW " + quoted(name) + " AS " + select + ";";
  // Each builds on the other, which comes later.
  script +=
      "CREATE VIEW a_first(a, b) AS SELECT z.twice, y FROM z_last AS z;"
      "CREATE VIEW z_last AS SELECT twice, dotted AS y FROM derived;";
  migrate(script);
  for (const auto& [name, select] : views) {
    SCOPED_TRACE(select);
    expect_created(name);
  }
  expect_created("a_first");
  expect_created("z_last");
}

TEST_F(Views, ThatMeanSomethingElseAreRefusedWithTheReason) {
  const std::vector<std::array<std::string, 3>> refused = {
      {"bare", "SELECT name, max(pay) FROM p GROUP BY vip", "neither grouped nor aggregated"},
      {"bare_star", "SELECT *, count(*) FROM p", "neither grouped nor aggregated"},
      {"by_json", "SELECT DISTINCT data FROM p", "JSON"},
      {"by_case", "SELECT note, count(*) FROM p GROUP BY note", "collation nocase"},
      {"united_case", "SELECT note FROM p UNION ALL SELECT name FROM p", "collation"},
      {"application", "SELECT app_function(name) FROM p", "app_function"},
      {"weeks", "SELECT strftime('%W', seen) FROM p", "strftime"},
      {"dates_of_text", "SELECT date(name) FROM p", "may hold no date"},
      {"months", "SELECT date(seen, '+1 month') FROM p", "+1 month"},
      {"recursive",
       "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT x FROM c",
       "recursive"},
      {"each", "SELECT value FROM json_each('[1]')", "json_each"},
      {"framed", "SELECT sum(id) OVER (ORDER BY id ROWS 1 PRECEDING) FROM p", "frames a window"},
      {"catalog", "SELECT name FROM sqlite_schema", "sqlite_schema"},
      {"mixed", "SELECT name FROM p UNION ALL SELECT pay FROM p", "several kinds"},
      {"after_bare", "SELECT * FROM bare", "\"bare\", which is not created"},
      {"broken", "SELECT missing FROM p", "no column"},
      {"lost", "SELECT * FROM nowhere", "no table"},
  };
  std::string script = std::string(kPeople);
  for (const auto& [name, select, reason] : refused)
    script += "CREATE VIEW " + quoted(name) + " AS " + select + ";";
  script +=
      "CREATE VIEW one AS SELECT 1 AS x; CREATE VIEW two AS SELECT * FROM one; DROP VIEW one; CREATE VIEW "
      "one AS SELECT * FROM two;";
  migrate(script);
  for (const auto& [name, select, reason] : refused) {
    SCOPED_TRACE(select);
    expect_refused(name, reason);
  }
  expect_refused("one", "reads from it");
  expect_refused("two", "which is not created");
}

TEST_F(Views, SayWhereALastDigitOrAMidnightMayDiffer) {
  migrate(std::string(kPeople) +
          "CREATE VIEW sums AS SELECT sum(pay) AS s FROM p;"
          "CREATE VIEW days AS SELECT id FROM p WHERE seen <= '2020-01-01';"
          "CREATE VIEW rounded AS SELECT round(pay, 1) AS r FROM p;"
          "CREATE VIEW numbered AS SELECT row_number() OVER () AS n FROM p;"
          "CREATE VIEW some AS SELECT id FROM p LIMIT 1;");
  expect_created("sums", "decimals are computed with as doubles");
  EXPECT_EQ(view("days")["status"], "created");
  EXPECT_NE(view("days")["reason"].get<std::string>().find("midnight"), std::string::npos);
  expect_created("rounded", "round()");
  expect_created("numbered", "no particular order");
  EXPECT_NE(view("some")["reason"].get<std::string>().find("any rows"), std::string::npos);
}

TEST_F(Views, OfTablesThatDoNotArriveAreListed) {
  migrate(std::string(kPeople) +
              "CREATE TABLE other(a); CREATE VIEW v AS SELECT name, a FROM p, other;"
              "CREATE VIEW w AS SELECT a FROM other;",
          {"--include", "p"});
  expect_refused("v", "its table \"other\" does not arrive");
  expect_refused("w", "its table \"other\" does not arrive");
}

TEST_F(Views, OfOursGiveWayWhenTheirTablesAreDroppedAndComeBack) {
  const std::string script = std::string(kPeople) +
                             "CREATE VIEW v AS SELECT id FROM p; CREATE VIEW w AS SELECT id FROM v;"
                             "CREATE VIEW constant AS SELECT 1 AS one;";
  migrate(script);
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"--table-handling", "drop"},
                                                {"--restart"},
                                                {"--table-handling", "truncate"}}) {
    SCOPED_TRACE(flags.front() + flags.back());
    migrate_file(file_, flags);
    for (const char* name : {"v", "w", "constant"}) expect_created(name);
  }
}

TEST_F(Views, OfTheUserStay) {
  migrate(std::string(kPeople) + "CREATE VIEW v AS SELECT id FROM p;");
  execute(target_, "CREATE OR REPLACE VIEW v AS SELECT id FROM p WHERE id > 2");
  // Replaced by hand, it is no longer ours to drop.
  migrate_file(file_, {"--table-handling", "drop"}, 20);
  EXPECT_EQ(query_value(target_, "SELECT count(*) FROM v"), "2");
  EXPECT_NE(result_.err.find("other objects depend on the tables to drop"), std::string::npos) << result_.err;
}

TEST_F(Views, OfTheSameNameAreNotReplaced) {
  target_ = shared_test_server().create_database("views_test");
  execute(target_, "CREATE VIEW v AS SELECT 'mine' AS x");
  migrate(std::string(kPeople) + "CREATE VIEW v AS SELECT id FROM p;");
  expect_refused("v", "42P07");
  EXPECT_EQ(query_value(target_, "SELECT x FROM v"), "mine");
}

struct CorpusCase {
  const char* name;
  std::size_t views;
  std::size_t created;
};

class CorpusViews : public Views, public ::testing::WithParamInterface<CorpusCase> {};

TEST_P(CorpusViews, ShowTheSameInBothDatabases) {
  const std::optional<fs::path> file = corpus_file(GetParam().name);
  if (!file) GTEST_SKIP() << "no corpus file " << GetParam().name;
  migrate_file(*file, {"--on-misfit", "widen"});
  std::size_t created = 0;
  std::size_t all = 0;
  compare_views(created, all);
  EXPECT_EQ(all, GetParam().views);
  EXPECT_GE(created, GetParam().created);
}

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusViews,
                         ::testing::Values(CorpusCase{"sakila", 5, 5}, CorpusCase{"chinook", 0, 0},
                                           CorpusCase{"northwind_efcore", 16, 16},
                                           CorpusCase{"northwind_big", 17, 17},
                                           CorpusCase{"pocketbase_data", 3, 3},
                                           CorpusCase{"datasette_fixtures", 4, 4},
                                           CorpusCase{"fdw_common", 7, 3}, CorpusCase{"fdw_core", 1, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sluice::testing
