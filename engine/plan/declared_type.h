#pragma once
// From a declared type in SQLite to a type in PostgreSQL, by intent.

#include <optional>
#include <span>
#include <string_view>

#include "engine/model/pg_type.h"

namespace sluice {

// Looks the name up without case, arguments and extra blanks; a name that is not in the table falls back
// to SQLite's affinity rules (https://www.sqlite.org/datatype3.html, 3.1), where every string of letters
// is a type. Never fails.
PgType type_of_declaration(std::string_view declared);

// The same, or nothing where the name says nothing about the values: no type at all, ANY, a word we do not
// know. SQLite gives such a column NUMERIC affinity or none; what is stored there decides.
std::optional<PgType> intent_of(std::string_view declared);

// The integer type that the name asks for where integers are to be narrow: int2 for TINYINT and SMALLINT,
// int4 for the others.
PgType narrow_integer_of(std::string_view declared);

// The n of VARCHAR(n), the p and s of DECIMAL(p, s); without them a modifier that is not there.
TypeModifier declared_modifier(std::string_view declared);

// The type itself and those that hold more, the narrowest first: what a column may become when its values
// do not fit what was declared. Text is not widened to bytes; nobody wants that unasked.
std::span<const PgType> widening_ladder(PgType type);

}  // namespace sluice
