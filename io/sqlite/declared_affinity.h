#pragma once
// What SQLite reads out of a declared type: https://www.sqlite.org/datatype3.html section 3.1.

#include <cstdint>
#include <string_view>

namespace sluice {

// The integer affinity counts as numeric: the two store values alike.
enum class DeclaredAffinity : std::uint8_t { none, text, numeric, real };

DeclaredAffinity affinity_of(std::string_view declared_type);

}  // namespace sluice
