// CREATE VIEW of a hostile schema: translated or refused, and always one statement.

#include <string>

#include "engine/model/quote.h"
#include "engine/translate/translate_view.h"
#include "fuzz/fuzz.h"

namespace sluice {
namespace {

struct Tables {
  SourceTable source;
  TablePlan plan;
};

Tables make_tables() {
  Tables tables;
  tables.source.name = "t";
  tables.plan.source = "t";
  tables.plan.schema = "public";
  tables.plan.target = "t";
  for (std::size_t i = 0; i < kPgTypeCount; ++i) {
    SourceColumn column;
    column.name = std::string(1, static_cast<char>('a' + i));
    ColumnPlan planned;
    planned.source = column.name;
    planned.target = column.name;
    planned.place = i;
    planned.type = static_cast<PgType>(i);
    tables.source.columns.push_back(column);
    tables.plan.columns.push_back(planned);
  }
  return tables;
}

void check(const ViewTranslation& translation) {
  fuzz::expect(translation.select.empty() != translation.reason.empty(), "translated or refused");
  fuzz::expect(translation.reason.find('\n') == std::string::npos, "the reason is one line");
  for (const std::string& remark : translation.remarks) {
    fuzz::expect(remark.find('\n') == std::string::npos, "a remark is one line");
  }
  fuzz::expect_one_piece(translation.select);
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  static const Tables tables = make_tables();
  SourceObject view;
  view.kind = SourceObjectKind::view;
  view.name = "v";
  view.sql = std::string(fuzz::text_of(data, size));
  ViewTranslator translator;
  translator.add_table(tables.source, tables.plan);
  static_cast<void>(order_of_views({&view}));
  check(translator.translate(view, "\"public\".\"v\"", [](const std::string& name) { return name; }));
  // What was translated may be read by another.
  SourceObject reader;
  reader.kind = SourceObjectKind::view;
  reader.name = "w";
  reader.sql = "CREATE VIEW w AS SELECT * FROM v";
  check(translator.translate(reader, "\"public\".\"w\"", [](const std::string& name) { return name; }));
  return 0;
}
