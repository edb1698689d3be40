#pragma once
// Making one leaf of the target equal to the source by the smallest change: the rows that differ are deleted,
// the source's are sent by COPY, and the ledger says so, in one transaction.
//
// Nothing of the target's own acts on it where the role may say so (session_replication_role): no trigger
// fires and no foreign key cascades. What sluice asks of the role is INSERT and DELETE on the tables that
// need them, INSERT on sluice.repair, and no more.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model/digest.h"
#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/postgres/copy_stream.h"
#include "io/postgres/read_back.h"

namespace sluice {

struct RepairNeeds {
  const TablePlan* plan = nullptr;
  bool insert = false;
  bool remove = false;
};

// What a repair will be done with, found out before the first change.
struct RepairRights {
  bool recorded = false;          // there is a ledger, or one could be made
  bool without_triggers = false;  // session_replication_role may be set
};

// Throws Error (target_refused) with the GRANT that is missing, or when triggers or foreign keys of a table
// would act on the repair and the role may not keep them from it. Installs the ledger where there is none and
// the role may.
RepairRights prepare_repair(Connection& connection, const std::vector<RepairNeeds>& needs);

struct RepairRecord {
  std::string repair_id;  // a uuid; one per command
  std::string run_id;     // of the migration; empty without one
  std::string source;
  std::size_t leaf = 0;
};
std::string make_repair_id(Connection& connection);

// A row of the target that goes, as it was seen.
struct DoomedRow {
  Place place = 0;
  Digest row;
};

class LeafRepair {
 public:
  LeafRepair(Connection& connection, const TablePlan& plan, const RepairRights& rights, RepairRecord record);

  // Throws Error (target_unavailable) when one of them is not what was seen any more.
  void remove(std::vector<DoomedRow> rows);

  // One row as the source has it, without generated columns. After remove().
  void insert(std::span<const std::span<const std::byte>> pieces);

  // Writes the record and commits.
  void commit();

 private:
  Connection& connection_;
  const TablePlan& plan_;
  const RepairRights rights_;
  const RepairRecord record_;
  std::uint64_t removed_ = 0;
  std::uint64_t inserted_ = 0;
  Transaction transaction_;
  std::optional<CopyStream> copy_;
};

// Waits until everything that was committed before is on disk: the leaves are committed without.
void settle_repair(Connection& connection);

// What repairs did, for status: oldest first.
struct RepairSummary {
  std::string repair_id;
  std::string source;
  std::string schema;
  std::string target;
  std::string at;
  std::uint64_t leaves = 0;
  std::uint64_t rows_deleted = 0;
  std::uint64_t rows_inserted = 0;
};
std::vector<RepairSummary> list_repairs(Connection& connection);

}  // namespace sluice
