#include "engine/app/verify_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/app/console.h"
#include "engine/app/printable.h"
#include "engine/app/report.h"
#include "engine/app/version.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const RowDifference& difference, const std::vector<TablePlan>& tables) {
  Json json;
  json["table"] = tables[difference.table].source;
  json["kind"] = name_of(difference.kind);
  json["key"] = Json::parse(difference.key, nullptr, false);
  if (json["key"].is_discarded()) json["key"] = nullptr;
  if (!difference.row.empty()) json["row"] = difference.row;
  if (difference.kind == DifferenceKind::mismatch) json["columns"] = difference.columns;
  if (!difference.reason.empty()) json["reason"] = difference.reason;
  if (!difference.values.empty()) {
    json["values"] = Json::array();
    for (const ValueDifference& value : difference.values) {
      Json entry;
      entry["column"] = value.column;
      if (difference.kind != DifferenceKind::extraneous) {
        entry["source"] = value.source ? Json(*value.source) : Json(nullptr);
      }
      if (difference.kind != DifferenceKind::missing) {
        entry["target"] = value.target ? Json(*value.target) : Json(nullptr);
      }
      json["values"].push_back(std::move(entry));
    }
  }
  return json;
}

std::string value_text(const std::optional<std::string>& value) {
  return value ? "'" + printable(*value) + "'" : "NULL";
}

std::string line_of(const RowDifference& difference, const std::vector<TablePlan>& tables) {
  std::string line = printable(describe(difference, tables));
  for (const ValueDifference& value : difference.values) {
    line += "\n  " + printable(value.column) + ": ";
    if (difference.kind != DifferenceKind::extraneous) line += "source " + value_text(value.source);
    if (difference.kind == DifferenceKind::mismatch) line += ", ";
    if (difference.kind != DifferenceKind::missing) line += "target " + value_text(value.target);
  }
  return line + "\n";
}

std::string verdict_of(const TableComparison& comparison) {
  if (!comparison.equal) return "NO";
  switch (comparison.level) {
    case Level::full:
      return "yes";
    case Level::server:
      return "by hashes";
    case Level::sample:
      return fmt::format("{} of {} leaves", comparison.leaves_read, comparison.leaves);
    case Level::count:
      return "count";
  }
  return {};
}

std::string_view basis_of(const VerifyReport& report) {
  const bool any_scanned =
      std::any_of(report.runs.begin(), report.runs.end(), [](const std::string& run) { return run.empty(); });
  if (report.from_archive) return "archive";
  if (report.runs_began.empty()) return "scan";
  return any_scanned ? "mixed" : "ledger";
}

}  // namespace

std::string verify_report_json(const VerifyReport& report) {
  Json json;
  json["status"] = report.status;
  json["exit_status"] = report.exit_status;
  json["root"] = report.root;
  json["basis"] = basis_of(report);
  json["sluice_version"] = kVersion;
  json["source"] = {{"path", report.source_path}, {"fingerprint", report.source_fingerprint}};
  json["target"] = {{"database", report.target_database},
                    {"schema", report.target_schema},
                    {"server_version", report.server_version}};
  if (report.sample_seed != 0) json["sample_seed"] = report.sample_seed;
  json["tables"] = Json::array();
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    const TablePlan& table = report.tables[i];
    const TableComparison& comparison = report.comparisons[i];
    const TableDifferences& differences = report.differences.tables[i];
    Json entry = {{"source", table.source},
                  {"schema", table.schema},
                  {"target", table.target},
                  {"run", report.runs[i].empty() ? Json(nullptr) : Json(report.runs[i])},
                  {"level", name_of(comparison.level)},
                  {"equal", comparison.equal},
                  {"rows_source", comparison.rows_source + report.unfit[i]},
                  {"rows_target", comparison.rows_target},
                  {"leaves", comparison.leaves},
                  {"leaves_read", comparison.leaves_read},
                  {"leaves_differing", comparison.differing.size()},
                  {"missing", differences.missing},
                  {"mismatch", differences.mismatch},
                  {"extraneous", differences.extraneous},
                  {"unfit", report.unfit[i]},
                  {"rejected", report.rejected[i]},
                  {"digest", to_hex(comparison.root_source)}};
    if (comparison.root_target) entry["digest_target"] = to_hex(*comparison.root_target);
    if (!comparison.note.empty()) entry["note"] = comparison.note;
    json["tables"].push_back(std::move(entry));
  }
  json["differences"] = Json::array();
  for (const RowDifference& difference : report.differences.rows) {
    json["differences"].push_back(json_of(difference, report.tables));
  }
  json["differences_unnamed"] = report.differences_unnamed;
  if (report.repair) {
    json["repair"] = {{"id", report.repair->id},
                      {"rows_deleted", report.repair->rows_deleted},
                      {"rows_inserted", report.repair->rows_inserted},
                      {"rows_refused", report.repair->refused},
                      {"recorded", report.repair->recorded},
                      {"equal", report.repair->equal}};
  }
  json["seconds"] = report.seconds;
  json["peak_memory_bytes"] = peak_memory_bytes();
  // Names and values come from the source and may be any bytes.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string verify_report_text(const VerifyReport& report) {
  std::string text;
  std::string scanned;
  std::size_t tables_scanned = 0;
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    if (!report.runs[i].empty()) continue;
    scanned += (scanned.empty() ? "" : ", ") + printable(report.tables[i].source);
    ++tables_scanned;
  }
  for (const auto& [run, began] : report.runs_began) {
    text += fmt::format("source: the digests of run {}, begun {} UTC\n", run, began);
  }
  if (tables_scanned > 0) {
    text += tables_scanned == report.tables.size() ? "both sides were read\n"
                                                   : "both sides were read of " + scanned + "\n";
  }
  std::size_t width = 5;
  for (const TablePlan& table : report.tables) width = std::max(width, width_of(printable(table.source)));
  width = std::min<std::size_t>(width, 40);
  text += fmt::format("{:<{}}  {:>13}  {:>13}  {:>9}  {:>9}  {:>10}  {}\n", "table", width, "source",
                      "target", "missing", "mismatch", "extraneous", "equal");
  TableDifferences all;
  std::uint64_t unfit = 0;
  for (const std::uint64_t rows : report.unfit) unfit += rows;
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    const TableComparison& comparison = report.comparisons[i];
    const TableDifferences& differences = report.differences.tables[i];
    const bool named = comparison.level != Level::count || comparison.equal;
    const auto count = [&](std::uint64_t rows) { return named ? human_count(rows) : std::string("?"); };
    text +=
        fmt::format("{:<{}}  {:>13}  {:>13}  {:>9}  {:>9}  {:>10}  {}\n", printable(report.tables[i].source),
                    width, human_count(comparison.rows_source + report.unfit[i]),
                    human_count(comparison.rows_target), count(differences.missing),
                    count(differences.mismatch), count(differences.extraneous), verdict_of(comparison));
    all.missing += differences.missing;
    all.mismatch += differences.mismatch;
    all.extraneous += differences.extraneous;
  }
  std::map<std::string, std::string> tables_by_note;
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    std::string& list = tables_by_note[report.comparisons[i].note];
    list += (list.empty() ? "" : ", ") + printable(report.tables[i].source);
  }
  for (const auto& [note, list] : tables_by_note) {
    if (!note.empty()) text += fmt::format("{}: {}\n", list, printable(note));
  }
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    const std::string name = printable(report.tables[i].source);
    const TableComparison& comparison = report.comparisons[i];
    if (report.rejected[i] > 0) {
      text += fmt::format("{}: the migration left {} out; sluice status tells why\n", name,
                          counted(report.rejected[i], "row"));
    }
    const TableDifferences& differences = report.differences.tables[i];
    if (comparison.level != Level::count && !comparison.differing.empty() && !differences.any()) {
      text += fmt::format(
          "{}: leaves differed, and its rows are equal now: the target was changed meanwhile, or "
          "only a standby differs\n",
          name);
    }
  }
  for (const RowDifference& difference : report.differences.rows) text += line_of(difference, report.tables);
  if (report.differences_unnamed > 0) {
    text += fmt::format("... and {} more; --max-report names more of them\n",
                        counted(report.differences_unnamed, "row"));
  }
  if (report.repair) {
    const bool any = report.repair->rows_deleted + report.repair->rows_inserted > 0;
    text += fmt::format("repair: {} deleted, {} inserted{}\n", counted(report.repair->rows_deleted, "row"),
                        counted(report.repair->rows_inserted, "row"),
                        !any                      ? ""
                        : report.repair->recorded ? "; recorded in sluice.repair as " + report.repair->id
                                                  : "; not recorded: the database has no ledger, and the "
                                                    "role may not make one");
    if (report.repair->refused > 0)
      text += fmt::format("the target refuses {}, named above{}\n", counted(report.repair->refused, "row"),
                          report.repair->advice.empty() ? "" : ": " + report.repair->advice);
    if (report.repair->ended_early)
      text += "the repair did not come to its end; the differences above are those from before it\n";
  }
  if (report.sample_seed != 0) text += fmt::format("sampled with --sample-seed {}\n", report.sample_seed);
  text += fmt::format("root {}  {}\n", report.root, report.status);
  const bool counted_only =
      std::any_of(report.comparisons.begin(), report.comparisons.end(),
                  [](const TableComparison& comparison) { return comparison.level == Level::count; });
  if (report.status == "different" && counted_only) {
    text += "DIFFERENT: the numbers of rows; --verify full tells which\n";
  } else if (report.status == "different") {
    text += fmt::format(
        "DIFFERENT: {} missing, {} mismatched, {} extraneous{}\n", counted(all.missing, "row"),
        human_count(all.mismatch), human_count(all.extraneous),
        report.repair || report.from_archive || all.missing + all.mismatch + all.extraneous <= unfit
            ? ""
            : "; --repair makes the target equal again");
  }
  return text;
}

}  // namespace sluice
