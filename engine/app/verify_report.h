#pragma once
// What a comparison found, for people and for scripts. The keys of the JSON are a contract: engine/MANUAL.md,
// "Verify".
//
//   {"status": "equal" | "hashed" | "sampled" | "counted" | "repaired" | "different", "exit_status": 0,
//   "root": "<hex>",
//    "basis": "ledger" | "scan" | "mixed" | "archive", "sluice_version": "...", "source": {...}, "target":
//    {...}, "tables": [{"source": "...", "schema": "...", "target": "...", "run": "<uuid>", "level": "full",
//    "note":
//    "...",
//                "equal": true, "rows_source": 0, "rows_target": 0, "leaves": 0, "leaves_read": 0,
//                "leaves_differing": 0, "missing": 0, "mismatch": 0, "extraneous": 0, "unfit": 0,
//                "digest": "<hex>", "digest_target": "<hex>"}],
//    "differences": [{"table": "...", "kind": "missing" | "mismatch" | "extraneous", "key": {...}, "row":
//    "...",
//                     "columns": ["..."], "reason": "...",
//                     "values": [{"column": "...", "source": "...", "target": "..."}]}],
//    "repair": {"id": "<uuid>", "rows_deleted": 0, "rows_inserted": 0, "rows_refused": 0, "recorded": true,
//               "equal": true},
//    "seconds": 0.0, "peak_memory_bytes": 0}

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/differences.h"
#include "engine/app/verification.h"
#include "engine/model/plan.h"

namespace sluice {

struct RepairOutcome {
  std::string id;
  std::uint64_t rows_deleted = 0;
  std::uint64_t rows_inserted = 0;
  std::uint64_t refused = 0;  // rows that the target did not take or let go
  std::string advice;         // about those; may be empty
  bool recorded = false;
  bool equal = false;        // after it
  bool ended_early = false;  // by an error or a stop: the differences are those from before it
};

struct VerifyReport {
  bool from_archive = false;
  std::string source_path;
  std::string source_fingerprint;
  std::string target_database;
  std::string target_schema;
  int server_version = 0;
  std::vector<TablePlan> tables;
  std::vector<TableComparison> comparisons;
  std::vector<std::string> runs;  // per table: whose digests were used; empty after a scan of both sides
  std::map<std::string, std::string> runs_began;  // by run
  // Per table: rows that the target's types cannot hold, those that the migration rejected among them.
  std::vector<std::uint64_t> unfit;
  std::vector<std::uint64_t> rejected;  // per table: rows that the migration left out
  Differences differences;
  std::uint64_t differences_unnamed = 0;  // beyond --max-report
  std::string root;
  std::optional<RepairOutcome> repair;
  std::uint64_t sample_seed = 0;
  double seconds = 0;
  std::string status;
  int exit_status = 0;
};

std::string verify_report_json(const VerifyReport& report);
std::string verify_report_text(const VerifyReport& report);

}  // namespace sluice
