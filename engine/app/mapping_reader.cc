#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "engine/app/plan_file.h"
#include "engine/app/words.h"
#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/plan/names.h"
#include "engine/plan/offload.h"

namespace sluice {
namespace {

constexpr std::int64_t kPlanFormat = 1;
constexpr std::size_t kMistakesListed = 10;

// Mistakes of one file, to be told all at once.
class Mistakes {
 public:
  // `origin`: file:line, or the file alone.
  void add(const std::string& origin, const std::string& what) {
    mistakes_.push_back(fmt::format("{}: {}", origin, what));
  }

  void throw_any(const std::string& advice) const {
    if (mistakes_.empty()) return;
    std::string text;
    for (std::size_t i = 0; i < std::min(mistakes_.size(), kMistakesListed); ++i) {
      text += (i == 0 ? "" : "; ") + mistakes_[i];
    }
    if (mistakes_.size() > kMistakesListed) {
      text += fmt::format("; and {} more", mistakes_.size() - kMistakesListed);
    }
    throw Error(Fault::usage, text, advice);
  }

 private:
  std::vector<std::string> mistakes_;
};

// Entries in the order of the file; toml++ sorts them by name.
std::vector<std::pair<const toml::key*, const toml::node*>> in_order(const toml::table& table) {
  std::vector<std::pair<const toml::key*, const toml::node*>> entries;
  for (const auto& [key, node] : table) entries.emplace_back(&key, &node);
  std::stable_sort(entries.begin(), entries.end(), [](const auto& left, const auto& right) {
    const auto at = [](const auto& entry) {
      const toml::source_position& begin = entry.first->source().begin;
      return std::pair(begin.line, begin.column);
    };
    return at(left) < at(right);
  });
  return entries;
}

const char* kind_of(const toml::node& node) {
  if (node.is_string()) return "a string";
  if (node.is_integer() || node.is_floating_point()) return "a number";
  if (node.is_boolean()) return "true or false";
  if (node.is_table()) return "a table";
  if (node.is_array()) return "a list";
  return "a date or time";
}

// What a key does with its value. Returns what is wrong with it, or nothing.
template <class Entry>
struct Key {
  std::string_view name;
  std::string (*take)(Entry& entry, const toml::node& value);
};

std::string expected(const char* what, const toml::node& value) {
  return fmt::format("expected {}, found {}", what, kind_of(value));
}

std::string take_text(std::string& text, const toml::node& value) {
  const auto* given = value.as_string();
  if (given == nullptr) return expected("a string", value);
  text = given->get();
  return {};
}

std::string take_flag(bool& flag, const toml::node& value) {
  const auto* given = value.as_boolean();
  if (given == nullptr) return expected("true or false", value);
  flag = given->get();
  return {};
}

template <class Value, std::size_t count>
std::string take_word(Value& taken, const std::array<Word<Value>, count>& words, const toml::node& value) {
  std::string text;
  if (std::string wrong = take_text(text, value); !wrong.empty()) return wrong;
  const std::span<const Word<Value>> list(words);
  const Value* known = value_of(list, text);
  if (known == nullptr) return fmt::format("\"{}\" is not one of {}", text, list_of(list));
  taken = *known;
  return {};
}

std::string take_target(std::optional<std::string>& target, const toml::node& value) {
  std::string name;
  if (std::string wrong = take_text(name, value); !wrong.empty()) return wrong;
  if (name.empty()) return "a name must not be empty";
  if (name.find('\0') != std::string::npos) return "a name must not hold U+0000";
  if (name.size() > kNameBytesMax) {
    return fmt::format("{} bytes are too many for a name, PostgreSQL takes {}", name.size(), kNameBytesMax);
  }
  target = std::move(name);
  return {};
}

std::string take_column_target(ColumnMapping& column, const toml::node& value) {
  std::string wrong = take_target(column.target, value);
  if (wrong.empty() && NameSpace().claim_column(*column.target) != *column.target) {
    wrong = fmt::format("PostgreSQL keeps the name {} for a system column", *column.target);
    column.target.reset();
  }
  return wrong;
}

std::string take_type(ColumnMapping& column, const toml::node& value) {
  std::string text;
  if (std::string wrong = take_text(text, value); !wrong.empty()) return wrong;
  column.type = parse_type(text);
  if (column.type) return {};
  std::vector<std::string> known;
  for (const PgTypeName& name : kPgTypeNames) known.emplace_back(name.sql);
  return fmt::format("\"{}\" is no type of PostgreSQL that sluice writes{}", text, did_you_mean(text, known));
}

std::string take_json(ColumnMapping& column, const toml::node& value) {
  JsonTarget target = JsonTarget::automatic;
  std::string wrong = take_word(target, kJsonWords, value);
  if (!wrong.empty()) return wrong;
  column.json = target;
  column.conversion.lossy_jsonb = target == JsonTarget::jsonb;
  return {};
}

std::string take_bad_text(ColumnMapping& column, const toml::node& value) {
  BadTextPolicy policy = BadTextPolicy::stop;
  std::string wrong = take_word(policy, kBadTextWords, value);
  if (!wrong.empty()) return wrong;
  column.bad_text = policy;
  if (policy == BadTextPolicy::replace) column.conversion.bad_text = BadText::replace;
  if (policy == BadTextPolicy::strip) column.conversion.bad_text = BadText::strip;
  return {};
}

std::string take_misfit(ColumnMapping& column, const toml::node& value) {
  MisfitPolicy policy = MisfitPolicy::widen;
  std::string wrong = take_word(policy, kMisfitWords, value);
  if (wrong.empty()) column.on_misfit = policy;
  return wrong;
}

std::string take_date_format(ColumnMapping& column, const toml::node& value) {
  std::string wrong = take_text(column.conversion.date_format, value);
  if (wrong.empty() && column.conversion.date_format.empty()) wrong = "a format must not be empty";
  return wrong;
}

constexpr std::array kColumnKeys = {
    Key<ColumnMapping>{"target", take_column_target},
    Key<ColumnMapping>{"exclude", [](ColumnMapping& column,
                                     const toml::node& value) { return take_flag(column.exclude, value); }},
    Key<ColumnMapping>{"type", take_type},
    Key<ColumnMapping>{"epoch",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_word(column.conversion.epoch, kEpochWords, value);
                       }},
    Key<ColumnMapping>{"encoding",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_word(column.conversion.encoding, kEncodingWords, value);
                       }},
    Key<ColumnMapping>{"bad-text", take_bad_text},
    Key<ColumnMapping>{"json", take_json},
    Key<ColumnMapping>{"uuid-bytes",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_word(column.conversion.uuid_bytes, kUuidWords, value);
                       }},
    Key<ColumnMapping>{"base64",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_word(column.conversion.base64, kBase64Words, value);
                       }},
    Key<ColumnMapping>{"empty-as-null",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_flag(column.conversion.empty_as_null, value);
                       }},
    Key<ColumnMapping>{"zero-date-as-null",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_flag(column.conversion.zero_date_as_null, value);
                       }},
    Key<ColumnMapping>{"truncate-fraction",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_flag(column.conversion.truncate_fraction, value);
                       }},
    Key<ColumnMapping>{"blob-as-text",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_flag(column.conversion.blob_as_text, value);
                       }},
    Key<ColumnMapping>{"text-as-number",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_flag(column.conversion.text_as_number, value);
                       }},
    Key<ColumnMapping>{"naive-as-utc",
                       [](ColumnMapping& column, const toml::node& value) {
                         return take_flag(column.conversion.naive_as_utc, value);
                       }},
    Key<ColumnMapping>{"date-format", take_date_format},
    Key<ColumnMapping>{"on-misfit", take_misfit},
};

std::string take_range_size(TableMapping& table, const toml::node& value) {
  if (const auto* bytes = value.as_integer(); bytes != nullptr && bytes->get() > 0) {
    table.range_bytes = static_cast<std::uint64_t>(bytes->get());
    return {};
  }
  const auto* text = value.as_string();
  if (text == nullptr) return expected("a size such as \"32MB\"", value);
  try {
    table.range_bytes = parse_size(text->get());
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

constexpr std::array kTableKeys = {
    Key<TableMapping>{"target", [](TableMapping& table,
                                   const toml::node& value) { return take_target(table.target, value); }},
    Key<TableMapping>{"exclude", [](TableMapping& table,
                                    const toml::node& value) { return take_flag(table.exclude, value); }},
    Key<TableMapping>{"range-size", take_range_size},
    Key<TableMapping>{"keep-rowid",
                      [](TableMapping& table, const toml::node& value) {
                        bool keep = false;
                        std::string wrong = take_flag(keep, value);
                        if (wrong.empty()) table.keep_rowid = keep;
                        return wrong;
                      }},
};

std::string take_store(OffloadMapping& offload, const toml::node& value) {
  std::string wrong = take_text(offload.store, value);
  if (wrong.empty() && !offload.store.starts_with("file:///") && !offload.store.starts_with("s3://")) {
    wrong = fmt::format("\"{}\" is neither file:///FOLDER nor s3://BUCKET/PREFIX", offload.store);
  }
  return wrong;
}

std::string take_name(std::string& name, const toml::node& value) {
  std::optional<std::string> given;
  std::string wrong = take_target(given, value);
  if (wrong.empty() && NameSpace().claim_column(*given) != *given) {
    wrong = fmt::format("PostgreSQL keeps the name {} for a system column", *given);
  }
  if (wrong.empty()) name = *given;
  return wrong;
}

std::string take_name(std::optional<std::string>& name, const toml::node& value) {
  std::string given;
  std::string wrong = take_name(given, value);
  if (wrong.empty()) name = std::move(given);
  return wrong;
}

constexpr std::array kOffloadKeys = {
    Key<OffloadMapping>{"store", take_store},
    Key<OffloadMapping>{"path", [](OffloadMapping& offload,
                                   const toml::node& value) { return take_name(offload.path, value); }},
    Key<OffloadMapping>{"storage-type",
                        [](OffloadMapping& offload, const toml::node& value) {
                          return take_name(offload.storage_type, value);
                        }},
    Key<OffloadMapping>{"size", [](OffloadMapping& offload,
                                   const toml::node& value) { return take_name(offload.size, value); }},
    Key<OffloadMapping>{"sha256", [](OffloadMapping& offload,
                                     const toml::node& value) { return take_name(offload.sha256, value); }},
    Key<OffloadMapping>{"media-type",
                        [](OffloadMapping& offload, const toml::node& value) {
                          return take_name(offload.media_type, value);
                        }},
    Key<OffloadMapping>{"source",
                        [](OffloadMapping& offload, const toml::node& value) {
                          return take_word(offload.source, kOffloadedWords, value);
                        }},
    Key<OffloadMapping>{"data-uri",
                        [](OffloadMapping& offload, const toml::node& value) {
                          return take_flag(offload.text.data_uri, value);
                        }},
    Key<OffloadMapping>{"line-breaks",
                        [](OffloadMapping& offload, const toml::node& value) {
                          return take_flag(offload.text.line_breaks, value);
                        }},
    Key<OffloadMapping>{"url-alphabet",
                        [](OffloadMapping& offload, const toml::node& value) {
                          return take_flag(offload.text.url_alphabet, value);
                        }},
    Key<OffloadMapping>{"missing-padding",
                        [](OffloadMapping& offload, const toml::node& value) {
                          return take_flag(offload.text.missing_padding, value);
                        }},
    Key<OffloadMapping>{
        "compress",
        [](OffloadMapping& offload, const toml::node& value) { return take_flag(offload.compress, value); }},
};

template <class Keys>
std::vector<std::string> names_of(const Keys& keys) {
  std::vector<std::string> names;
  for (const auto& key : keys) names.emplace_back(key.name);
  return names;
}

// Why the type and what is to be done with the values contradict each other; empty when they agree.
std::string contradiction_of(const ColumnMapping& column) {
  if (column.bad_text == BadTextPolicy::bytea && column.type && column.type->type != PgType::bytea) {
    return fmt::format("bad-text = \"bytea\" makes it bytea, and type says {}",
                       name_of(column.type->type).sql);
  }
  if (column.json && column.type) {
    const PgType type = column.type->type;
    const bool agree =
        (*column.json == JsonTarget::json && type == PgType::json) ||
        (*column.json == JsonTarget::jsonb && type == PgType::jsonb) ||
        (*column.json == JsonTarget::text && type == PgType::text) ||
        (*column.json == JsonTarget::automatic && (type == PgType::json || type == PgType::jsonb));
    if (!agree) {
      return fmt::format("json = \"{}\" does not go with type {}",
                         word_of(std::span<const Word<JsonTarget>>(kJsonWords), *column.json),
                         name_of(type).sql);
    }
  }
  return column.type ? why_not(column.conversion, column.type->type) : std::string();
}

class MappingReader {
 public:
  explicit MappingReader(std::string_view file) : file_(file) {}

  Mapping read(const toml::table& root) {
    Mapping mapping;
    mapping.origin = file_;
    for (const auto& [key, node] : in_order(root)) {
      if (key->str() == "plan") {
        read_format(*key, *node, mapping);
      } else if (key->str() == "tables") {
        if (const toml::table* tables = node->as_table()) {
          read_tables(*tables, mapping);
        } else {
          mistake(*key, expected("a table for each table, such as [tables.\"orders\"]", *node));
        }
      }
    }
    for (TableMapping& table : mapping.tables) table.complete = mapping.complete && !table.exclude;
    mistakes_.throw_any("sluice plan SOURCE writes a file with the right names and types");
    return mapping;
  }

 private:
  [[nodiscard]] std::string origin_of(const toml::key& key) const {
    return fmt::format("{}:{}", file_, key.source().begin.line);
  }
  void mistake(const toml::key& key, const std::string& what) { mistakes_.add(origin_of(key), what); }

  void read_format(const toml::key& key, const toml::node& node, Mapping& mapping) {
    const auto* format = node.as_integer();
    if (format == nullptr || format->get() != kPlanFormat) {
      mistake(key, fmt::format("this sluice reads plan = {}", kPlanFormat));
    }
    mapping.complete = true;
    mapping.origin = origin_of(key);
  }

  // Returns false for a key that is not among them.
  template <class Entry, std::size_t count>
  bool take(const std::array<Key<Entry>, count>& keys, Entry& entry, const toml::key& key,
            const toml::node& node) {
    const auto known =
        std::find_if(keys.begin(), keys.end(), [&](const auto& row) { return row.name == key.str(); });
    if (known == keys.end()) return false;
    const std::string wrong = known->take(entry, node);
    if (!wrong.empty()) mistake(key, fmt::format("{}: {}", key.str(), wrong));
    return true;
  }

  void read_tables(const toml::table& tables, Mapping& mapping) {
    std::map<std::string, std::string> seen;     // folded name -> origin
    std::map<std::string, std::string> targets;  // target -> table
    for (const auto& [key, node] : in_order(tables)) {
      TableMapping table;
      table.table = key->str();
      table.origin = origin_of(*key);
      const toml::table* entry = node->as_table();
      if (entry == nullptr) {
        mistake(*key, fmt::format("table {}: {}", table.table, expected("a table of settings", *node)));
        continue;
      }
      if (const auto [other, fresh] = seen.try_emplace(fold_ascii(table.table), table.origin); !fresh) {
        mistake(*key, fmt::format("table {} has an entry at {} already; SQLite compares names without case",
                                  table.table, other->second));
        continue;
      }
      read_table(*entry, table);
      if (table.target && !table.exclude) {
        if (const auto [other, fresh] = targets.try_emplace(*table.target, table.table); !fresh) {
          mistake(*key, fmt::format("the tables {} and {} have one target, {}", other->second, table.table,
                                    *table.target));
        }
      }
      mapping.tables.push_back(std::move(table));
    }
  }

  void read_table(const toml::table& entry, TableMapping& table) {
    for (const auto& [key, node] : in_order(entry)) {
      if (key->str() == "columns") {
        if (const toml::table* columns = node->as_table()) {
          read_columns(*columns, table);
        } else {
          mistake(*key, expected("a table of columns", *node));
        }
      } else if (key->str() == "offload") {
        if (const toml::table* offloads = node->as_table()) {
          read_offloads(*offloads, table);
        } else {
          mistake(*key,
                  expected("a table for each column, such as [tables.\"File\".offload.\"data\"]", *node));
        }
      } else if (!take(kTableKeys, table, *key, *node)) {
        std::vector<std::string> known = names_of(kTableKeys);
        known.emplace_back("columns");
        known.emplace_back("offload");
        mistake(*key, fmt::format("unknown key {} for table {}{}", key->str(), table.table,
                                  did_you_mean(key->str(), known)));
      }
    }
  }

  void read_offloads(const toml::table& offloads, TableMapping& table) {
    for (const auto& [key, node] : in_order(offloads)) {
      OffloadMapping offload;
      offload.column = key->str();
      offload.origin = origin_of(*key);
      const toml::table* entry = node->as_table();
      if (entry == nullptr) {
        mistake(*key, fmt::format("offload of {}: {}", offload.column,
                                  expected("settings such as { store = \"file:///var/files\" }", *node)));
        continue;
      }
      for (const auto& [name, setting] : in_order(*entry)) {
        if (take(kOffloadKeys, offload, *name, *setting)) continue;
        mistake(*name,
                fmt::format("unknown key {} for the offload of column {} of {}{}", name->str(),
                            offload.column, table.table, did_you_mean(name->str(), names_of(kOffloadKeys))));
      }
      if (offload.store.empty() && !entry->contains("store")) {
        mistake(*key, fmt::format("the offload of column {} of {} needs a store, such as store = "
                                  "\"file:///var/files\"",
                                  offload.column, table.table));
      }
      const auto same = [&](const OffloadMapping& other) {
        return fold_ascii(other.column) == fold_ascii(offload.column);
      };
      if (std::any_of(table.offloads.begin(), table.offloads.end(), same)) {
        mistake(*key, fmt::format("column {} has an offload already; SQLite compares names without case",
                                  offload.column));
      }
      table.offloads.push_back(std::move(offload));
    }
  }

  void read_columns(const toml::table& columns, TableMapping& table) {
    std::map<std::string, std::string> seen;
    std::map<std::string, std::string> targets;
    for (const auto& [key, node] : in_order(columns)) {
      ColumnMapping column;
      column.column = key->str();
      column.origin = origin_of(*key);
      const toml::table* entry = node->as_table();
      if (entry == nullptr) {
        mistake(*key, fmt::format("column {}: {}", column.column,
                                  expected("settings such as { type = \"bigint\" }", *node)));
        continue;
      }
      if (const auto [other, fresh] = seen.try_emplace(fold_ascii(column.column), column.origin); !fresh) {
        mistake(*key,
                fmt::format("column {} of {} has an entry at {} already; SQLite compares names without case",
                            column.column, table.table, other->second));
        continue;
      }
      read_column(*entry, table, column);
      if (column.target) {
        if (const auto [other, fresh] = targets.try_emplace(*column.target, column.column); !fresh) {
          mistake(*key, fmt::format("the columns {} and {} of {} have one target, {}", other->second,
                                    column.column, table.table, *column.target));
        }
      }
      table.columns.push_back(std::move(column));
    }
  }

  void read_column(const toml::table& entry, const TableMapping& table, ColumnMapping& column) {
    for (const auto& [key, node] : in_order(entry)) {
      if (!take(kColumnKeys, column, *key, *node)) {
        mistake(*key, fmt::format("unknown key {} for column {} of {}{}", key->str(), column.column,
                                  table.table, did_you_mean(key->str(), names_of(kColumnKeys))));
        continue;
      }
      if (key->str() == "type") column.type_origin = origin_of(*key);
      if (column.conversion.any() && column.conversion_origin.empty()) {
        column.conversion_origin = origin_of(*key);
      }
    }
    const std::string wrong = contradiction_of(column);
    if (wrong.empty()) return;
    const std::string& origin =
        column.conversion_origin.empty() ? column.type_origin : column.conversion_origin;
    mistakes_.add(origin, fmt::format("column {} of {}: {}", column.column, table.table, wrong));
  }

  std::string file_;
  Mistakes mistakes_;
};

// ---- against the source ----

class MappingChecker {
 public:
  MappingChecker(const Mapping& mapping, const Catalog& catalog) : mapping_(mapping), catalog_(catalog) {}

  void check() {
    std::vector<std::string> names;
    for (const SourceTable& table : catalog_.tables) names.push_back(table.name);
    for (const TableMapping& wishes : mapping_.tables) {
      const SourceTable* table = find(wishes.table);
      if (table != nullptr) {
        check_table(wishes, *table);
      } else {
        mistakes_.add(wishes.origin, fmt::format("{}the source has no table {}{}", no_longer(), wishes.table,
                                                 did_you_mean(wishes.table, names)));
      }
    }
    if (mapping_.complete) {
      for (const std::string& name : names) {
        if (mapping_.table(name) != nullptr) continue;
        mistakes_.add(mapping_.origin,
                      fmt::format("{}it has a table {}, which is not here", no_longer(), name));
      }
    }
    mistakes_.throw_any(mapping_.complete ? "run sluice plan again"
                                          : "sluice inspect SOURCE lists what there is");
  }

 private:
  [[nodiscard]] const char* no_longer() const {
    return mapping_.complete ? "the plan no longer fits the source: " : "";
  }

  [[nodiscard]] const SourceTable* find(const std::string& name) const {
    const auto found =
        std::find_if(catalog_.tables.begin(), catalog_.tables.end(),
                     [&](const SourceTable& table) { return fold_ascii(table.name) == fold_ascii(name); });
    return found == catalog_.tables.end() ? nullptr : &*found;
  }

  void check_table(const TableMapping& wishes, const SourceTable& table) {
    std::vector<std::string> names;
    for (const SourceColumn& column : table.columns) names.push_back(column.name);
    const std::size_t stored = names.size();
    if (wishes.keep_rowid.value_or(mapping_.keep_rowid) && !table.rowid_alias && !table.rowid_name.empty()) {
      names.push_back(table.rowid_name);
    }
    for (const ColumnMapping& column : wishes.columns) {
      const auto same = [&](const std::string& name) {
        return fold_ascii(name) == fold_ascii(column.column);
      };
      const auto found = std::find_if(names.begin(), names.end(), same);
      if (found == names.end()) {
        mistakes_.add(column.origin, fmt::format("{}table {} has no column {}{}", no_longer(), table.name,
                                                 column.column, did_you_mean(column.column, names)));
      } else if (table.rowid_alias == static_cast<std::size_t>(found - names.begin())) {
        check_key(column, table);
      }
    }
    for (const OffloadMapping& offload : wishes.offloads) {
      const auto same = [&](const std::string& name) {
        return fold_ascii(name) == fold_ascii(offload.column);
      };
      if (std::any_of(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(stored), same)) continue;
      mistakes_.add(offload.origin, fmt::format("{}table {} has no column {}{}", no_longer(), table.name,
                                                offload.column, did_you_mean(offload.column, names)));
    }
    if (!wishes.complete) return;
    for (std::size_t i = 0; i < stored; ++i) {
      if (find_column(&wishes, names[i]) != nullptr || is_dropped_by_offload(&wishes, names[i])) continue;
      mistakes_.add(wishes.origin, fmt::format("{}table {} has a column {}, which is not here", no_longer(),
                                               table.name, names[i]));
    }
  }

  // The rowid is an identity column, its ranges are ranges of integers.
  void check_key(const ColumnMapping& column, const SourceTable& table) {
    if (!column.type || column.type->type == PgType::int8) return;
    mistakes_.add(column.type_origin,
                  fmt::format("column {} of {} is SQLite's rowid, so its type must be bigint", column.column,
                              table.name));
  }

  const Mapping& mapping_;
  const Catalog& catalog_;
  Mistakes mistakes_;
};

}  // namespace

Mapping read_mapping(std::string_view toml, std::string_view file_name) {
  toml::table root;
  try {
    root = toml::parse(toml);
  } catch (const toml::parse_error& error) {
    throw Error(
        Fault::usage, fmt::format("{}:{}: {}", file_name, error.source().begin.line, error.description()),
        "the file is TOML; names with other characters than letters, digits, _ and - stand in quotes");
  }
  return MappingReader(file_name).read(root);
}

void check_mapping(const Mapping& mapping, const Catalog& catalog) {
  MappingChecker(mapping, catalog).check();
}

void check_conversions(const Mapping& mapping, const MigrationPlan& plan) {
  Mistakes mistakes;
  for (const TablePlan& table : plan.tables) {
    for (const ColumnPlan& column : table.columns) {
      const ColumnMapping* wish = find_column(mapping.table(table.source), column.source);
      if (wish == nullptr || wish->conversion_origin.empty()) continue;
      const std::string wrong = why_not(wish->conversion, column.type);
      if (wrong.empty()) continue;
      mistakes.add(wish->conversion_origin,
                   fmt::format("column {} of {}: {}", column.source, table.source, wrong));
    }
  }
  mistakes.throw_any("give the column a type that takes it, with the key type");
}

}  // namespace sluice
