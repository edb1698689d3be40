#include "engine/app/archive_plan.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "engine/app/plan_record.h"
#include "engine/app/words.h"
#include "engine/model/error.h"
#include "engine/plan/names.h"
#include "io/archive/shallow_json.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;

constexpr std::array kPhaseWords = {
    Word{"index", StepPhase::index}, Word{"constraint", StepPhase::constraint},
    Word{"validate", StepPhase::validate}, Word{"finish", StepPhase::finish}, Word{"view", StepPhase::view}};

[[noreturn]] void refuse(const std::string& what) { throw Error(Fault::source_unreadable, what); }

// ---- writing ----

Json json_of(const ObjectOutcome& object) {
  Json json = {{"kind", object.kind}, {"table", object.table}, {"name", object.name}};
  if (object.created) json["created"] = true;
  if (!object.sql.empty()) json["sql"] = object.sql;
  if (!object.reason.empty()) json["reason"] = object.reason;
  if (!object.proposal.empty()) json["proposal"] = object.proposal;
  return json;
}

Json json_of(const Step& step) {
  Json json = {{"phase", word_of(std::span<const Word<StepPhase>>(kPhaseWords), step.phase)},
               {"table", static_cast<std::uint32_t>(step.table)},
               {"sql", step.sql},
               {"object", json_of(step.object)}};
  for (const Remedy& remedy : step.remedies) {
    json["remedies"].push_back({{"sqlstate", remedy.sqlstate}, {"proposal", remedy.proposal}});
  }
  if (step.index) {
    json["index"] = {{"columns", step.index->columns}, {"unique", step.index->unique}};
    if (step.index->constraint != 0) json["index"]["constraint"] = std::string(1, step.index->constraint);
  }
  if (!step.sequence.empty()) json["sequence"] = step.sequence;
  return json;
}

Json json_of(const TablePlan& table) {
  Json json = {{"plan", Json::parse(plan_record_of(table))}, {"bytes", table.bytes}};
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const ColumnPlan& column = table.columns[i];
    Json& record = json["plan"]["columns"][i];
    if (!column.remark.empty()) record["remark"] = column.remark;
    if (!column.identity_sequence.empty()) record["identity_sequence"] = column.identity_sequence;
  }
  json["extents"] = Json::array();
  for (const Extent& extent : table.extents) json["extents"].push_back(format_extent(extent));
  return json;
}

// ---- reading ----

// A NUL would end the text where it becomes SQL, or a name.
const std::string& checked(const std::string& text) {
  if (text.find('\0') != text.npos) refuse("a text has a NUL in it");
  return text;
}

std::string text_in(const Json& json, const char* key) { return checked(json.at(key).get<std::string>()); }
std::string text_or_nothing(const Json& json, const char* key) {
  return json.contains(key) ? text_in(json, key) : std::string();
}

std::string name_in(const Json& json, const char* key) {
  std::string name = text_in(json, key);
  if (name.empty() || name.size() > kNameBytesMax) refuse("a name is empty or too long");
  return name;
}

void require_name(const std::string& name) {
  if (checked(name).empty() || name.size() > kNameBytesMax) refuse("a name is empty or too long");
}

ObjectOutcome object_in(const Json& json) {
  ObjectOutcome object;
  object.kind = text_in(json, "kind");
  object.table = text_in(json, "table");
  object.name = text_in(json, "name");
  object.created = json.value("created", false);
  object.sql = text_or_nothing(json, "sql");
  object.reason = text_or_nothing(json, "reason");
  object.proposal = text_or_nothing(json, "proposal");
  return object;
}

Step step_in(const Json& json, std::size_t tables) {
  Step step;
  const StepPhase* phase = value_of(std::span<const Word<StepPhase>>(kPhaseWords), text_in(json, "phase"));
  if (phase == nullptr) refuse("a step has a phase that is none");
  step.phase = *phase;
  const Json& table = json.at("table");
  // A view belongs to no table, but its number is one.
  const bool any =
      table.is_number_unsigned() && (table.get<std::uint64_t>() < tables || table.get<std::uint64_t>() == 0);
  if (!any || (tables == 0 && step.phase != StepPhase::view))
    refuse("a step is of a table that is not there");
  step.table = static_cast<TableId>(table.get<std::uint64_t>());
  step.sql = text_in(json, "sql");
  step.object = object_in(json.at("object"));
  if (json.contains("remedies")) {
    for (const Json& remedy : json.at("remedies")) {
      step.remedies.push_back({text_in(remedy, "sqlstate"), text_in(remedy, "proposal")});
    }
  }
  if (json.contains("index")) {
    const Json& index = json.at("index");
    IndexShape& shape = step.index.emplace();
    shape.columns = index.at("columns").get<std::vector<std::string>>();
    for (const std::string& column : shape.columns) checked(column);
    shape.unique = index.at("unique").get<bool>();
    const std::string constraint = text_or_nothing(index, "constraint");
    if (constraint.size() > 1) refuse("an index has a constraint that is none");
    if (!constraint.empty()) shape.constraint = constraint.front();
  }
  step.sequence = text_or_nothing(json, "sequence");
  return step;
}

// What others take for granted of a plan that the planner made.
void require_sound(const TablePlan& table) {
  constexpr std::size_t kColumnsMax = 1600;
  require_name(table.schema);
  require_name(table.target);
  checked(table.source);
  checked(table.rowid_name);
  if (table.columns.empty() || table.columns.size() > kColumnsMax) refuse("it has no columns, or too many");
  for (const ColumnPlan& column : table.columns) {
    require_name(column.target);
    for (const std::string* text : {&column.source, &column.declared_type, &column.type_name,
                                    &column.generated_as, &column.remark, &column.conversion.date_format}) {
      checked(*text);
    }
    for (const std::string& label : column.labels) checked(label);
  }
  const std::size_t sent = sent_columns(table);
  const bool generated_last =
      std::all_of(table.columns.begin() + static_cast<std::ptrdiff_t>(sent), table.columns.end(),
                  [](const ColumnPlan& column) { return !column.generated_as.empty(); });
  if (sent == 0 || !generated_last) refuse("its generated columns are not the last ones");
  std::vector<std::size_t> keys = table.key_columns;
  std::sort(keys.begin(), keys.end());
  const bool repeats = std::adjacent_find(keys.begin(), keys.end()) != keys.end();
  const bool ordered = table.row_key == RowKey::ordered_integer;
  if (repeats || (table.row_key == RowKey::columns && keys.empty()) ||
      (ordered && (keys.size() != 1 || table.columns[keys.front()].type != PgType::int8))) {
    refuse("its key cannot be one");
  }
}

TablePlan table_in(const Json& json, std::size_t number) {
  TablePlan table;
  const Json& record = json.at("plan");
  try {
    table = read_plan_record(record.dump());
  } catch (const Error& error) {
    refuse(error.what());
  }
  table.id = static_cast<TableId>(number);
  const Json& bytes = json.at("bytes");
  if (!bytes.is_number_unsigned()) refuse("its size is not a number");
  // An estimate, which is added to others.
  table.bytes = std::min<std::uint64_t>(bytes.get<std::uint64_t>(), std::uint64_t{1} << 50);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const Json& column = record.at("columns").at(i);
    table.columns[i].remark = text_or_nothing(column, "remark");
    if (column.contains("identity_sequence")) {
      table.columns[i].identity_sequence = name_in(column, "identity_sequence");
    }
  }
  require_sound(table);
  std::set<std::string> extents;
  for (const Json& extent : json.at("extents")) {
    const std::string text = extent.get<std::string>();
    if (!extents.insert(text).second) refuse("two of its ranges are one");
    try {
      table.extents.push_back(parse_extent(text));
    } catch (const Error&) {
      refuse("a range of it cannot be read");
    }
  }
  if (!covers_table(table.extents)) refuse("its ranges do not cover it");
  return table;
}

MigrationPlan plan_in(const Json& json) {
  if (text_in(json, "what") != "plan of a sluice archive") refuse("it is not the plan of an archive");
  if (json.at("format") != kFormat) refuse("it has a format that this sluice does not read");
  MigrationPlan plan;
  plan.archived = true;
  plan.schema = name_in(json, "schema");
  if (plan.schema == "sluice") refuse("schema sluice holds the ledger");
  std::set<std::string> sources;
  std::set<std::string> targets;
  for (const Json& entry : json.at("tables")) {
    try {
      plan.tables.push_back(table_in(entry, plan.tables.size()));
    } catch (const Error& error) {
      refuse("table " + std::to_string(plan.tables.size()) + ": " + error.what());
    }
    const TablePlan& table = plan.tables.back();
    if (table.schema != plan.schema) refuse("a table is in another schema");
    if (!sources.insert(table.source).second || !targets.insert(table.target).second) {
      refuse("two tables have one name");
    }
  }
  for (const Json& step : json.at("steps")) plan.steps.push_back(step_in(step, plan.tables.size()));
  for (const Json& object : json.at("left_out")) plan.left_out.push_back(object_in(object));
  return plan;
}

}  // namespace

std::string archive_plan_text(const MigrationPlan& plan) {
  Json json = {{"what", "plan of a sluice archive"}, {"format", kFormat}, {"schema", plan.schema}};
  json["tables"] = Json::array();
  for (const TablePlan& table : plan.tables) json["tables"].push_back(json_of(table));
  json["steps"] = Json::array();
  for (const Step& step : plan.steps) json["steps"].push_back(json_of(step));
  json["left_out"] = Json::array();
  for (const ObjectOutcome& object : plan.left_out) json["left_out"].push_back(json_of(object));
  // What is left out may have SQL that is no UTF-8, which then is shown so.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

MigrationPlan read_archive_plan(std::string_view text) {
  try {
    return plan_in(parse_shallow_json<Json>(text));
  } catch (const Json::exception& error) {
    refuse(std::string("it cannot be read: ") + error.what());
  }
}

}  // namespace sluice
