#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/app/inspect_report.h"
#include "engine/app/version.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, kTextFormCount> kForms = {
    "date",        "time",    "timestamp",  "timestamptz", "compact_date", "rfc2822",
    "zero_date",   "integer", "number",     "boolean",     "json",         "json_scalar",
    "jsonb_exact", "uuid",    "uuid_lower", "base64",      "plain_integer"};
constexpr std::array<const char*, kSurpriseCount> kExamples = {
    "class_not_declared", "integer_beyond_double", "infinite",    "nul_character",
    "invalid_utf8",       "form_not_declared",     "null_in_key", "longest"};

double rounded(double value, double unit = 1000) { return std::round(value * unit) / unit; }

Json json_of(const ColumnFacts& facts) {
  Json json = {{"examined", facts.examined}};
  if (!facts.examined) return json;
  const bool integers = facts.integers > 0;
  json.update({{"nulls", facts.nulls},
               {"integers", facts.integers},
               {"reals", facts.reals},
               {"texts", facts.texts},
               {"blobs", facts.blobs},
               {"integer_min", integers ? Json(facts.integer_min) : Json()},
               {"integer_max", integers ? Json(facts.integer_max) : Json()},
               {"integers_beyond_double", facts.integers_beyond_double},
               {"integers_zero_or_one", facts.integers_zero_or_one},
               {"reals_whole", facts.reals_whole},
               {"reals_whole_beyond_double", facts.reals_whole_beyond_double},
               {"reals_infinite", facts.reals_infinite},
               {"reals_zero_or_one", facts.reals_zero_or_one},
               {"texts_empty", facts.texts_empty},
               {"texts_with_nul", facts.texts_with_nul},
               {"texts_invalid_utf8", facts.texts_invalid_utf8},
               {"texts_replaced", facts.texts_replaced},
               {"characters_longest", facts.characters_longest},
               {"blobs_of_16_bytes", facts.blobs_of_16_bytes},
               {"blobs_of_text", facts.blobs_of_text},
               {"bytes_longest", facts.bytes_longest},
               {"bytes_total", facts.bytes_total},
               {"forms_examined", facts.forms_examined}});
  Json forms = Json::object();
  for (std::size_t i = 0; i < kTextFormCount; ++i) forms[kForms[i]] = facts.forms[i];
  Json examples = Json::object();
  for (std::size_t i = 0; i < kSurpriseCount; ++i) {
    if (const auto& example = facts.examples[i]) {
      examples[kExamples[i]] = {{"key", example->key}, {"value", example->value}};
    }
  }
  json["forms"] = forms;
  json["examples"] = examples;
  return json;
}

Json json_of(const Growth& growth) {
  return {{"column", growth.column},
          {"first_day", iso_day(growth.first_day)},
          {"last_day", iso_day(growth.last_day)},
          {"rows", growth.rows},
          {"recent_days", growth.recent_days},
          {"recent_per_day", rounded(growth.recent_per_day)},
          {"overall_per_day", rounded(growth.overall_per_day)},
          {"long_enough", growth.long_enough},
          {"sampled", growth.sampled}};
}

Json json_of(const SourceForeignKey& key, const ForeignKeyCheck& check) {
  return {{"columns", key.columns},   {"parent", key.parent},   {"parent_columns", key.parent_columns},
          {"orphans", check.orphans}, {"rowids", check.rowids}, {"reason", check.reason}};
}

Json columns_of(const InspectedTable& table) {
  Json columns = Json::array();
  for (std::size_t i = 0; i < table.source->columns.size(); ++i) {
    const SourceColumn& column = table.source->columns[i];
    const ColumnPlan* plan = column_at(*table.plan, i);
    columns.push_back(
        {{"name", column.name},
         {"target", plan == nullptr ? Json() : Json(plan->target)},
         {"declared", column.declared_type},
         {"type", plan == nullptr ? Json() : Json(type_of(*plan))},
         {"conversion", plan == nullptr ? std::string() : describe(plan->conversion)},
         {"remark", plan == nullptr ? std::string() : plan->remark},
         {"facts", json_of(i < table.facts->columns.size() ? table.facts->columns[i] : ColumnFacts())}});
  }
  return columns;
}

Json json_of(const InspectedTable& table) {
  Json keys = Json::array();
  if (table.foreign_keys != nullptr) {
    for (const ForeignKeyCheck& check : *table.foreign_keys) {
      keys.push_back(json_of(table.source->foreign_keys[check.key], check));
    }
  }
  return {{"name", table.plan->source},
          {"target", table.plan->target},
          {"rows", table.facts->rows},
          {"bytes", table.bytes},
          {"estimated_bytes", static_cast<std::uint64_t>(table.estimate.bytes.likely)},
          {"without_rowid", table.source->without_rowid},
          {"strict", table.source->strict},
          {"growth", table.growth == nullptr ? Json() : json_of(*table.growth)},
          {"foreign_keys", keys},
          {"columns", columns_of(table)}};
}

Json json_of(const SurpriseLine& line) {
  return {{"kind", name_of(line.kind)},  {"table", line.table},    {"column", line.column},
          {"what", line.what},           {"count", line.count},    {"key", line.example.key},
          {"value", line.example.value}, {"resolve", line.resolve}};
}

Json json_of(const Threshold& threshold) {
  return {{"name", threshold.name},
          {"distance", name_of(threshold.distance)},
          {"value", rounded(threshold.value)},
          {"limit", threshold.limit},
          {"table", threshold.table},
          {"column", threshold.column},
          {"remark", threshold.remark}};
}

Json objects_of(const Inspection& inspection) {
  Json objects = Json::array();
  for (const auto* list : {&inspection.missing, &inspection.expressions, &inspection.changed}) {
    for (const ObjectOutcome* object : *list) {
      const bool arrives = list == &inspection.changed;
      objects.push_back({{"kind", object->kind},
                         {"table", object->table},
                         {"name", object->name},
                         {"status", arrives ? "created" : "not_created"},
                         {"sql", object->sql},
                         {"reason", object->reason},
                         {"proposal", object->proposal}});
    }
  }
  return objects;
}

template <class List>
Json list_of(const List& list) {
  Json json = Json::array();
  for (const auto& one : list) json.push_back(json_of(one));
  return json;
}

std::uint64_t whole(double value) { return static_cast<std::uint64_t>(value); }

}  // namespace

std::string inspection_json(const Inspection& inspection) {
  const InspectionInput& source = inspection.source;
  const Json json = {{"sluice_version", kVersion},
                     {"time_to_move", name_of(inspection.time_to_move)},
                     {"source",
                      {{"path", source.path},
                       {"bytes", source.bytes},
                       {"fingerprint", source.fingerprint},
                       {"remark", source.remark}}},
                     {"thresholds", list_of(inspection.thresholds)},
                     {"estimate",
                      {{"bytes", whole(inspection.bytes.likely)},
                       {"bytes_low", whole(inspection.bytes.low)},
                       {"bytes_high", whole(inspection.bytes.high)},
                       {"seconds", rounded(inspection.seconds.likely)},
                       {"seconds_low", rounded(inspection.seconds.low)},
                       {"seconds_high", rounded(inspection.seconds.high)},
                       {"jobs", inspection.jobs}}},
                     {"rows", inspection.rows},
                     {"profile_seconds", rounded(source.profile_seconds)},
                     {"surprises", list_of(inspection.surprises)},
                     {"tables", list_of(inspection.tables)},
                     {"objects", objects_of(inspection)}};
  // Names may be any bytes, and a report must not fail over one. ASCII: nothing for a terminal to act upon.
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace sluice
