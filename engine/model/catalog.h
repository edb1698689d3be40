#pragma once
// What a SQLite file contains, in SQLite's own terms. Plain values: copy and keep them freely.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/range.h"

namespace sluice {

enum class Generated : std::uint8_t { no, virtual_column, stored };

struct SourceColumn {
  std::string name;
  std::string declared_type;  // as written, may be empty
  bool not_null = false;
  std::optional<std::string> default_sql;  // an SQL expression, as written
  std::uint32_t key_position = 0;          // 1-based place in the primary key, 0 when not part of it
  Generated generated = Generated::no;
};

struct SourceIndexColumn {
  std::string name;  // empty for an expression
  bool descending = false;
  std::string collation;  // BINARY unless something else was declared
};

enum class IndexOrigin : std::uint8_t { create_index, unique_constraint, primary_key };

struct SourceIndex {
  std::string name;
  bool unique = false;
  bool partial = false;
  IndexOrigin origin = IndexOrigin::create_index;
  std::vector<SourceIndexColumn> columns;  // key columns only, in index order
  std::string sql;                         // empty for the automatic ones
};

struct SourceForeignKey {
  std::string parent;  // as written; resolve it case-insensitively
  std::vector<std::string> columns;
  std::vector<std::string> parent_columns;  // empty: the parent's primary key
  std::string on_update;                    // "NO ACTION", "CASCADE", ...
  std::string on_delete;
};

struct SourceTable {
  std::string name;
  std::string sql;
  // fts5, rtree, ...: a virtual table whose rows can be read like a table's. Its first column is then the
  // rowid, under the name "rowid", where the module does not name it itself. Empty for ordinary tables.
  std::string module;
  bool without_rowid = false;
  bool strict = false;
  bool autoincrement = false;
  std::optional<std::int64_t> sequence;  // sqlite_sequence.seq
  // The first of rowid, _rowid_, oid that no column shadows; empty when all are, or without rowid.
  std::string rowid_name;
  // The column that is the rowid (INTEGER PRIMARY KEY), as an index into columns.
  std::optional<std::size_t> rowid_alias;
  std::vector<SourceColumn> columns;  // declaration order, generated ones included, hidden ones not
  std::vector<SourceIndex> indexes;
  std::vector<SourceForeignKey> foreign_keys;

  // Indexes into columns, in key order; empty without a declared primary key.
  [[nodiscard]] std::vector<std::size_t> primary_key() const;
};

// Something in the schema that holds no rows of its own, or none that we can read.
enum class SourceObjectKind : std::uint8_t { view, trigger, virtual_table, index, generated_column };

struct SourceObject {
  SourceObjectKind kind = SourceObjectKind::view;
  std::string name;
  std::string table;  // for triggers, indexes and columns
  std::string sql;
  std::string reason;  // why it cannot be read or used, where the catalog knows: a missing module, say
};

struct Catalog {
  // In order of name; no shadow or sqlite_ tables, and only those virtual ones whose rows are their own.
  std::vector<SourceTable> tables;
  std::vector<SourceObject> objects;
};

// By name, as SQLite compares names; null when there is none.
const SourceTable* find_table(const Catalog& catalog, std::string_view name);
const SourceColumn* find_column(const SourceTable& table, std::string_view name);

// How big a table is and where it could be cut, read from the interior pages of its b-tree.
// Sizes are estimates and split points may be stale: see range.h.
struct TableOutline {
  std::uint64_t bytes = 0;  // leaf pages, and in tables with rowid the overflow pages that samples show
  // Ascending. At most one of the two is filled.
  std::vector<std::int64_t> rowids;  // each the last rowid of a run of leaf pages, or of a large row
  std::vector<std::vector<KeyValue>> key_tuples;  // each the first key after a run of leaf pages
  // Beside rowids: how much of bytes lies up to each. Empty: they are spread evenly, as key_tuples are.
  std::vector<std::uint64_t> bytes_before;
};

}  // namespace sluice
