// Orphans, held against SQLite's own PRAGMA foreign_key_check.

#include "io/sqlite/foreign_keys.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "engine/model/quote.h"
#include "support/seed.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

struct Orphans {
  std::uint64_t count = 0;
  std::vector<std::int64_t> rowids;
};

// By the first column of the key; what the pragma says, one table at a time.
std::map<std::string, Orphans> orphans_by_pragma(const Writer& writer, const std::string& table) {
  std::map<int, std::string> column_of;
  sqlite3_stmt* raw = nullptr;
  EXPECT_EQ(
      sqlite3_prepare_v2(writer.get(), ("PRAGMA foreign_key_list(" + quote_identifier(table) + ")").c_str(),
                         -1, &raw, nullptr),
      SQLITE_OK);
  const StatementHandle list(raw);
  std::map<std::string, Orphans> orphans;
  while (sqlite3_step(raw) == SQLITE_ROW) {
    if (sqlite3_column_int(raw, 1) != 0) continue;
    const std::string column = text_of(list, 3);
    column_of[sqlite3_column_int(raw, 0)] = column;
    orphans[column];
  }
  EXPECT_EQ(
      sqlite3_prepare_v2(writer.get(), ("PRAGMA foreign_key_check(" + quote_identifier(table) + ")").c_str(),
                         -1, &raw, nullptr),
      SQLITE_OK)
      << sqlite3_errmsg(writer.get());
  const StatementHandle check(raw);
  while (sqlite3_step(raw) == SQLITE_ROW) {
    Orphans& found = orphans[column_of.at(sqlite3_column_int(raw, 3))];
    ++found.count;
    if (sqlite3_column_type(raw, 1) != SQLITE_NULL) found.rowids.push_back(sqlite3_column_int64(raw, 1));
  }
  return orphans;
}

class ForeignKeys : public ::testing::Test {
 protected:
  std::map<std::string, ForeignKeyCheck> checks(const std::string& table) {
    const Snapshot snapshot(folder_ / "a.db", 1);
    const SourceTable& source = table_named(snapshot.catalog(), table);
    std::map<std::string, ForeignKeyCheck> by_column;
    for (const ForeignKeyCheck& check : snapshot.check_foreign_keys(source, 0)) {
      by_column[source.foreign_keys[check.key].columns[0]] = check;
    }
    return by_column;
  }

  void expect_as_the_pragma(const std::string& table) {
    const auto expected = orphans_by_pragma(writer_, table);
    const auto found = checks(table);
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [column, check] : found) {
      SCOPED_TRACE(table + "." + column);
      EXPECT_EQ(check.reason, "");
      EXPECT_EQ(check.orphans, expected.at(column).count);
      const auto& rowids = expected.at(column).rowids;
      EXPECT_EQ(check.rowids,
                std::vector(rowids.begin(),
                            rowids.begin() + std::min<std::ptrdiff_t>(std::ssize(rowids), kOrphanExamples)));
    }
  }

  TemporaryDirectory folder_;
  Writer writer_{folder_ / "a.db"};
};

TEST_F(ForeignKeys, OrphansAreCountedPerKeyWithTheFirstRowids) {
  writer_.run(
      "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);"
      "CREATE TABLE c(a REFERENCES p, b REFERENCES p(id));"
      "INSERT INTO c VALUES (1, 2), (7, 1), (8, NULL), (9, 9), (10, 2), (NULL, 5)");
  const auto found = checks("c");
  EXPECT_EQ(found.at("a").orphans, 4u);
  EXPECT_EQ(found.at("a").rowids, (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(found.at("b").orphans, 2u);
  EXPECT_EQ(found.at("b").rowids, (std::vector<std::int64_t>{4, 6}));
  expect_as_the_pragma("c");
}

TEST_F(ForeignKeys, AffinityAndCollationAreTheParents) {
  writer_.run(
      "CREATE TABLE t(k TEXT PRIMARY KEY); INSERT INTO t VALUES ('1'), ('02'), ('x');"
      "CREATE TABLE n(k INTEGER PRIMARY KEY); INSERT INTO n VALUES (1), (2);"
      "CREATE TABLE f(k TEXT COLLATE NOCASE PRIMARY KEY); INSERT INTO f VALUES ('Ab');"
      "CREATE TABLE u(k UNIQUE); INSERT INTO u VALUES (1), ('2');"
      "CREATE TABLE c(ti INTEGER REFERENCES t, nt TEXT REFERENCES n, fb TEXT REFERENCES f, ub BLOB "
      "REFERENCES "
      "u(k), tn TEXT COLLATE NOCASE REFERENCES t);"
      "INSERT INTO c VALUES (1, '1', 'AB', '1', 'X'), (2, '02', 'ab', 2, 'x'), (2.0, ' 2', 'abc', '2', '1'),"
      "('02', 'x', x'4162', 1, 1), (NULL, NULL, NULL, NULL, NULL)");
  expect_as_the_pragma("c");
}

TEST_F(ForeignKeys, CompositeSelfReferencingAndKeylessTablesWork) {
  writer_.run(
      "CREATE TABLE p(a, b, c, PRIMARY KEY(a, b), UNIQUE(c, a)); INSERT INTO p VALUES (1, 2, 3), (4, 5, 6);"
      "CREATE TABLE q(x, y, FOREIGN KEY(x, y) REFERENCES p, FOREIGN KEY(y, x) REFERENCES P(A, C));"
      "INSERT INTO q VALUES (1, 2), (2, 1), (1, NULL), (NULL, 7), (3, 1), (4, 5), (6, 4);"
      "CREATE TABLE tree(id INTEGER PRIMARY KEY, up REFERENCES tree);"
      "INSERT INTO tree VALUES (1, 1), (2, 1), (3, 9), (-4, 3);"
      "CREATE TABLE w(k TEXT PRIMARY KEY, up REFERENCES w) WITHOUT ROWID;"
      "INSERT INTO w VALUES ('a', 'a'), ('b', 'z');");
  for (const char* table : {"q", "tree", "w"}) expect_as_the_pragma(table);
  EXPECT_TRUE(checks("w").at("up").rowids.empty());
}

TEST_F(ForeignKeys, AKeyThatCannotBeCheckedSaysWhyAndTheOthersAreStillCounted) {
  writer_.run(
      "CREATE TABLE p(id INTEGER PRIMARY KEY, plain, part, cased TEXT);"
      "CREATE UNIQUE INDEX partly ON p(part) WHERE part > 0;"
      "CREATE UNIQUE INDEX other_collation ON p(cased COLLATE NOCASE);"
      "CREATE TABLE keyless(x); CREATE VIEW v AS SELECT 1 AS id;"
      "INSERT INTO p VALUES (1, 1, 1, 'a');"
      "CREATE TABLE c(fine REFERENCES p, gone REFERENCES nowhere, seen REFERENCES v(id), plain REFERENCES "
      "p(plain), part REFERENCES p(part), cased REFERENCES p(cased), column REFERENCES p(nope), keyless "
      "REFERENCES keyless, n1, n2, FOREIGN KEY(n1, n2) REFERENCES p);"
      "INSERT INTO c VALUES (1, 1, 1, 1, 1, 'a', 1, 1, 1, 1), (5, NULL, 1, 1, 1, 'a', 1, 1, 1, 1),"
      "(NULL, 5, 1, 1, 1, 'a', 1, 1, 1, 1)");
  const auto found = checks("c");
  EXPECT_EQ(found.at("fine").reason, "");
  EXPECT_EQ(found.at("fine").orphans, 1u);
  EXPECT_EQ(found.at("gone").reason, "its parent does not exist");
  EXPECT_EQ(found.at("gone").orphans, 2u);
  EXPECT_EQ(found.at("seen").reason, "its parent is a view");
  for (const char* column : {"plain", "part", "cased"}) {
    EXPECT_EQ(found.at(column).reason, "the parent's columns are neither a primary key nor unique") << column;
  }
  EXPECT_EQ(found.at("column").reason, "its parent has no such column");
  EXPECT_EQ(found.at("keyless").reason, "its parent has no primary key");
  EXPECT_EQ(found.at("n1").reason, "it has another number of columns than its parent's key");
}

TEST_F(ForeignKeys, RandomValuesOfAllClassesAgreeWithThePragma) {
  std::mt19937_64 random(test_seed());
  const char* const kTypes[] = {
      "INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", "", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM"};
  const char* const kValues[] = {"1",    "'1'",  "1.0", "'1.0'", "x'31'", "'a'", "'A'", "'a '",
                                 "NULL", "'01'", "2",   "2.5",   "'2.5'", "'2'", "''",  "x''"};
  for (int round = 0; round < 30; ++round) {
    const auto type = [&] { return std::string(kTypes[random() % std::size(kTypes)]); };
    const auto value = [&] { return std::string(kValues[random() % std::size(kValues)]); };
    const std::string n = std::to_string(round);
    writer_.run("BEGIN");
    writer_.run("CREATE TABLE p" + n + "(k " + type() + " UNIQUE)");
    writer_.run("CREATE TABLE c" + n + "(k " + type() + " REFERENCES p" + n + "(k))");
    for (int i = 0; i < 6; ++i) writer_.run("INSERT OR IGNORE INTO p" + n + " VALUES (" + value() + ")");
    for (int i = 0; i < 20; ++i) writer_.run("INSERT INTO c" + n + " VALUES (" + value() + ")");
    writer_.run("COMMIT");
    expect_as_the_pragma("c" + n);
  }
}

}  // namespace
}  // namespace sluice::testing
