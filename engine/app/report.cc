#include "engine/app/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "engine/app/console.h"
#include "engine/app/objects.h"
#include "engine/app/printable.h"
#include "engine/app/version.h"
#include "engine/app/wal_watch.h"
#include "engine/model/error.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

double rounded(double seconds) { return std::round(seconds * 1000) / 1000; }

Json json_of(const TableReport& table) {
  Json columns = Json::array();
  for (const ColumnReport& column : table.columns) {
    columns.push_back({{"source", column.source}, {"target", column.target}, {"type", column.type}});
  }
  return {{"source", table.source},
          {"schema", table.schema},
          {"target", table.target},
          {"columns", columns},
          {"rows_source", table.rows_source},
          {"rows_loaded", table.rows_loaded},
          {"rows_rejected", table.rows_rejected},
          {"bytes", table.bytes},
          {"ranges", table.ranges},
          {"seconds", rounded(table.seconds)},
          {"digest", table.digest},
          {"verified", table.verified}};
}

Json json_of(const ObjectOutcome& object) {
  return {{"kind", object.kind},        {"table", object.table},
          {"name", object.name},        {"status", object.created ? "created" : "not_created"},
          {"sql", object.sql},          {"reason", object.reason},
          {"proposal", object.proposal}};
}

Json json_of(const PhaseExplanation& phase, const Machine& machine) {
  const PhaseUse& use = phase.use;
  const auto rate = [&](std::uint64_t count) {
    return use.wall > 0 ? std::round(static_cast<double>(count) / use.wall) : 0;
  };
  return {{"phase", phase.name},
          {"wall_seconds", rounded(use.wall)},
          {"lane_seconds", rounded(use.lanes)},
          {"client_cpu_seconds", rounded(use.cpu)},
          {"waited_for_core_seconds", rounded(use.for_core)},
          {"waited_for_server_seconds", rounded(use.for_server)},
          {"waited_for_source_seconds", rounded(use.for_source)},
          {"rows", use.rows},
          {"bytes", use.bytes},
          {"rows_per_second", rate(use.rows)},
          {"bytes_per_second", rate(use.bytes)},
          {"bound_by", binding_of(phase, machine)}};
}

Json json_of(const Explanation& explanation) {
  Json phases = Json::array();
  for (const PhaseExplanation& phase : explanation.phases)
    phases.push_back(json_of(phase, explanation.machine));
  return {{"cores", explanation.machine.cores},
          {"server_on_this_machine", explanation.machine.has_server},
          {"phases", phases},
          {"wal_bytes", explanation.wal_bytes},
          {"wal_level", explanation.wal_level},
          {"tables_frozen", explanation.tables_frozen}};
}

}  // namespace

namespace {

Json json_of(const std::vector<OffloadReport>& offloads) {
  Json list = Json::array();
  for (const OffloadReport& offload : offloads) {
    list.push_back({{"table", offload.table},
                    {"column", offload.column},
                    {"store", offload.store},
                    {"files", offload.files},
                    {"left_rows", offload.left_rows}});
  }
  return list;
}

std::string offload_text(const Report& report) {
  std::string text;
  for (const OffloadReport& offload : report.offloads) {
    text += fmt::format("files of {}.{}: {} in {}\n", printable(offload.table), printable(offload.column),
                        human_count(offload.files), offload.store);
    if (offload.left_rows > 0) {
      text += fmt::format(
          "left as they are in {}.{}: {} no file as the mapping allows it\n", printable(offload.table),
          printable(offload.column),
          offload.left_rows == 1 ? "1 value that is" : counted(offload.left_rows, "value") + " that are");
    }
  }
  if (!report.offloads.empty()) {
    text += fmt::format("{} written ({})\n", counted(report.files_written, "new file"),
                        human_bytes(report.file_bytes_written));
  }
  return text;
}

}  // namespace

std::string report_json(const Report& report) {
  Json tables = Json::array();
  for (const TableReport& table : report.tables) tables.push_back(json_of(table));
  Json objects = Json::array();
  for (const ObjectOutcome& object : report.objects) objects.push_back(json_of(object));
  const Json json = {{"status", report.status},
                     {"exit_status", report.exit_status},
                     {"root", report.root},
                     {"error", report.error},
                     {"sluice_version", kVersion},
                     {"source",
                      {{"path", report.source_path},
                       {"bytes", report.source_bytes},
                       {"fingerprint", report.source_fingerprint},
                       {"wal_growth_bytes", report.source_wal_growth}}},
                     {"target",
                      {{"database", report.target_database},
                       {"schema", report.target_schema},
                       {"server_version", report.server_version}}},
                     {"tables", tables},
                     {"objects", objects},
                     {"offloads", json_of(report.offloads)},
                     {"files_written", report.files_written},
                     {"file_bytes_written", report.file_bytes_written},
                     {"phases",
                      {{"profile", rounded(report.phases.profile)},
                       {"load", rounded(report.phases.load)},
                       {"indexes", rounded(report.phases.indexes)},
                       {"constraints", rounded(report.phases.constraints)},
                       {"verify", rounded(report.phases.verify)},
                       {"total", rounded(report.phases.total)}}},
                     {"explain", json_of(report.explanation)},
                     {"peak_memory_bytes", report.peak_memory_bytes}};
  // Names come from the source and may be any bytes; a report must not fail over one.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

namespace {

// What a cell of the last column says; "yes" only when the whole table arrived and was compared.
std::string verdict_of(const TableReport& table, VerifyMode verify) {
  if (verify == VerifyMode::none) return "-";
  if (verify == VerifyMode::count) return "count";
  if (!table.verified) return "NO";
  return table.rows_rejected > 0 ? "partly" : "yes";
}

}  // namespace

std::string describe(const ObjectOutcome& object) {
  std::string text = object.kind;
  if (!object.name.empty()) text += " " + object.name;
  if (!object.table.empty()) text += " of " + object.table;
  return text + ": " + object.reason;
}

std::string summary_text(const Report& report, VerifyMode verify) {
  std::size_t width = 5;
  for (const TableReport& table : report.tables) width = std::max(width, width_of(printable(table.source)));
  width = std::min<std::size_t>(width, 40);
  std::string text = fmt::format("{:<{}}  {:>13}  {:>9}  {:>10}  {:>9}  {}\n", "table", width, "rows",
                                 "rejected", "bytes", "seconds", "verified");
  TableReport total;
  for (const TableReport& table : report.tables) {
    const std::string name = printable(table.source);
    // An earlier call had loaded it when no time was spent here.
    const std::string seconds = table.seconds > 0 ? fmt::format("{:.2f}", table.seconds) : "-";
    text += fmt::format("{:<{}}  {:>13}  {:>9}  {:>10}  {:>9}  {}\n", name, width,
                        human_count(table.rows_loaded), human_count(table.rows_rejected),
                        human_bytes(table.bytes), seconds, verdict_of(table, verify));
    total.rows_source += table.rows_source;
    total.rows_loaded += table.rows_loaded;
    total.rows_rejected += table.rows_rejected;
    total.bytes += table.bytes;
  }
  text +=
      fmt::format("{:<{}}  {:>13}  {:>9}  {:>10}  {:>9.2f}\n", "total", width, human_count(total.rows_loaded),
                  human_count(total.rows_rejected), human_bytes(total.bytes), report.phases.total);
  text += offload_text(report);
  text += explanation_text(report.explanation);
  text += "peak memory " + human_bytes(report.peak_memory_bytes) + "\n";
  const auto created = std::count_if(report.objects.begin(), report.objects.end(),
                                     [](const ObjectOutcome& object) { return object.created; });
  text += "schema objects: " + human_count(static_cast<std::uint64_t>(created)) + " created";
  if (const std::string missing = count_missing(report.objects); !missing.empty()) {
    text += "; not created: " + missing + " (listed with --report, and by --dry-run)";
  }
  text += "\n";
  const auto remarked =
      std::count_if(report.objects.begin(), report.objects.end(), [](const ObjectOutcome& object) {
        return object.created && object.kind == "view" && !object.reason.empty();
      });
  if (remarked > 0) {
    text += counted(static_cast<std::uint64_t>(remarked), "view") +
            " may differ in a last digit or at a midnight; the report of --report, and sluice status, say "
            "where\n";
  }
  if (const std::size_t keys = count_not_validated(report.objects); keys > 0) {
    text += human_count(keys) + (keys == 1 ? " constraint" : " constraints") +
            " left NOT VALID, because rows that break them arrived; the report "
            "of --report has the queries that find them\n";
  }
  if (report.source_wal_growth >= kWalGrowthMin) {
    text += "the -wal of the source grew by " + human_bytes(report.source_wal_growth) +
            " while it was read; PRAGMA wal_checkpoint(TRUNCATE) makes it small again\n";
  }
  if (!report.root.empty()) text += fmt::format("root {}  {}\n", report.root, report.status);
  if (verify == VerifyMode::count && report.exit_status == 0)
    text += "row counts agree; contents were not compared\n";
  if (total.rows_rejected > 0) {
    text += fmt::format("NOT COMPLETE: {} of {} were rejected\n", human_count(total.rows_rejected),
                        counted(total.rows_source, "row"));
  }
  return text;
}

std::uint64_t peak_memory_bytes() {
  // Not getrusage: Linux carries its ru_maxrss over fork and exec, so it may be the parent's.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

void prepare_report_directory(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error || !std::filesystem::is_directory(directory)) {
    throw Error(Fault::output,
                "cannot create the report directory " + directory.string() + ": " +
                    (error ? error.message() : std::string("it is a file")),
                "choose another one with --report");
  }
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  const std::filesystem::path half = path.string() + ".part";
  {
    std::ofstream file(half, std::ios::binary | std::ios::trunc);
    file << content;
    file.flush();
    if (!file) {
      throw Error(Fault::output, "cannot write " + path.string() + ": " + std::strerror(errno),
                  "make room, or choose another place for it");
    }
  }
  std::error_code error;
  std::filesystem::rename(half, path, error);
  if (error) throw Error(Fault::output, "cannot write " + path.string() + ": " + error.message());
}

}  // namespace sluice
