#pragma once
// What a virtual table is, from the text of CREATE VIRTUAL TABLE and from SQLite's answers.
//
// The modules whose rows are the user's own, kept in shadow tables: fts3, fts4, fts5 (unless their content
// is another table's or nobody's), rtree, rtree_i32, geopoly. They are read through the module, like a table.
// Everything else computes its rows from other tables, or has no module here.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/catalog.h"
#include "io/sqlite/handle.h"

namespace sluice {

// USING module(arguments): the module in lower case, the arguments as written, without the blanks around.
struct VirtualTableText {
  std::string module;
  std::vector<std::string> arguments;
};

// Both empty for what is not a CREATE VIRTUAL TABLE.
VirtualTableText read_virtual_table_text(std::string_view create_sql);

// One of the two: the table when its rows can be read and are its own, else the object that says why not.
// `kept_table`: a table that SQLite counts as the module's, but whose rows would be lost if nobody copied it,
// because the virtual table cannot be read or has its content there by the user's wish; empty otherwise.
struct VirtualTable {
  std::vector<SourceTable> table;
  std::vector<SourceObject> object;
  std::string kept_table;
};

// Throws Error (source_unreadable) for a broken file or disk, not for what concerns this table alone.
VirtualTable read_virtual_table(const SqliteConnection& connection, const std::string& name,
                                const std::string& sql);

// The shadow table in which the module keeps the rows: its size is that of the virtual table.
std::string content_table_of(const SourceTable& table);

// True where the rows come in ascending order of the rowid and can be asked for by ranges of it.
bool has_ordered_rowid(const SourceTable& table);

}  // namespace sluice
