// Expressions, clauses and type names of a hostile schema.

#include <array>
#include <string>

#include "engine/plan/declared_type.h"
#include "engine/translate/sql_clauses.h"
#include "engine/translate/translate.h"
#include "fuzz/fuzz.h"

namespace sluice {
namespace {

Scope make_scope() {
  Scope scope;
  scope.table = "t";
  for (std::size_t i = 0; i < kPgTypeCount; ++i) {
    ScopeColumn column;
    column.source = std::string(1, static_cast<char>('a' + i));
    column.target = column.source;
    column.type = static_cast<PgType>(i);
    column.not_null = i % 2 == 0;
    scope.columns.push_back(column);
  }
  ScopeColumn folded{"nocase", "nocase", PgType::text, "TEXT", "NOCASE", false};
  scope.columns.push_back(folded);
  ScopeColumn untyped{"untyped", "untyped", PgType::text, "", "", false};
  scope.columns.push_back(untyped);
  return scope;
}

// Translated or refused, never both and never neither; and no statement of its own inside.
void check(const Translation& translation) {
  fuzz::expect(translation.sql.empty() != translation.reason.empty(), "translated or refused");
  fuzz::expect(translation.reason.find('\n') == std::string::npos, "the reason is one line");
  fuzz::expect_one_piece(translation.sql);
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  static const Scope scope = make_scope();
  const fuzz::Choice choice = fuzz::choose(data, size, 8);
  switch (choice.way) {
    case 0:
      check(translate_expression(choice.rest, scope));
      break;
    case 1:
      check(translate_condition(choice.rest, scope));
      break;
    case 2:
      if (choice.rest.empty()) break;
      check(translate_default(
          choice.rest.substr(1),
          scope.columns[static_cast<unsigned char>(choice.rest[0]) % scope.columns.size()]));
      break;
    case 3:
      if (choice.rest.empty()) break;
      check(
          translate_value(choice.rest.substr(1), scope,
                          scope.columns[static_cast<unsigned char>(choice.rest[0]) % scope.columns.size()]));
      break;
    case 4:
      check(translate_key(choice.rest, scope, "NOCASE"));
      break;
    case 5:
      static_cast<void>(find_clauses(choice.rest));
      break;
    case 6:
      static_cast<void>(find_index_parts(choice.rest));
      break;
    default:
      static_cast<void>(type_of_declaration(choice.rest));
      break;
  }
  return 0;
}
