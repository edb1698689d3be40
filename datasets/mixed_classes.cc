#include "datasets/kinds.h"
#include "datasets/values.h"

// Columns with values that their declared type cannot hold, for testing rejects and widening. Exactly the
// rows whose id is a multiple of 1000 have one such value each; misfit_rows() counts them. The n-th of
// these rows has the misfit number (n - 1) % kMisfits of the list below.
//
// `untyped` declares nothing, so nothing misfits there; it is where a -0.0 survives in SQLite.
namespace sluice::datasets {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE samples (
  id INTEGER PRIMARY KEY,
  whole INTEGER,
  measure REAL,
  label TEXT,
  flag BOOLEAN,
  amount DECIMAL(12,2),
  day DATE,
  moment DATETIME,
  zoned TIMESTAMPTZ,
  payload JSON,
  identifier UUID,
  content BLOB,
  untyped
)
)sql";

constexpr std::array kNotText = {std::byte{0x00}, std::byte{0xff}, std::byte{0xfe}, std::byte{0x80}};

// Positions of the columns in a row.
enum Column {
  id,
  whole,
  measure,
  label,
  flag,
  amount,
  day,
  moment,
  zoned,
  payload,
  identifier,
  content,
  untyped
};

struct Misfit {
  Column column;
  Value value;
};

constexpr std::size_t kMisfits = 18;

const std::array<Misfit, kMisfits>& misfits() {
  using namespace std::string_view_literals;
  static const std::array<Misfit, kMisfits> list = {{
      {whole, "not a number"},
      {whole, 1.5},
      {measure, "n/a"},
      {label, std::span<const std::byte>(kNotText)},  // a blob
      {label, "Latin-1 caf\xe9"sv},                   // not UTF-8
      {label, "before\0after"sv},                     // PostgreSQL has no NUL in text
      {flag, "maybe"},
      {flag, 2},
      {amount, "twelve"},
      {day, "2023-02-29"},  // no such day
      {moment, "yesterday"},
      {moment, 1'704'067'200},             // of which unit?
      {zoned, "2024-01-01 12:00:00"},      // of which zone?
      {payload, "{'quotes': 'wrong'}"},    // JSON5 at best
      {payload, "{\"a\": 1} {\"b\": 2}"},  // two documents
      {identifier, "not-a-uuid"},
      {content, 42},
      {whole, std::span<const std::byte>(kNotText)},
  }};
  return list;
}

}  // namespace

void generate_mixed_classes(Database& database, const GeneratorOptions& options) {
  database.run(kSchema);
  Random random(options.seed, "mixed_classes");
  Insert insert(database, "samples");
  for (std::uint64_t row = 1; row <= options.rows; ++row) {
    const std::string text = free_text(random, 60);
    const std::int64_t time = some_time(random);
    const std::string day_text = date(time);
    const std::string moment_text = date_time(time);
    const std::string zoned_text = concat({moment_text, random.one_in(2) ? "Z" : "+02:00"});
    const std::string json = JsonObject().integer("n", random.between(0, 999)).text("s", text).done();
    const std::string uuid_text = uuid(random);
    const std::vector<std::byte> blob = bytes(random, static_cast<std::size_t>(random.between(0, 40)));
    std::array<Value, 13> values = {row,
                                    random.between(INT64_MIN, INT64_MAX),
                                    random.fraction(),
                                    text,
                                    random.one_in(2),
                                    random.hundredths(-99'999, 99'999),
                                    day_text,
                                    moment_text,
                                    zoned_text,
                                    json,
                                    uuid_text,
                                    blob,
                                    row % 100 == 0 ? -0.0 : random.fraction()};
    if (row % 1000 == 0) {
      const Misfit& misfit = misfits()[static_cast<std::size_t>(row / 1000 - 1) % kMisfits];
      values[static_cast<std::size_t>(misfit.column)] = misfit.value;
    }
    insert.row(values);
  }
}

}  // namespace sluice::datasets
