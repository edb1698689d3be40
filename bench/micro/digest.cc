// What every tuple costs beyond its encoding: hashing it, finding its leaf, adding it up.

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "bench/micro/rows.h"
#include "io/wire/row_encoder.h"
#include "verify/leaves.h"
#include "verify/row_digest.h"
#include "verify/server_hash.h"

namespace sluice::bench {
namespace {

void row_digest(benchmark::State& state) {
  const std::vector<std::byte> row(static_cast<std::size_t>(state.range(0)), std::byte{0x5a});
  for (auto _ : state) {
    Digest digest = digest_of_row(row);
    benchmark::DoNotOptimize(digest);
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(row_digest)->RangeMultiplier(2)->Range(16, 4096);

// Both kinds of digest over the same rows.
template <class Hash>
void hash_tuples(benchmark::State& state, const SampleTable& table, const Hash& hash) {
  const SampleTuples tuples = tuples_of(table);
  std::size_t at = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    const std::span<const std::byte> tuple = tuples.tuple(at);
    auto digest = hash(tuple);
    benchmark::DoNotOptimize(digest);
    bytes += static_cast<std::int64_t>(tuple.size());
    at = (at + 1) % tuples.ends.size();
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(bytes);
}

void row_digest_of(benchmark::State& state, const SampleTable& table) {
  hash_tuples(state, table, [](std::span<const std::byte> tuple) { return digest_of_row(tuple); });
}
void server_hash_of(benchmark::State& state, const SampleTable& table) {
  hash_tuples(state, table, [hasher = ServerHasher(table.plan)](std::span<const std::byte> tuple) {
    return hasher.hash(tuple);
  });
}

// The server has no hash for JSON; as text the row has the same bytes.
SampleTable with_json_as_text(SampleTable table) {
  for (ColumnPlan& column : table.plan.columns) {
    if (column.type == PgType::json) column.type = PgType::text;
  }
  return table;
}
SampleTable ten_short_fields() {
  SampleTable table = orders_table();
  constexpr std::array<std::size_t, 10> kColumns = {0, 1, 2, 3, 4, 5, 7, 8, 2, 3};
  TablePlan plan = table.plan;
  plan.columns.clear();
  for (const std::size_t column : kColumns) plan.columns.push_back(table.plan.columns[column]);
  for (std::vector<Cell>& row : table.rows) {
    std::vector<Cell> chosen;
    for (const std::size_t column : kColumns) chosen.push_back(row[column]);
    row = std::move(chosen);
  }
  table.plan = std::move(plan);
  return table;
}

BENCHMARK_CAPTURE(row_digest_of, orders, orders_table());
BENCHMARK_CAPTURE(row_digest_of, events, with_json_as_text(events_table()));
BENCHMARK_CAPTURE(row_digest_of, ten_short_fields, ten_short_fields());
BENCHMARK_CAPTURE(server_hash_of, orders, orders_table());
BENCHMARK_CAPTURE(server_hash_of, events, with_json_as_text(events_table()));
BENCHMARK_CAPTURE(server_hash_of, ten_short_fields, ten_short_fields());

// The same rows under another kind of key, so that the ways to a leaf compare.
SampleTable without_key(SampleTable table) {
  table.plan.row_key = RowKey::none;
  table.plan.key_columns.clear();
  return table;
}
SampleTable with_two_key_columns(SampleTable table) {
  table.plan.row_key = RowKey::columns;
  table.plan.key_columns = {0, 2};
  return table;
}

void range_digester_add(benchmark::State& state, const SampleTable& table) {
  const SampleTuples tuples = tuples_of(table);
  RangeDigester digester(table.plan);
  std::size_t at = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    const std::span<const std::byte> tuple = tuples.tuple(at);
    digester.add(tuple);
    bytes += static_cast<std::int64_t>(tuple.size());
    at = (at + 1) % tuples.ends.size();
  }
  RangeDigest digest = digester.finish();
  benchmark::DoNotOptimize(digest);
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(bytes);
}
BENCHMARK_CAPTURE(range_digester_add, integer_key, orders_table());
BENCHMARK_CAPTURE(range_digester_add, two_key_columns, with_two_key_columns(orders_table()));
BENCHMARK_CAPTURE(range_digester_add, no_key, without_key(orders_table()));

// A read-back. For an ordered table the leaf is searched for, so give it as many as a million rows have.
void table_leaves_add(benchmark::State& state, const SampleTable& table) {
  const SampleTuples tuples = tuples_of(table);
  RangeDigest boundaries;
  if (table.plan.row_key == RowKey::ordered_integer) {
    constexpr std::int64_t kLeaves = 64;
    for (std::int64_t leaf = 1; leaf <= kLeaves; ++leaf) {
      boundaries.leaves.push_back({leaf * std::ssize(tuples.ends) / kLeaves, false, RowSum{Digest{}, 1}});
    }
  }
  TableLeaves leaves = TableLeaves(table.plan, {boundaries}).emptied();
  std::size_t at = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    const std::span<const std::byte> tuple = tuples.tuple(at);
    leaves.add(tuple);
    bytes += static_cast<std::int64_t>(tuple.size());
    at = (at + 1) % tuples.ends.size();
  }
  RowSum total = leaves.total();
  benchmark::DoNotOptimize(total);
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(bytes);
}
BENCHMARK_CAPTURE(table_leaves_add, integer_key, orders_table());
BENCHMARK_CAPTURE(table_leaves_add, two_key_columns, with_two_key_columns(orders_table()));
BENCHMARK_CAPTURE(table_leaves_add, no_key, without_key(orders_table()));

void walk_tuple(benchmark::State& state, const SampleTable& table) {
  const SampleTuples tuples = tuples_of(table);
  std::size_t at = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    const std::span<const std::byte> tuple = tuples.tuple(at);
    TupleFields fields(tuple);
    for (std::size_t i = 0; i < fields.count(); ++i) {
      TupleFields::Field field = fields.next();
      benchmark::DoNotOptimize(field);
    }
    bytes += static_cast<std::int64_t>(tuple.size());
    at = (at + 1) % tuples.ends.size();
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(bytes);
}
BENCHMARK_CAPTURE(walk_tuple, orders, orders_table());
BENCHMARK_CAPTURE(walk_tuple, events, events_table());

}  // namespace
}  // namespace sluice::bench
