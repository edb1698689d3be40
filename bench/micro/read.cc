// Rows from SQLite, by its virtual machine and from the pages. One item is one row with all its cells.

#include <benchmark/benchmark.h>
#include <sqlite3.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "bench/micro/rows.h"
#include "io/sqlite/page_scan.h"
#include "io/sqlite/scan.h"
#include "tests/support/temporary_directory.h"

namespace sluice::bench {
namespace {

// A table that is filled, and how it is read.
struct Shape {
  TablePlan plan;
  std::string create;  // the table of this plan, and its rows where SQL can make them
  std::vector<std::vector<Cell>> rows;
};

// Some 40 MB at most: more than the second-level cache, and yet soon written.
std::string numbered_rows(int count, const std::string& values) {
  return "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < " + std::to_string(count) +
         ") INSERT INTO t SELECT " + values + " FROM c;";
}

TablePlan plan_of_columns(int count) {
  TablePlan plan;
  for (int i = 0; i < count; ++i) {
    ColumnPlan column;
    column.source = "c" + std::to_string(i);
    plan.columns.push_back(column);
  }
  return plan;
}

Shape integers(int count) {
  Shape shape{plan_of_columns(count), {}, {}};
  std::string columns;
  std::string values;
  for (int i = 0; i < count; ++i) {
    columns += (i == 0 ? "c" : ", c") + std::to_string(i) + " INTEGER";
    // Of one to five bytes.
    values += (i == 0 ? "" : ", ") + ("random() >> " + std::to_string(24 + 8 * (i % 5)));
  }
  shape.create = "CREATE TABLE t(" + columns + ");" + numbered_rows(200'000, values);
  return shape;
}
Shape one_integer() { return integers(1); }
Shape ten_integers() { return integers(10); }

Shape kilobyte_of_text() {
  return {plan_of_columns(1), "CREATE TABLE t(c0 TEXT);" + numbered_rows(40'000, "hex(randomblob(512))"), {}};
}

Shape mixed() {
  SampleTable orders = orders_table();
  Shape shape{orders.plan, "CREATE TABLE t(", {}};
  for (const ColumnPlan& column : orders.plan.columns) {
    shape.create += column.source + (column.source == "id" ? " INTEGER PRIMARY KEY, " : ", ");
  }
  shape.create.replace(shape.create.size() - 2, 2, ");");
  constexpr int kRepeats = 200;
  for (int i = 0; i < kRepeats; ++i) {
    for (std::vector<Cell> row : orders.rows) {
      row[0] = Cell::of_integer(static_cast<std::int64_t>(shape.rows.size()) + 1);
      shape.rows.push_back(std::move(row));
    }
  }
  return shape;
}

void require(int code, int expected) {
  if (code != expected) std::abort();  // the statements below are ours
}

void bind(sqlite3_stmt* statement, int parameter, const Cell& cell) {
  switch (cell.storage()) {
    case StorageClass::integer:
      return require(sqlite3_bind_int64(statement, parameter, cell.integer()), SQLITE_OK);
    case StorageClass::real:
      return require(sqlite3_bind_double(statement, parameter, cell.real()), SQLITE_OK);
    case StorageClass::text:
      return require(sqlite3_bind_text(statement, parameter, cell.text().data(),
                                       static_cast<int>(cell.text().size()), SQLITE_STATIC),
                     SQLITE_OK);
    case StorageClass::blob:
      return require(sqlite3_bind_blob(statement, parameter, cell.bytes().data(),
                                       static_cast<int>(cell.bytes().size()), SQLITE_STATIC),
                     SQLITE_OK);
    case StorageClass::null:
      return require(sqlite3_bind_null(statement, parameter), SQLITE_OK);
  }
}

void write(const std::filesystem::path& path, const Shape& shape) {
  initialize_sqlite();
  sqlite3* raw = nullptr;
  const int code = sqlite3_open(path.c_str(), &raw);
  const DatabaseHandle database(raw);
  require(code, SQLITE_OK);
  require(sqlite3_exec(raw, ("BEGIN;" + shape.create).c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  std::string insert = "INSERT INTO t VALUES (?";
  for (std::size_t i = 1; i < shape.plan.columns.size(); ++i) insert += ", ?";
  sqlite3_stmt* prepared = nullptr;
  require(sqlite3_prepare_v2(raw, (insert + ")").c_str(), -1, &prepared, nullptr), SQLITE_OK);
  const StatementHandle statement(prepared);
  for (const std::vector<Cell>& row : shape.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) bind(prepared, static_cast<int>(i) + 1, row[i]);
    require(sqlite3_step(prepared), SQLITE_DONE);
    sqlite3_reset(prepared);
  }
  require(sqlite3_exec(raw, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
}

class Table {
 public:
  explicit Table(const Shape& shape) : plan_(shape.plan) {
    plan_.source = "t";
    plan_.rowid_name = "rowid";
    write(folder_ / "a.db", shape);
    connection_ = std::make_unique<SqliteConnection>(folder_ / "a.db", Access::read);
    connection_->pin();
  }
  [[nodiscard]] std::unique_ptr<Scan> by_sql() const {
    return scan_through_sql(*connection_, plan_, WholeTable{});
  }
  [[nodiscard]] std::unique_ptr<Scan> by_pages() const {
    return scan_pages(*connection_, plan_, WholeTable{}, scan_through_sql);
  }

 private:
  testing::TemporaryDirectory folder_{"sluice-bench"};
  TablePlan plan_;
  std::unique_ptr<SqliteConnection> connection_;
};

// Made once, by whichever of the two benchmarks comes first.
template <Shape (*kShape)()>
const Table& table_of() {
  static const Table table(kShape());
  return table;
}

void read(benchmark::State& state, const std::function<std::unique_ptr<Scan>()>& begin) {
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    const std::unique_ptr<Scan> scan = begin();
    if (!scan) return state.SkipWithError("the pages cannot be read");
    while (const std::optional<Row> row = scan->next()) {
      ++rows;
      for (const Cell& cell : *row) {
        const bool sized = cell.storage() == StorageClass::text || cell.storage() == StorageClass::blob;
        bytes += sized ? static_cast<std::int64_t>(cell.bytes().size()) : 8;
      }
    }
  }
  state.SetItemsProcessed(rows);
  state.SetBytesProcessed(bytes);
  state.counters["row"] = benchmark::Counter(static_cast<double>(rows),
                                             benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <Shape (*kShape)()>
void read_by_sql(benchmark::State& state) {
  const Table& table = table_of<kShape>();
  read(state, [&] { return table.by_sql(); });
}
template <Shape (*kShape)()>
void read_by_pages(benchmark::State& state) {
  const Table& table = table_of<kShape>();
  read(state, [&] { return table.by_pages(); });
}

BENCHMARK(read_by_sql<one_integer>)->Unit(benchmark::kMillisecond);
BENCHMARK(read_by_pages<one_integer>)->Unit(benchmark::kMillisecond);
BENCHMARK(read_by_sql<ten_integers>)->Unit(benchmark::kMillisecond);
BENCHMARK(read_by_pages<ten_integers>)->Unit(benchmark::kMillisecond);
BENCHMARK(read_by_sql<kilobyte_of_text>)->Unit(benchmark::kMillisecond);
BENCHMARK(read_by_pages<kilobyte_of_text>)->Unit(benchmark::kMillisecond);
BENCHMARK(read_by_sql<mixed>)->Unit(benchmark::kMillisecond);
BENCHMARK(read_by_pages<mixed>)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sluice::bench
