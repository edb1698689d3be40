#pragma once
// What a run did, for scripts (report.json) and for people (the summary).
//
// The keys and values of report.json are a contract: engine/MANUAL.md, "The report", and
// tests/pg/report_test.cc.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/app/explain.h"
#include "engine/app/options.h"
#include "engine/model/plan.h"

namespace sluice {

struct ColumnReport {
  std::string source;
  std::string target;
  std::string type;
};

struct TableReport {
  std::string source;
  std::string schema;
  std::string target;
  std::vector<ColumnReport> columns;
  std::uint64_t rows_source = 0;
  std::uint64_t rows_loaded = 0;
  std::uint64_t rows_rejected = 0;
  std::uint64_t bytes = 0;  // COPY payload
  std::uint64_t ranges = 0;
  double seconds = 0;  // from the first range's begin to the last one's commit, in this call
  std::string digest;  // root of the table's tree, hex
  bool verified = false;
};

// A column whose files went to a store.
struct OffloadReport {
  std::string table;  // of the source, as the next
  std::string column;
  std::string store;
  std::uint64_t files = 0;      // names that rows refer to, each once
  std::uint64_t left_rows = 0;  // whose value is no file, and which arrived as they are
};

// Phases overlap, so together they may take longer than the whole.
struct PhaseSeconds {
  double profile = 0;
  double load = 0;
  double indexes = 0;
  double constraints = 0;
  double verify = 0;
  double total = 0;
};

struct Report {
  std::string status = "failed";  // verified, loaded, rejected, different, interrupted, failed
  int exit_status = 70;
  std::string root;
  std::string error;  // the message, when the run did not end well; not part of the JSON contract's must
  std::string source_path;
  std::uint64_t source_bytes = 0;
  std::string source_fingerprint;
  std::uint64_t source_wal_growth = 0;  // bytes, while it was read
  std::string target_database;
  std::string target_schema;
  int server_version = 0;
  std::vector<TableReport> tables;
  std::vector<ObjectOutcome> objects;
  std::vector<OffloadReport> offloads;
  std::uint64_t files_written = 0;  // by this call: what the stores had not had before
  std::uint64_t file_bytes_written = 0;
  PhaseSeconds phases;
  Explanation explanation;
  std::uint64_t peak_memory_bytes = 0;
};

std::string report_json(const Report& report);

// Rows, bytes and seconds per table and phase, for stdout, and what to know about the result.
std::string summary_text(const Report& report, VerifyMode verify);

// "foreign_key orders_user_id_fkey of orders: reason"
std::string describe(const ObjectOutcome& object);

// The largest resident set of this process so far.
std::uint64_t peak_memory_bytes();

// Creates the directory; a path that cannot be one is an Error (output).
void prepare_report_directory(const std::filesystem::path& directory);

// Writes a whole file or throws Error (output); a half-written one never carries the name.
void write_file(const std::filesystem::path& path, const std::string& content);

}  // namespace sluice
