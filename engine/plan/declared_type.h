#pragma once
// From a declared type in SQLite to a type in PostgreSQL, by intent.

#include <span>
#include <string_view>

#include "engine/model/pg_type.h"

namespace sluice {

// Looks the name up without case, arguments and extra blanks; a name that is not in the table falls back
// to SQLite's affinity rules (https://www.sqlite.org/datatype3.html, 3.1), where every string of letters
// is a type. Never fails.
PgType type_of_declaration(std::string_view declared);

// The type itself and those that hold more, the narrowest first: what a column may become when its values
// do not fit what was declared. Text is not widened to bytes; nobody wants that unasked.
std::span<const PgType> widening_ladder(PgType type);

}  // namespace sluice
