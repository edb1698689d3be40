#include "engine/app/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <utility>

#include "engine/model/digest.h"
#include "engine/model/error.h"
#include "engine/model/quote.h"
#include "engine/offload/file_text.h"
#include "engine/offload/offload_source.h"
#include "engine/plan/declared_type.h"
#include "io/wire/column_profile.h"
#include "io/wire/row_encoder.h"
#include "verify/row_digest.h"

namespace sluice {
namespace {

struct ScanTask {
  const TablePlan* plan = nullptr;
  const Extent* extent = nullptr;
  std::size_t table = 0;  // for the caller
};

void add_tasks(std::vector<ScanTask>& tasks, const TablePlan& plan, std::size_t table) {
  for (const Extent& extent : plan.extents) tasks.push_back({&plan, &extent, table});
}

// `visit` reads each task's scan to its end, several at a time, or to its damage; `record` then gets the
// tasks one by one and in their order, whatever the order in which they were finished, so that the outcome
// does not depend on it.
void scan_all(Snapshot& snapshot, const std::vector<ScanTask>& tasks,
              const std::function<void(std::size_t task, Scan& scan)>& visit,
              const std::function<void(std::size_t task)>& record, Console& console, const StopRequest& stop,
              PhaseClock* clock, Damage* damage) {
  std::vector<bool> finished(tasks.size());
  std::size_t recorded = 0;
  std::atomic<std::size_t> done{0};
  PipelineWork work;
  work.lanes = snapshot.readers();
  work.tasks = tasks.size();
  work.body = [&](std::size_t lane, std::size_t task) {
    std::optional<PhaseClock::Share> share;
    if (clock != nullptr) share.emplace(*clock);
    try {
      const auto scan = snapshot.reader(lane).scan(*tasks[task].plan, *tasks[task].extent);
      visit(task, *scan);
    } catch (const Error& error) {
      if (damage == nullptr || !damage->note(error)) throw;
    }
    done.fetch_add(1, std::memory_order_relaxed);
  };
  work.record = [&](std::size_t task) {
    finished[task] = true;
    for (; recorded < tasks.size() && finished[recorded]; ++recorded) record(recorded);
  };
  const Ticker ticker(console.interval_seconds(), [&] {
    console.progress("profile", done.load(std::memory_order_relaxed), tasks.size());
  });
  if (!run_pipeline(work, stop)) {
    throw Error(Fault::interrupted, "stopped before the first row", "run the same command again");
  }
}

// ---- facts ----

const SourceTable& source_of(const Catalog& catalog, const std::string& name) {
  const auto found = std::find_if(catalog.tables.begin(), catalog.tables.end(),
                                  [&](const SourceTable& table) { return table.name == name; });
  if (found == catalog.tables.end()) throw Error(Fault::internal, "a planned table is not in the catalog");
  return *found;
}

// A column that the plan adds for the hidden rowid stands after those of the source.
bool is_hidden_rowid(const SourceTable& table, const ColumnPlan& column) {
  return column.place >= table.columns.size();
}

// True when SQLite itself keeps anything out of the column that its planned type does not take. It does not
// check what a VIRTUAL column computes.
bool is_guaranteed(const SourceTable& table, const ColumnPlan& column) {
  if (is_hidden_rowid(table, column)) return true;
  const SourceColumn& source = table.columns[column.place];
  if (!table.strict || source.generated == Generated::virtual_column) return false;
  if (column.conversion.any() || column.modifier.any() || !column.type_name.empty()) return false;
  const std::string declared = fold_ascii(source.declared_type);
  if (declared == "int" || declared == "integer") {
    return column.type == PgType::int8 || column.type == PgType::numeric || column.type == PgType::text;
  }
  if (declared == "real") return column.type == PgType::float8;
  return declared == "blob" && column.type == PgType::bytea;
}

// What is read of a table, and what of it is looked at.
struct ProfiledTable {
  TablePlan plan;
  std::vector<ProfiledColumn> wishes;  // by column of this plan
};

ProfiledTable reduced_to_doubtful(const TablePlan& plan, const SourceTable& source) {
  ProfiledTable table;
  std::vector<bool> examined(plan.columns.size());
  bool key_examined = true;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    // The smallest and the largest rowid cost nothing, though its class is certain.
    examined[i] = source.rowid_alias == plan.columns[i].place || !is_guaranteed(source, plan.columns[i]);
    if (is_key_column(plan, i) && !examined[i]) key_examined = false;
  }
  table.plan = plan;
  // The rowid names a row as well, where columns of the key are not read for their own sake.
  if (!key_examined && !plan.rowid_name.empty()) {
    table.plan.row_key = RowKey::rowid;
    table.plan.key_columns.clear();
  }
  const bool keep_key = table.plan.row_key != RowKey::rowid;
  table.plan.columns.clear();
  std::vector<std::size_t> place_of(plan.columns.size());
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    if (!examined[i] && !(keep_key && is_key_column(plan, i))) continue;
    place_of[i] = table.plan.columns.size();
    table.plan.columns.push_back(plan.columns[i]);
    const bool primary =
        !is_hidden_rowid(source, plan.columns[i]) && source.columns[plan.columns[i].place].key_position > 0;
    table.wishes.push_back({examined[i], primary && source.rowid_alias != plan.columns[i].place});
  }
  for (std::size_t& column : table.plan.key_columns) column = place_of[column];
  const bool may_be_null =
      std::any_of(table.plan.key_columns.begin(), table.plan.key_columns.end(),
                  [&](std::size_t column) { return !plan.without_rowid && table.wishes[column].key; });
  if (may_be_null && !plan.rowid_name.empty()) {
    // Names the rows whose key does not.
    ColumnPlan rowid;
    rowid.source = plan.rowid_name;
    rowid.place = source.columns.size();
    rowid.type = PgType::int8;
    table.plan.columns.push_back(std::move(rowid));
    table.wishes.push_back({false, false});
  }
  return table;
}

// What only the whole column can tell.
void settle_examples(TableFacts& facts, const TablePlan& plan) {
  for (const ColumnPlan& column : plan.columns) {
    if (column.place >= facts.columns.size()) continue;  // the hidden rowid
    ColumnFacts& found = facts.columns[column.place];
    const bool doubles = column.type == PgType::float8 || column.type == PgType::float4 || found.reals > 0;
    if (!doubles) found.examples[static_cast<std::size_t>(Surprise::integer_beyond_double)].reset();
  }
}

}  // namespace

SourceFacts profile_source(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                           const StopRequest& stop, PhaseClock* clock, Damage* damage) {
  SourceFacts facts;
  std::vector<ProfiledTable> tables;
  tables.reserve(plan.tables.size());
  std::vector<ScanTask> tasks;
  for (const TablePlan& planned : plan.tables) {
    const SourceTable& source = source_of(snapshot.catalog(), planned.source);
    facts[planned.source].columns.resize(source.columns.size());
    tables.push_back(reduced_to_doubtful(planned, source));
    add_tasks(tasks, tables.back().plan, tables.size() - 1);
  }
  std::vector<std::optional<TableProfile>> parts(tasks.size());
  const auto visit = [&](std::size_t task, Scan& scan) {
    const ProfiledTable& table = tables[tasks[task].table];
    TableProfile profile(table.plan, table.wishes);
    while (const std::optional<Row> row = scan.next()) profile.add(*row);
    parts[task] = std::move(profile);
  };
  const auto record = [&](std::size_t task) {
    if (!parts[task]) return;  // damaged
    const auto& [table, wishes] = tables[tasks[task].table];
    TableFacts& sum = facts[table.source];
    sum.rows += parts[task]->rows();
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (!wishes[i].examined) continue;
      sum.columns[table.columns[i].place].add(parts[task]->facts(i));
    }
    parts[task].reset();
  };
  scan_all(snapshot, tasks, visit, record, console, stop, clock, damage);
  for (const TablePlan& planned : plan.tables) settle_examples(facts[planned.source], planned);
  return facts;
}

// ---- misfits of the plan ----

namespace {

// Asks the encoder about one column at a time, since of a row it names the first misfit only.
class MisfitCounter {
 public:
  // One large value must not cost the rest of the scan.
  static constexpr std::size_t kScratchBytesKept = std::size_t{1} << 20;

  // `columns`: of the plan, which must outlive the counter.
  MisfitCounter(const TablePlan& plan, const std::vector<std::size_t>& columns) : plan_(&plan) {
    for (const std::size_t column : columns) {
      TablePlan alone;
      alone.columns = {plan.columns[column]};
      columns_.push_back({column, RowEncoder(alone), {}});
    }
  }

  void add(Row row) {
    for (Column& column : columns_) {
      if (scratch_.capacity() > kScratchBytesKept) scratch_ = Buffer();
      scratch_.clear();
      if (column.encoder.encode(row.subspan(column.index, 1), scratch_)) [[likely]]
        continue;
      if (column.found.rows++ > 0) continue;
      column.found.reason = column.encoder.reject().reason;
      column.found.key = describe_key(*plan_, row);
    }
  }

  [[nodiscard]] std::size_t size() const { return columns_.size(); }
  [[nodiscard]] const PlannedMisfit& found(std::size_t place) const { return columns_[place].found; }

 private:
  struct Column {
    std::size_t index;
    RowEncoder encoder;
    PlannedMisfit found;  // without its names
  };
  const TablePlan* plan_;
  std::vector<Column> columns_;
  Buffer scratch_;
};

// Only these columns of the plan, and those of its key. `columns` become their places in the result.
TablePlan narrowed_to(const TablePlan& plan, std::vector<std::size_t>& columns) {
  TablePlan narrow = plan;
  narrow.columns.clear();
  std::vector<std::size_t> place_of(plan.columns.size());
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const auto holds = [i](const std::vector<std::size_t>& list) {
      return std::find(list.begin(), list.end(), i) != list.end();
    };
    if (!holds(columns) && !holds(plan.key_columns)) continue;
    place_of[i] = narrow.columns.size();
    narrow.columns.push_back(plan.columns[i]);
  }
  for (std::size_t& column : narrow.key_columns) column = place_of[column];
  for (std::size_t& column : columns) column = place_of[column];
  return narrow;
}

}  // namespace

std::vector<PlannedMisfit> find_misfits(Snapshot& snapshot, const MigrationPlan& plan,
                                        const std::vector<PlannedColumn>& columns, Console& console,
                                        const StopRequest& stop, PhaseClock* clock, Damage* damage) {
  struct JudgedTable {
    TablePlan plan;
    std::vector<std::size_t> columns;
    std::vector<PlannedMisfit> found;  // one per column
  };
  std::vector<JudgedTable> tables;
  tables.reserve(plan.tables.size());
  std::vector<ScanTask> tasks;
  for (const TablePlan& planned : plan.tables) {
    std::vector<std::size_t> judged;
    for (std::size_t i = 0; i < planned.columns.size(); ++i) {
      const bool wanted = std::any_of(columns.begin(), columns.end(), [&](const PlannedColumn& column) {
        return column.table == planned.source && column.column == planned.columns[i].source;
      });
      if (wanted) judged.push_back(i);
    }
    if (judged.empty()) continue;
    TablePlan narrow = narrowed_to(planned, judged);
    tables.push_back({std::move(narrow), judged, std::vector<PlannedMisfit>(judged.size())});
    add_tasks(tasks, tables.back().plan, tables.size() - 1);
  }
  std::vector<std::optional<MisfitCounter>> parts(tasks.size());
  const auto visit = [&](std::size_t task, Scan& scan) {
    const JudgedTable& table = tables[tasks[task].table];
    MisfitCounter counter(table.plan, table.columns);
    while (const std::optional<Row> row = scan.next()) counter.add(*row);
    parts[task] = std::move(counter);
  };
  const auto record = [&](std::size_t task) {
    if (!parts[task]) return;  // damaged
    std::vector<PlannedMisfit>& sums = tables[tasks[task].table].found;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const PlannedMisfit& part = parts[task]->found(i);
      if (sums[i].rows == 0) {
        sums[i] = part;
      } else {
        sums[i].rows += part.rows;
      }
    }
    parts[task].reset();
  };
  scan_all(snapshot, tasks, visit, record, console, stop, clock, damage);

  std::vector<PlannedMisfit> misfits;
  for (const JudgedTable& table : tables) {
    for (std::size_t i = 0; i < table.found.size(); ++i) {
      if (table.found[i].rows == 0) continue;
      misfits.push_back(table.found[i]);
      misfits.back().table = table.plan.source;
      misfits.back().column = table.plan.columns[table.columns[i]].source;
    }
  }
  return misfits;
}

std::vector<PlannedMisfit> find_misfits(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                                        const StopRequest& stop, PhaseClock* clock, Damage* damage) {
  std::vector<PlannedColumn> columns;
  for (const TablePlan& table : plan.tables) {
    for (const ColumnPlan& column : table.columns) {
      const bool known = column.type != PgType::float4 && column.type != PgType::interval;
      if (known && !column.conversion.any() && !column.modifier.any() && column.type_name.empty()) continue;
      columns.push_back({table.source, column.source});
    }
  }
  if (columns.empty()) return {};
  return find_misfits(snapshot, plan, columns, console, stop, clock, damage);
}

// ---- files ----

std::vector<PlannedMisfit> find_lost_files(Snapshot& snapshot, const MigrationPlan& plan, Console& console,
                                           const StopRequest& stop, PhaseClock* clock, Damage* damage) {
  struct Dropped {
    TablePlan plan;  // the key, the path where the source has one, and the content last
    const OffloadPlan* offload = nullptr;
    std::optional<std::size_t> path;
    PlannedMisfit found;
  };
  std::vector<Dropped> columns;
  for (const TablePlan& table : plan.tables) {
    for (std::size_t number = 0; number < table.offloads.size(); ++number) {
      if (table.offloads[number].afterwards != OffloadedColumn::drop) continue;
      Dropped& dropped = columns.emplace_back();
      dropped.offload = &table.offloads[number];
      std::vector<std::size_t> paths;
      for (std::size_t i = 0; i < table.columns.size(); ++i) {
        const ColumnPlan& column = table.columns[i];
        if (column.role == OffloadRole::path && column.offload == number && !column.added) {
          paths.push_back(i);
        }
      }
      dropped.plan = narrowed_to(table, paths);
      if (!paths.empty()) dropped.path = paths.front();
      // The rows as they are.
      for (ColumnPlan& column : dropped.plan.columns) column.role = OffloadRole::none;
      ColumnPlan content;
      content.source = dropped.offload->column;
      content.place = dropped.offload->place;
      dropped.plan.columns.push_back(std::move(content));
    }
  }
  std::vector<ScanTask> tasks;
  for (std::size_t i = 0; i < columns.size(); ++i) add_tasks(tasks, columns[i].plan, i);
  std::vector<PlannedMisfit> parts(tasks.size());
  const auto visit = [&](std::size_t task, Scan& scan) {
    const Dropped& dropped = columns[tasks[task].table];
    PlannedMisfit& part = parts[task];
    while (const std::optional<Row> row = scan.next()) {
      const Cell& content = (*row)[dropped.plan.columns.size() - 1];
      if (content.is_null()) continue;
      const bool has_file = dropped.path && names_file((*row)[*dropped.path]);
      const bool bytes = content.storage() == StorageClass::text || content.storage() == StorageClass::blob;
      if (bytes && !has_file) {
        WholeText text({reinterpret_cast<const char*>(content.bytes().data()), content.bytes().size()});
        if (FileOfText::find(text, dropped.offload->text)) continue;
      }
      if (part.rows++ == 0) part.key = describe_key(dropped.plan, *row);
    }
  };
  const auto record = [&](std::size_t task) {
    PlannedMisfit& sum = columns[tasks[task].table].found;
    if (sum.rows == 0) sum.key = parts[task].key;
    sum.rows += parts[task].rows;
  };
  if (!tasks.empty()) scan_all(snapshot, tasks, visit, record, console, stop, clock, damage);
  std::vector<PlannedMisfit> lost;
  for (Dropped& dropped : columns) {
    if (dropped.found.rows == 0) continue;
    lost.push_back(std::move(dropped.found));
    lost.back().table = dropped.plan.source;
    lost.back().column = dropped.offload->column;
    lost.back().reason = Misfit::not_base64;
  }
  return lost;
}

// ---- keys ----

bool may_collide(const ColumnPlan& column, const ColumnFacts& facts) {
  if (column.conversion.any() || column.modifier.any() || !column.type_name.empty()) return true;
  if (!facts.examined) return false;  // of one class, and planned as that
  const bool numbers = facts.integers + facts.reals > 0;
  switch (column.type) {
    case PgType::int2:
    case PgType::int4:
    case PgType::int8:
    case PgType::float4:
    case PgType::float8:
      return false;  // only numbers, exactly as they are
    case PgType::numeric:
      // The shortest decimal of a large double may be another integer's.
      return facts.integers_beyond_double > 0 && facts.reals_whole_beyond_double > 0;
    case PgType::boolean:
      return facts.texts > 0;
    case PgType::text:
    case PgType::varchar:
      return numbers && facts.texts > 0;
    case PgType::bytea:
      return facts.texts > 0 && facts.blobs > 0;
    case PgType::date:
      return facts.characters_longest > 10;  // a year may have a plus sign or not
    case PgType::timestamp:
      return facts.characters_longest > 10 || facts.forms_examined < facts.texts;
    case PgType::uuid:
      return facts.of_form(TextForm::uuid) != facts.of_form(TextForm::uuid_lower) ||
             facts.forms_examined < facts.texts;
    default:
      return true;
  }
}

namespace {

// Of one table: columns of the plan that hold no two equal rows in the source.
using UniqueKey = std::vector<std::size_t>;

std::vector<UniqueKey> unique_keys(const TablePlan& plan, const SourceTable& source) {
  std::vector<UniqueKey> keys;
  const auto add = [&](const std::vector<std::string>& names) {
    UniqueKey key;
    for (const std::string& name : names) {
      const auto found = std::find_if(
          plan.columns.begin(), plan.columns.end(),
          [&](const ColumnPlan& column) { return fold_ascii(column.source) == fold_ascii(name); });
      if (found == plan.columns.end()) return;  // without its column there is no such key
      key.push_back(static_cast<std::size_t>(found - plan.columns.begin()));
    }
    if (!key.empty() && std::find(keys.begin(), keys.end(), key) == keys.end())
      keys.push_back(std::move(key));
  };
  std::vector<std::string> primary;
  for (const std::size_t column : source.primary_key()) primary.push_back(source.columns[column].name);
  add(primary);
  for (const SourceIndex& index : source.indexes) {
    if (!index.unique || index.partial) continue;
    std::vector<std::string> names;
    for (const SourceIndexColumn& column : index.columns) names.push_back(column.name);
    add(names);  // the empty name of an expression is no column's
  }
  return keys;
}

// The keys of rows as the target compares them: equal keys have equal digests.
class KeyDigester {
 public:
  // `key`: columns of the plan, in key order.
  KeyDigester(const TablePlan& plan, const UniqueKey& key) : key_(key), cells_(key.size()) {
    TablePlan alone;
    for (const std::size_t column : key) {
      alone.columns.push_back(plan.columns[column]);
      alone.columns.back().not_null = false;
      types_.push_back(plan.columns[column].type);
    }
    encoder_.emplace(alone);
  }

  // Nothing for a row whose key equals no other: one with a NULL, or one that does not arrive.
  std::optional<Digest> digest(Row row) {
    for (std::size_t i = 0; i < key_.size(); ++i) {
      cells_[i] = row[key_[i]];
      if (cells_[i].is_null()) return std::nullopt;
    }
    // One large key must not cost the rest of the scan.
    constexpr std::size_t kBytesKept = std::size_t{1} << 20;
    if (tuple_.capacity() > kBytesKept) {
      tuple_ = Buffer();
      compared_ = Buffer();
    }
    tuple_.clear();
    if (!encoder_->encode(cells_, tuple_)) return std::nullopt;
    compared_.clear();
    TupleFields fields(tuple_.span());
    for (const PgType type : types_) {
      const TupleFields::Field field = fields.next();
      if (field.null) return std::nullopt;
      append_compared(type, field);
    }
    return digest_of_bytes(compared_.span());
  }

 private:
  // Two encodings of a number that the server takes for equal become one.
  void append_compared(PgType type, const TupleFields::Field& field) {
    const std::size_t start = compared_.size();
    compared_.append(field.with_length);
    if (type == PgType::numeric && field.value.size() >= 8) {
      // The digits after the point that are shown, zeros included: 1.5 and 1.50.
      compared_.truncate(start + 4 + 6);
      compared_.put_int16(0);
      compared_.append(field.value.subspan(8));
    }
    if (type == PgType::bpchar) {
      // The server compares without the blanks at the end.
      std::size_t size = field.value.size();
      while (size > 0 && field.value[size - 1] == std::byte{' '}) --size;
      compared_.truncate(start);
      compared_.put_int32(static_cast<std::int32_t>(size));
      compared_.append(field.value.first(size));
    }
    if (type == PgType::float8 || type == PgType::float4) {
      constexpr std::array<std::byte, 8> kZero{};
      constexpr std::array<std::byte, 8> kMinusZero = {std::byte{0x80}};
      const std::size_t size = field.value.size();
      if (std::ranges::equal(field.value, std::span(kMinusZero).first(size))) {
        compared_.truncate(start + 4);
        compared_.append(std::span(kZero).first(size));
      }
    }
  }

  UniqueKey key_;
  std::vector<PgType> types_;
  std::optional<RowEncoder> encoder_;
  std::vector<Cell> cells_;
  Buffer tuple_;
  Buffer compared_;
};

// How many digests were there before. Holds each once, and so at most about as many as its room; beyond it
// only when they are all different.
class DuplicateCounter {
 public:
  explicit DuplicateCounter(std::size_t room) : room_(std::max<std::size_t>(room, 2)) {}

  void add(const std::vector<Digest>& digests) {
    for (const Digest& digest : digests) {
      if (held_.size() >= room_) settle();
      held_.push_back(digest);
    }
  }
  std::uint64_t finish() {
    settle();
    return duplicates_;
  }

 private:
  void settle() {
    std::sort(held_.begin(), held_.end(), [](const Digest& left, const Digest& right) {
      return left.high != right.high ? left.high < right.high : left.low < right.low;
    });
    const auto kept = std::unique(held_.begin(), held_.end());
    duplicates_ += static_cast<std::uint64_t>(held_.end() - kept);
    held_.erase(kept, held_.end());
    room_ = std::max(room_, held_.size() + held_.size() / 8);
  }

  std::size_t room_;
  std::vector<Digest> held_;
  std::uint64_t duplicates_ = 0;
};

std::uint64_t count_collisions(Snapshot& snapshot, const TablePlan& plan, const UniqueKey& key,
                               std::uint64_t rows, std::uint64_t memory_max, Console& console,
                               const StopRequest& stop, PhaseClock* clock, Damage* damage) {
  UniqueKey places = key;
  const TablePlan narrow = narrowed_to(plan, places);
  std::vector<ScanTask> tasks;
  add_tasks(tasks, narrow, 0);
  const std::uint64_t room = std::max<std::uint64_t>(memory_max / sizeof(Digest), 1);
  const std::uint64_t passes = rows / room + 1;
  std::uint64_t collisions = 0;
  for (std::uint64_t pass = 0; pass < passes; ++pass) {
    DuplicateCounter counter(static_cast<std::size_t>(room));
    std::vector<std::vector<Digest>> parts(tasks.size());
    const auto visit = [&](std::size_t task, Scan& scan) {
      KeyDigester digester(narrow, places);
      while (const std::optional<Row> row = scan.next()) {
        const std::optional<Digest> digest = digester.digest(*row);
        // Equal digests fall into the same pass.
        if (digest && digest->high % passes == pass) parts[task].push_back(*digest);
      }
    };
    const auto record = [&](std::size_t task) {
      counter.add(parts[task]);
      parts[task] = std::vector<Digest>();  // {} would keep the memory
    };
    scan_all(snapshot, tasks, visit, record, console, stop, clock, damage);
    collisions += counter.finish();
  }
  return collisions;
}

}  // namespace

std::vector<KeyCollision> find_key_collisions(Snapshot& snapshot, const MigrationPlan& plan,
                                              const SourceFacts& facts, Console& console,
                                              const StopRequest& stop, std::uint64_t memory_max,
                                              PhaseClock* clock, Damage* damage) {
  std::vector<KeyCollision> collisions;
  for (const TablePlan& table : plan.tables) {
    const SourceTable& source = source_of(snapshot.catalog(), table.source);
    const TableFacts& found = facts.at(table.source);
    for (const UniqueKey& key : unique_keys(table, source)) {
      // Where each column keeps its values apart, so does the key.
      const bool suspect = std::any_of(key.begin(), key.end(), [&](std::size_t column) {
        return !is_hidden_rowid(source, table.columns[column]) &&
               may_collide(table.columns[column], found.columns[table.columns[column].place]);
      });
      if (!suspect) continue;
      KeyCollision collision;
      collision.rows =
          count_collisions(snapshot, table, key, found.rows, memory_max, console, stop, clock, damage);
      if (collision.rows == 0) continue;
      collision.table = table.source;
      for (const std::size_t column : key) collision.columns.push_back(table.columns[column].source);
      collisions.push_back(std::move(collision));
    }
  }
  return collisions;
}

}  // namespace sluice
