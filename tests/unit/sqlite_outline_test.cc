#include "io/sqlite/outline.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "engine/plan/ranges.h"
#include "io/sqlite/catalog.h"
#include "support/hollow_table.h"
#include "support/seed.h"
#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

std::string fill(const std::string& table, int rows, const std::string& values) {
  return "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<" + std::to_string(rows) +
         ") INSERT INTO " + table + " SELECT " + values + " FROM c;";
}

TableOutline outline_in(Snapshot& snapshot, const std::string& table) {
  return snapshot.outline(table_named(snapshot.catalog(), table));
}

// All rows of all extents, in order. With as many extents as there are split points, or a few.
std::vector<std::string> joined_rows(Snapshot& snapshot, const std::string& table,
                                     const TableOutline& outline) {
  std::vector<std::string> joined;
  for (const Extent& extent : extents_of(outline)) {
    for (std::string& row : rows_of(snapshot, table, extent)) joined.push_back(std::move(row));
  }
  return joined;
}

// Every nth split point, so that there are about as many ranges as asked for.
TableOutline thinned(const TableOutline& outline, std::size_t ranges) {
  TableOutline thin;
  for (std::size_t i = 1; i < ranges; ++i) {
    thin.rowids.push_back(outline.rowids[i * outline.rowids.size() / ranges]);
  }
  return thin;
}

TEST(Outline, BalancesRangesOfSparseAndSkewedKeys) {
  const Folder folder;
  // Nine tenths of the keys in a thousandth of their span, the rest up to the end of it and below zero.
  Writer(folder / "a.db")
      .run("CREATE TABLE t(id INTEGER PRIMARY KEY, x);" +
           fill("t", 50000,
                "CASE WHEN i % 10 = 0 THEN i * 100000000007 - 4000000000000000 ELSE i END, 'payload of row ' "
                "|| i"));
  Snapshot snapshot(folder / "a.db", 1);
  const TableOutline outline = outline_in(snapshot, "t");
  EXPECT_TRUE(std::is_sorted(outline.rowids.begin(), outline.rowids.end()));
  EXPECT_GE(outline.rowids.size(), 64U);
  EXPECT_NEAR(static_cast<double>(outline.bytes),
              static_cast<double>(std::filesystem::file_size(folder / "a.db")), 40960.0);

  const TableOutline few = thinned(outline, 16);
  std::vector<std::size_t> sizes;
  for (const Extent& extent : extents_of(few)) sizes.push_back(rows_of(snapshot, "t", extent).size());
  const std::size_t total = std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
  EXPECT_EQ(total, 50000U);
  const double mean = static_cast<double>(total) / static_cast<double>(sizes.size());
  EXPECT_LE(static_cast<double>(*std::max_element(sizes.begin(), sizes.end())) / mean, 1.5);
  EXPECT_EQ(joined_rows(snapshot, "t", outline), rows_of(snapshot, "t"));
}

// The largest of about sixteen ranges against their mean, by the bytes of their rows.
double imbalance(Snapshot& snapshot, const std::string& table) {
  const SourceTable& source = table_named(snapshot.catalog(), table);
  const TableOutline outline = snapshot.outline(source);
  const std::vector<Extent> extents = cut_table(source, outline, outline.bytes / 16 + 1);
  EXPECT_GE(extents.size(), 12U) << table;
  EXPECT_TRUE(covers_table(extents)) << table;
  const TablePlan plan = plan_of(source);
  double total = 0;
  double largest = 0;
  std::size_t rows = 0;
  for (const Extent& extent : extents) {
    double bytes = 0;
    const auto scan = snapshot.reader(0).scan(plan, extent);
    while (const auto row = scan->next()) {
      ++rows;
      for (const Cell& cell : *row) {
        const bool sized = cell.storage() == StorageClass::text || cell.storage() == StorageClass::blob;
        bytes += sized ? static_cast<double>(cell.bytes().size()) : 8;
      }
    }
    total += bytes;
    largest = std::max(largest, bytes);
  }
  EXPECT_EQ(rows, rows_of(snapshot, table).size()) << table;
  return largest / (total / static_cast<double>(extents.size()));
}

TEST(Outline, BalancesRangesByTheBytesOfTheirRows) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run(
      "CREATE TABLE far(id INTEGER PRIMARY KEY, x);" +
      fill("far", 1000, "i, 'payload of some length ' || hex(zeroblob(150))") +
      "INSERT INTO far VALUES (4611686018427387904, 'far away');"
      "CREATE TABLE crowd(id INTEGER PRIMARY KEY, x);" +
      fill("crowd", 20000, "CASE WHEN i % 10 THEN 500000 + i ELSE i * 5000 END, 'payload of row ' || i") +
      "CREATE TABLE negative(id INTEGER PRIMARY KEY, x);" +
      fill("negative", 20000, "i * -7, 'payload of row ' || i") +
      "CREATE TABLE keyed(k TEXT PRIMARY KEY, x) WITHOUT ROWID;" +
      fill("keyed", 20000, "hex(randomblob(8)), 'payload of row ' || i") +
      "CREATE TABLE late(id INTEGER PRIMARY KEY, x);" +
      fill("late", 10000, "i, CASE WHEN i > 9900 THEN zeroblob(1000000) ELSE 'payload of row ' || i END") +
      "CREATE TABLE mixed(id INTEGER PRIMARY KEY, x);" +
      fill("mixed", 3000, "i, zeroblob(CASE WHEN i % 7 = 0 THEN i * 30 ELSE 10 END)"));
  Snapshot snapshot(folder / "a.db", 1);
  for (const char* table : {"far", "crowd", "negative", "keyed", "late", "mixed"}) {
    EXPECT_LE(imbalance(snapshot, table), 1.5) << table;
  }
}

TEST(Outline, CutsATableOfOnePageBetweenItsLargeRows) {
  const Folder folder;
  Writer(folder / "a.db")
      .run("CREATE TABLE t(id INTEGER PRIMARY KEY, x);" + fill("t", 7, "i, zeroblob(3000000)"));
  Snapshot snapshot(folder / "a.db", 1);
  const TableOutline outline = outline_in(snapshot, "t");
  EXPECT_EQ(outline.rowids, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_NEAR(static_cast<double>(outline.bytes), 21e6, 1e5);
}

TEST(Outline, GivesNoMoreSplitPointsThanAnyoneNeeds) {
  const Folder folder;
  Writer(folder / "a.db")
      .run("PRAGMA page_size=512; CREATE TABLE t(x);" +
           fill("t", 120000, "'payload of row ' || i || ' and some more'"));
  Snapshot snapshot(folder / "a.db", 1);
  const TableOutline outline = outline_in(snapshot, "t");
  EXPECT_GT(outline.rowids.size(), 2000U);
  EXPECT_LE(outline.rowids.size(), 4096U);
  EXPECT_NEAR(static_cast<double>(outline.bytes),
              static_cast<double>(std::filesystem::file_size(folder / "a.db")),
              static_cast<double>(outline.bytes) * 0.1);
}

TEST(Outline, HasNothingToSayAboutASinglePage) {
  const Folder folder;
  Writer(folder / "a.db")
      .run(
          "CREATE TABLE t(x); INSERT INTO t VALUES (1); CREATE TABLE w(x PRIMARY KEY) WITHOUT ROWID;"
          "CREATE TABLE shadowed(rowid, oid, _rowid_);" +
          fill("shadowed", 5000, "i, i, i"));
  Snapshot snapshot(folder / "a.db", 1);
  for (const char* table : {"t", "w"}) {
    const TableOutline outline = outline_in(snapshot, table);
    EXPECT_TRUE(outline.rowids.empty());
    EXPECT_TRUE(outline.key_tuples.empty());
    EXPECT_EQ(outline.bytes, 4096U);
  }
  EXPECT_TRUE(outline_in(snapshot, "shadowed").rowids.empty()) << "there is no name to search by";
  EXPECT_GT(outline_in(snapshot, "shadowed").bytes, 40960U);
}

TEST(Outline, CutsCompositeKeysWithoutRowidExactlyOnce) {
  const Folder folder;
  Writer(folder / "a.db")
      .run("CREATE TABLE w(pad TEXT, b INT, a TEXT COLLATE NOCASE, c, PRIMARY KEY(a, b, c)) WITHOUT ROWID;" +
           fill("w", 30000,
                "substr('some padding for the row', 1, i % 20),  i % 7,"
                "CASE i % 2 WHEN 0 THEN 'Key ' ELSE 'kEY ' END || (i / 14),"
                "CASE i % 5 WHEN 0 THEN i WHEN 1 THEN i + 0.5 WHEN 2 THEN 'text ' || i WHEN 3 THEN x'0102' "
                "|| i "
                "ELSE -i END") +
           "CREATE INDEX covering ON w(a, b, c, pad)");
  Snapshot snapshot(folder / "a.db", 1);
  const TableOutline outline = outline_in(snapshot, "w");
  EXPECT_TRUE(outline.rowids.empty());
  EXPECT_GE(outline.key_tuples.size(), 64U);
  EXPECT_EQ(outline.key_tuples[0].size(), 3U);
  const auto whole = rows_of(snapshot, "w");
  EXPECT_EQ(whole.size(), 30000U);
  EXPECT_EQ(joined_rows(snapshot, "w", outline), whole);
}

TEST(Outline, CutsIntegerAndRealAndBlobKeys) {
  const Folder folder;
  Writer(folder / "a.db")
      .run("CREATE TABLE i(k INTEGER PRIMARY KEY, x) WITHOUT ROWID;" +
           fill("i", 20000, "(i - 10000) * 922337203685477, 'padding of a row'") +
           "CREATE TABLE r(k REAL PRIMARY KEY, x) WITHOUT ROWID;" +
           fill("r", 20000, "i * 0.5 - 100, 'padding'") +
           "CREATE TABLE b(k BLOB PRIMARY KEY, x) WITHOUT ROWID;" +
           fill("b", 20000, "randomblob(20), 'padding'") +
           "CREATE TABLE d(k DATE PRIMARY KEY, x) WITHOUT ROWID;" +
           fill("d", 20000, "date('1980-01-01', i || ' days'), 'padding'"));
  Snapshot snapshot(folder / "a.db", 1);
  for (const char* table : {"i", "r", "b", "d"}) {
    const TableOutline outline = outline_in(snapshot, table);
    EXPECT_GE(outline.key_tuples.size(), 32U) << table;
    EXPECT_EQ(joined_rows(snapshot, table, outline), rows_of(snapshot, table)) << table;
  }
}

TEST(Outline, LooksAtKeysThatAreOnThePageEvenWhenTheRowIsNot) {
  const Folder folder;
  Writer(folder / "a.db")
      .run("CREATE TABLE w(k TEXT PRIMARY KEY, x) WITHOUT ROWID;" +
           fill("w", 3000, "'key ' || i, randomblob(6000)"));
  Snapshot snapshot(folder / "a.db", 1);
  const TableOutline outline = outline_in(snapshot, "w");
  EXPECT_GE(outline.key_tuples.size(), 64U);
  EXPECT_EQ(joined_rows(snapshot, "w", outline), rows_of(snapshot, "w"));
}

TEST(Outline, LeavesKeysAloneThatItCouldNotSearchFor) {
  const Folder folder;
  {
    const Writer writer(folder / "a.db");
    sqlite3_create_collation(writer.get(), "unicase", SQLITE_UTF8, nullptr,
                             [](void*, int n, const void*, int m, const void*) { return n - m; });
    writer.run("CREATE TABLE descending(k TEXT, PRIMARY KEY(k DESC)) WITHOUT ROWID;" +
               fill("descending", 5000, "'key number ' || i") +
               "CREATE TABLE otherwise(k TEXT, PRIMARY KEY(k COLLATE NOCASE)) WITHOUT ROWID;" +
               fill("otherwise", 5000, "'key number ' || i") +
               "CREATE TABLE unknown(k TEXT COLLATE unicase PRIMARY KEY) WITHOUT ROWID;" +
               fill("unknown", 500, "hex(zeroblob(i))"));
  }
  Writer(folder / "b.db")
      .run("PRAGMA encoding='UTF-16le'; CREATE TABLE wide(k TEXT PRIMARY KEY) WITHOUT ROWID;" +
           fill("wide", 5000, "'key number ' || i") + "CREATE TABLE t(x);" +
           fill("t", 5000, "'row number ' || i"));
  Snapshot a(folder / "a.db", 1);
  Snapshot b(folder / "b.db", 1);
  for (const char* table : {"descending", "otherwise", "unknown"}) {
    EXPECT_TRUE(outline_in(a, table).key_tuples.empty()) << table;
    EXPECT_GT(outline_in(a, table).bytes, 40960U) << table;
    EXPECT_GE(rows_of(a, table).size(), 500U) << table;
  }
  EXPECT_TRUE(outline_in(b, "wide").key_tuples.empty());
  EXPECT_EQ(rows_of(b, "wide").size(), 5000U);
  EXPECT_GT(outline_in(b, "t").rowids.size(), 10U) << "rowids have no encoding";
}

TEST(Outline, WorksOnEveryPageSize) {
  for (int page = 512; page <= 65536; page *= 2) {
    const Folder folder;
    Writer(folder / "a.db")
        .run("PRAGMA page_size=" + std::to_string(page) + "; CREATE TABLE t(x);" +
             fill("t", 20000, "'some payload for the row number ' || i") +
             "CREATE TABLE w(k TEXT PRIMARY KEY) WITHOUT ROWID;" +
             fill("w", 20000, "'some payload for ' || i"));
    Snapshot snapshot(folder / "a.db", 1);
    const TableOutline rowids = outline_in(snapshot, "t");
    EXPECT_GE(rowids.rowids.size(), 5U) << page;
    EXPECT_LE(rowids.bytes, std::filesystem::file_size(folder / "a.db")) << page;
    const TableOutline keys = outline_in(snapshot, "w");
    EXPECT_GE(keys.key_tuples.size(), 5U) << page;
    EXPECT_EQ(joined_rows(snapshot, "w", keys), rows_of(snapshot, "w")) << page;
  }
}

// The main file holds an old tree; what SQL sees is in the log, at the same root page, with other keys.
TEST(Outline, LosesOnlyBalanceToStalePages) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run(
      "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
      "CREATE TABLE t(k TEXT PRIMARY KEY, x) WITHOUT ROWID;" +
      fill("t", 20000, "i * 7, 'padding of the row'") +
      "PRAGMA wal_checkpoint(TRUNCATE); DROP TABLE t;"
      "CREATE TABLE t(k INTEGER PRIMARY KEY, x) WITHOUT ROWID;" +
      fill("t", 20000, "i * 7, 'padding'"));
  Snapshot snapshot(folder / "a.db", 1);
  const TableOutline outline = outline_in(snapshot, "t");
  EXPECT_EQ(joined_rows(snapshot, "t", outline), rows_of(snapshot, "t"));
}

// Bounds out of order would make ranges overlap, and load rows twice.
TEST(Outline, GivesKeysInAscendingOrderEvenFromAPageThatIsNot) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA page_size=1024; CREATE TABLE w(k TEXT PRIMARY KEY, x) WITHOUT ROWID;" +
             fill("w", 700, "'key ' || i, 'padding'"));
  const std::int64_t root = writer.integer("SELECT rootpage FROM sqlite_schema WHERE name = 'w'");
  Snapshot snapshot(folder / "a.db", 1);
  std::string bytes = bytes_of(folder / "a.db");
  const auto page = static_cast<std::size_t>(root - 1) * 1024;
  const auto cells = static_cast<std::size_t>(static_cast<unsigned char>(bytes[page + 4]));
  ASSERT_GE(cells, 4U);
  for (std::size_t left = 0, right = cells - 1; left < right; ++left, --right) {
    std::swap(bytes[page + 12 + left * 2], bytes[page + 12 + right * 2]);
    std::swap(bytes[page + 13 + left * 2], bytes[page + 13 + right * 2]);
  }
  std::fstream(folder / "a.db", std::ios::binary | std::ios::in | std::ios::out)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const TableOutline outline = outline_in(snapshot, "w");
  ASSERT_FALSE(outline.key_tuples.empty());
  for (std::size_t i = 1; i < outline.key_tuples.size(); ++i) {
    EXPECT_LT(std::get<TextValue>(outline.key_tuples[i - 1][0]).bytes,
              std::get<TextValue>(outline.key_tuples[i][0]).bytes);
  }
}

TEST(Outline, SurvivesPagesThatLie) {
  const Folder folder;
  Writer(folder / "a.db")
      .run("PRAGMA page_size=1024; CREATE TABLE t(x);" +
           fill("t", 20000, "'some payload for the row number ' || i") +
           "CREATE TABLE w(k TEXT, j, PRIMARY KEY(k, j)) WITHOUT ROWID;" +
           fill("w", 20000, "'some payload for ' || i, i * 1.5"));
  const std::string whole = bytes_of(folder / "a.db");
  std::mt19937_64 random(test_seed());

  // Interior pages are few, so the flips go there.
  std::vector<std::size_t> interior;
  for (std::size_t page = 1024; page < whole.size(); page += 1024) {
    if (whole[page] == 5 || whole[page] == 2) interior.push_back(page);
  }
  ASSERT_GT(interior.size(), 20U);
  Snapshot snapshot(folder / "a.db", 1);
  for (int round = 0; round < 200; ++round) {
    std::string damaged = whole;
    for (int flip = 0; flip < 20; ++flip) {
      const std::size_t at =
          interior[random() % interior.size()] + (flip % 2 == 0 ? random() % 32 : random() % 1024);
      damaged[at] = static_cast<char>(random());
    }
    // In place: the snapshot has the schema already, and reads these pages for the first time.
    {
      std::fstream file(folder / "a.db", std::ios::binary | std::ios::in | std::ios::out);
      file.write(damaged.data(), static_cast<std::streamsize>(damaged.size()));
    }
    const TableOutline rowids = outline_in(snapshot, "t");
    EXPECT_TRUE(std::is_sorted(rowids.rowids.begin(), rowids.rowids.end()));
    EXPECT_LE(rowids.rowids.size(), 4096U);
    EXPECT_LE(outline_in(snapshot, "w").key_tuples.size(), 4096U);
  }
}

// Counts what is read from the main file of a connection from here on. The connection must outlive it.
class CountedReads {
 public:
  explicit CountedReads(const SqliteConnection& connection) {
    sqlite3_file_control(connection.get(), "main", SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file_));
    original_ = file_->pMethods;
    counting_ = *original_;
    counting_.xRead = read;
    file_->pMethods = &counting_;
    count_ = 0;
  }
  ~CountedReads() { file_->pMethods = original_; }
  CountedReads(const CountedReads&) = delete;
  CountedReads& operator=(const CountedReads&) = delete;
  [[nodiscard]] static std::size_t count() { return count_; }

 private:
  static int read(sqlite3_file* file, void* buffer, int size, sqlite3_int64 offset) {
    ++count_;
    return original_->xRead(file, buffer, size, offset);
  }

  static inline const sqlite3_io_methods* original_ = nullptr;
  static inline std::size_t count_ = 0;
  sqlite3_file* file_ = nullptr;
  sqlite3_io_methods counting_{};
};

TEST(HollowTable, IsATreeToSqlite) {
  const Folder folder;
  Writer(folder / "a.db").run("PRAGMA page_size=4096; CREATE TABLE t(x)");
  write_hollow_table(folder / "a.db", {.leaves = 1500, .rows_per_leaf = 7, .overflow_pages = 1});
  const Writer writer(folder / "a.db");
  EXPECT_EQ(writer.integer("SELECT count(*) FROM t"), 10500);
  EXPECT_EQ(writer.integer("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

// The largest of about `count` ranges against their mean, by leaves: they weigh the same. Adds what was read.
double imbalance_of(const std::filesystem::path& path, const HollowTable& hollow, std::uint64_t count,
                    std::size_t& pages_read) {
  const SqliteConnection connection(path, Access::read);
  connection.pin();
  const Catalog catalog = read_catalog(connection);
  const SourceTable& table = table_named(catalog, "t");
  const CountedReads reads(connection);
  const TableOutline outline = outline_of(connection, table);
  pages_read = reads.count();
  const double leaf_pages = static_cast<double>(1 + hollow.rows_per_leaf * hollow.overflow_pages);
  const double pages =
      static_cast<double>(outline.bytes) / static_cast<double>(connection.integer("PRAGMA page_size"));
  EXPECT_NEAR(pages / static_cast<double>(hollow.leaves) / leaf_pages, 1, 0.05);

  const std::vector<Extent> extents = cut_table(table, outline, outline.bytes / count + 1);
  EXPECT_EQ(extents.size(), count);
  EXPECT_TRUE(covers_table(extents));
  std::uint64_t largest = 0;
  std::uint64_t before = 0;  // leaves that end before the range does
  for (const Extent& extent : extents) {
    const auto last = static_cast<std::uint64_t>(std::get<RowidRange>(extent).last);
    const std::uint64_t until = std::min(last / hollow.rows_per_leaf, hollow.leaves);
    largest = std::max(largest, until - before);
    before = until;
  }
  EXPECT_EQ(before, hollow.leaves);
  return static_cast<double>(largest * count) / static_cast<double>(hollow.leaves);
}

// Of 2.6 million; even the interior ones alone would be too many where each is a wait for the disk.
TEST(Outline, PlansTenGigabytesFromLessThanAThousandPages) {
  const Folder folder;
  Writer(folder / "a.db").run("PRAGMA page_size=4096; CREATE TABLE t(x)");
  const HollowTable hollow{.leaves = 2'621'440, .rows_per_leaf = 40, .overflow_pages = 0};
  EXPECT_GT(write_hollow_table(folder / "a.db", hollow), 6000U);
  ASSERT_GT(std::filesystem::file_size(folder / "a.db"), std::uint64_t{10} << 30);
  for (const std::uint64_t count : {8, 64, 512}) {
    std::size_t pages_read = 0;
    EXPECT_LE(imbalance_of(folder / "a.db", hollow, count, pages_read), 1.5) << count << " ranges";
    EXPECT_LT(pages_read, 1000U);
  }
}

// More leaves than are read, where only reading them tells how much they weigh.
TEST(Outline, BalancesMoreLargeRowsThanItLooksAt) {
  for (const std::uint64_t leaves : {40'000, 120'000}) {
    const Folder folder;
    Writer(folder / "a.db").run("PRAGMA page_size=512; CREATE TABLE t(x)");
    const HollowTable hollow{.leaves = leaves, .rows_per_leaf = 7, .overflow_pages = 3};
    write_hollow_table(folder / "a.db", hollow);
    for (const std::uint64_t count : {8, 64, 512}) {
      std::size_t pages_read = 0;
      EXPECT_LE(imbalance_of(folder / "a.db", hollow, count, pages_read), 1.5)
          << count << " ranges of " << leaves << " leaves";
      EXPECT_LT(pages_read, 40000U);
    }
  }
}

}  // namespace
}  // namespace sluice
