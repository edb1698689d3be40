#include "io/postgres/read_back.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/model/row_memory.h"
#include "io/postgres/copy_stream.h"
#include "io/wire/row_encoder.h"
#include "verify/row_digest.h"
#include "verify/row_digester.h"
#include "verify/server_hash.h"

namespace sluice {
namespace {

using Conditions = std::vector<std::string>;

std::string where(const Conditions& conditions) {
  std::string where;
  for (const std::string& condition : conditions) where += (where.empty() ? " WHERE " : " AND ") + condition;
  return where;
}

Conditions conditions_of(const BlockRange& blocks) {
  Conditions conditions;
  if (blocks.first > 0) conditions.push_back("ctid >= '(" + std::to_string(blocks.first) + ",0)'");
  if (blocks.last != UINT64_MAX) conditions.push_back("ctid < '(" + std::to_string(blocks.last) + ",0)'");
  return conditions;
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
    array += text_of_place(place) + '"';
  }
  return array + "}";
}

// ---- rows ----

namespace {

// A value that may be sent apart from its row, as SQL.
struct ApartColumn {
  std::size_t column = 0;
  std::string bytes;  // what the server would send, as bytea
  std::string size;   // of that
  std::string guess;  // of the size, cheap to ask of every row; 0 where it is far from large
};

// Types that the server can hand out as bytes. Asking text and bytea for their size reads nothing but the row
// itself; a document must be printed, so only those are that have some size as they are stored.
std::vector<ApartColumn> apart_columns(const TablePlan& plan) {
  constexpr std::size_t kStoredBytesMin = kLargeRowBytes / 4;
  std::vector<ApartColumn> columns;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const ColumnPlan& column = plan.columns[i];
    if (is_key_column(plan, i) || column.compared_as_text || !column.type_name.empty()) continue;
    const std::string name = quote_identifier(column.target);
    const std::string size = "octet_length(" + name + ")";
    const std::string printed = "octet_length(" + name + "::text)";
    const std::string guess = "CASE WHEN pg_column_size(" + name + ") > " + std::to_string(kStoredBytesMin) +
                              " THEN " + printed + " ELSE 0 END";
    const std::string text = "convert_to(" + name + "::text, 'UTF8')";
    switch (column.type) {
      case PgType::bytea:
        // Unpacked once, not for every piece.
        columns.push_back({i, name + " || ''::bytea", size, size});
        break;
      case PgType::text:
      case PgType::varchar:
        columns.push_back({i, text, size, size});
        break;
      case PgType::json:
        columns.push_back({i, text, printed, guess});
        break;
      case PgType::jsonb:  // with the version of its binary form in front
        columns.push_back({i, "'\\x01'::bytea || " + text, "1 + " + printed, guess});
        break;
      default:
        break;
    }
  }
  return columns;
}

// A large row has something out of line, however well it compresses: a page has 8 kB.
bool may_hold_large_rows(Connection& connection, const TablePlan& plan) {
  return connection
      .execute(
          "SELECT coalesce((SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class WHERE oid = "
          "to_regclass($1) AND reltoastrelid <> 0), false)",
          {quoted_name(plan)})
      .boolean(0, 0);
}

std::string is_large(const std::vector<ApartColumn>& apart) {
  std::string sum;
  for (const ApartColumn& column : apart)
    sum += (sum.empty() ? "coalesce(" : " + coalesce(") + column.guess + ", 0)::bigint";
  return sum + " >= " + std::to_string(kLargeRowBytes);
}

// Each row comes as several: first, without a piece, its place and its fields, sizes in place of the values
// that are sent apart; then these, column by column in pieces.
std::string large_rows_query(const TablePlan& plan, const std::vector<ApartColumn>& apart,
                             const Conditions& conditions) {
  const std::string piece_bytes = std::to_string(kLargeRowBytes);
  std::string fields = "ctid AS place";
  std::string values;
  std::string heads = "CASE WHEN p.piece IS NULL THEN r.place END";
  std::string pieces = "SELECT NULL::bytea AS piece";
  auto next = apart.begin();
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const std::string number = std::to_string(i);
    heads += ", CASE WHEN p.piece IS NULL THEN r.f" + number + " END";
    if (next == apart.end() || next->column != i) {
      const std::string name = quote_identifier(plan.columns[i].target);
      fields += ", " + (plan.columns[i].compared_as_text ? printed_form(name) : name) + " AS f" + number;
      continue;
    }
    fields += ", " + next->size + " AS f" + number;
    values += ", " + next->bytes + " AS v" + number;
    pieces += " UNION ALL SELECT substring(r.v" + number + " FROM i FOR " + piece_bytes +
              ") FROM generate_series(1, octet_length(r.v" + number + "), " + piece_bytes + ") i";
    ++next;
  }
  // OFFSET keeps the planner from computing a value anew for every piece.
  return "SELECT p.piece, " + heads + " FROM (SELECT " + fields + values + " FROM " + quoted_name(plan) +
         where(conditions) + " OFFSET 0) r CROSS JOIN LATERAL (" + pieces + ") p";
}

// Makes rows of what that query answers, and holds no more of one than a piece.
class LargeRowReader {
 public:
  LargeRowReader(const TablePlan& plan, const std::vector<ApartColumn>& apart, const EachRow& each)
      : is_apart_(plan.columns.size()), each_(each) {
    for (const ApartColumn& column : apart) is_apart_[column.column] = true;
  }

  void take(std::span<const std::byte> answer) {
    TupleFields fields(answer);
    const TupleFields::Field piece = fields.next();
    if (piece.null) {
      begin(answer);
    } else {
      take_piece(piece.value);
    }
  }

  void finish() const {
    if (fields_) throw incomplete();
  }

 private:
  static Error incomplete() { return Error(Fault::internal, "the server sent a large row in other pieces"); }

  void begin(std::span<const std::byte> head) {
    finish();
    head_.clear();
    head_.append(head);
    tuple_.clear();
    apart_.clear();
    column_ = 0;
    fields_.emplace(head_.span());
    static_cast<void>(fields_->next());
    place_ = place_of_field(fields_->next().value);
    tuple_.put_int16(static_cast<std::int16_t>(is_apart_.size()));
    row_.add(tuple_.span());
    go_on();
  }

  // Up to the next value that comes in pieces, or to the end of the row.
  void go_on() {
    for (; column_ < is_apart_.size(); ++column_) {
      const TupleFields::Field field = fields_->next();
      const std::size_t start = tuple_.size();
      if (!is_apart_[column_] || field.null) {
        tuple_.append(field.with_length);
        row_.add(field.with_length);
        continue;
      }
      if (field.value.size() != sizeof(std::int32_t)) throw incomplete();
      row_.add(field.value);  // the size, as it would stand before the value
      std::int32_t size = 0;
      std::memcpy(&size, field.value.data(), sizeof size);
      left_ = static_cast<std::uint32_t>(to_big_endian(size));
      tuple_.truncate(start);
      tuple_.put_int32(0);
      field_ = begin_field();
      if (left_ > 0) return;
      end_field();
    }
    fields_.reset();
    each_({place_, tuple_.span(), row_.finish(), apart_});
  }

  void take_piece(std::span<const std::byte> piece) {
    if (!fields_ || piece.size() > left_) throw incomplete();
    row_.add(piece);
    field_.add(piece);
    left_ -= piece.size();
    if (left_ > 0) return;
    end_field();
    ++column_;
    go_on();
  }

  void end_field() { apart_.push_back({column_, field_.finish()}); }

  std::vector<bool> is_apart_;  // by column
  const EachRow& each_;
  Buffer head_;
  std::optional<TupleFields> fields_;  // of head_; nothing between rows
  Place place_ = 0;
  Buffer tuple_;
  std::vector<TargetRow::Apart> apart_;
  std::size_t column_ = 0;
  std::uint64_t left_ = 0;  // bytes of the value of column_ that have not come yet
  DigestStream row_;
  DigestStream field_;
};

// count (2), then the ctid: length (4), block (4), offset (2); then the fields of the row.
constexpr std::size_t kPlaceBytes = 10;

TargetRow row_without_place(std::span<std::byte> tuple) { return {0, tuple, digest_of_row(tuple), {}}; }

TargetRow row_with_place(std::span<std::byte> tuple) {
  TupleFields fields(tuple);
  const Place place = place_of_field(fields.next().value);
  // The tuple without it begins over its last bytes, since the memory is ours.
  const std::span<std::byte> row = tuple.subspan(kPlaceBytes);
  const auto count = to_big_endian(static_cast<std::int16_t>(fields.count() - 1));
  std::memcpy(row.data(), &count, sizeof count);
  return {place, row, digest_of_row(row), {}};
}

void read_rows(Connection& connection, const TablePlan& plan, Conditions conditions, bool with_places,
               const EachRow& each) {
  const ReadScope scope(connection);
  std::vector<ApartColumn> apart = apart_columns(plan);
  if (!apart.empty() && !may_hold_large_rows(connection, plan)) apart.clear();
  if (!apart.empty()) conditions.push_back("NOT (" + is_large(apart) + ")");
  const std::string from = selected_columns(plan) + " FROM " + quoted_name(plan) + where(conditions);
  copy_out(connection, (with_places ? "SELECT ctid, " : "SELECT ") + from, [&](std::span<std::byte> tuple) {
    each(with_places ? row_with_place(tuple) : row_without_place(tuple));
  });
  if (apart.empty()) return;
  conditions.back() = is_large(apart);
  // The pieces of a row come one after the other only from one process.
  connection.execute("SET LOCAL max_parallel_workers_per_gather = 0");
  LargeRowReader reader(plan, apart, each);
  copy_out(connection, large_rows_query(plan, apart, conditions),
           [&](std::span<std::byte> answer) { reader.take(answer); });
  reader.finish();
}

}  // namespace

std::vector<Digest> field_digests(const TargetRow& row) {
  std::vector<Digest> digests = field_digests(row.tuple);
  for (const TargetRow::Apart& apart : row.apart) digests.at(apart.column) = apart.digest;
  return digests;
}

void read_blocks(Connection& connection, const TablePlan& plan, const BlockRange& blocks,
                 const EachRow& each) {
  read_rows(connection, plan, conditions_of(blocks), false, each);
}

void read_placed(Connection& connection, const TablePlan& plan, const std::optional<RowidRange>& keys,
                 const EachRow& each) {
  Conditions conditions;
  if (keys) {
    const std::string column = quote_identifier(plan.columns[plan.key_columns.front()].target);
    std::string between = column + " >= " + quote_literal(std::to_string(keys->first)) + "::bigint AND " +
                          column + " <= " + quote_literal(std::to_string(keys->last)) + "::bigint";
    // A row whose key became NULL belongs to the first leaf: see LeafRule::key_of().
    if (keys->first == INT64_MIN) between = "(" + between + " OR " + column + " IS NULL)";
    conditions.push_back(std::move(between));
  }
  read_rows(connection, plan, std::move(conditions), true, each);
}

void read_places(Connection& connection, const TablePlan& plan, std::span<const Place> places,
                 const EachRow& each) {
  if (places.empty()) return;
  read_rows(connection, plan, {"ctid = ANY (" + quote_literal(array_of_places(places)) + "::tid[])"}, true,
            each);
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
                                           where(conditions_of(blocks)) + (by_leaf ? " GROUP BY 1" : ""));
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
