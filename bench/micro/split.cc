// What planning the ranges of a table costs: the outline of its b-tree, and cutting by it. Nothing of it
// should grow with the table.

#include <benchmark/benchmark.h>
#include <sqlite3.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <tuple>

#include "engine/plan/ranges.h"
#include "io/sqlite/catalog.h"
#include "io/sqlite/outline.h"
#include "tests/support/hollow_table.h"
#include "tests/support/temporary_directory.h"

namespace sluice::bench {
namespace {

using testing::HollowTable;

constexpr std::uint64_t kRowsPerLeaf = 40;
constexpr std::int64_t kTenGigabytes = 2'621'440;  // leaves, 10 GiB of them

void make_empty_table(const std::filesystem::path& path) {
  initialize_sqlite();
  sqlite3* raw = nullptr;
  const int code = sqlite3_open(path.c_str(), &raw);
  const DatabaseHandle database(raw);
  const char* const sql = "PRAGMA page_size=4096; CREATE TABLE t(x)";
  if (code != SQLITE_OK || sqlite3_exec(raw, sql, nullptr, nullptr, nullptr) != SQLITE_OK) std::abort();
}

class Subject {
 public:
  explicit Subject(const HollowTable& table) {
    make_empty_table(folder_ / "a.db");
    interior_pages_ = testing::write_hollow_table(folder_ / "a.db", table);
    connection_ = std::make_unique<SqliteConnection>(folder_ / "a.db", Access::read);
    connection_->pin();
    catalog_ = read_catalog(*connection_);
  }
  [[nodiscard]] TableOutline outline() const { return outline_of(*connection_, table()); }
  [[nodiscard]] const SourceTable& table() const { return catalog_.tables.front(); }
  [[nodiscard]] std::uint64_t interior_pages() const { return interior_pages_; }

 private:
  testing::TemporaryDirectory folder_{"sluice-bench"};
  std::uint64_t interior_pages_ = 0;
  std::unique_ptr<SqliteConnection> connection_;
  Catalog catalog_;
};

// Made when it is first asked for, and gone when the program ends.
const Subject& subject(const HollowTable& table) {
  static std::map<std::tuple<std::uint64_t, std::uint64_t>, Subject> made;
  const std::tuple key(table.leaves, table.overflow_pages);
  const auto found = made.find(key);
  return found != made.end() ? found->second : made.try_emplace(key, table).first->second;
}

HollowTable small_rows(std::int64_t leaves) {
  return {.leaves = static_cast<std::uint64_t>(leaves), .rows_per_leaf = kRowsPerLeaf, .overflow_pages = 0};
}

// 10 GiB in rows that lie on so many overflow pages each, which only leaves tell of.
HollowTable large_rows(std::int64_t overflow_pages) {
  constexpr std::int64_t kLargeRowsPerLeaf = 7;
  return {.leaves = static_cast<std::uint64_t>(kTenGigabytes / (1 + kLargeRowsPerLeaf * overflow_pages)),
          .rows_per_leaf = static_cast<std::uint64_t>(kLargeRowsPerLeaf),
          .overflow_pages = static_cast<std::uint64_t>(overflow_pages)};
}

void outline(benchmark::State& state, const HollowTable& table) {
  const Subject& file = subject(table);
  for (auto _ : state) {
    TableOutline outline = file.outline();
    if (outline.rowids.empty()) return state.SkipWithError("nowhere to cut");
    benchmark::DoNotOptimize(outline);
  }
  state.counters["leaves"] = static_cast<double>(table.leaves);
  state.counters["interior_pages"] = static_cast<double>(file.interior_pages());
}
void outline_of_leaves(benchmark::State& state) { outline(state, small_rows(state.range(0))); }
BENCHMARK(outline_of_leaves)
    ->RangeMultiplier(4)
    ->Range(1 << 16, 1 << 20)
    ->Arg(kTenGigabytes)
    ->Unit(benchmark::kMillisecond);

void outline_of_large_rows(benchmark::State& state) { outline(state, large_rows(state.range(0))); }
BENCHMARK(outline_of_large_rows)->Arg(8)->Arg(256)->Unit(benchmark::kMillisecond);

std::uint64_t bytes_each(const TableOutline& outline, std::int64_t ranges) {
  return outline.bytes / static_cast<std::uint64_t>(ranges) + 1;
}

void cut_into(benchmark::State& state) {
  const Subject& file = subject(small_rows(kTenGigabytes));
  const TableOutline outline = file.outline();
  std::size_t ranges = 0;
  for (auto _ : state) {
    std::vector<Extent> extents = cut_table(file.table(), outline, bytes_each(outline, state.range(0)));
    benchmark::DoNotOptimize(extents.data());
    ranges = extents.size();
  }
  if (ranges != static_cast<std::size_t>(state.range(0))) state.SkipWithError("cut into another number");
}
BENCHMARK(cut_into)->Arg(8)->Arg(64)->Arg(512);

// The bound of the design is 100 ms.
void plan_ten_gigabytes(benchmark::State& state) {
  const Subject& file = subject(small_rows(kTenGigabytes));
  for (auto _ : state) {
    const TableOutline outline = file.outline();
    std::vector<Extent> extents = cut_table(file.table(), outline, bytes_each(outline, state.range(0)));
    benchmark::DoNotOptimize(extents.data());
  }
}
BENCHMARK(plan_ten_gigabytes)->Arg(8)->Arg(512)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sluice::bench
