#pragma once
// Standbys of the target that take a part of the read-back.

#include <cstdint>
#include <string>

#include "io/postgres/connection.h"

namespace sluice {

// Where the primary's log is on disk, as the server writes it: "0/16B3748".
std::string flushed_position(Connection& primary);

// Returns when the standby has replayed that position. Throws Error: usage when it is no standby, or one of
// another cluster as far as the role may see; target_unavailable when it does not get there within `seconds`.
void wait_for_replay(Connection& standby, Connection& primary, const std::string& position,
                     std::uint32_t seconds);

}  // namespace sluice
