// The mapping of --config: any bytes end in a mapping or in one line with file:line, and a mapping can be
// held against any source.

#include <string>

#include "engine/app/plan_file.h"
#include "engine/model/error.h"
#include "fuzz/fuzz.h"

namespace sluice {
namespace {

void check_refusal(const Error& error) {
  fuzz::expect(error.fault() == Fault::usage, "a mistake of the file is one of usage");
  const std::string message = error.describe();
  fuzz::expect(message.find("f.toml:") != std::string::npos, "a mistake is told with its line");
  fuzz::expect(message.find('\n') == std::string::npos, "a message is one line");
}

Catalog small_catalog() {
  Catalog catalog;
  SourceTable& table = catalog.tables.emplace_back();
  table.name = "t";
  table.rowid_alias = 0;
  for (const char* name : {"a", "b"}) table.columns.emplace_back().name = name;
  return catalog;
}

// A mapping that was read says nothing that contradicts itself.
void check_mapping_read(const Mapping& mapping) {
  for (const TableMapping& table : mapping.tables) {
    fuzz::expect(mapping.table(table.table) == &table, "a table has one entry");
    fuzz::expect(!table.target || !table.target->empty(), "a table has a name");
    for (const ColumnMapping& column : table.columns) {
      fuzz::expect(find_column(&table, column.column) == &column, "a column has one entry");
      fuzz::expect(!column.type || why_not(column.conversion, column.type->type).empty(),
                   "a conversion applies to the type");
    }
  }
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  static const Catalog catalog = small_catalog();
  try {
    const Mapping mapping = read_mapping(fuzz::text_of(data, size), "f.toml");
    check_mapping_read(mapping);
    check_mapping(mapping, catalog);
  } catch (const Error& error) {
    check_refusal(error);
  }
  return 0;
}
