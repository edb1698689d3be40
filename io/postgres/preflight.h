#pragma once
// Whether the target is fit and what the role lacks, asked of the catalog before anything is made, all of it
// at once and each with the SQL that mends it.
//
// What is asked follows from what the run will execute: no superuser and no session_replication_role is ever
// needed. The run itself would meet the same obstacles one by one, some of them after hours.

#include <string>
#include <vector>

#include "engine/model/target_catalog.h"
#include "io/postgres/connection.h"
#include "io/postgres/target.h"

namespace sluice {

// Throws Error (target_refused) when the server is too old for the questions below.
void check_version(Connection& connection);
// Throws Error (target_refused) unless the database can be compared with: the version, and UTF8.
void check_readable(Connection& connection);

struct Preflight {
  // Any of them keeps the run from beginning. `resolve` is what to do, and ends with the SQL; where there are
  // two ways they are separated by ", or ".
  std::vector<Obstacle> obstacles;
  // What the run will do without.
  std::vector<std::string> remarks;
};

// Only reads. Where an earlier run goes on, only what that still takes is asked for. Throws what choose_run()
// does: with another plan, other things would be in the way.
Preflight look_ahead(Connection& connection, const RunRequest& request);

}  // namespace sluice
