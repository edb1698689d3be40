// Cells to wire bytes: each type of the type table on its own samples, and whole rows.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bench/micro/rows.h"
#include "io/wire/row_encoder.h"
#include "io/wire/type_table.h"

namespace sluice::bench {
namespace {

void encode_type(benchmark::State& state, const TypeRow& type) {
  const std::vector<Sample> samples = type.samples();
  Buffer out(1 << 16);
  std::int64_t bytes = 0;
  for (auto _ : state) {
    out.clear();
    for (const Sample& sample : samples) {
      if (type.encode(sample.cell, out) != Misfit::none) return state.SkipWithError("refused");
    }
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
    bytes += static_cast<std::int64_t>(out.size());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(samples.size()));
  state.SetBytesProcessed(bytes);
}

// One per row of the type table, so that a new type is measured the day it is written.
[[maybe_unused]] const bool kRegistered = [] {
  for (const PgTypeName& name : kPgTypeNames) {
    std::string title = "encode_type/" + std::string(name.sql);
    std::replace(title.begin(), title.end(), ' ', '_');
    benchmark::RegisterBenchmark(
        title.c_str(), [type = name.type](benchmark::State& state) { encode_type(state, row_of(type)); });
  }
  return true;
}();

// What range_sink.cc does to a row but for the digest: encode, and start over at 128 KiB.
void encode_row(benchmark::State& state, const SampleTable& table) {
  RowEncoder encoder(table.plan);
  constexpr std::size_t kSendBytes = std::size_t{128} << 10;
  Buffer out(kSendBytes * 2);
  std::size_t at = 0;
  std::int64_t bytes = 0;
  for (auto _ : state) {
    const std::size_t before = out.size();
    if (!encoder.encode(table.rows[at], out)) return state.SkipWithError("refused");
    at = (at + 1) % table.rows.size();
    bytes += static_cast<std::int64_t>(out.size() - before);
    if (out.size() >= kSendBytes) out.clear();
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(bytes);
}
BENCHMARK_CAPTURE(encode_row, orders, orders_table());
BENCHMARK_CAPTURE(encode_row, events, events_table());

}  // namespace
}  // namespace sluice::bench
