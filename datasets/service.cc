#include "datasets/kinds.h"
#include "datasets/values.h"

// A plain event service, its SQL written by hand: zoned timestamps, JSON payloads, measurements in REAL,
// counters in a table WITHOUT ROWID, raw bytes in a BLOB column.
namespace sluice::datasets {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE sensors (
  id INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  gateway_id INTEGER REFERENCES sensors(id),
  latitude REAL,
  longitude REAL,
  installed_on DATE NOT NULL,
  UNIQUE (tenant, name)
);
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  sensor_id INTEGER NOT NULL REFERENCES sensors(id),
  level TEXT NOT NULL DEFAULT 'info' CHECK (level IN ('debug', 'info', 'warning', 'error')),
  message TEXT,
  measurement REAL,
  deviation DOUBLE PRECISION,
  clock_ns BIGINT NOT NULL,
  acknowledged BOOLEAN NOT NULL DEFAULT 0,
  payload JSON NOT NULL,
  occurred_at TIMESTAMPTZ NOT NULL,
  received_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE daily_counters (
  tenant TEXT NOT NULL,
  day DATE NOT NULL,
  events INTEGER NOT NULL DEFAULT 0,
  errors INTEGER NOT NULL DEFAULT 0,
  mean REAL,
  cost NUMERIC(12, 2) NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, day)
) WITHOUT ROWID;
CREATE TABLE captures (
  event_id INTEGER PRIMARY KEY REFERENCES events(id) ON DELETE CASCADE,
  format VARCHAR(16) NOT NULL,
  content BLOB,
  captured_at TIMESTAMPTZ
);
)sql";

constexpr const char* kIndexes = R"sql(
CREATE INDEX events_by_sensor ON events(sensor_id, occurred_at DESC);
CREATE INDEX events_unacknowledged ON events(level, occurred_at) WHERE acknowledged = 0;
CREATE INDEX daily_counters_by_day ON daily_counters(day);
)sql";

constexpr std::array kLevels = {"debug", "info", "info", "info", "warning", "error"};
constexpr std::array kOffsets = {"Z", "Z", "Z", "Z", "+00:00", "+02:00", "-05:30"};

constexpr std::int64_t kTenants = 20;

std::string tenant_name(std::int64_t number) {
  // A few names outside ASCII: they sort by bytes here and by language elsewhere.
  constexpr std::array kNames = {"acme", "Zoë & söhne", "ärzte", "東京"};
  return concat({kNames[static_cast<std::size_t>(number) % kNames.size()], "-", std::to_string(number)});
}

// Measurements, with the ends of what a double can hold in fixed places. SQLite itself turns the -0.0 of a
// REAL column into 0.0.
double measurement(Random& random, std::int64_t id) {
  switch (id) {
    case 1:
      return -0.0;
    case 2:
      return 1e308;
    case 3:
      return 5e-324;
    case 4:
      return -1.7976931348623157e308;
    case 5:
      return 9007199254740993.0;
    default:
      return random.one_in(4) ? random.hundredths(-9'999, 9'999) : (random.fraction() - 0.5) * 200;
  }
}

void insert_sensors(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "service.sensors");
  Insert insert(database, "sensors");
  for (std::int64_t id = 1; id <= count; ++id) {
    const auto gateway =
        id == 1 || random.one_in(3) ? std::nullopt : std::optional(random.between(1, id - 1));
    insert.row({id, tenant_name(id % kTenants), concat({"sensor ", std::to_string(id), " ", oddity(random)}),
                gateway, maybe_null(random, 6, random.hundredths(-9'000, 9'000)),
                maybe_null(random, 6, random.hundredths(-18'000, 18'000)), date(some_time(random))});
  }
}

void insert_events(Database& database, std::uint64_t seed, std::int64_t count, std::int64_t sensors) {
  Random random(seed, "service.events");
  Insert insert(database, "events");
  std::int64_t now = kEpoch;
  for (std::int64_t id = 1; id <= count; ++id) {
    now += random.between(0, 900);
    const std::string payload = JsonObject()
                                    .text("trace", hex(random, 32))
                                    .integer("attempt", random.between(-1, 5))
                                    .raw("values", random.one_in(2) ? "[1, 2.50, -3e-2, true, null]"
                                                                    : "[[], {}, \"\\u00e9\\ud83d\\ude80\"]")
                                    .text("note", free_text(random, 80))
                                    .done();
    const std::int64_t clock = id == 1   ? INT64_MIN
                               : id == 2 ? INT64_MAX
                                         : random.between(INT64_MIN, INT64_MAX);
    const std::uint64_t microseconds = random.below(1'000'000);
    insert.row({id, random.between(1, sensors), random.pick(kLevels),
                maybe_null(random, 5, free_text(random, 120)),
                id > 5 && random.one_in(7) ? std::nullopt : std::optional(measurement(random, id)),
                maybe_null(random, 3, random.fraction()), clock, random.one_in(2), payload,
                concat({date_time_microseconds(now, microseconds, 'T'), random.pick(kOffsets)}),
                random.one_in(3) ? date_time(now + 1) : date_time_milliseconds(now + 1, random.below(1000))});
  }
}

void insert_daily_counters(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "service.daily_counters");
  Insert insert(database, "daily_counters");
  for (std::int64_t index = 0; index < count; ++index) {
    const std::int64_t events = random.between(0, 100'000);
    insert.row({tenant_name(index % kTenants), date(kEpoch + index / kTenants * kDay), events,
                random.between(0, events), maybe_null(random, 10, random.hundredths(-10'000, 10'000)),
                random.hundredths(0, 1'000'000)});
  }
}

void insert_captures(Database& database, std::uint64_t seed, std::int64_t count, std::int64_t events) {
  Random random(seed, "service.captures");
  Insert insert(database, "captures");
  for (std::int64_t id = 1; id <= std::min(count, events); ++id) {
    // Every 50th is empty, every 11th missing: two different things.
    const std::vector<std::byte> content =
        bytes(random, id % 50 == 0 ? 0 : static_cast<std::size_t>(random.between(1, 6000)));
    insert.row({id, random.one_in(2) ? "pcap" : "raw", id % 11 == 0 ? std::nullopt : std::optional(content),
                maybe_null(random, 4, concat({date_time(some_time(random)), "Z"}))});
  }
}

}  // namespace

void generate_service(Database& database, const GeneratorOptions& options) {
  const auto [sensors, events, counters, captures] = split_rows<4>(options.rows, {200, 8000, 1500, 300});
  database.run(kSchema);
  insert_sensors(database, options.seed, sensors);
  insert_events(database, options.seed, events, sensors);
  insert_daily_counters(database, options.seed, counters);
  insert_captures(database, options.seed, captures, events);
  database.run(kIndexes);
}

}  // namespace sluice::datasets
