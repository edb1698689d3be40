// Large rows of the source borrow before they are in memory, whichever way they are read, and arrive all the
// same.

#include "engine/model/row_memory.h"
#include "io/sqlite/catalog.h"
#include "io/sqlite/page_scan.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

class CountingMemory final : public RowMemory {
 public:
  std::uint64_t take(std::uint64_t bytes) override {
    EXPECT_EQ(held_, 0U) << "a thread holds one loan at a time";
    held_ = bytes;
    taken_.push_back(bytes);
    return bytes;
  }
  void give_back(std::uint64_t bytes) noexcept override { held_ -= bytes; }

  [[nodiscard]] std::uint64_t held() const { return held_; }
  [[nodiscard]] const std::vector<std::uint64_t>& taken() const { return taken_; }

 private:
  std::uint64_t held_ = 0;
  std::vector<std::uint64_t> taken_;
};

class LargeRows : public DatabaseTest {
 protected:
  [[nodiscard]] TablePlan plan(const std::string& table) const {
    TablePlan plan = DatabaseTest::plan(table);
    plan.columns[0].type = PgType::int8;  // the id
    return plan;
  }
  // The rows with memory to borrow from are those without. Returns how often it was borrowed from.
  std::size_t expect_same(const std::string& table, const Extent& extent = WholeTable{}) {
    const TablePlan planned = plan(table);
    TableSource plain(*connection_);
    const std::vector<std::string> expected = rows_of(plain, planned, extent);
    memory_ = CountingMemory();
    TableSource source(*connection_, &memory_);
    EXPECT_TRUE(rows_of(source, planned, extent) == expected);
    EXPECT_EQ(memory_.held(), 0U);
    return memory_.taken().size();
  }

  CountingMemory memory_;
};

// 300,000 and 600,000 bytes among small ones.
constexpr const char* kRows =
    "INSERT INTO t VALUES (1, 'a', x'01'), (2, replace(hex(zeroblob(150000)), '0', 'b'), NULL), (3, 'c', "
    "NULL),"
    "(4, 'd', zeroblob(600000)), (5, replace(hex(zeroblob(150000)), '0', 'e'), 'x'), (6, 'f', NULL);";

TEST_F(LargeRows, FromPagesBorrowTheirSizeAndGiveItBackWithTheNextRow) {
  make(std::string("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB);") + kRows);
  EXPECT_EQ(expect_same("t"), 3U);
  const std::vector<std::uint64_t> taken = memory_.taken();
  EXPECT_GE(taken[1], 600'000U);
  EXPECT_LT(taken[1], 600'100U);
  EXPECT_EQ(expect_same("t", RowidRange{4, 4}), 1U);  // also where a few rows would be looked up through SQL

  const TablePlan planned = plan("t");
  TableSource source(*connection_, &memory_);
  const auto scan = source.scan(planned, WholeTable{});
  static_cast<void>(scan->next());
  EXPECT_EQ(memory_.held(), 0U);
  static_cast<void>(scan->next());
  EXPECT_GT(memory_.held(), 300'000U);
  static_cast<void>(scan->next());
  EXPECT_EQ(memory_.held(), 0U);
}

TEST_F(LargeRows, AreGivenBackByAScanThatIsGivenUp) {
  make(std::string("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB);") + kRows);
  const TablePlan planned = plan("t");
  for (const bool through_sql : {false, true}) {
    {
      const auto scan = through_sql
                            ? scan_through_sql(*connection_, planned, WholeTable{}, &memory_)
                            : scan_pages(*connection_, planned, WholeTable{}, scan_through_sql, &memory_);
      static_cast<void>(scan->next());
      static_cast<void>(scan->next());
      EXPECT_GT(memory_.held(), 0U);
    }
    EXPECT_EQ(memory_.held(), 0U);
  }
}

TEST_F(LargeRows, ThatBecomeSomethingElseBorrowForThatToo) {
  make(std::string("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB);") + kRows);
  TablePlan planned = plan("t");
  const auto most_borrowed = [&] {
    memory_ = CountingMemory();
    TableSource source(*connection_, &memory_);
    static_cast<void>(rows_of(source, planned, WholeTable{}));
    return memory_.taken().at(1);
  };
  planned.columns[1].type = PgType::json;
  EXPECT_LT(most_borrowed(), 600'100U);
  planned.columns[1].conversion.empty_as_null = true;
  EXPECT_GE(most_borrowed(), 1'800'000U);
  planned.columns[1].type = PgType::jsonb;
  EXPECT_GE(most_borrowed(), 12'000'000U);
}

// All of the memory, once: SQLite does not say how large a row is before it is there.
TEST_F(LargeRows, ThroughSqlBorrowEverythingForTheRestOfTheScan) {
  make(std::string("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB) WITHOUT ROWID;") + kRows);
  EXPECT_EQ(expect_same("t"), 1U);
  EXPECT_EQ(memory_.taken().at(0), UINT64_MAX);
  EXPECT_EQ(expect_same("t", PrimaryKeyRange{{std::int64_t{3}}, {std::int64_t{4}}}), 0U);
}

TEST_F(LargeRows, OfKeysInAnyOrderArriveOnce) {
  make(std::string("CREATE TABLE t(id INTEGER, x TEXT, y BLOB, PRIMARY KEY(x COLLATE NOCASE DESC, id)) "
                   "WITHOUT ROWID;") +
       kRows);
  EXPECT_EQ(expect_same("t"), 1U);
}

TEST_F(LargeRows, InTheLogArriveOnce) {
  const Writer writer(path());
  writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB);");
  writer.run(kRows);
  open();
  EXPECT_EQ(expect_same("t"), 1U);
  EXPECT_EQ(memory_.taken().at(0), UINT64_MAX);
}

TEST_F(LargeRows, OfUtf16ArriveOnce) {
  make(std::string("PRAGMA encoding='UTF-16le'; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB);") +
       kRows);
  EXPECT_EQ(expect_same("t"), 1U);
}

TEST_F(LargeRows, OfComputedColumnsArriveOnce) {
  make(
      "CREATE TABLE t(n INT, x AS (replace(hex(zeroblob(n)), '0', 'q')));"
      "INSERT INTO t(n) VALUES (1), (300000), (2), (400000), (3)");
  EXPECT_EQ(expect_same("t"), 1U);
}

TEST_F(LargeRows, WithColumnsAddedLaterBorrowOnce) {
  make(std::string("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB);") + kRows +
       "ALTER TABLE t ADD COLUMN z DEFAULT 'new'");
  EXPECT_EQ(expect_same("t"), 3U);
}

TEST_F(LargeRows, OfVirtualTablesBorrowNothing) {
  make(
      "CREATE VIRTUAL TABLE words USING fts5(x); INSERT INTO words VALUES (replace(hex(zeroblob(200000)), "
      "'0', 'w '))");
  EXPECT_EQ(expect_same("words"), 0U);
}

TEST_F(LargeRows, LeaveTheConnectionWithoutALimit) {
  make(std::string("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, y BLOB);") + kRows);
  const int before = sqlite3_limit(connection_->get(), SQLITE_LIMIT_LENGTH, -1);
  static_cast<void>(rows_of(*std::make_unique<TableSource>(*connection_, &memory_), plan("t"), WholeTable{}));
  EXPECT_EQ(sqlite3_limit(connection_->get(), SQLITE_LIMIT_LENGTH, -1), before);
}

}  // namespace
}  // namespace sluice
