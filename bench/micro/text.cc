// Text that becomes something else on the wire, or must be checked before it may go there.

#include <benchmark/benchmark.h>

#include <limits>
#include <string>
#include <string_view>

#include "io/wire/datetime.h"
#include "io/wire/json.h"
#include "io/wire/numeric.h"
#include "io/wire/utf8.h"

namespace sluice::bench {
namespace {

void count(benchmark::State& state, std::size_t bytes_each) {
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes_each));
}

// ---- dates and times, by the form they are written in ----

template <auto kParse, class Value>
void parse(benchmark::State& state, const char* written) {
  std::string text = written;
  Value value{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(text.data());
    if (!kParse(text, value)) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(value);
  }
  count(state, text.size());
}
constexpr auto parse_date_form = parse<parse_date, std::int32_t>;
constexpr auto parse_time_form = parse<parse_time, std::int64_t>;
constexpr auto parse_timestamp_form = parse<parse_timestamp, std::int64_t>;
constexpr auto parse_timestamptz_form = parse<parse_timestamptz, std::int64_t>;

BENCHMARK_CAPTURE(parse_date_form, usual, "2024-02-29");
BENCHMARK_CAPTURE(parse_date_form, signed_year, "+12345-01-01");
BENCHMARK_CAPTURE(parse_time_form, minutes, "12:34");
BENCHMARK_CAPTURE(parse_time_form, seconds, "12:34:56");
BENCHMARK_CAPTURE(parse_time_form, microseconds, "12:34:56.123456");
BENCHMARK_CAPTURE(parse_timestamp_form, date_only, "2024-02-29");
BENCHMARK_CAPTURE(parse_timestamp_form, seconds, "2024-02-29 12:34:56");
BENCHMARK_CAPTURE(parse_timestamp_form, with_t, "2024-02-29T12:34:56");
BENCHMARK_CAPTURE(parse_timestamp_form, milliseconds, "2024-02-29 12:34:56.123");
BENCHMARK_CAPTURE(parse_timestamp_form, microseconds, "2024-02-29 12:34:56.123456");
BENCHMARK_CAPTURE(parse_timestamptz_form, z, "2024-02-29T12:34:56Z");
BENCHMARK_CAPTURE(parse_timestamptz_form, offset, "2024-02-29 12:34:56.123456+02:00");
BENCHMARK_CAPTURE(parse_timestamptz_form, go, "2024-02-29 12:34:56.123456000 +0000 UTC");

// ---- numeric ----

template <class Number>
void numeric_from(benchmark::State& state, Number number) {
  Buffer out(64);
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(number);
    append_numeric(out, number);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  count(state, out.size());
}
void numeric_from_integer(benchmark::State& state, std::int64_t number) { numeric_from(state, number); }
void numeric_from_double(benchmark::State& state, double number) { numeric_from(state, number); }
BENCHMARK_CAPTURE(numeric_from_integer, small, 42);
BENCHMARK_CAPTURE(numeric_from_integer, largest, std::numeric_limits<std::int64_t>::max());
BENCHMARK_CAPTURE(numeric_from_double, price, 1230.99);
BENCHMARK_CAPTURE(numeric_from_double, all_digits, 0.12345678901234568);
BENCHMARK_CAPTURE(numeric_from_double, whole, 1e6);
BENCHMARK_CAPTURE(numeric_from_double, smallest, 5e-324);

// ---- checks of text, by length ----

std::string repeated(std::string_view piece, std::int64_t bytes) {
  std::string text;
  while (std::ssize(text) + std::ssize(piece) <= bytes) text += piece;
  return text;
}

void check_text_of(benchmark::State& state, const char* piece) {
  const std::string text = repeated(piece, state.range(0));
  for (auto _ : state) {
    if (check_text(text) != TextCheck::ok) return state.SkipWithError("refused");
  }
  count(state, text.size());
}
BENCHMARK_CAPTURE(check_text_of, ascii, "x")->RangeMultiplier(4)->Range(4, 16384);
BENCHMARK_CAPTURE(check_text_of, mostly_ascii, "naïve prose with a rare sign in it ")
    ->RangeMultiplier(8)
    ->Range(64, 4096);
BENCHMARK_CAPTURE(check_text_of, cyrillic, "ж")->RangeMultiplier(8)->Range(64, 4096);

// ---- JSON, by size (at least): an array of small documents ----

constexpr std::string_view kDocument =
    R"({"trace":"9f86d081884c7d65","attempt":3,"amount":1234.50,"message":"the quiet river, and the lantern of stone"})";

std::string documents(std::int64_t bytes) {
  std::string text = "[";
  text += kDocument;
  while (std::ssize(text) < bytes) {
    text += ',';
    text += kDocument;
  }
  return text + "]";
}

void validate_json(benchmark::State& state) {
  const std::string text = documents(state.range(0));
  for (auto _ : state) {
    if (check_json(text) != JsonCheck::ok) return state.SkipWithError("refused");
  }
  count(state, text.size());
}
BENCHMARK(validate_json)->RangeMultiplier(8)->Range(64, 32768);

void canonicalise_jsonb(benchmark::State& state) {
  const std::string text = documents(state.range(0));
  Buffer out(text.size() * 2);
  for (auto _ : state) {
    out.clear();
    if (canonical_jsonb(text, out) != JsonbResult::ok) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  count(state, text.size());
}
BENCHMARK(canonicalise_jsonb)->RangeMultiplier(8)->Range(64, 32768);

}  // namespace
}  // namespace sluice::bench
