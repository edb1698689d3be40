#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/inspect_report.h"
#include "engine/app/printable.h"

namespace sluice {
namespace {

constexpr std::size_t kLine = 110;
constexpr std::size_t kNameMax = 40;
constexpr std::size_t kTableNameMax = 28;  // leaves room for what is notable
constexpr std::size_t kSqlMax = 200;
// After so many lines of one kind the rest is only counted; the JSON has all of them.
constexpr std::size_t kLinesPerKind = 20;

std::string_view label_of(SurpriseKind kind) {
  static constexpr std::array<std::string_view, 9> kLabels = {
      "stops", "type", "null key", "orphans", "bad text", "numbers", "mixed", "long", "name"};
  return kLabels[static_cast<std::size_t>(kind)];
}

std::string line(const std::string& text, std::size_t indent) { return wrapped(text, kLine, indent) + "\n"; }

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, width_of(text)), ' ');
}

std::string bytes_of(double bytes) { return human_bytes(static_cast<std::uint64_t>(bytes)); }

// A round number: an estimate must not look like a measurement.
std::string about_seconds(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 5400) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string per_day(double rows) {
  return rows >= 100 ? human_count(static_cast<std::uint64_t>(rows)) : fmt::format("{:.1f}", rows);
}

std::string number_of(const Threshold& threshold, double value) {
  if (threshold.name == "size") return bytes_of(value);
  return threshold.name == "rows" ? human_count(static_cast<std::uint64_t>(value)) : per_day(value);
}

std::string unit_of(const Threshold& threshold) {
  return threshold.name == "size" ? "" : threshold.name == "rows" ? " rows" : " rows a day";
}

std::string where_of(const Threshold& threshold) {
  if (threshold.table.empty()) return {};
  std::string where = " in " + printable(threshold.table);
  if (!threshold.column.empty()) where += ", by " + printable(threshold.column);
  return where;
}

std::string title_of(const Threshold& threshold) {
  return threshold.name == "size" ? "file size" : threshold.name == "rows" ? "rows" : "daily growth";
}

std::string verdict(const Inspection& inspection) {
  std::string reasons;
  for (const Threshold& threshold : inspection.thresholds) {
    if (threshold.distance != inspection.time_to_move) continue;
    reasons += fmt::format("{}{}{}", reasons.empty() ? "" : "; ",
                           number_of(threshold, threshold.value) + unit_of(threshold), where_of(threshold));
  }
  switch (inspection.time_to_move) {
    case Distance::crossed:
      return "Time to move: yes. " + reasons + ".";
    case Distance::near:
      return "Time to move: soon. " + reasons + ".";
    default:
      return "Time to move: not yet. No threshold is near.";
  }
}

std::string thresholds_text(const Inspection& inspection) {
  std::string text;
  for (const Threshold& threshold : inspection.thresholds) {
    std::string numbers = threshold.remark;
    if (threshold.distance != Distance::unknown) {
      numbers = fmt::format("{} of {}{} ({:.0f} %){}", number_of(threshold, threshold.value),
                            number_of(threshold, threshold.limit), unit_of(threshold),
                            100 * threshold.value / threshold.limit, where_of(threshold));
      if (!threshold.remark.empty()) numbers += "; " + threshold.remark;
    }
    text +=
        line(fmt::format("  {:<14}{:<9}{}", title_of(threshold), name_of(threshold.distance), numbers), 25);
  }
  return text;
}

std::string place_of(const SurpriseLine& surprise) {
  std::string place = cut_to(printable(surprise.table), kNameMax);
  if (!surprise.column.empty()) place += "." + cut_to(printable(surprise.column), kNameMax);
  return place;
}

std::string surprise_text(const SurpriseLine& surprise) {
  std::string text = fmt::format("  {:<10}", label_of(surprise.kind)) + place_of(surprise);
  if (!surprise.table.empty()) text += ": ";
  text += printable(surprise.what);
  if (!surprise.example.key.empty() || !surprise.example.value.empty()) {
    text += "; e.g. " + cut_to(printable(surprise.example.key), 60);
    if (!surprise.example.key.empty() && !surprise.example.value.empty()) text += ": ";
    text += cut_to(printable(surprise.example.value), 60);
  }
  if (!surprise.resolve.empty()) text += "; " + printable(surprise.resolve);
  return line(text, 12);
}

std::string surprises_text(const Inspection& inspection) {
  if (inspection.surprises.empty()) return "No surprises: every value is what its column declares.\n";
  std::string text = fmt::format("Surprises: {}\n", inspection.surprises.size());
  std::array<std::size_t, 9> told{};
  for (std::size_t i = 0; i < inspection.surprises.size(); ++i) {
    const SurpriseLine& surprise = inspection.surprises[i];
    std::size_t& count = told[static_cast<std::size_t>(surprise.kind)];
    // What stops the run is told in full.
    if (++count <= kLinesPerKind || surprise.kind == SurpriseKind::finding) text += surprise_text(surprise);
    const bool last =
        i + 1 == inspection.surprises.size() || inspection.surprises[i + 1].kind != surprise.kind;
    if (last && count > kLinesPerKind && surprise.kind != SurpriseKind::finding) {
      text += fmt::format("  {:<10}and {} more; --json lists them\n", "", count - kLinesPerKind);
    }
  }
  return text;
}

std::string notable_of(const InspectedTable& table) {
  std::vector<std::string> notes;
  if (table.surprises > 0) notes.push_back(counted(table.surprises, "surprise"));
  if (table.growth != nullptr && table.growth->long_enough) {
    notes.push_back(per_day(table.growth->recent_per_day) + " rows a day");
  }
  if (!table.source->module.empty()) notes.push_back(printable(table.source->module));
  if (table.source->primary_key().empty()) notes.emplace_back("no key");
  return fmt::format("{}", fmt::join(notes, ", "));
}

std::string tables_text(const Inspection& inspection) {
  if (inspection.tables.empty()) return "No tables.\n";
  std::size_t width = 5;
  for (const InspectedTable& table : inspection.tables) {
    width = std::max(width, std::min(kTableNameMax, width_of(printable(table.plan->source))));
  }
  const auto row = [&](const std::string& name, const std::string& rows, const std::string& bytes,
                       const std::string& later, const std::string& columns, const std::string& notable) {
    std::string text = fmt::format("  {}  {:>13}  {:>9}  {:>13}  {:>7}  {}", padded(name, width), rows, bytes,
                                   later, columns, notable);
    text.erase(text.find_last_not_of(' ') + 1);
    return line(text, 4);
  };
  std::string text = "Tables, largest first\n";
  text += row("table", "rows", "bytes", "in PostgreSQL", "columns", "notable");
  for (const InspectedTable& table : inspection.tables) {
    text += row(cut_to(printable(table.plan->source), width), human_count(table.facts->rows),
                human_bytes(table.bytes), "~" + bytes_of(table.estimate.bytes.likely),
                std::to_string(table.source->columns.size()), notable_of(table));
  }
  return text;
}

std::string object_name(const ObjectOutcome& object) {
  std::string name = object.kind;
  std::replace(name.begin(), name.end(), '_', ' ');
  if (!object.name.empty()) name += " " + cut_to(printable(object.name), kNameMax);
  if (!object.table.empty()) name += " of " + cut_to(printable(object.table), kNameMax);
  return name;
}

// On one line: blanks for what separates lines.
std::string sql_text(std::string sql) {
  for (char& c : sql) {
    if (c == '\n' || c == '\t' || c == '\r') c = ' ';
  }
  return cut_to(printable(sql), kSqlMax);
}

std::string objects_text(const std::string& title, const std::vector<const ObjectOutcome*>& objects,
                         bool with_sql) {
  if (objects.empty()) return {};
  std::string text = fmt::format("\n{}: {}\n", title, objects.size());
  for (const ObjectOutcome* object : objects) {
    text += line(
        "  " + object_name(*object) + (object->reason.empty() ? "" : ": " + printable(object->reason)), 6);
    if (with_sql && !object->sql.empty()) text += line("      " + sql_text(object->sql), 8);
    if (!object->proposal.empty()) text += line("      instead: " + sql_text(object->proposal), 8);
  }
  return text;
}

// A path as a shell takes it, without anything a terminal would act upon.
std::string shell_word(const std::string& path) {
  const std::string shown = printable(path);
  const bool plain = shown == path && std::all_of(path.begin(), path.end(), [](char c) {
                       return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '.' ||
                              c == '-' || c == '_' || c == ':' || static_cast<unsigned char>(c) >= 0x80;
                     });
  if (plain && !path.empty()) return path;
  if (shown != path) return "FILE";
  std::string quoted = "'";
  for (const char c : path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string next_steps(const Inspection& inspection) {
  const std::string word = shell_word(inspection.source.path);
  std::string text = "\nNext\n";
  const bool stopped = !inspection.source.plan->findings.empty();
  text += fmt::format("  sluice plan {}     {}\n", word,
                      stopped ? "the plan, to decide what stops the run" : "the plan, to read and edit");
  if (!stopped) text += fmt::format("  sluice migrate {}  move it\n", word);
  return text;
}

}  // namespace

std::string inspection_text(const Inspection& inspection) {
  std::string text = line(verdict(inspection), 2) + thresholds_text(inspection) + "\n";
  text += line(
      fmt::format("{}: {}, {}, {}", printable(inspection.source.path), human_bytes(inspection.source.bytes),
                  counted(inspection.tables.size(), "table"), counted(inspection.rows, "row")),
      2);
  if (!inspection.source.remark.empty()) text += line("  " + printable(inspection.source.remark), 2);
  text += line(fmt::format("In PostgreSQL about {} ({} to {}), moved in about {} ({} to {}) over {}",
                           bytes_of(inspection.bytes.likely), bytes_of(inspection.bytes.low),
                           bytes_of(inspection.bytes.high), about_seconds(inspection.seconds.likely),
                           about_seconds(inspection.seconds.low), about_seconds(inspection.seconds.high),
                           counted(inspection.jobs, "connection")),
               2);
  text += "\n" + surprises_text(inspection);
  text += "\n" + tables_text(inspection);
  text += objects_text("Will not arrive", inspection.missing, false);
  text += objects_text("Only SQLite understands", inspection.expressions, true);
  text += objects_text("Arrive with a difference", inspection.changed, false);
  return text + next_steps(inspection);
}

}  // namespace sluice
