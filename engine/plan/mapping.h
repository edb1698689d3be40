#pragma once
// What the user wants done differently from what sluice would decide: per column, per table, for all.
// engine/app/plan_file.h reads it from TOML and writes it; the planner follows it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/conversion.h"
#include "engine/model/offload.h"
#include "engine/model/pg_type.h"

namespace sluice {

// Values that the declared type cannot hold.
enum class MisfitPolicy : std::uint8_t {
  widen,   // the narrowest type that holds every value exactly; what no type holds stops the run
  reject,  // keep the declared type; rows that do not fit go to the reject file
  fail,    // stop before the first row
};

// What a column declared JSON becomes.
enum class JsonTarget : std::uint8_t {
  automatic,  // jsonb when nothing is lost, else json
  json,
  jsonb,  // also when repeated keys are lost
  text,
};

// The names of tables and columns in the target.
enum class Identifiers : std::uint8_t { preserve, lower, snake };

// Bad text in all columns for which the mapping says nothing else.
enum class BadTextPolicy : std::uint8_t {
  stop,    // a finding before the first row
  reject,  // the rows go to the reject file
  replace,
  strip,
  bytea,  // the column arrives as bytea, with the bytes as they are
};

// A type as a user or a catalog writes it: bigint, varchar(40), numeric(10,2).
struct WrittenType {
  PgType type = PgType::text;
  TypeModifier modifier;
};
// By PostgreSQL's names and their usual aliases, without case. Nothing for a type that sluice cannot write.
std::optional<WrittenType> parse_type(std::string_view written);

struct ColumnMapping {
  std::string column;    // of the source
  std::string origin;    // file:line
  bool exclude = false;  // does not arrive; only where the tables are there already
  std::optional<std::string> target;
  std::optional<WrittenType> type;
  Conversion conversion;
  std::optional<BadTextPolicy> bad_text;
  std::optional<JsonTarget> json;
  std::optional<MisfitPolicy> on_misfit;
  std::string type_origin;        // file:line of the key type, for messages
  std::string conversion_origin;  // file:line of the first conversion
};

// A column whose files go to a store, and the columns that refer to them: of the source where it has one of
// that name, else added.
struct OffloadMapping : FileReferences {
  std::string column;  // of the source
  std::string origin;  // file:line
  std::string store;
  OffloadedColumn source = OffloadedColumn::null;
  FileText text;
  bool compress = false;
};

struct TableMapping {
  std::string table;  // of the source
  std::string origin;
  std::optional<std::string> target;
  bool exclude = false;
  std::optional<std::uint64_t> range_bytes;
  std::optional<bool> keep_rowid;
  std::vector<ColumnMapping> columns;
  std::vector<OffloadMapping> offloads;
  // A plan names every column of a table; then one that is missing here, or new in the source, means that
  // the plan no longer fits. A mapping written by hand names what it changes.
  bool complete = false;
};

struct Mapping {
  std::vector<TableMapping> tables;
  // True for a file that `sluice plan` wrote: a table of the source that it does not name is an error.
  bool complete = false;
  std::string origin;  // file, where there is one

  MisfitPolicy on_misfit = MisfitPolicy::widen;
  JsonTarget json = JsonTarget::automatic;
  BadTextPolicy bad_text = BadTextPolicy::stop;
  Identifiers identifiers = Identifiers::preserve;
  bool narrow_integers = false;  // smallint and integer where declared so and every value fits
  bool keep_lengths = false;     // varchar(n) where every value fits, numeric(p,s) likewise
  bool keep_rowid = false;       // the hidden rowid arrives as a column "rowid"

  [[nodiscard]] const TableMapping* table(std::string_view name) const;  // as SQLite compares names
};

const ColumnMapping* find_column(const TableMapping* table, std::string_view name);

// What holds for a column: what is said of it, or else what is said of all. `wish` may be null.
MisfitPolicy misfit_policy(const Mapping& mapping, const ColumnMapping* wish);
BadTextPolicy bad_text_policy(const Mapping& mapping, const ColumnMapping* wish);
JsonTarget json_target(const Mapping& mapping, const ColumnMapping* wish);

// A basic string of TOML.
std::string toml_string(std::string_view text);
// The line of the mapping that would say so, for findings: tables."t".columns."c".bad-text = "replace"
std::string mapping_line(std::string_view table, const std::string& setting);
std::string mapping_line(std::string_view table, std::string_view column, const std::string& setting);

}  // namespace sluice
