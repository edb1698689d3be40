#include "io/sqlite/foreign_keys.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "engine/model/quote.h"

namespace sluice {
namespace {

template <class Named>
const Named* find_named(const std::vector<Named>& list, const std::string& name) {
  const std::string folded = fold_ascii(name);
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Named& one) { return fold_ascii(one.name) == folded; });
  return found == list.end() ? nullptr : &*found;
}

// The collation that the column was declared with.
std::string collation_of(const SqliteConnection& connection, const SourceTable& table,
                         const std::string& column) {
  const char* collation = nullptr;
  const int code = sqlite3_table_column_metadata(connection.get(), "main", table.name.c_str(), column.c_str(),
                                                 nullptr, &collation, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw connection.error(code);
  return collation == nullptr ? "BINARY" : collation;
}

// True when the index says that these columns, in any order, are unique by their own collations.
bool makes_unique(const SqliteConnection& connection, const SourceTable& parent, const SourceIndex& index,
                  const std::vector<std::string>& columns) {
  if (!index.unique || index.partial || index.columns.size() != columns.size()) return false;
  return std::all_of(columns.begin(), columns.end(), [&](const std::string& wanted) {
    const SourceIndexColumn* found = find_named(index.columns, wanted);
    return found != nullptr && !found->name.empty() &&
           fold_ascii(found->collation) == fold_ascii(collation_of(connection, parent, found->name));
  });
}

bool is_key(const SqliteConnection& connection, const SourceTable& parent,
            const std::vector<std::string>& columns) {
  if (columns.size() == 1 && parent.rowid_alias &&
      fold_ascii(parent.columns[*parent.rowid_alias].name) == fold_ascii(columns[0])) {
    return true;
  }
  return std::any_of(parent.indexes.begin(), parent.indexes.end(), [&](const SourceIndex& index) {
    return makes_unique(connection, parent, index, columns);
  });
}

// What a key refers to, once it is clear that it refers to something.
struct Parent {
  const SourceTable* table = nullptr;
  std::vector<std::string> columns;
  bool missing = false;  // no table, no view, nothing: SQLite then takes every key for an orphan
  std::string reason;
};

Parent parent_of(const SqliteConnection& connection, const Catalog& catalog, const SourceForeignKey& key) {
  Parent parent;
  parent.table = find_named(catalog.tables, key.parent);
  if (parent.table == nullptr) {
    const SourceObject* object = find_named(catalog.objects, key.parent);
    const auto is = [&](SourceObjectKind kind) { return object != nullptr && object->kind == kind; };
    parent.missing = !is(SourceObjectKind::view) && !is(SourceObjectKind::virtual_table);
    parent.reason = is(SourceObjectKind::view) ? "its parent is a view"
                    : parent.missing           ? "its parent does not exist"
                                               : "its parent is a virtual table";
    return parent;
  }
  parent.columns = key.parent_columns;
  if (parent.columns.empty()) {
    for (const std::size_t column : parent.table->primary_key()) {
      parent.columns.push_back(parent.table->columns[column].name);
    }
    if (parent.columns.empty()) parent.reason = "its parent has no primary key";
  }
  if (!parent.reason.empty()) return parent;
  for (const std::string& column : parent.columns) {
    if (find_named(parent.table->columns, column) == nullptr) {
      parent.reason = "its parent has no such column";
      return parent;
    }
  }
  if (parent.columns.size() != key.columns.size()) {
    parent.reason = "it has another number of columns than its parent's key";
  } else if (!is_key(connection, *parent.table, parent.columns)) {
    parent.reason = "the parent's columns are neither a primary key nor unique";
  }
  return parent;
}

std::string query_for(const SourceTable& table, const SourceForeignKey& key, const Parent& parent) {
  std::string query = "SELECT ";
  query += table.rowid_name.empty() ? "NULL" : "child." + quote_identifier(table.rowid_name);
  query += " FROM main." + quote_identifier(table.name) + " AS child";
  // From the table itself, as every scan of ours.
  query += table.without_rowid ? " WHERE " : " NOT INDEXED WHERE ";
  for (std::size_t i = 0; i < key.columns.size(); ++i) {
    query += (i == 0 ? "child." : " AND child.") + quote_identifier(key.columns[i]) + " IS NOT NULL";
  }
  if (parent.missing) return query;
  query +=
      " AND NOT EXISTS (SELECT 1 FROM main." + quote_identifier(parent.table->name) + " AS parent WHERE ";
  for (std::size_t i = 0; i < key.columns.size(); ++i) {
    // The plus takes affinity and collation from the child's column, so that the parent's decide.
    query += (i == 0 ? "parent." : " AND parent.") + quote_identifier(parent.columns[i]) + " = +child." +
             quote_identifier(key.columns[i]);
  }
  return query + ")";
}

void count_orphans(const SqliteConnection& connection, const SourceTable& table, const StatementHandle& rows,
                   ForeignKeyCheck& check) {
  while (connection.step(rows)) {
    ++check.orphans;
    if (!table.rowid_name.empty() && check.rowids.size() < kOrphanExamples) {
      check.rowids.push_back(sqlite3_column_int64(rows.get(), 0));
    }
  }
}

}  // namespace

std::vector<ForeignKeyCheck> check_foreign_keys(const SqliteConnection& connection, const Catalog& catalog,
                                                const SourceTable& table) {
  std::vector<ForeignKeyCheck> checks;
  try {
    for (std::size_t i = 0; i < table.foreign_keys.size(); ++i) {
      const Parent parent = parent_of(connection, catalog, table.foreign_keys[i]);
      ForeignKeyCheck check;
      check.key = i;
      check.reason = parent.reason;
      if (parent.reason.empty() || parent.missing) {
        count_orphans(connection, table, connection.prepare(query_for(table, table.foreign_keys[i], parent)),
                      check);
      }
      checks.push_back(std::move(check));
    }
  } catch (Error& error) {
    error.where().table = table.name;
    throw;
  }
  return checks;
}

}  // namespace sluice
