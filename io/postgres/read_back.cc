#include "io/postgres/read_back.h"

#include <algorithm>
#include <cstring>

#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "io/postgres/copy_stream.h"
#include "io/wire/row_encoder.h"
#include "verify/server_hash.h"

namespace sluice {
namespace {

std::string where_in(const BlockRange& blocks) {
  std::string where;
  const char* separator = " WHERE ";
  if (blocks.first > 0) {
    where += separator + ("ctid >= '(" + std::to_string(blocks.first) + ",0)'");
    separator = " AND ";
  }
  if (blocks.last != UINT64_MAX) where += separator + ("ctid < '(" + std::to_string(blocks.last) + ",0)'");
  return where;
}

// A decimal integer of up to 39 digits, modulo 2^128.
Digest parse_sum(const std::string& text) {
  unsigned __int128 value = 0;
  const bool negative = !text.empty() && text.front() == '-';
  for (const char c : text.substr(negative ? 1 : 0)) {
    if (c < '0' || c > '9') throw Error(Fault::internal, "the server sent a sum that is no integer");
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (negative) value = -value;
  return {static_cast<std::uint64_t>(value >> 64), static_cast<std::uint64_t>(value)};
}

}  // namespace

std::uint64_t count_blocks(Connection& connection, const TablePlan& plan) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      "SELECT coalesce(pg_relation_size(to_regclass($1)) / current_setting('block_size')::bigint, -1)",
      {quoted_name(plan)});
  if (result.integer(0, 0) < 0) {
    throw Error(Fault::target_refused, "table " + quoted_name(plan) + " is gone from the target",
                "load again from the beginning with --restart");
  }
  return static_cast<std::uint64_t>(result.integer(0, 0));
}

void read_blocks(Connection& connection, const TablePlan& plan, const BlockRange& blocks,
                 const std::function<void(std::span<const std::byte>)>& each) {
  const ReadScope scope(connection);
  copy_out(connection, "SELECT " + selected_columns(plan) + " FROM " + quoted_name(plan) + where_in(blocks),
           each);
}

std::uint64_t count_rows(Connection& connection, const TablePlan& plan) {
  const ReadScope scope(connection);
  return static_cast<std::uint64_t>(
      connection.execute("SELECT count(*) FROM " + quoted_name(plan)).integer(0, 0));
}

std::map<std::uint32_t, std::uint64_t> rows_by_transaction(Connection& connection, const TablePlan& plan) {
  const ReadScope scope(connection);
  const Result result =
      connection.execute("SELECT xmin::text, count(*) FROM " + quoted_name(plan) + " GROUP BY 1");
  std::map<std::uint32_t, std::uint64_t> rows;
  for (std::size_t row = 0; row < result.rows(); ++row) {
    rows[static_cast<std::uint32_t>(result.integer(row, 0))] =
        static_cast<std::uint64_t>(result.integer(row, 1));
  }
  return rows;
}

std::string text_of_place(Place place) {
  return "(" + std::to_string(place >> 16) + "," + std::to_string(place & 0xffff) + ")";
}

Place place_of_field(std::span<const std::byte> ctid) {
  std::uint32_t block = 0;
  std::uint16_t offset = 0;
  if (ctid.size() != sizeof block + sizeof offset) {
    throw Error(Fault::internal, "the server sent a ctid of another form");
  }
  std::memcpy(&block, ctid.data(), sizeof block);
  std::memcpy(&offset, ctid.data() + sizeof block, sizeof offset);
  return Place{to_big_endian(block)} << 16 | to_big_endian(offset);
}

std::string array_of_places(std::span<const Place> places) {
  std::string array = "{";
  for (const Place place : places) {
    array += array.size() == 1 ? "\"" : ",\"";
    array += text_of_place(place) + "\"";
  }
  return array + "}";
}

namespace {

// count (2), then the ctid: length (4), block (4), offset (2); then the fields of the row.
constexpr std::size_t kPlaceBytes = 10;

void read_with_places(Connection& connection, const TablePlan& plan, const std::string& where,
                      const EachPlaced& each) {
  const ReadScope scope(connection);
  copy_out(connection, "SELECT ctid, " + selected_columns(plan) + " FROM " + quoted_name(plan) + where,
           [&](std::span<std::byte> tuple) {
             TupleFields fields(tuple);
             const Place place = place_of_field(fields.next().value);
             // The tuple without it begins over its last bytes, since the memory is ours.
             const std::span<std::byte> row = tuple.subspan(kPlaceBytes);
             const auto count = to_big_endian(static_cast<std::int16_t>(fields.count() - 1));
             std::memcpy(row.data(), &count, sizeof count);
             each(place, row);
           });
}

}  // namespace

void read_placed(Connection& connection, const TablePlan& plan, const std::optional<RowidRange>& keys,
                 const EachPlaced& each) {
  std::string where;
  if (keys) {
    const std::string column = quote_identifier(plan.columns[plan.key_columns.front()].target);
    where = " WHERE " + column + " >= '" + std::to_string(keys->first) + "'::bigint AND " + column + " <= '" +
            std::to_string(keys->last) + "'::bigint";
    // A row whose key became NULL belongs to the first leaf: see LeafRule::key_of().
    if (keys->first == INT64_MIN) where += " OR " + column + " IS NULL";
  }
  read_with_places(connection, plan, where, each);
}

void read_places(Connection& connection, const TablePlan& plan, std::span<const Place> places,
                 const EachPlaced& each) {
  if (places.empty()) return;
  read_with_places(connection, plan, " WHERE ctid = ANY ('" + array_of_places(places) + "'::tid[])", each);
}

std::vector<PrintedRow> print_places(Connection& connection, const TablePlan& plan,
                                     const std::vector<std::size_t>& columns, std::span<const Place> places,
                                     std::size_t characters) {
  std::vector<PrintedRow> rows;
  if (places.empty()) return rows;
  const ReadScope scope(connection);
  std::string list;
  for (const std::size_t column : columns) {
    // A slice, where the server can take one: a value may have a gigabyte.
    const ColumnPlan& planned = plan.columns[column];
    const std::string name = quote_identifier(planned.target);
    const std::string slice = "(" + name + ", 1, " + std::to_string(characters) + ")";
    const bool own_type = !planned.type_name.empty() || planned.compared_as_text;
    if (planned.type == PgType::bytea) {
      list += ", '\\x' || encode(substr" + slice + ", 'hex')";
    } else if (planned.type == PgType::text && !own_type) {
      list += ", substr" + slice;
    } else {
      list += ", left(" + (own_type ? printed_form(name) : name + "::text") + ", " +
              std::to_string(characters) + ")";
    }
  }
  const Result result =
      connection.execute("SELECT (ctid::text::point)[0]::bigint << 16 | (ctid::text::point)[1]::bigint" +
                             list + " FROM " + quoted_name(plan) + " WHERE ctid = ANY ($1::tid[])",
                         {array_of_places(places)});
  for (std::size_t row = 0; row < result.rows(); ++row) {
    PrintedRow printed;
    printed.place = static_cast<Place>(result.integer(row, 0));
    for (std::size_t i = 0; i < columns.size(); ++i) {
      printed.columns.push_back(result.is_null(row, i + 1) ? std::nullopt
                                                           : std::optional(result.text(row, i + 1)));
    }
    rows.push_back(std::move(printed));
  }
  return rows;
}

bool finds_by_key(Connection& connection, const TablePlan& plan) {
  if (plan.key_columns.empty()) return false;
  const ReadScope scope(connection);
  return connection
      .execute(
          "SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON "
          "m.oid = c.relam JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE "
          "i.indrelid = to_regclass($1) AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree' AND "
          "a.attname = $2)",
          {quoted_name(plan), plan.columns[plan.key_columns.front()].target})
      .boolean(0, 0);
}

void sum_blocks(Connection& connection, const TablePlan& plan, const BlockRange& blocks, bool by_leaf,
                TableLeaves& leaves) {
  std::string leaf = "0";
  if (by_leaf) {
    // A leaf ends with its key, and width_bucket() takes thresholds as beginnings; the last leaf has no end.
    std::string begins;
    for (std::size_t i = 1; i < leaves.leaves().size(); ++i) {
      if (leaves.leaves()[i - 1].last_key == INT64_MAX) break;
      begins += (begins.empty() ? "" : ",") + std::to_string(leaves.keys_of(i).first);
    }
    leaf = "coalesce(width_bucket(" + quote_identifier(plan.columns[plan.key_columns.front()].target) +
           ", '{" + begins + "}'::bigint[]), 0)";
  }
  // Compiling the expression saves a tenth of the query and costs the session 100 ms, for loading the
  // compiler.
  std::optional<Transaction> own;
  if (!connection.in_transaction())
    own.emplace(connection, "SET LOCAL jit = off", TransactionMode::read_only);
  // Grouping by a constant would still compare it in every row, an eighth of the query.
  const Result result = connection.execute("SELECT " + leaf + ", count(*), coalesce(sum(" +
                                           server_hash_sql(plan) + "), 0) FROM " + quoted_name(plan) +
                                           where_in(blocks) + (by_leaf ? " GROUP BY 1" : ""));
  for (std::size_t row = 0; row < result.rows(); ++row) {
    Leaf sums;
    sums.rows.rows = static_cast<std::uint64_t>(result.integer(row, 1));
    sums.server = parse_sum(result.text(row, 2));
    leaves.add(static_cast<std::size_t>(result.integer(row, 0)), sums);
  }
}

std::string nondeterministic_column(Connection& connection, const TablePlan& plan) {
  const ReadScope scope(connection);
  const Result result = connection.execute(
      "SELECT a.attname FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation WHERE a.attrelid = "
      "to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND NOT c.collisdeterministic ORDER BY "
      "a.attnum LIMIT 1",
      {quoted_name(plan)});
  return result.rows() == 0 ? std::string() : result.text(0, 0);
}

}  // namespace sluice
