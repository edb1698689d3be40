#pragma once
// Making leaves of the target equal to the source by the smallest change: the rows that differ are deleted,
// the source's are sent by COPY, and the ledger says so, in one transaction.
//
// Where the role may say so (session_replication_role), nothing of the target's own acts on what is deleted:
// no trigger fires and no foreign key cascades. What foreign keys promise is kept all the same: rows that go
// for good must not be referred to, and rows that come are checked by the server. What sluice asks of the
// role is INSERT and DELETE on the tables that need them, INSERT on sluice.repair, and no more.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/digest.h"
#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/postgres/copy_stream.h"
#include "io/postgres/read_back.h"

namespace sluice {

struct RepairNeeds {
  const TablePlan* plan = nullptr;  // null: the table is not repaired
  bool insert = false;
  bool remove = false;
};

// A table that is repaired, as the target has it.
struct RepairTable {
  const TablePlan* plan = nullptr;
  // Tables that foreign keys refer to have lower ones than those that refer to them.
  std::size_t rank = 0;
  // Columns, quoted, that are no part of the plan: a row that is deleted and comes back keeps them.
  std::vector<std::string> carried;
  // Rows come as from a replica, because a trigger of the user's would fire on them, or because a foreign key
  // is NOT VALID: then the source's own rows may break it.
  bool insert_as_replica = false;
  // Foreign keys that refer to the table: a query for rows that refer to rows at places $1.
  struct Reference {
    std::string name;
    std::string table;
    std::string sql;
  };
  std::vector<Reference> references;
};

// What a repair will be done with, found out before the first change.
struct RepairRights {
  bool recorded = false;            // there is a ledger, or one could be made
  bool without_triggers = false;    // session_replication_role may be set
  std::vector<RepairTable> tables;  // one for each of the needs
};

// Throws Error (target_refused) with the GRANT that is missing, or when triggers, rules or foreign keys of a
// table would act on the repair and the role may not keep them from it. Installs the ledger where there is
// none and the role may.
RepairRights prepare_repair(Connection& connection, const std::vector<RepairNeeds>& needs);

// Keeps other repairs of these tables out as long as it lives: two that had found the same row missing would
// both insert it. Throws Error (target_unavailable) when another one is under way, which nobody wants to wait
// for. A transaction of its own connection, not a lock of the session, so that it holds behind a pooler too.
class RepairLock {
 public:
  RepairLock(const std::string& conninfo, const std::vector<TablePlan>& tables);

  // False when its session is lost, and with it the lock; so it is after every crash of the server. Asks it.
  [[nodiscard]] bool held();

 private:
  Connection connection_;
  Transaction transaction_;
};

struct RepairRecord {
  std::string repair_id;  // a uuid; one per command
  std::string source;
};
std::string make_repair_id(Connection& connection);

// A row of the target that goes, as it was seen.
struct DoomedRow {
  Place place = 0;
  Digest row;
  bool returns = false;  // the source has a row of its key, which will be inserted
};

// One transaction. First everything is removed, then inserted, then committed.
class RepairTransaction {
 public:
  RepairTransaction(Connection& connection, const RepairRights& rights, const RepairRecord& record);

  // Throws Error (target_unavailable) when one of them is not what was seen any more, and with SQLSTATE 23503
  // when a row that does not return is referred to.
  void remove(const RepairTable& table, std::size_t leaf, const std::vector<DoomedRow>& rows);

  // One row as the source has it, without generated columns, in the place of the removed one at `replaced`.
  void insert(const RepairTable& table, std::size_t leaf, std::span<const std::span<const std::byte>> pieces,
              std::optional<Place> replaced);

  // Writes the records, one for each leaf, and commits. `runs`: of the migration, per table; may be empty.
  void commit(const std::map<const TablePlan*, std::string>& runs);

 private:
  struct Change {
    std::uint64_t removed = 0;
    std::uint64_t inserted = 0;
  };

  void take_role(bool replica);
  void refuse_referenced(const RepairTable& table, const std::vector<DoomedRow>& rows);
  void carry(const RepairTable& table, std::span<const Place> places);
  void open_copy(const RepairTable& table, bool with_carried);
  void finish_copy();

  Connection& connection_;
  const RepairRights& rights_;
  const RepairRecord record_;
  bool as_replica_;
  Transaction transaction_;
  std::map<std::pair<const TablePlan*, std::size_t>, Change> changes_;  // by table and leaf
  std::map<std::pair<const TablePlan*, Place>, std::string> carried_;   // fields of a tuple
  std::optional<CopyStream> copy_;
  const TablePlan* copy_table_ = nullptr;
  bool copy_with_carried_ = false;
  std::uint64_t copied_ = 0;
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
