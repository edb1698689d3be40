#include "engine/app/plan_record.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/app/words.h"
#include "engine/model/error.h"
#include "engine/plan/ddl.h"
#include "verify/leaves.h"
#include "verify/row_digest.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kRecordFormat = 2;
// Of a table without offloads, which sluices before them read as well.
constexpr int kFirstRecordFormat = 1;

// It came through a database, where anybody may have been at it: no fault of this program.
[[noreturn]] void refuse_record() {
  throw Error(Fault::target_refused, "the ledger holds a plan that cannot be read",
              "--scan reads both sides and does without it");
}

constexpr std::array kRepairWords = {Word{"replace", BadText::replace}, Word{"strip", BadText::strip}};
constexpr std::array kRoleWords = {Word{"content", OffloadRole::content},
                                   Word{"path", OffloadRole::path},
                                   Word{"storage_type", OffloadRole::storage_type},
                                   Word{"size", OffloadRole::size},
                                   Word{"sha256", OffloadRole::sha256},
                                   Word{"media_type", OffloadRole::media_type}};
constexpr std::array kRowKeyWords = {Word{"ordered", RowKey::ordered_integer},
                                     Word{"columns", RowKey::columns}, Word{"rowid", RowKey::rowid},
                                     Word{"none", RowKey::none}};

// Each conversion once, for both directions: `put` and `take` are called with the key and the member.
template <class Record, class Words, class Flag, class Text>
void each_conversion(Record& conversion, const Words& words, const Flag& flag, const Text& text) {
  words("epoch", conversion.epoch, std::span(kEpochWords));
  words("encoding", conversion.encoding, std::span(kEncodingWords));
  words("bad-text", conversion.bad_text, std::span(kRepairWords));
  words("uuid-bytes", conversion.uuid_bytes, std::span(kUuidWords));
  words("base64", conversion.base64, std::span(kBase64Words));
  flag("empty-as-null", conversion.empty_as_null);
  flag("zero-date-as-null", conversion.zero_date_as_null);
  flag("truncate-fraction", conversion.truncate_fraction);
  flag("blob-as-text", conversion.blob_as_text);
  flag("text-as-number", conversion.text_as_number);
  flag("naive-as-utc", conversion.naive_as_utc);
  flag("lossy-jsonb", conversion.lossy_jsonb);
  text("date-format", conversion.date_format);
}

Json record_of(const Conversion& conversion) {
  Json record = Json::object();
  each_conversion(
      conversion,
      [&](const char* key, auto value, auto words) {
        const std::string_view word = word_of(std::span<const Word<decltype(value)>>(words), value);
        if (!word.empty()) record[key] = word;
      },
      [&](const char* key, bool value) {
        if (value) record[key] = true;
      },
      [&](const char* key, const std::string& value) {
        if (!value.empty()) record[key] = value;
      });
  return record;
}

Conversion conversion_of(const Json& record) {
  Conversion conversion;
  std::size_t taken = 0;
  each_conversion(
      conversion,
      [&](const char* key, auto& value, auto words) {
        if (!record.contains(key)) return;
        using Value = std::remove_reference_t<decltype(value)>;
        const Value* found =
            value_of(std::span<const Word<Value>>(words), record.at(key).template get<std::string>());
        if (found == nullptr) return;
        value = *found;
        ++taken;
      },
      [&](const char* key, bool& value) {
        if (!record.contains(key)) return;
        value = record.at(key).get<bool>();
        ++taken;
      },
      [&](const char* key, std::string& value) {
        if (!record.contains(key)) return;
        value = record.at(key).get<std::string>();
        ++taken;
      });
  if (taken != record.size()) {
    throw Error(Fault::target_refused, "the ledger holds a conversion that this sluice does not know",
                "it was written by a newer sluice; use that one");
  }
  return conversion;
}

PgType type_named(const std::string& sql) {
  const auto* found = std::find_if(kPgTypeNames.begin(), kPgTypeNames.end(),
                                   [&](const PgTypeName& name) { return name.sql == sql; });
  if (found != kPgTypeNames.end()) return found->type;
  throw Error(Fault::target_refused, "the ledger holds a type that this sluice does not know: " + sql,
              "it was written by a newer sluice; use that one");
}

Json record_of(const ColumnPlan& column) {
  Json record;
  record["source"] = column.source;
  record["target"] = column.target;
  record["declared"] = column.declared_type;
  record["type"] = name_of(column.type).sql;
  if (column.modifier.length >= 0) record["length"] = column.modifier.length;
  if (column.modifier.scale >= 0) record["scale"] = column.modifier.scale;
  if (!column.type_name.empty()) record["type_name"] = column.type_name;
  if (!column.labels.empty()) record["labels"] = column.labels;
  if (column.conversion.any()) record["conversion"] = record_of(column.conversion);
  if (column.not_null) record["not_null"] = true;
  record["place"] = column.place;
  if (!column.generated_as.empty()) record["generated_as"] = column.generated_as;
  if (column.role != OffloadRole::none) {
    record["role"] = word_of(std::span<const Word<OffloadRole>>(kRoleWords), column.role);
    record["offload"] = column.offload;
    if (column.added) record["added"] = true;
  }
  return record;
}

Json record_of(const OffloadPlan& offload) {
  Json record;
  record["column"] = offload.column;
  record["place"] = offload.place;
  record["store"] = offload.store;
  record["source"] = name_of(offload.afterwards);
  if (offload.text.data_uri) record["data_uri"] = true;
  if (offload.text.line_breaks) record["line_breaks"] = true;
  if (offload.text.url_alphabet) record["url_alphabet"] = true;
  if (offload.text.missing_padding) record["missing_padding"] = true;
  if (offload.compress) record["compress"] = true;
  return record;
}

OffloadPlan offload_of(const Json& record) {
  OffloadPlan offload;
  offload.column = record.at("column").get<std::string>();
  offload.place = record.at("place").get<std::size_t>();
  offload.store = record.at("store").get<std::string>();
  const OffloadedColumn* afterwards = value_of(std::span<const Word<OffloadedColumn>>(kOffloadedWords),
                                               record.at("source").get<std::string>());
  if (afterwards == nullptr) refuse_record();
  offload.afterwards = *afterwards;
  offload.text.data_uri = record.value("data_uri", false);
  offload.text.line_breaks = record.value("line_breaks", false);
  offload.text.url_alphabet = record.value("url_alphabet", false);
  offload.text.missing_padding = record.value("missing_padding", false);
  offload.compress = record.value("compress", false);
  return offload;
}

ColumnPlan column_of(const Json& record) {
  ColumnPlan column;
  column.source = record.at("source").get<std::string>();
  column.target = record.at("target").get<std::string>();
  column.declared_type = record.at("declared").get<std::string>();
  column.type = type_named(record.at("type").get<std::string>());
  column.modifier.length = record.value("length", -1);
  column.modifier.scale = record.value("scale", -1);
  column.type_name = record.value("type_name", std::string());
  column.labels = record.value("labels", std::vector<std::string>());
  if (record.contains("conversion")) column.conversion = conversion_of(record.at("conversion"));
  column.not_null = record.value("not_null", false);
  column.place = record.at("place").get<std::size_t>();
  column.generated_as = record.value("generated_as", std::string());
  if (record.contains("role")) {
    const OffloadRole* role =
        value_of(std::span<const Word<OffloadRole>>(kRoleWords), record.at("role").get<std::string>());
    if (role == nullptr) refuse_record();
    column.role = *role;
    column.offload = record.at("offload").get<std::size_t>();
    column.added = record.value("added", false);
  }
  return column;
}

}  // namespace

std::string plan_record_of(const TablePlan& table) {
  Json record;
  record["format"] = table.offloads.empty() ? kFirstRecordFormat : kRecordFormat;
  record["digest_format"] = kDigestFormat;
  record["source"] = table.source;
  record["schema"] = table.schema;
  record["target"] = table.target;
  record["row_key"] = word_of(std::span<const Word<RowKey>>(kRowKeyWords), table.row_key);
  record["key_columns"] = table.key_columns;
  record["rowid_name"] = table.rowid_name;
  record["without_rowid"] = table.without_rowid;
  record["columns"] = Json::array();
  for (const ColumnPlan& column : table.columns) record["columns"].push_back(record_of(column));
  for (const OffloadPlan& offload : table.offloads) record["offloads"].push_back(record_of(offload));
  // A name need not be valid UTF-8; the server would refuse it anyway.
  return record.dump(-1, ' ', false, Json::error_handler_t::replace);
}

TablePlan read_plan_record(std::string_view text) {
  try {
    const Json record = Json::parse(text);
    if (record.at("format").get<int>() > kRecordFormat) {
      throw Error(Fault::target_refused, "the ledger was written by a newer sluice",
                  "use that version, or read both sides: --scan");
    }
    if (record.at("digest_format").get<int>() != kDigestFormat) {
      throw Error(Fault::target_refused, "the ledger has digests of another form than this sluice makes",
                  "use the version that wrote it, or read both sides: --scan");
    }
    TablePlan table;
    table.source = record.at("source").get<std::string>();
    table.schema = record.at("schema").get<std::string>();
    table.target = record.at("target").get<std::string>();
    const RowKey* key =
        value_of(std::span<const Word<RowKey>>(kRowKeyWords), record.at("row_key").get<std::string>());
    if (key == nullptr) refuse_record();
    table.row_key = *key;
    table.key_columns = record.at("key_columns").get<std::vector<std::size_t>>();
    table.rowid_name = record.at("rowid_name").get<std::string>();
    table.without_rowid = record.at("without_rowid").get<bool>();
    for (const Json& column : record.at("columns")) table.columns.push_back(column_of(column));
    const bool keys_are_columns =
        std::all_of(table.key_columns.begin(), table.key_columns.end(),
                    [&](std::size_t column) { return column < table.columns.size(); });
    if (!keys_are_columns) refuse_record();
    if (record.contains("offloads")) {
      for (const Json& offload : record.at("offloads")) table.offloads.push_back(offload_of(offload));
    }
    const bool roles_are_offloads =
        std::all_of(table.columns.begin(), table.columns.end(), [&](const ColumnPlan& column) {
          return column.role == OffloadRole::none || column.offload < table.offloads.size();
        });
    if (!roles_are_offloads) refuse_record();
    return table;
  } catch (const Json::exception&) {
    refuse_record();
  }
}

std::string hash_of_plan(const MigrationPlan& plan) {
  std::string text = "digest " + std::to_string(kDigestFormat) + "\n" + script_of(plan);
  for (const TablePlan& table : plan.tables) {
    if (plan.into_existing) text += '\n' + create_table_sql(table);  // which the script then leaves out
    text += '\n' + table.source;
    for (const ColumnPlan& column : table.columns) {
      text += '\0' + column.source + '\0' + describe(column.conversion);
      if (column.role != OffloadRole::none) {
        text += '\0' + std::to_string(static_cast<int>(column.role)) + ' ' + std::to_string(column.offload);
      }
    }
    for (const OffloadPlan& offload : table.offloads) {
      text += "\noffload " + offload.column + '\0' + describe(offload);
    }
  }
  return to_hex(digest_of_bytes(std::as_bytes(std::span(text))));
}

}  // namespace sluice
