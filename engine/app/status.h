#pragma once
// sluice status: what the ledger of a target says, and who is at work, from any terminal.
//
// --json prints one object:
//   database  its name
//   repairs   id, schema, target, source, at, rows_deleted, rows_inserted, transactions: of verify --repair
//   runs      the newest first. Each has run_id, state, source, schema, began and ended (UTC; null while it
//   is
//             not), root (null without one), and, unless it is superseded:
//     tables           source, target, ranges, ranges_done, ranges_in_flight, ranges_left, rows,
//     rows_rejected,
//                      bytes (COPY payload), root. Rows and bytes are committed ones
//     steps, steps_done  of what follows the load
//     not_created      kind, table, name, reason, sql of objects that the server refused
//     to_be_put_back   the same keys but reason: what --rebuild took away
//     rejects          table, column, reason, rows
//   and while it is loading:
//     sessions         those that work on it: pid, application_name, user, does (load, index, step,
//     read_back),
//                      table (null where it is none), waits_for (pids); and where the server shows them to
//                      this role, rows and bytes of the COPY under way, phase and fraction of an index
//     sessions_elsewhere  how many more sessions of sluice are in the database
//     rate             seconds (measured over), rows_per_second, bytes_per_second; null when nothing moves
//     seconds_to_load  an estimate; null without one

#include "engine/app/options.h"

namespace sluice {

// Prints to stdout. Returns the exit status.
int status(const StatusOptions& options);

}  // namespace sluice
