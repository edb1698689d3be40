#include "datasets/kinds.h"
#include "datasets/values.h"

// Shapes of keys: what makes it hard to cut a table into even ranges.
namespace sluice::datasets {

namespace {

constexpr const char* kPayloadColumns = " (id INTEGER PRIMARY KEY, label TEXT NOT NULL, amount REAL)";

// Rows of about 60 bytes under keys that the caller chooses.
class KeyedRows {
 public:
  KeyedRows(Database& database, std::uint64_t seed, const std::string& table)
      : random_(seed, "keys." + table), insert_(create(database, table)) {}

  void add(std::int64_t key) {
    insert_.row({key, prose(random_, static_cast<std::size_t>(random_.between(20, 60))),
                 maybe_null(random_, 10, random_.hundredths(-99'999, 99'999))});
  }

  Random& random() { return random_; }

 private:
  static Insert create(Database& database, const std::string& table) {
    database.run("CREATE TABLE " + table + kPayloadColumns);
    return Insert(database, table);
  }

  Random random_;
  Insert insert_;
};

}  // namespace

void generate_sparse_keys(Database& database, const GeneratorOptions& options) {
  const auto [far_keys, gap_keys] = split_rows<2>(options.rows, {1, 1});

  // 1 .. n-1 and 2^62: cutting the key space into equal widths puts all rows but one into one range.
  KeyedRows far_key(database, options.seed, "far_key");
  for (std::int64_t key = 1; key < far_keys; ++key) far_key.add(key);
  far_key.add(std::int64_t{1} << 62);

  // Runs of up to 1000 keys, between them gaps of every magnitude up to 2^30.
  KeyedRows gaps(database, options.seed, "gaps");
  std::int64_t key = 0;
  std::int64_t left_in_run = 0;
  for (std::int64_t row = 0; row < gap_keys; ++row) {
    if (left_in_run == 0) {
      left_in_run = gaps.random().between(1, 1000);
      key += gaps.random().between(1, 2) << gaps.random().below(30);
    }
    --left_in_run;
    gaps.add(++key);
  }
}

void generate_negative_keys(Database& database, const GeneratorOptions& options) {
  KeyedRows rows(database, options.seed, "ends");
  const auto count = static_cast<std::int64_t>(options.rows);
  const std::int64_t far = count / 4;  // on either side
  const std::int64_t near = count - 2 * far;
  constexpr std::int64_t kQuarter = std::int64_t{1} << 62;

  // Far from zero: one key in each of `far` equal strata, the ends themselves among them.
  const std::int64_t width = far == 0 ? 0 : (kQuarter - 1) / far;
  const auto within = [&] {
    return static_cast<std::int64_t>(rows.random().below(static_cast<std::uint64_t>(width)));
  };
  for (std::int64_t row = 0; row < far; ++row) {
    rows.add(row == 0 ? INT64_MIN : INT64_MIN + row * width + within());
  }
  for (std::int64_t row = 0; row < near; ++row) rows.add(row - near / 2);
  for (std::int64_t row = 0; row < far; ++row) {
    rows.add(row == far - 1 ? INT64_MAX : kQuarter + row * width + within());
  }
}

void generate_dense_corner(Database& database, const GeneratorOptions& options) {
  KeyedRows rows(database, options.seed, "crowd");
  const auto count = static_cast<std::int64_t>(options.rows);
  // Keys 1 .. 100 n. The corner is n keys wide and begins at 70 % of the space: neither end, nor the middle.
  const std::int64_t corner = 70 * count;
  const std::int64_t inside = count * 9 / 10;
  const std::int64_t outside = count - inside;
  const std::int64_t before = outside * 7 / 10;
  const std::int64_t after = outside - before;
  for (std::int64_t row = 0; row < before; ++row) rows.add(1 + corner / before * row);
  for (std::int64_t row = 0; row < inside; ++row) rows.add(corner + row + row / 9);
  for (std::int64_t row = after - 1; row >= 0; --row) {
    rows.add(100 * count - (100 * count - corner - count) / after * row);
  }
}

void generate_text_keys(Database& database, const GeneratorOptions& options) {
  database.run(R"sql(
    CREATE TABLE sessions (
      token TEXT PRIMARY KEY,
      account INTEGER NOT NULL,
      data TEXT,
      expires_at DATETIME NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE members (
      tenant TEXT NOT NULL,
      number INTEGER NOT NULL,
      name TEXT NOT NULL,
      joined_on DATE,
      PRIMARY KEY (tenant, number)
    ) WITHOUT ROWID;
  )sql");
  const auto [sessions, members] = split_rows<2>(options.rows, {1, 1});
  {
    Random random(options.seed, "text_keys.sessions");
    Insert insert(database, "sessions");
    // Bytes above ASCII and quotes, for order by memcmp and for whoever builds SQL from keys.
    constexpr std::array kPrefixes = {"", "", "", "", "é", "ключ ", "日本-", "o'clock\\", "\"quoted\" "};
    for (std::int64_t row = 0; row < sessions; ++row) {
      insert.row(
          {concat({random.pick(kPrefixes), token(random, static_cast<std::size_t>(random.between(16, 40)))}),
           random.between(1, 10'000), maybe_null(random, 5, free_text(random, 80)),
           date_time(some_time(random))});
    }
  }
  {
    Random random(options.seed, "text_keys.members");
    Insert insert(database, "members");
    // Tenants of very different sizes: one has half of the rows, the next a quarter, and so on.
    std::array<std::int64_t, 16> last_numbers{};
    for (std::int64_t row = 0; row < members; ++row) {
      std::size_t tenant = 0;
      while (tenant + 1 < last_numbers.size() && random.one_in(2)) ++tenant;
      last_numbers[tenant] += random.between(1, 3);
      insert.row({concat({"tenant-", std::to_string(tenant)}), last_numbers[tenant] - 1000, person(random),
                  maybe_null(random, 5, date(some_time(random)))});
    }
  }
}

void generate_no_key(Database& database, const GeneratorOptions& options) {
  database.run("CREATE TABLE log (level INTEGER, message TEXT, logged_at DATETIME)");
  Random random(options.seed, "no_key");
  Insert insert(database, "log");
  std::int64_t level = 0;
  std::string message;
  std::int64_t now = kEpoch;
  for (std::uint64_t row = 1; row <= options.rows; ++row) {
    // Every third row repeats the one before it, value for value.
    if (row % 3 != 0) {
      level = random.between(0, 4);
      message = free_text(random, 80);
      now += random.between(1, 60);
    }
    insert.row({level, message, date_time(now)});
  }
}

}  // namespace sluice::datasets
