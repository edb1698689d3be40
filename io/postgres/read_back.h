#pragma once
// Reading rows of the target back: by blocks of the heap, by keys, one by one by their place, or as sums that
// the server makes.
//
// Each function reads in the transaction that is open, or in one of its own. Errors name no value.
//
// A large row never arrives in one piece: libpq would hold it twice, and one of the two to the end of the
// connection. Its values come in pieces, by a statement of its own after that for the other rows, and are
// hashed on the way.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model/digest.h"
#include "engine/model/plan.h"
#include "engine/model/range.h"
#include "io/postgres/connection.h"
#include "verify/leaves.h"

namespace sluice {

// Blocks first <= block < last; UINT64_MAX is an open end.
struct BlockRange {
  std::uint64_t first = 0;
  std::uint64_t last = UINT64_MAX;
};

// Blocks of the table's heap, for cutting a read-back into pieces. Throws Error (target_refused) when the
// table is gone.
std::uint64_t count_blocks(Connection& connection, const TablePlan& plan);

// A ctid as one number: block << 16 | offset. Good as long as the transaction that read it, or until its row
// is changed.
using Place = std::uint64_t;

// One row, borrowed for the call.
struct TargetRow {
  Place place = 0;  // 0 where it is not asked for
  // The tuple in binary. Of a large row, values that are sent apart are empty; none of them is part of the
  // key.
  std::span<const std::byte> tuple;
  Digest digest;  // of the whole row
  // Those that were sent apart, in the order of the columns.
  struct Apart {
    std::size_t column = 0;
    Digest digest;  // digest_of_field()
  };
  std::span<const Apart> apart;
};
using EachRow = std::function<void(const TargetRow&)>;

// Of each field of the row; see verify/row_digester.h.
std::vector<Digest> field_digests(const TargetRow& row);

// In any order.
void read_blocks(Connection& connection, const TablePlan& plan, const BlockRange& blocks,
                 const EachRow& each);

std::uint64_t count_rows(Connection& connection, const TablePlan& plan);

// Rows per transaction that wrote them: tells which range a missing or changed row belonged to, even in
// tables whose rows carry no key.
std::map<std::uint32_t, std::uint64_t> rows_by_transaction(Connection& connection, const TablePlan& plan);

// ---- one row and its place ----

std::string text_of_place(Place place);
// From the binary form of a ctid.
Place place_of_field(std::span<const std::byte> ctid);
// '{"(0,1)","(0,2)"}', for a parameter of type tid[].
std::string array_of_places(std::span<const Place> places);

// All rows of an ordered table with these keys, or, without a range, all rows of the table.
void read_placed(Connection& connection, const TablePlan& plan, const std::optional<RowidRange>& keys,
                 const EachRow& each);
// The rows at these places, as far as there are any.
void read_places(Connection& connection, const TablePlan& plan, std::span<const Place> places,
                 const EachRow& each);

// The columns of the rows at these places as the server prints them; nullopt is NULL.
struct PrintedRow {
  Place place = 0;
  std::vector<std::optional<std::string>> columns;  // in the order asked for
};
// `columns`: indexes into the plan's. At most `characters` of each value.
std::vector<PrintedRow> print_places(Connection& connection, const TablePlan& plan,
                                     const std::vector<std::size_t>& columns, std::span<const Place> places,
                                     std::size_t characters);

// True when an index finds rows by the first key column, so that reading a few keys does not cost a whole
// scan.
bool finds_by_key(Connection& connection, const TablePlan& plan);

// ---- sums made by the server ----

// Adds the sums of server_hash_sql() over the rows of these blocks to the leaves: all of them to leaf 0, or
// each to its own, which takes longer. REQUIRES: why_no_server_hash(plan) is empty, the columns' collations
// are deterministic, and the leaves are ordered with `by_leaf`.
void sum_blocks(Connection& connection, const TablePlan& plan, const BlockRange& blocks, bool by_leaf,
                TableLeaves& leaves);

// The first column whose collation is not deterministic, so that its hash is not the one of its bytes; empty
// without any.
std::string nondeterministic_column(Connection& connection, const TablePlan& plan);

}  // namespace sluice
