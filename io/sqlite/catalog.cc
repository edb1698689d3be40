#include "io/sqlite/catalog.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string_view>

#include "engine/model/quote.h"
#include "io/sqlite/virtual_table.h"

namespace sluice {
namespace {

// A statement and not the table-valued function: a user's table may be called pragma_index_list.
StatementHandle pragma(const SqliteConnection& connection, std::string_view name, std::string_view argument) {
  return connection.prepare("PRAGMA main." + std::string(name) + "(" + quote_identifier(argument) + ")");
}

bool is_internal(std::string_view name) { return fold_ascii(name).starts_with("sqlite_"); }

bool is_null(const StatementHandle& statement, int index) {
  return sqlite3_column_type(statement.get(), index) == SQLITE_NULL;
}

// cid, name, type, notnull, dflt_value, pk, hidden
void read_columns(const SqliteConnection& connection, SourceTable& table) {
  const StatementHandle info = pragma(connection, "table_xinfo", table.name);
  while (connection.step(info)) {
    const int hidden = sqlite3_column_int(info.get(), 6);
    if (hidden == 1) continue;
    SourceColumn column;
    column.name = text_of(info, 1);
    column.declared_type = text_of(info, 2);
    column.not_null = sqlite3_column_int(info.get(), 3) != 0;
    if (!is_null(info, 4)) column.default_sql = text_of(info, 4);
    column.key_position = static_cast<std::uint32_t>(sqlite3_column_int(info.get(), 5));
    column.generated = hidden == 2   ? Generated::virtual_column
                       : hidden == 3 ? Generated::stored
                                     : Generated::no;
    table.columns.push_back(std::move(column));
  }
}

// seqno, cid, name, desc, coll, key
std::vector<SourceIndexColumn> read_index_columns(const SqliteConnection& connection,
                                                  const std::string& index) {
  std::vector<SourceIndexColumn> columns;
  const StatementHandle info = pragma(connection, "index_xinfo", index);
  while (connection.step(info)) {
    if (sqlite3_column_int(info.get(), 5) == 0) continue;
    columns.push_back({text_of(info, 2), sqlite3_column_int(info.get(), 3) != 0, text_of(info, 4)});
  }
  return columns;
}

// seq, name, unique, origin, partial
void read_indexes(const SqliteConnection& connection, SourceTable& table,
                  const std::map<std::string, std::string>& index_sql) {
  const StatementHandle list = pragma(connection, "index_list", table.name);
  while (connection.step(list)) {
    SourceIndex index;
    index.name = text_of(list, 1);
    index.unique = sqlite3_column_int(list.get(), 2) != 0;
    const std::string origin = text_of(list, 3);
    index.origin = origin == "pk"  ? IndexOrigin::primary_key
                   : origin == "u" ? IndexOrigin::unique_constraint
                                   : IndexOrigin::create_index;
    index.partial = sqlite3_column_int(list.get(), 4) != 0;
    if (const auto sql = index_sql.find(index.name); sql != index_sql.end()) index.sql = sql->second;
    index.columns = read_index_columns(connection, index.name);
    table.indexes.push_back(std::move(index));
  }
  // SQLite lists the newest first; the order of declaration reads better and does not change.
  std::reverse(table.indexes.begin(), table.indexes.end());
}

// id, seq, table, from, to, on_update, on_delete, match. SQLite numbers the keys from the last declared to
// the first, and lists the columns of one key together but promises no order.
void read_foreign_keys(const SqliteConnection& connection, SourceTable& table) {
  struct Part {
    std::string column;
    std::string parent_column;
  };
  std::map<int, SourceForeignKey, std::greater<>> keys;
  std::map<int, std::map<int, Part>> parts;
  const StatementHandle list = pragma(connection, "foreign_key_list", table.name);
  while (connection.step(list)) {
    const int id = sqlite3_column_int(list.get(), 0);
    SourceForeignKey& key = keys[id];
    key.parent = text_of(list, 2);
    key.on_update = text_of(list, 5);
    key.on_delete = text_of(list, 6);
    parts[id][sqlite3_column_int(list.get(), 1)] = {text_of(list, 3), text_of(list, 4)};
  }
  for (auto& [id, key] : keys) {
    for (auto& [sequence, part] : parts[id]) {
      key.columns.push_back(std::move(part.column));
      // NULL, here empty: the parent's primary key, whatever that is.
      if (!part.parent_column.empty()) key.parent_columns.push_back(std::move(part.parent_column));
    }
    table.foreign_keys.push_back(std::move(key));
  }
}

// Takes away what cannot be computed: every query that touches it would fail.
void leave_out_incomputable(const SqliteConnection& connection, SourceTable& table,
                            std::vector<SourceObject>& objects) {
  std::erase_if(table.columns, [&](const SourceColumn& column) {
    if (column.generated != Generated::virtual_column) return false;
    const std::string obstacle =
        connection.obstacle_to("SELECT t." + quote_identifier(column.name) + " FROM main." +
                               quote_identifier(table.name) + " AS t NOT INDEXED");
    if (obstacle.empty()) return false;
    objects.push_back({SourceObjectKind::generated_column, column.name, table.name, table.sql, obstacle});
    return true;
  });
  std::erase_if(table.indexes, [&](const SourceIndex& index) {
    if (index.origin == IndexOrigin::primary_key) return false;
    // Building the index anew would evaluate all of it; nobody runs this.
    const std::string obstacle = connection.obstacle_to("REINDEX main." + quote_identifier(index.name));
    if (obstacle.empty()) return false;
    objects.push_back({SourceObjectKind::index, index.name, table.name,
                       index.sql.empty() ? table.sql : index.sql, obstacle});
    return true;
  });
}

void read_rowid(const SqliteConnection& connection, SourceTable& table) {
  if (table.without_rowid) return;
  for (const std::string_view name : {"rowid", "_rowid_", "oid"}) {
    const auto shadows = [name](const SourceColumn& column) { return fold_ascii(column.name) == name; };
    if (std::none_of(table.columns.begin(), table.columns.end(), shadows)) {
      table.rowid_name = name;
      break;
    }
  }
  // A primary key that needed no index is the rowid itself. This is SQLite's own decision, with all its
  // exceptions: INT PRIMARY KEY and INTEGER PRIMARY KEY DESC get an index, PRIMARY KEY(id DESC) does not.
  const auto is_key = [](const SourceIndex& index) { return index.origin == IndexOrigin::primary_key; };
  const std::vector<std::size_t> key = table.primary_key();
  if (key.size() != 1 || std::any_of(table.indexes.begin(), table.indexes.end(), is_key)) return;
  const SourceColumn& column = table.columns[key[0]];
  if (fold_ascii(column.declared_type) != "integer") return;
  table.rowid_alias = key[0];

  // SQLite's parser knows whether AUTOINCREMENT was there; nobody else needs to read the SQL for it.
  int autoincrement = 0;
  const int code =
      sqlite3_table_column_metadata(connection.get(), "main", table.name.c_str(), column.name.c_str(),
                                    nullptr, nullptr, nullptr, nullptr, &autoincrement);
  if (code != SQLITE_OK) throw connection.error(code);
  table.autoincrement = autoincrement != 0;
}

// Anyone may write anything into sqlite_sequence: the largest integer wins, the rest is ignored.
void read_sequences(const SqliteConnection& connection, std::map<std::string, std::int64_t>& sequences) {
  if (connection.integer("SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_sequence'") == 0)
    return;
  const StatementHandle rows = connection.prepare(
      "SELECT name, max(seq) FROM main.sqlite_sequence "
      "WHERE typeof(seq) = 'integer' AND typeof(name) = 'text' GROUP BY name");
  while (connection.step(rows)) sequences[text_of(rows, 0)] = sqlite3_column_int64(rows.get(), 1);
}

}  // namespace

Catalog read_catalog(const SqliteConnection& connection) {
  Catalog catalog;
  std::map<std::string, std::string> table_sql;
  std::map<std::string, std::string> index_sql;
  const StatementHandle schema =
      connection.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY name, rowid");
  while (connection.step(schema)) {
    const std::string type = text_of(schema, 0);
    const std::string name = text_of(schema, 1);
    if (type == "table") table_sql[name] = text_of(schema, 3);
    if (type == "index") index_sql[name] = text_of(schema, 3);
    if (type == "view") catalog.objects.push_back({SourceObjectKind::view, name, {}, text_of(schema, 3), {}});
    if (type == "trigger") {
      catalog.objects.push_back(
          {SourceObjectKind::trigger, name, text_of(schema, 2), text_of(schema, 3), {}});
    }
  }
  std::map<std::string, std::int64_t> sequences;
  read_sequences(connection, sequences);

  // schema, name, type, ncol, wr, strict
  std::vector<std::string> virtual_names;
  std::vector<SourceTable> shadow_tables;
  const StatementHandle list = connection.prepare("PRAGMA main.table_list");
  while (connection.step(list)) {
    const std::string name = text_of(list, 1);
    const std::string type = text_of(list, 2);
    if (text_of(list, 0) != "main" || is_internal(name)) continue;
    if (type == "virtual") virtual_names.push_back(name);
    if (type != "table" && type != "shadow") continue;
    SourceTable table;
    table.name = name;
    table.sql = table_sql[name];
    table.without_rowid = sqlite3_column_int(list.get(), 4) != 0;
    table.strict = sqlite3_column_int(list.get(), 5) != 0;
    if (const auto found = sequences.find(name); found != sequences.end()) table.sequence = found->second;
    (type == "table" ? catalog.tables : shadow_tables).push_back(std::move(table));
  }
  for (const std::string& name : virtual_names) {
    VirtualTable found = read_virtual_table(connection, name, table_sql[name]);
    std::move(found.table.begin(), found.table.end(), std::back_inserter(catalog.tables));
    std::move(found.object.begin(), found.object.end(), std::back_inserter(catalog.objects));
    for (SourceTable& shadow : shadow_tables) {
      if (!found.kept_table.empty() && fold_ascii(shadow.name) == fold_ascii(found.kept_table)) {
        catalog.tables.push_back(shadow);
      }
    }
  }
  for (SourceTable& table : catalog.tables) {
    if (!table.module.empty()) continue;
    try {
      read_columns(connection, table);
      read_indexes(connection, table, index_sql);
      read_foreign_keys(connection, table);
      leave_out_incomputable(connection, table, catalog.objects);
      read_rowid(connection, table);
    } catch (Error& error) {
      error.where().table = table.name;
      throw;
    }
  }
  const auto by_name = [](const auto& left, const auto& right) { return left.name < right.name; };
  std::sort(catalog.tables.begin(), catalog.tables.end(), by_name);
  std::stable_sort(catalog.objects.begin(), catalog.objects.end(), by_name);
  return catalog;
}

}  // namespace sluice
