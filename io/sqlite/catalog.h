#pragma once
// The schema of a file as a Catalog.
//
// Only the schema "main". Left out: SQLite's own tables (sqlite_...) and the shadow tables of virtual
// tables, recognised by SQLite and never by their names. Where the module of a virtual table is missing
// SQLite cannot know its shadow tables, and they come as ordinary tables: better too much than too little.
//
// Virtual tables with rows of their own are tables like others; see virtual_table.h. Views, triggers and the
// other virtual tables are listed with their SQL. So are indexes and VIRTUAL generated columns that call a
// function SQLite does not have: they are missing from their table, and nothing else is.

#include "engine/model/catalog.h"
#include "io/sqlite/handle.h"

namespace sluice {

// One thread; the connection should have a read transaction open, or a concurrent change of the schema
// may show half of itself. Throws Error (source_unreadable), with where().table where one is to blame.
Catalog read_catalog(const SqliteConnection& connection);

}  // namespace sluice
