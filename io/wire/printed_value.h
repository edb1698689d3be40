#pragma once
// A value of binary COPY as the server would print it, for naming rows that the server has not got. In UTC
// and with DateStyle ISO.

#include <cstddef>
#include <span>
#include <string>

#include "engine/model/pg_type.h"

namespace sluice {

// Without the field's length. Bytes that are no value of the type are printed as bytea would be.
std::string printed_value(PgType type, std::span<const std::byte> value);

}  // namespace sluice
