#pragma once
// Reading which tables the target has, for loading into them or comparing with them.

#include <string>

#include "engine/model/target_catalog.h"
#include "io/postgres/connection.h"

namespace sluice {

// The relations of the schema that hold rows or look like it, in a transaction of its own or the one that is
// open. A schema that does not exist has no tables. Types are found by OID, so neither the search path nor a
// type of the same name elsewhere matters.
// The obstacles are those of that use.
TargetCatalog read_target_catalog(Connection& connection, const std::string& schema,
                                  TargetUse use = TargetUse::load);

}  // namespace sluice
