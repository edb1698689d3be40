#pragma once
// What must hold of a target, whatever was killed, cut or crashed, and whenever one looks.

#include <string>
#include <vector>

namespace sluice::testing {

// What does not hold, one line each; empty when everything does. In one snapshot, so that it may be asked
// while processes are at work:
//
//   - a table has as many rows as the done ranges of the ledger say, and no key twice;
//   - the ledger has as many rejected rows as they say;
//   - an index, a key or a constraint that a step has made is there, and valid where it was validated;
//   - a run that is complete has no range or step open;
//   - one source has one run in a schema, beside those that were given up;
//   - every table belongs to a run, and without a ledger there is none.
//
// For targets that sluice made itself and nobody else writes to.
std::vector<std::string> violations(const std::string& conninfo, const std::string& schema = "public");

// Everything that a migration leaves in the schema, as text to compare with: the rows of each table, its
// columns, indexes, constraints and triggers, the next values of its sequences, the states of the runs and
// what their steps have made.
std::string picture_of(const std::string& conninfo, const std::string& schema = "public");

}  // namespace sluice::testing
