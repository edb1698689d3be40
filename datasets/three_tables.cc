#include "datasets/kinds.h"
#include "datasets/values.h"

// The reference load for measuring. At 2,200,000 rows: 200,000 customers, 1,000,000 orders and 1,000,000
// events; README.md says how large the file and its binary COPY payload come out. There are no foreign
// key clauses, though the values would satisfy them: checking them is not part of the reference times.
namespace sluice::datasets {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  country TEXT NOT NULL,
  credit REAL NOT NULL,
  visits INTEGER NOT NULL,
  preferences JSON NOT NULL,
  created_at TIMESTAMP NOT NULL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL,
  status TEXT NOT NULL,
  quantity INTEGER NOT NULL,
  total REAL NOT NULL,
  discount REAL,
  note TEXT,
  placed_at TIMESTAMP NOT NULL,
  shipped_at TIMESTAMP
);
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  order_id INTEGER NOT NULL,
  kind TEXT NOT NULL,
  latency REAL NOT NULL,
  payload JSON NOT NULL,
  recorded_at TIMESTAMP NOT NULL
);
)sql";

constexpr const char* kIndexes = R"sql(
CREATE INDEX orders_customer_id ON orders(customer_id);
CREATE INDEX events_recorded_at ON events(recorded_at);
)sql";

constexpr std::array kCountries = {"DE", "FR", "IN", "JP", "NG", "US"};
constexpr std::array kStatuses = {"new", "paid", "packed", "shipped", "returned"};
constexpr std::array kEventKinds = {"viewed", "cart.changed", "payment.accepted", "label.printed",
                                    "delivered"};

void insert_customers(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "three_tables.customers");
  Insert insert(database, "customers");
  for (std::int64_t id = 1; id <= count; ++id) {
    const std::string preferences = JsonObject()
                                        .text("language", random.pick(kCountries))
                                        .boolean("newsletter", random.one_in(2))
                                        .integer("page_size", random.between(1, 10) * 10)
                                        .text("about", prose(random, 70))
                                        .done();
    const std::int64_t created = some_time(random);
    insert.row({id, person(random), concat({"customer", std::to_string(id), "@example.com"}),
                random.pick(kCountries), random.hundredths(0, 1'000'000), random.between(0, 5000),
                preferences, date_time_microseconds(created, random.below(1'000'000))});
  }
}

void insert_orders(Database& database, std::uint64_t seed, std::int64_t count, std::int64_t customers) {
  Random random(seed, "three_tables.orders");
  Insert insert(database, "orders");
  std::int64_t now = kEpoch;
  for (std::int64_t id = 1; id <= count; ++id) {
    now += random.between(0, 60);
    const std::int64_t shipped = now + random.between(1, 5 * kDay);
    insert.row({id, random.between(1, customers), random.pick(kStatuses), random.between(1, 20),
                random.hundredths(100, 99'999'999), maybe_null(random, 4, random.fraction()),
                maybe_null(random, 20, prose(random, static_cast<std::size_t>(random.between(40, 140)))),
                date_time_microseconds(now, random.below(1'000'000)),
                maybe_null(random, 10, date_time_microseconds(shipped, random.below(1'000'000)))});
  }
}

void insert_events(Database& database, std::uint64_t seed, std::int64_t count, std::int64_t orders) {
  Random random(seed, "three_tables.events");
  Insert insert(database, "events");
  std::int64_t now = kEpoch;
  for (std::int64_t id = 1; id <= count; ++id) {
    now += random.between(0, 60);
    const std::string payload =
        JsonObject()
            .text("trace", hex(random, 16))
            .integer("attempt", random.between(1, 5))
            .decimal("amount", random.between(0, 9'999'999))
            .text("message", prose(random, static_cast<std::size_t>(random.between(30, 90))))
            .done();
    insert.row({id, random.between(1, orders), random.pick(kEventKinds), random.fraction() * 1000, payload,
                date_time_microseconds(now, random.below(1'000'000))});
  }
}

}  // namespace

void generate_three_tables(Database& database, const GeneratorOptions& options) {
  const auto [customers, orders, events] = split_rows<3>(options.rows, {1, 5, 5});
  database.run(kSchema);
  insert_customers(database, options.seed, customers);
  insert_orders(database, options.seed, orders, customers);
  insert_events(database, options.seed, events, orders);
  database.run(kIndexes);
}

}  // namespace sluice::datasets
