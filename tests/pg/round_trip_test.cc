// Every type of the table against a real server: what we send is what it shows, and what it sends back.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "io/postgres/connection.h"
#include "io/postgres/copy_stream.h"
#include "io/wire/row_encoder.h"
#include "io/wire/type_table.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/test_server.h"

namespace sluice {
namespace {

using testing::execute;
using testing::query;
using testing::query_value;
using testing::QueryRow;
using testing::shared_test_server;

// A value that owns its bytes.
struct Value {
  StorageClass storage = StorageClass::null;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes;

  static Value of(std::int64_t value) { return {StorageClass::integer, value, 0, {}}; }
  static Value of(double value) { return {StorageClass::real, 0, value, {}}; }
  static Value text(std::string value) { return {StorageClass::text, 0, 0, std::move(value)}; }
  static Value blob(std::string value) { return {StorageClass::blob, 0, 0, std::move(value)}; }

  [[nodiscard]] Cell cell() const {
    switch (storage) {
      case StorageClass::integer:
        return Cell::of_integer(integer);
      case StorageClass::real:
        return Cell::of_real(real);
      case StorageClass::text:
        return Cell::of_text(bytes);
      case StorageClass::blob:
        return Cell::of_blob(std::as_bytes(std::span(bytes)));
      case StorageClass::null:
        break;
    }
    return {};
  }
};

std::string type_name(PgType type) { return std::string(name_of(type).sql); }

TablePlan plan_of(PgType type) {
  TablePlan plan;
  plan.columns.resize(2);
  plan.columns[0].type = PgType::int8;
  plan.columns[1].type = type;
  return plan;
}

class RoundTripTest : public ::testing::Test {
 protected:
  RoundTripTest()
      : conninfo_(shared_test_server().conninfo() + " options='-c timezone=UTC'"), connection_(conninfo_) {
    execute(conninfo_, "DROP TABLE IF EXISTS t");
  }

  void create(PgType type) {
    execute(conninfo_, "DROP TABLE IF EXISTS t; CREATE TABLE t (n bigint, v " + type_name(type) + ")");
  }

  // Sends the cells, numbered, and returns the tuples as sent. A cell that does not fit is a failure.
  std::vector<std::string> send(PgType type, const std::vector<Cell>& cells) {
    const TablePlan plan = plan_of(type);
    RowEncoder encoder(plan);
    CopyStream copy(connection_, "COPY t (n, v) FROM STDIN (FORMAT binary)");
    std::vector<std::string> tuples;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      Buffer buffer;
      const std::vector<Cell> row = {Cell::of_integer(static_cast<std::int64_t>(i)), cells[i]};
      if (!encoder.encode(row, buffer)) {
        ADD_FAILURE() << type_name(type) << " " << i << ": " << name_of(encoder.reject().reason);
        continue;
      }
      tuples.emplace_back(buffer.view());
      copy.write(buffer.span());
    }
    EXPECT_EQ(copy.finish(), tuples.size());
    return tuples;
  }

  std::vector<std::string> read_back() {
    std::vector<std::string> tuples;
    copy_out(connection_, "SELECT n, v FROM t ORDER BY n", [&](std::span<const std::byte> tuple) {
      tuples.emplace_back(reinterpret_cast<const char*>(tuple.data()), tuple.size());
    });
    return tuples;
  }

  std::vector<std::string> server_texts() {
    std::vector<std::string> texts;
    // Not v::text, which spells booleans out.
    for (const QueryRow& row : query(conninfo_, "SELECT v FROM t ORDER BY n")) {
      texts.push_back(row[0].value_or("NULL"));
    }
    return texts;
  }

  std::string conninfo_;
  Connection connection_;
};

TEST_F(RoundTripTest, TheServerShowsEverySampleAsTheTableSaysAndSendsItBack) {
  for (const TypeRow& row : kTypes) {
    create(row.type);
    std::vector<Cell> cells;
    std::vector<std::string> expected;
    for (const Sample& sample : row.samples()) {
      cells.push_back(sample.cell);
      expected.emplace_back(sample.server_text);
    }
    cells.emplace_back();
    expected.emplace_back("NULL");
    const std::vector<std::string> sent = send(row.type, cells);
    EXPECT_EQ(server_texts(), expected) << type_name(row.type);
    EXPECT_EQ(read_back(), sent) << type_name(row.type);
  }
}

// ---- random values ----

std::string random_text(std::mt19937_64& random) {
  static const std::vector<std::string> pieces = {"a",  "Z",   "0",   " ",      "\\",     "\"",    "'",
                                                  "\n", "\t",  "\r",  "\x01",   "\x7f",   "é",     "€",
                                                  "😀",  "\\N", "\\.", "\u2028", "\uffff", "\u0301"};
  std::string text;
  for (std::uint64_t n = random() % 30; n > 0; --n) text += pieces[random() % pieces.size()];
  return text;
}

std::string two_digits(std::uint64_t number) {
  return {static_cast<char>('0' + number / 10), static_cast<char>('0' + number % 10)};
}

std::string random_date(std::mt19937_64& random) {
  std::string year = std::to_string(1 + random() % 9999);
  year.insert(0, 4 - year.size(), '0');
  return year + "-" + two_digits(1 + random() % 12) + "-" + two_digits(1 + random() % 28);
}

std::string random_time(std::mt19937_64& random) {
  std::string time =
      two_digits(random() % 24) + ":" + two_digits(random() % 60) + ":" + two_digits(random() % 60);
  if (random() % 2 == 0) {
    std::string digits = std::to_string(random() % 1000000);
    time += "." + std::string(6 - digits.size(), '0') + digits;
  }
  return time;
}

std::string random_json(std::mt19937_64& random, int depth) {
  const auto quoted = [&] {
    std::string text = "\"";
    for (const char c : random_text(random)) {
      const auto code = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        text += '\\';
        text += c;
      } else if (code < 0x20) {
        text += "\\u00" + std::string(code < 0x10 ? "0" : "1") + "0123456789abcdef"[code & 15];
      } else {
        text += c;
      }
    }
    return text + "\"";
  };
  switch (random() % (depth > 3 ? 5 : 7)) {
    case 0:
      return "null";
    case 1:
      return random() % 2 == 0 ? "true" : "false";
    case 2:
      return std::to_string(static_cast<std::int64_t>(random()));
    case 3:
      return std::to_string(random() % 1000) + "." + std::to_string(random() % 1000) +
             (random() % 2 == 0 ? "" : "e" + std::to_string(static_cast<int>(random() % 40) - 20));
    case 4:
      return quoted();
    case 5: {
      std::string list = "[";
      for (std::uint64_t i = random() % 4; i > 0; --i)
        list += random_json(random, depth + 1) + (i > 1 ? "," : "");
      return list + "]";
    }
    default: {
      std::string object = "{";
      for (std::uint64_t i = random() % 4; i > 0; --i) {
        // A number in front keeps the keys different, which jsonb insists on.
        object += "\"" + std::to_string(i) + quoted().substr(1) + " : " + random_json(random, depth + 1) +
                  (i > 1 ? " , " : "");
      }
      return object + "}";
    }
  }
}

double random_double(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return static_cast<double>(static_cast<std::int64_t>(random() % 2000000) - 1000000) / 100;
    case 1:
      return std::ldexp(1.0, static_cast<int>(random() % 2000) - 1000);
    case 2:
      return static_cast<double>(static_cast<std::int64_t>(random() % 1000)) * 1e18;
    default: {
      double value = 0;
      do value = std::bit_cast<double>(random());
      while (std::isnan(value));
      return value;
    }
  }
}

Value random_value(PgType type, std::mt19937_64& random) {
  const auto integer = [&] { return static_cast<std::int64_t>(random()) >> (random() % 64); };
  switch (type) {
    case PgType::int2:
      return Value::of(static_cast<std::int64_t>(static_cast<std::int16_t>(random())));
    case PgType::int4:
      return Value::of(static_cast<std::int64_t>(static_cast<std::int32_t>(random())));
    case PgType::int8:
      return Value::of(integer());
    case PgType::float8:
      return Value::of(random_double(random));
    case PgType::float4: {
      float value = 0;
      do value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
      while (std::isnan(value));
      return Value::of(static_cast<double>(value));
    }
    case PgType::interval: {
      const std::string sign = random() % 2 == 0 ? "-" : "";
      return Value::text(sign + two_digits(random() % 100) + random_time(random).substr(2));
    }
    case PgType::numeric:
      return random() % 2 == 0 ? Value::of(integer()) : Value::of(random_double(random));
    case PgType::boolean:
      return Value::of(static_cast<std::int64_t>(random() % 2));
    case PgType::text:
    case PgType::varchar:
    case PgType::bpchar:
      return Value::text(random_text(random));
    case PgType::bytea: {
      std::string bytes(random() % 50, '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
      return Value::blob(bytes);
    }
    case PgType::date:
      return Value::text(random_date(random));
    case PgType::time:
      return Value::text(random_time(random));
    case PgType::timestamp:
      return Value::text(random_date(random) + (random() % 2 == 0 ? " " : "T") + random_time(random));
    case PgType::timestamptz: {
      const std::string zone =
          random() % 3 == 0
              ? "Z"
              : (random() % 2 == 0 ? "+" : "-") + two_digits(random() % 15) + ":" + two_digits(random() % 60);
      // Not near year 1: in UTC it might fall before Christ, which ISO and the server spell differently.
      return Value::text("2" + random_date(random).substr(1) + "T" + random_time(random) + zone);
    }
    case PgType::json:
    case PgType::jsonb:
      return Value::text(random_json(random, 0));
    case PgType::uuid: {
      std::string digits;
      for (int i = 0; i < 32; ++i) digits += "0123456789abcdefABCDEF"[random() % 22];
      return Value::text(digits);
    }
  }
  throw std::logic_error("a type without random values");
}

// The value as an application would have stored what the server shows.
Value value_of_server_text(PgType type, const std::string& text) {
  switch (type) {
    case PgType::int2:
    case PgType::int4:
    case PgType::int8:
      return Value::of(static_cast<std::int64_t>(std::strtoll(text.c_str(), nullptr, 10)));
    case PgType::float8:
      return Value::of(std::strtod(text.c_str(), nullptr));
    case PgType::float4:
      return Value::of(static_cast<double>(std::strtof(text.c_str(), nullptr)));
    default:
      return Value::text(text);
  }
}

TEST_F(RoundTripTest, RandomValuesComeBackByteByByte) {
  std::mt19937_64 random(testing::test_seed());
  for (const TypeRow& row : kTypes) {
    create(row.type);
    std::vector<Value> values;
    for (int i = 0; i < 3000; ++i) values.push_back(random_value(row.type, random));
    std::vector<Cell> cells;
    for (const Value& value : values) cells.push_back(value.cell());
    const std::vector<std::string> sent = send(row.type, cells);
    const std::vector<std::string> returned = read_back();
    ASSERT_EQ(returned.size(), sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) {
      ASSERT_EQ(returned[i], sent[i]) << type_name(row.type) << " row " << i << ": " << values[i].bytes << " "
                                      << values[i].integer << " " << values[i].real;
    }

    // And the other way: what the server shows, stored in SQLite, would be sent as the same bytes.
    if (row.type == PgType::numeric || row.type == PgType::bytea)
      continue;  // their text is no text of SQLite's
    const std::vector<std::string> texts = server_texts();
    const TablePlan plan = plan_of(row.type);
    RowEncoder encoder(plan);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Value value = value_of_server_text(row.type, texts[i]);
      Buffer buffer;
      const std::vector<Cell> cells_again = {Cell::of_integer(static_cast<std::int64_t>(i)), value.cell()};
      ASSERT_TRUE(encoder.encode(cells_again, buffer)) << type_name(row.type) << " " << texts[i];
      ASSERT_EQ(buffer.view(), sent[i]) << type_name(row.type) << " " << texts[i];
    }
  }
}

TEST_F(RoundTripTest, RandomNumbersMeanTheSameOnTheServer) {
  std::mt19937_64 random(testing::test_seed());
  create(PgType::numeric);
  std::vector<double> numbers;
  std::vector<Cell> cells;
  for (int i = 0; i < 3000; ++i) {
    double number = random_double(random);
    if (number == 0) number = 0;  // numeric has one zero
    numbers.push_back(number);
    cells.push_back(Cell::of_real(number));
  }
  send(PgType::numeric, cells);
  const std::vector<std::string> texts = server_texts();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(std::strtod(texts[i].c_str(), nullptr), numbers[i]) << texts[i];
  }
}

TEST_F(RoundTripTest, ALongValueCrossesMessages) {
  create(PgType::text);
  const std::string text(20'000'000, 'x');  // more than one message of libpq
  const std::vector<std::string> sent = send(PgType::text, {Cell::of_text(text), Cell::of_text("after")});
  EXPECT_EQ(query_value(conninfo_, "SELECT sum(length(v)) FROM t"), "20000005");
  EXPECT_EQ(read_back(), sent);
}

// ---- the stream ----

using CopyStreamTest = RoundTripTest;

std::string row_bytes(std::int64_t number, const std::string& text) {
  const TablePlan plan = plan_of(PgType::text);
  RowEncoder encoder(plan);
  Buffer buffer;
  const std::vector<Cell> row = {Cell::of_integer(number), Cell::of_text(text)};
  EXPECT_TRUE(encoder.encode(row, buffer));
  return std::string(buffer.view());
}

void write(CopyStream& copy, const std::string& bytes) { copy.write(std::as_bytes(std::span(bytes))); }

TEST_F(CopyStreamTest, DestroyedUnfinishedMakesTheServerRollBack) {
  create(PgType::text);
  {
    CopyStream copy(connection_, "COPY t FROM STDIN (FORMAT binary)");
    for (int i = 0; i < 10000; ++i) write(copy, row_bytes(i, "half"));
  }
  EXPECT_EQ(query_value(conninfo_, "SELECT count(*) FROM t"), "0");
  EXPECT_EQ(connection_.execute("SELECT 1").integer(0, 0), 1) << "the connection goes on";
}

TEST_F(CopyStreamTest, DestroyedUnfinishedSpoilsItsTransaction) {
  create(PgType::text);
  {
    Transaction transaction(connection_);
    connection_.execute("INSERT INTO public.t VALUES (1, 'before')");
    try {
      CopyStream copy(connection_, "COPY public.t FROM STDIN (FORMAT binary)");
      write(copy, row_bytes(2, "half"));
      throw std::runtime_error("something else went wrong");
    } catch (const std::runtime_error&) {
    }
    try {
      connection_.execute("SELECT 1");
      ADD_FAILURE() << "the transaction goes on";
    } catch (const Error& error) {
      EXPECT_EQ(error.sqlstate(), "25P02");
    }
    EXPECT_THROW(transaction.commit(), Error);
  }
  EXPECT_EQ(query_value(conninfo_, "SELECT count(*) FROM t"), "0");
}

TEST_F(CopyStreamTest, FinishReturnsTheServersCount) {
  create(PgType::text);
  for (const std::uint64_t rows : {0u, 1u, 1000u}) {
    CopyStream copy(connection_, "COPY t FROM STDIN (FORMAT binary)");
    for (std::uint64_t i = 0; i < rows; ++i) write(copy, row_bytes(static_cast<std::int64_t>(i), "x"));
    EXPECT_EQ(copy.finish(), rows);
  }
  EXPECT_EQ(query_value(conninfo_, "SELECT count(*) FROM t"), "1001");
}

TEST_F(CopyStreamTest, CountsRowsThatATriggerDropped) {
  create(PgType::text);
  execute(conninfo_,
          "CREATE OR REPLACE FUNCTION drop_odd() RETURNS trigger LANGUAGE plpgsql AS "
          "$$ BEGIN IF NEW.n % 2 = 1 THEN RETURN NULL; END IF; RETURN NEW; END $$;"
          "CREATE TRIGGER odd BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_odd()");
  CopyStream copy(connection_, "COPY t FROM STDIN (FORMAT binary)");
  for (int i = 0; i < 10; ++i) write(copy, row_bytes(i, "x"));
  EXPECT_EQ(copy.finish(), 5u) << "what the server stored, not what we sent";
}

TEST_F(CopyStreamTest, TuplesMayBeCutAnywhere) {
  create(PgType::text);
  const std::string bytes = row_bytes(1, "one") + row_bytes(2, "two");
  CopyStream copy(connection_, "COPY t FROM STDIN (FORMAT binary)");
  for (const char byte : bytes) write(copy, std::string(1, byte));
  EXPECT_EQ(copy.finish(), 2u);
  EXPECT_EQ(server_texts(), (std::vector<std::string>{"one", "two"}));
}

// The SQLSTATE that a failing use of the connection ends in, and that the connection outlives it.
template <class Body>
std::string sqlstate_of(Connection& connection, Body body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::target_refused) << error.describe();
    EXPECT_EQ(error.describe().find('\n'), std::string::npos);
    EXPECT_EQ(connection.execute("SELECT 1").integer(0, 0), 1);
    return error.sqlstate();
  }
  return "no error";
}

TEST_F(CopyStreamTest, ErrorsCarryTheirSqlstate) {
  execute(conninfo_, "CREATE TABLE t (n bigint PRIMARY KEY, v text NOT NULL CHECK (v <> 'bad'))");
  const auto copy_bytes = [&](const std::string& bytes, const std::string& table = "t") {
    return sqlstate_of(connection_, [&] {
      CopyStream copy(connection_, "COPY " + table + " FROM STDIN (FORMAT binary)");
      write(copy, bytes);
      static_cast<void>(copy.finish());
    });
  };
  EXPECT_EQ(copy_bytes(row_bytes(1, "x"), "missing"), "42P01");
  EXPECT_EQ(copy_bytes(row_bytes(1, "x") + row_bytes(1, "y")), "23505");
  EXPECT_EQ(copy_bytes(row_bytes(1, "bad")), "23514");
  EXPECT_EQ(copy_bytes(std::string("\0\2\0\0\0\x08\0\0\0\0\0\0\0\1\xff\xff\xff\xff", 18)), "23502");
  EXPECT_EQ(copy_bytes(std::string("\0\1\0\0\0\x08\0\0\0\0\0\0\0\1", 14)), "22P04");
  EXPECT_EQ(copy_bytes(std::string("\0\2\0\0\0\x09\0\0\0\0\0\0\0\1\0\0\0\0\1x", 20)), "22P03");
  EXPECT_EQ(copy_bytes(std::string("\0\2\0\0\0\x08\0\0\0\0\0\0\0\1\0\0\0\1\xff", 19)), "22021");
}

// Class 08 also holds the server's complaint about a field that is too short, on a connection in good health.
TEST_F(CopyStreamTest, AComplaintAboutTheProtocolIsNoLostConnection) {
  create(PgType::text);
  const std::string state = sqlstate_of(connection_, [&] {
    CopyStream copy(connection_, "COPY t FROM STDIN (FORMAT binary)");
    write(copy, std::string("\0\2\0\0\0\4\0\0\0\1\0\0\0\1x", 15));
    static_cast<void>(copy.finish());
  });
  EXPECT_EQ(state, "08P01");
}

TEST_F(CopyStreamTest, AnErrorInTheMiddleOfALongCopyIsTheServersOwn) {
  execute(conninfo_, "CREATE TABLE t (n bigint PRIMARY KEY, v text)");
  const std::string state = sqlstate_of(connection_, [&] {
    CopyStream copy(connection_, "COPY t FROM STDIN (FORMAT binary)");
    const std::string filler(1000, 'f');
    for (int i = 0; i < 50000; ++i) write(copy, row_bytes(i % 10000, filler));
    static_cast<void>(copy.finish());
  });
  EXPECT_EQ(state, "23505");
}

TEST_F(CopyStreamTest, ALostConnectionIsSaidToBeLost) {
  create(PgType::text);
  Connection doomed(conninfo_);
  const std::string pid = doomed.execute("SELECT pg_backend_pid()").text(0, 0);
  CopyStream copy(doomed, "COPY t FROM STDIN (FORMAT binary)");
  execute(conninfo_, "SELECT pg_terminate_backend(" + pid + ", 5000)");
  try {
    const std::string filler(100000, 'f');
    for (int i = 0; i < 1000; ++i) write(copy, row_bytes(i, filler));
    static_cast<void>(copy.finish());
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::connection_lost) << error.describe();
  }
  EXPECT_FALSE(doomed.alive());
  EXPECT_EQ(query_value(conninfo_, "SELECT count(*) FROM t"), "0");
}

TEST_F(CopyStreamTest, AnExceptionOfTheReaderEndsTheQueryAndNotTheConnection) {
  int seen = 0;
  EXPECT_THROW(copy_out(connection_, "SELECT generate_series(1, 10000000)",
                        [&](std::span<const std::byte>) {
                          if (++seen == 10) throw std::runtime_error("enough");
                        }),
               std::runtime_error);
  EXPECT_EQ(seen, 10);
  EXPECT_EQ(connection_.execute("SELECT 1").integer(0, 0), 1);
}

TEST_F(CopyStreamTest, AnErrorWhileReadingIsNeverAnEnd) {
  const std::string state = sqlstate_of(connection_, [&] {
    copy_out(connection_, "SELECT 1 / (1000 - n) FROM generate_series(1, 2000) n",
             [](std::span<const std::byte>) {});
  });
  EXPECT_EQ(state, "22012");
}

}  // namespace
}  // namespace sluice
