#include "bench/micro/rows.h"

#include <array>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>

#include "io/wire/row_encoder.h"

namespace sluice::bench {
namespace {

constexpr std::int64_t kRows = 1024;

// For the benchmark's lifetime: cells borrow.
std::string_view keep(std::string text) {
  static std::vector<std::unique_ptr<std::string>> kept;
  kept.push_back(std::make_unique<std::string>(std::move(text)));
  return *kept.back();
}

class Values {
 public:
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool one_in(std::int64_t count) { return between(1, count) == 1; }
  double fraction() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

  std::string prose(std::int64_t least, std::int64_t most) {
    constexpr std::array<std::string_view, 8> kWords = {"amber ", "river",    " stone ", "of ",
                                                        "the ",   "lantern ", "quiet, ", "and "};
    const auto size = static_cast<std::size_t>(between(least, most));
    std::string text;
    while (text.size() < size) text += kWords[random_() % kWords.size()];
    text.resize(size);
    return text;
  }

  std::string timestamp() {
    const auto two = [&](std::int64_t least, std::int64_t most) {
      return std::to_string(100 + between(least, most)).substr(1);
    };
    return "202" + std::to_string(between(0, 5)) + "-" + two(1, 12) + "-" + two(1, 28) + " " + two(0, 23) +
           ":" + two(0, 59) + ":" + two(0, 59) + "." +
           std::to_string(1'000'000 + between(0, 999'999)).substr(1);
  }

 private:
  std::mt19937_64 random_{1};
};

ColumnPlan column(std::string name, PgType type, bool not_null = true) {
  ColumnPlan plan;
  plan.source = name;
  plan.target = std::move(name);
  plan.type = type;
  plan.not_null = not_null;
  return plan;
}

TablePlan keyed_by_id(std::string name, std::vector<ColumnPlan> columns) {
  TablePlan plan;
  plan.source = name;
  plan.target = std::move(name);
  plan.schema = "public";
  plan.columns = std::move(columns);
  plan.row_key = RowKey::ordered_integer;
  plan.key_columns = {0};
  plan.extents = {WholeTable{}};
  return plan;
}

}  // namespace

SampleTable orders_table() {
  SampleTable table;
  table.plan =
      keyed_by_id("orders", {column("id", PgType::int8), column("customer_id", PgType::int8),
                             column("status", PgType::text), column("quantity", PgType::int8),
                             column("total", PgType::float8), column("discount", PgType::float8, false),
                             column("note", PgType::text, false), column("placed_at", PgType::timestamp),
                             column("shipped_at", PgType::timestamp, false)});
  constexpr std::array<std::string_view, 5> kStatuses = {"new", "paid", "packed", "shipped", "returned"};
  Values values;
  for (std::int64_t id = 1; id <= kRows; ++id) {
    table.rows.push_back({Cell::of_integer(id), Cell::of_integer(values.between(1, 200'000)),
                          Cell::of_text(kStatuses[static_cast<std::size_t>(values.between(0, 4))]),
                          Cell::of_integer(values.between(1, 20)),
                          Cell::of_real(static_cast<double>(values.between(100, 99'999'999)) / 100),
                          values.one_in(4) ? Cell() : Cell::of_real(values.fraction()),
                          values.one_in(20) ? Cell() : Cell::of_text(keep(values.prose(40, 140))),
                          Cell::of_text(keep(values.timestamp())),
                          values.one_in(10) ? Cell() : Cell::of_text(keep(values.timestamp()))});
  }
  return table;
}

SampleTable events_table() {
  SampleTable table;
  table.plan =
      keyed_by_id("events", {column("id", PgType::int8), column("order_id", PgType::int8),
                             column("kind", PgType::text), column("latency", PgType::float8),
                             column("payload", PgType::json), column("recorded_at", PgType::timestamp)});
  constexpr std::array<std::string_view, 5> kKinds = {"viewed", "cart.changed", "payment.accepted",
                                                      "label.printed", "delivered"};
  Values values;
  for (std::int64_t id = 1; id <= kRows; ++id) {
    const std::string payload = R"({"trace": "9f86d081884c7d65", "attempt": )" +
                                std::to_string(values.between(1, 5)) + R"(, "amount": )" +
                                std::to_string(values.between(0, 99'999)) + R"(.25, "message": ")" +
                                values.prose(30, 90) + "\"}";
    table.rows.push_back({Cell::of_integer(id), Cell::of_integer(values.between(1, 1'000'000)),
                          Cell::of_text(kKinds[static_cast<std::size_t>(values.between(0, 4))]),
                          Cell::of_real(values.fraction() * 1000), Cell::of_text(keep(payload)),
                          Cell::of_text(keep(values.timestamp()))});
  }
  return table;
}

SampleTuples tuples_of(const SampleTable& table) {
  SampleTuples tuples;
  RowEncoder encoder(table.plan);
  for (const std::vector<Cell>& row : table.rows) {
    if (!encoder.encode(row, tuples.bytes)) std::abort();  // the rows above fit their columns
    tuples.ends.push_back(tuples.bytes.size());
  }
  return tuples;
}

}  // namespace sluice::bench
