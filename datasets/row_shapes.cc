#include <utility>

#include "datasets/kinds.h"
#include "datasets/values.h"

// Shapes of rows: few columns, many columns, large values, and large values all in one place.
namespace sluice::datasets {

namespace {

constexpr std::int64_t kLargeBytesMin = 100'000;
constexpr std::int64_t kLargeBytesMax = 1'000'000;

std::size_t large_size(Random& random) {
  return static_cast<std::size_t>(random.between(kLargeBytesMin, kLargeBytesMax));
}

// id and nine groups of eleven types: a hundred columns.
constexpr int kWideGroups = 9;

std::string wide_schema() {
  std::string columns = "CREATE TABLE measurements (\n  id INTEGER PRIMARY KEY";
  for (int group = 1; group <= kWideGroups; ++group) {
    const std::string number = std::to_string(group);
    for (const auto& [name, type] : {std::pair{"integer", "INTEGER"},
                                     {"bigint", "BIGINT"},
                                     {"real", "REAL"},
                                     {"decimal", "DECIMAL(12,2)"},
                                     {"boolean", "BOOLEAN"},
                                     {"text", "TEXT"},
                                     {"date", "DATE"},
                                     {"timestamp", "TIMESTAMP"},
                                     {"json", "JSON"},
                                     {"uuid", "UUID"},
                                     {"blob", "BLOB"}}) {
      columns += concat({",\n  ", name, "_", number, " ", type});
    }
  }
  return columns + "\n)";
}

}  // namespace

void generate_narrow(Database& database, const GeneratorOptions& options) {
  database.run(
      "CREATE TABLE readings (id INTEGER PRIMARY KEY, sensor INTEGER NOT NULL, value INTEGER NOT NULL)");
  Random random(options.seed, "narrow");
  Insert insert(database, "readings");
  for (std::uint64_t id = 1; id <= options.rows; ++id) {
    insert.row({id, random.between(1, 500), random.between(-1'000'000, 1'000'000)});
  }
}

void generate_wide(Database& database, const GeneratorOptions& options) {
  database.run(wide_schema());
  Random random(options.seed, "wide");
  Insert insert(database, "measurements");
  for (std::uint64_t id = 1; id <= options.rows; ++id) {
    // Values borrow; these own the texts and bytes of one row.
    std::array<std::vector<std::string>, kWideGroups> texts;
    std::array<std::vector<std::byte>, kWideGroups> blobs;
    std::vector<Value> row{id};
    for (std::size_t group = 0; group < kWideGroups; ++group) {
      const std::int64_t time = some_time(random);
      texts[group] = {free_text(random, 40), date(time), date_time(time),
                      JsonObject().integer("a", random.between(0, 99)).boolean("b", random.one_in(2)).done(),
                      uuid(random)};
      blobs[group] = bytes(random, static_cast<std::size_t>(random.between(0, 24)));
      const std::vector<std::string>& text = texts[group];
      row.insert(row.end(), {random.between(-1000, 1000), random.between(INT64_MIN, INT64_MAX),
                             random.fraction(), random.hundredths(-99'999, 99'999), random.one_in(2), text[0],
                             text[1], text[2], text[3], text[4], blobs[group]});
    }
    for (std::size_t column = 1; column < row.size(); ++column) {
      if (random.one_in(8)) row[column] = nullptr;
    }
    insert.row(row);
  }
}

void generate_big_values(Database& database, const GeneratorOptions& options) {
  database.run(R"sql(
    CREATE TABLE documents (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL,
      body TEXT,
      content BLOB
    )
  )sql");
  Random random(options.seed, "big_values");
  Insert insert(database, "documents");
  for (std::uint64_t id = 1; id <= options.rows; ++id) {
    const std::string name = "document " + std::to_string(id);
    if (id % 2 == 1) {
      insert.row({id, name, nullptr, bytes(random, large_size(random))});
    } else {
      insert.row({id, name, prose(random, large_size(random)), nullptr});
    }
  }
}

void generate_skewed_rows(Database& database, const GeneratorOptions& options) {
  database.run(R"sql(
    CREATE TABLE attachments (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL,
      content BLOB NOT NULL
    )
  )sql");
  Random random(options.seed, "skewed_rows");
  Insert insert(database, "attachments");
  const std::uint64_t first_large = options.rows - options.rows / 100 + 1;
  for (std::uint64_t id = 1; id <= options.rows; ++id) {
    const std::size_t size =
        id >= first_large ? large_size(random) : static_cast<std::size_t>(random.between(20, 100));
    insert.row({id, "attachment " + std::to_string(id), bytes(random, size)});
  }
}

}  // namespace sluice::datasets
