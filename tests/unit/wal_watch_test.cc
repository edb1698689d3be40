#include "engine/app/wal_watch.h"

#include "unit/sqlite_fixture.h"

namespace sluice {
namespace {

using namespace testing;

TEST(WalAlarm, RingsAtTheThresholdAndWheneverTheGrowthHasDoubled) {
  WalAlarm alarm(1000, 100);
  EXPECT_FALSE(alarm.rings(1000));
  EXPECT_FALSE(alarm.rings(1099));
  EXPECT_TRUE(alarm.rings(1100));
  EXPECT_FALSE(alarm.rings(1199));
  EXPECT_TRUE(alarm.rings(1200));
  EXPECT_TRUE(alarm.rings(2700));
  EXPECT_FALSE(alarm.rings(2700));
  EXPECT_FALSE(alarm.rings(2599)) << "3200 over the first size is next";
  EXPECT_TRUE(alarm.rings(4200));
  EXPECT_EQ(alarm.growth(), 3200U);
}

TEST(WalAlarm, CountsNoGrowthWhenTheLogShrinks) {
  WalAlarm alarm(1000, 100);
  EXPECT_FALSE(alarm.rings(0));
  EXPECT_EQ(alarm.growth(), 0U);
  EXPECT_FALSE(alarm.rings(1050));
  EXPECT_FALSE(alarm.rings(1010));
  EXPECT_EQ(alarm.growth(), 50U) << "the most that it was";
}

TEST(Snapshot, KnowsHowLargeTheLogIsNow) {
  const Folder folder;
  const Writer writer(folder / "a.db");
  writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)");
  const Snapshot snapshot(folder / "a.db", 1);
  const std::uint64_t before = snapshot.wal_bytes();
  for (int i = 0; i < 50; ++i)
    writer.run("INSERT INTO t VALUES (randomblob(100000)); PRAGMA wal_checkpoint(PASSIVE)");
  EXPECT_EQ(snapshot.wal_bytes(), std::filesystem::file_size(folder / "a.db-wal"));
  EXPECT_GT(snapshot.wal_bytes(), before + 5'000'000)
      << "the snapshot must keep the log from being started anew";
}

TEST(Snapshot, KnowsOfNoLogWhereThereIsNone) {
  const Folder folder;
  Writer(folder / "a.db").run("CREATE TABLE t(x)");
  EXPECT_EQ(Snapshot(folder / "a.db", 1).wal_bytes(), 0U);
}

}  // namespace
}  // namespace sluice
