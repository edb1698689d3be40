#include "engine/app/plan_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <utility>

#include "engine/app/console.h"
#include "engine/app/report.h"
#include "engine/app/words.h"
#include "engine/model/quote.h"
#include "engine/plan/ddl.h"

namespace sluice {
namespace {

constexpr std::size_t kLineBytesMax = 110;

std::string comment(const std::string& text) { return "# " + in_one_line(text) + "\n"; }

std::string size_of(std::uint64_t bytes) {
  constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;
  return bytes % kMebibyte == 0 ? fmt::format("{}MiB", bytes / kMebibyte) : fmt::format("{}", bytes);
}

template <class Value, std::size_t count>
std::string word_in(const std::array<Word<Value>, count>& words, Value value) {
  return toml_string(word_of(std::span<const Word<Value>>(words), value));
}

// key = value, key = value: the entry of a column.
class Entries {
 public:
  void add(std::string_view key, const std::string& value) {
    lines_.push_back(fmt::format("{} = {}", key, value));
  }
  void add_flag(std::string_view key, bool on) {
    if (on) add(key, "true");
  }
  template <class Value, std::size_t count>
  void add_word(std::string_view key, const std::array<Word<Value>, count>& words, Value value) {
    if (!word_of(std::span<const Word<Value>>(words), value).empty()) add(key, word_in(words, value));
  }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

BadTextPolicy policy_of(BadText bad_text) {
  return bad_text == BadText::strip ? BadTextPolicy::strip : BadTextPolicy::replace;
}

// Everything that is done with the column, so that nothing is decided again when the file is followed.
Entries entries_of(const ColumnPlan& column, const ColumnMapping* wish, bool with_type) {
  Entries entries;
  const Conversion& conversion = column.conversion;
  entries.add("target", toml_string(column.target));
  if (with_type) entries.add("type", toml_string(type_of(column)));
  entries.add_word("epoch", kEpochWords, conversion.epoch);
  entries.add_word("encoding", kEncodingWords, conversion.encoding);
  if (conversion.bad_text != BadText::misfit) {
    entries.add_word("bad-text", kBadTextWords, policy_of(conversion.bad_text));
  } else if (wish != nullptr && wish->bad_text) {
    entries.add_word("bad-text", kBadTextWords, *wish->bad_text);
  }
  if (conversion.lossy_jsonb) {
    entries.add_word("json", kJsonWords, JsonTarget::jsonb);
  } else if (!with_type && wish != nullptr && wish->json) {
    entries.add_word("json", kJsonWords, *wish->json);
  }
  entries.add_word("uuid-bytes", kUuidWords, conversion.uuid_bytes);
  entries.add_word("base64", kBase64Words, conversion.base64);
  entries.add_flag("empty-as-null", conversion.empty_as_null);
  entries.add_flag("zero-date-as-null", conversion.zero_date_as_null);
  entries.add_flag("truncate-fraction", conversion.truncate_fraction);
  entries.add_flag("blob-as-text", conversion.blob_as_text);
  entries.add_flag("text-as-number", conversion.text_as_number);
  entries.add_flag("naive-as-utc", conversion.naive_as_utc);
  if (!conversion.date_format.empty()) entries.add("date-format", toml_string(conversion.date_format));
  if (wish != nullptr && wish->on_misfit) entries.add_word("on-misfit", kMisfitWords, *wish->on_misfit);
  return entries;
}

// The settings that a finding's remedy names, each as a line: bad-text = "replace", type = "bytea".
std::vector<std::string> settings_in(const std::string& resolve) {
  static const std::regex setting("[a-z][a-z0-9-]* = (\"[^\"]*\"|true)");
  std::vector<std::string> settings;
  for (std::sregex_iterator at(resolve.begin(), resolve.end(), setting), end; at != end; ++at) {
    if (std::find(settings.begin(), settings.end(), at->str()) == settings.end())
      settings.push_back(at->str());
  }
  return settings;
}

class PlanWriter {
 public:
  PlanWriter(const Catalog& catalog, const SourceFacts& facts, const MigrationPlan& plan,
             const PlanningOptions& options)
      : catalog_(catalog), facts_(facts), plan_(plan), options_(options) {}

  std::string write() {
    write_head();
    write_settings();
    write_findings({}, {});
    for (const TablePlan& table : plan_.tables) write_table(table);
    for (const SourceTable& table : catalog_.tables) {
      const auto planned = [&](const TablePlan& plan) { return plan.source == table.name; };
      if (std::any_of(plan_.tables.begin(), plan_.tables.end(), planned)) continue;
      text_ += fmt::format("\n[tables.{}]  # left out\nexclude = true\n", toml_string(table.name));
    }
    write_left_out();
    return std::move(text_);
  }

 private:
  void write_head() {
    text_ += comment("What sluice migrate will do with " + options_.source + ". Read it, edit it, then:");
    text_ += "#\n#   sluice migrate SOURCE TARGET --config THIS_FILE\n#\n";
    text_ +=
        "# Edit targets, types and conversions; exclude = true leaves a table out. The file names every "
        "table and\n"
        "# column: one that the source gains or loses later is refused, and sluice plan writes the file "
        "anew.\n"
        "# Flags of the command line win over the settings on top, and never over what is said of a "
        "column.\n";
  }

  void write_settings() {
    const Mapping& mapping = options_.mapping;
    text_ += "\nplan = 1\n";
    text_ += fmt::format("schema = {}\n", toml_string(plan_.schema));
    if (options_.data_only) text_ += "data-only = true\n";
    text_ += fmt::format("on-misfit = {}\n", word_in(kMisfitWords, mapping.on_misfit));
    text_ += fmt::format("bad-text = {}\n", word_in(kBadTextWords, mapping.bad_text));
    text_ += fmt::format("json-type = {}\n", word_in(kJsonWords, mapping.json));
    text_ += fmt::format("identifiers = {}\n", word_in(kIdentifierWords, mapping.identifiers));
    if (options_.range_bytes > 0)
      text_ += fmt::format("range-size = \"{}\"\n", size_of(options_.range_bytes));
    if (mapping.narrow_integers) text_ += "narrow-ints = true\n";
    if (mapping.keep_lengths) text_ += "keep-lengths = true\n";
  }

  // Of the source's table and column. Returns the settings that would resolve them.
  std::vector<std::string> write_findings(const std::string& table, const std::string& column) {
    std::vector<std::string> settings;
    for (const Finding& finding : plan_.findings) {
      if (finding.table != table || finding.column != column) continue;
      text_ += comment("STOPS THE RUN: " + finding.what);
      if (!finding.resolve.empty()) text_ += comment("  " + finding.resolve);
      for (std::string& setting : settings_in(finding.resolve)) {
        if (std::find(settings.begin(), settings.end(), setting) == settings.end()) {
          settings.push_back(std::move(setting));
        }
      }
    }
    return settings;
  }

  [[nodiscard]] bool has_finding(const std::string& table, const std::string& column) const {
    return std::any_of(plan_.findings.begin(), plan_.findings.end(), [&](const Finding& finding) {
      return finding.table == table && finding.column == column;
    });
  }

  void write_table(const TablePlan& table) {
    const TableMapping* wishes = options_.mapping.table(table.source);
    const auto facts = facts_.find(table.source);
    std::string size;
    if (facts != facts_.end()) size = counted(facts->second.rows, "row") + ", ";
    size += fmt::format("about {}, {}", human_bytes(table.bytes), counted(table.extents.size(), "range"));
    text_ += fmt::format("\n[tables.{}]  # {}\n", toml_string(table.source), size);
    const std::vector<std::string> settings = write_findings(table.source, {});
    text_ += fmt::format("target = {}\n", toml_string(table.target));
    for (const std::string& setting : settings) text_ += comment(setting);
    if (wishes != nullptr && wishes->range_bytes) {
      text_ += fmt::format("range-size = \"{}\"\n", size_of(*wishes->range_bytes));
    }
    const bool keeps_rowid = std::any_of(table.columns.begin(), table.columns.end(),
                                         [&](const auto& column) { return is_kept_rowid(table, column); });
    if (keeps_rowid) text_ += "keep-rowid = true\n";
    for (const ObjectOutcome& object : plan_.left_out) {
      if (object.table == table.source && is_told_of_table(object)) text_ += comment(fate_of(object));
    }
    write_columns(table, wishes);
  }

  // A planned column that is none of the source's.
  [[nodiscard]] bool is_kept_rowid(const TablePlan& table, const ColumnPlan& column) const {
    const auto source =
        std::find_if(catalog_.tables.begin(), catalog_.tables.end(),
                     [&](const SourceTable& candidate) { return candidate.name == table.source; });
    return source != catalog_.tables.end() && !column.added && column.place >= source->columns.size();
  }

  void write_columns(const TablePlan& table, const TableMapping* wishes) {
    if (wishes != nullptr) write_offloads(table, wishes->offloads);
    text_ += fmt::format("[tables.{}.columns]\n", toml_string(table.source));
    for (const ColumnPlan& column : table.columns) {
      if (column.added) continue;
      if (has_finding(table.source, column.source)) continue;
      const Entries entries = entries_of(column, find_column(wishes, column.source), !options_.data_only);
      const std::string line =
          fmt::format("{} = {{ {} }}", toml_string(column.source), fmt::join(entries.lines(), ", "));
      const std::string remark = in_one_line(remark_of(column));
      if (remark.empty()) {
        text_ += line + "\n";
      } else if (line.size() + remark.size() + 4 <= kLineBytesMax) {
        text_ += line + "  # " + remark + "\n";
      } else {
        text_ += comment(remark) + line + "\n";
      }
    }
    // A section of its own, so that a line can be uncommented.
    for (const ColumnPlan& column : table.columns) {
      if (!has_finding(table.source, column.source)) continue;
      const Entries entries = entries_of(column, find_column(wishes, column.source), !options_.data_only);
      text_ += fmt::format("[tables.{}.columns.{}]\n", toml_string(table.source), toml_string(column.source));
      if (!remark_of(column).empty()) text_ += comment(remark_of(column));
      const std::vector<std::string> settings = write_findings(table.source, column.source);
      for (const std::string& line : entries.lines()) text_ += line + "\n";
      for (const std::string& setting : settings) text_ += comment(setting + hint_of(setting, entries));
    }
  }

  void write_offloads(const TablePlan& table, const std::vector<OffloadMapping>& offloads) {
    for (const OffloadMapping& offload : offloads) {
      text_ +=
          fmt::format("[tables.{}.offload.{}]\n", toml_string(table.source), toml_string(offload.column));
      const auto line = [&](const char* key, const std::string& value) {
        text_ += fmt::format("{} = {}\n", key, toml_string(value));
      };
      const auto flag = [&](const char* key, bool value) {
        if (value) text_ += fmt::format("{} = true\n", key);
      };
      line("store", offload.store);
      line("path", offload.path);
      line("storage-type", offload.storage_type);
      if (offload.size) line("size", *offload.size);
      if (offload.sha256) line("sha256", *offload.sha256);
      if (offload.media_type) line("media-type", *offload.media_type);
      line("source", std::string(name_of(offload.source)));
      flag("data-uri", offload.text.data_uri);
      flag("line-breaks", offload.text.line_breaks);
      flag("url-alphabet", offload.text.url_alphabet);
      flag("missing-padding", offload.text.missing_padding);
      flag("compress", offload.compress);
    }
  }

  // What else must change for the setting to work.
  static std::string hint_of(const std::string& setting, const Entries& entries) {
    const std::string key = setting.substr(0, setting.find('=') + 1);
    const auto is_there = [&](const std::string& line) { return line.starts_with(key); };
    if (std::any_of(entries.lines().begin(), entries.lines().end(), is_there)) {
      return "  # instead of the line above";
    }
    // A type that is written down is not widened.
    return key == "on-misfit =" && setting.ends_with("\"widen\"") ? "  # and remove the line of the type"
                                                                  : "";
  }

  [[nodiscard]] std::string remark_of(const ColumnPlan& column) const {
    std::string remark = column.remark;
    const auto add = [&](const std::string& more) { remark += (remark.empty() ? "" : "; ") + more; };
    if (!column.generated_as.empty()) add("generated as " + column.generated_as);
    if (options_.data_only) add(type_of(column) + ", as the target has it");
    return remark;
  }

  // Columns say themselves why they arrive as they do.
  static bool is_told_of_table(const ObjectOutcome& object) {
    return object.kind != "column" || !object.created;
  }

  static std::string fate_of(const ObjectOutcome& object) {
    if (!object.created) return "not created: " + describe(object);
    return (object.reason.empty() ? "arrives: " : "arrives changed: ") + describe(object);
  }

  // What belongs to no planned table.
  void write_left_out() {
    std::string list;
    for (const ObjectOutcome& object : plan_.left_out) {
      const auto planned = [&](const TablePlan& table) { return table.source == object.table; };
      if (std::any_of(plan_.tables.begin(), plan_.tables.end(), planned)) continue;
      list += comment(fate_of(object));
    }
    if (!list.empty()) text_ += "\n" + list;
  }

  const Catalog& catalog_;
  const SourceFacts& facts_;
  const MigrationPlan& plan_;
  const PlanningOptions& options_;
  std::string text_;
};

}  // namespace

std::string plan_file_of(const Catalog& catalog, const SourceFacts& facts, const MigrationPlan& plan,
                         const PlanningOptions& options) {
  return PlanWriter(catalog, facts, plan, options).write();
}

std::string plan_script_of(const MigrationPlan& plan) {
  std::string script = script_of(plan);
  std::string decisions;
  for (const TablePlan& table : plan.tables) {
    for (const ColumnPlan& column : table.columns) {
      if (column.added) continue;
      std::string conversions = describe(column.conversion);
      if (column.remark.empty() && conversions.empty()) continue;
      if (!column.remark.empty() && !conversions.empty()) conversions += "; ";
      decisions +=
          as_comment(fmt::format("{}.{}: {}{}", table.source, column.source, conversions, column.remark));
    }
  }
  for (const Finding& finding : plan.findings) decisions += as_comment("STOPS THE RUN: " + describe(finding));
  if (!decisions.empty()) script += "\n-- decisions\n" + decisions;
  script += "\n-- ranges\n";
  for (const TablePlan& table : plan.tables) {
    script += as_comment(fmt::format("{}: about {}, {}", table.source, human_bytes(table.bytes),
                                     counted(table.extents.size(), "range")));
    for (std::size_t i = 0; i < table.extents.size(); ++i) {
      script += as_comment(fmt::format("  {}: {}", i, format_extent(table.extents[i])));
    }
  }
  for (const ObjectOutcome& object : plan.left_out) {
    if (object.created) continue;
    script += as_comment("not created: " + describe(object));
  }
  return script;
}

}  // namespace sluice
