#include "engine/app/differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <utility>

#include "engine/model/hex.h"
#include "engine/model/quote.h"
#include "io/postgres/read_back.h"
#include "io/postgres/reject_record.h"
#include "verify/row_diff.h"
#include "verify/row_digest.h"
#include "verify/row_digester.h"

namespace sluice {
namespace {

// Rows of one side that are compared at once, in one lane: 14 MB of marks.
constexpr std::uint64_t kRowsAtOnce = std::uint64_t{1} << 18;

// Pairs kept from finding for repairing, over all units: 14 MB. Beyond that they are found again.
constexpr std::size_t kPairsKept = std::size_t{1} << 17;

// Tuples that one lane keeps for a repair.
constexpr std::size_t kRowBytesKept = std::size_t{16} << 20;

// Places asked for in one query.
constexpr std::size_t kPlacesAtOnce = 4096;

// Characters of a value that are shown.
constexpr std::size_t kCharactersShown = 60;

// The part of a unit's rows that one pass compares.
struct Pass {
  std::uint64_t number = 0;
  std::uint64_t count = 1;

  [[nodiscard]] bool has(const Digest& identity) const {
    // Mixed, since an integer key is its own identity.
    return count == 1 || (identity.low * 0x9e3779b97f4a7c15U >> 32) % count == number;
  }
};

DifferenceKind kind_of(const RowPair& pair) {
  if (!pair.target) return DifferenceKind::missing;
  return pair.source ? DifferenceKind::mismatch : DifferenceKind::extraneous;
}

std::string printable_value(const Cell& cell) {
  switch (cell.storage()) {
    case StorageClass::null:
      return {};
    case StorageClass::integer:
      return std::to_string(cell.integer());
    case StorageClass::real:
      return fmt::format("{}", cell.real());
    case StorageClass::text: {
      std::string_view text = cell.text();
      std::size_t characters = 0;
      std::size_t end = 0;
      while (end < text.size() && characters < kCharactersShown) {
        ++end;
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
        ++characters;
      }
      return std::string(text.substr(0, end));
    }
    case StorageClass::blob: {
      const auto bytes = cell.bytes().first(std::min(cell.bytes().size(), kCharactersShown));
      return "\\x" + hex_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
  }
  return {};
}

// The target's columns of a key as a JSON object, numbers as numbers.
std::string key_of_printed(const TablePlan& plan, const PrintedRow& row) {
  nlohmann::ordered_json key = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < plan.key_columns.size(); ++i) {
    const ColumnPlan& column = plan.columns[plan.key_columns[i]];
    const std::optional<std::string>& text = row.columns.at(i);
    const bool integer =
        column.type == PgType::int8 || column.type == PgType::int4 || column.type == PgType::int2;
    if (!text) {
      key[column.source] = nullptr;
    } else if (integer) {
      key[column.source] = std::stoll(*text);
    } else {
      key[column.source] = *text;
    }
  }
  // Spaced as the records of rejected rows are.
  std::string spaced = "{";
  for (const auto& [name, value] : key.items()) {
    spaced += (spaced.size() == 1 ? "" : ", ") + nlohmann::json(name).dump() + ": " +
              value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return spaced + "}";
}

}  // namespace

std::string_view name_of(DifferenceKind kind) {
  constexpr std::array<std::string_view, 3> kNames = {"missing", "mismatch", "extraneous"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string describe(const RowDifference& difference, const std::vector<TablePlan>& tables) {
  std::string text = fmt::format("{} {} {}", name_of(difference.kind), tables[difference.table].source,
                                 difference.key.empty() ? difference.row : difference.key);
  if (!difference.columns.empty()) {
    text += (difference.columns.size() == 1 ? ", column " : ", columns ") + joined(difference.columns);
  }
  if (!difference.unfit.empty()) text += ": " + difference.unfit;
  return text;
}

// Leaves of one table that are compared at once, or, where they have too many rows for that, a part of them.
struct DifferenceFinder::Unit {
  std::size_t table = 0;
  std::vector<std::size_t> leaves;  // ascending
  bool by_key = false;              // the target finds their rows without reading all of the table
  Pass pass{};
  std::optional<std::vector<RowPair>> pairs{};  // kept from find()
};

// What one thread does with one unit.
class DifferenceFinder::Lane {
 public:
  Lane(const DifferenceWork& work, std::size_t lane, const Unit& unit)
      : work_(work),
        unit_(unit),
        plan_((*work.tables)[unit.table]),
        leaves_((*work.source)[unit.table]),
        reader_(work.snapshot->reader(lane)),
        connection_(*work.connections[lane]),
        scan_plan_(plan_),
        digester_(plan_) {
    // The rowid as one cell more, which says where the row is found again.
    if (plan_.row_key == RowKey::columns && !plan_.rowid_name.empty()) scan_plan_.row_key = RowKey::rowid;
    has_place_ = leaves_.ordered() || scan_plan_.row_key == RowKey::rowid;
  }

  std::vector<RowPair> find() {
    RowDiff diff;
    each_source_row([&](Row row) {
      if (const auto mark = mark_of(digester_.key_tuple(), digester_.digest())) {
        diff.add_source({mark->identity, digester_.digest(), place_of(row), mark->leaf});
      }
    });
    const auto add_target = [&](Place place, std::span<const std::byte> tuple) {
      const Digest row = digest_of_row(tuple);
      if (const auto mark = mark_of(tuple, row)) diff.add_target({mark->identity, row, place, mark->leaf});
    };
    if (unit_.by_key) {
      for (const std::size_t leaf : unit_.leaves)
        read_placed(connection_, plan_, leaves_.keys_of(leaf), add_target);
    } else {
      read_placed(connection_, plan_, std::nullopt, add_target);
    }
    return diff.finish();
  }

  // The rows of the pairs, looked at one by one.
  std::vector<RowDifference> describe(std::span<const RowPair> pairs, bool show_values) {
    std::vector<RowDifference> rows(pairs.size());
    std::vector<std::vector<Digest>> source_fields(pairs.size());
    std::vector<Place> places;
    std::map<Place, std::size_t> by_place;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      rows[i].table = unit_.table;
      rows[i].kind = kind_of(pairs[i]);
      if (pairs[i].target) {
        places.push_back(pairs[i].target->place);
        by_place.emplace(pairs[i].target->place, i);
      }
    }
    const bool has_key = !plan_.key_columns.empty();
    each_source_row_of(pairs, [&](std::size_t i, Row row) {
      RowDifference& difference = rows[i];
      if (has_key) {
        difference.key = key_of_row(plan_, row);
      } else {
        difference.row = "row " + to_hex(pairs[i].source->row);
        if (has_place_) difference.row += fmt::format(", rowid {}", row[plan_.columns.size()].integer());
      }
      if (difference.kind == DifferenceKind::mismatch) source_fields[i] = digester_.field_digests();
      if (!show_values) return;
      for (std::size_t column = 0; column < plan_.columns.size(); ++column) {
        const Cell& cell = row[column];
        difference.values.push_back({plan_.columns[column].source,
                                     cell.is_null() ? std::nullopt : std::optional(printable_value(cell)),
                                     std::nullopt});
      }
    });
    for (std::size_t begin = 0; begin < places.size(); begin += kPlacesAtOnce) {
      const auto some = std::span(places).subspan(begin, std::min(kPlacesAtOnce, places.size() - begin));
      describe_target(some, by_place, source_fields, rows, show_values);
    }
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      RowDifference& difference = rows[i];
      if (!has_key && pairs[i].target) {
        difference.row = fmt::format("row {}, ctid {}", to_hex(pairs[i].target->row),
                                     text_of_place(pairs[i].target->place));
      }
      if (difference.kind != DifferenceKind::mismatch) continue;
      std::erase_if(difference.values, [&](const ValueDifference& value) {
        return std::find(difference.columns.begin(), difference.columns.end(), value.column) ==
               difference.columns.end();
      });
    }
    return rows;
  }

  // Makes the leaves of the pairs equal, one after the other. REQUIRES: the pairs are in order of their
  // leaves.
  void repair(std::span<const RowPair> pairs, const RepairRights& rights, const RepairRecord& record,
              const StopRequest& stop, TableDifferences& done) {
    keep_rows(pairs);
    for (std::size_t begin = 0; begin < pairs.size() && !stop.stopped();) {
      const std::uint32_t leaf = leaf_of(pairs[begin]);
      std::size_t end = begin;
      while (end < pairs.size() && leaf_of(pairs[end]) == leaf) ++end;
      repair_leaf(pairs, begin, end, rights, record, done);
      begin = end;
    }
  }

  static std::uint32_t leaf_of(const RowPair& pair) {
    return pair.source ? pair.source->leaf : pair.target->leaf;
  }

 private:
  struct Mark {
    Digest identity;
    std::uint32_t leaf = 0;
  };

  // Nothing for a row that the unit does not compare: of most rows of an unordered table only the leaf is
  // looked at.
  [[nodiscard]] std::optional<Mark> mark_of(std::span<const std::byte> tuple, const Digest& row) const {
    const std::size_t leaf = leaves_.leaf_of(tuple, row);
    if (!std::binary_search(unit_.leaves.begin(), unit_.leaves.end(), leaf)) return std::nullopt;
    const Digest identity = leaves_.rule().identity_of(tuple, row);
    if (!unit_.pass.has(identity)) return std::nullopt;
    return Mark{identity, static_cast<std::uint32_t>(leaf)};
  }

  // Rows that only a scan of the table finds are kept, as far as there is room, or each leaf would scan anew.
  void keep_rows(std::span<const RowPair> pairs) {
    kept_.assign(pairs.size(), {});
    if (has_place_) return;
    std::size_t room = kRowBytesKept;
    each_source_row_of(pairs, [&](std::size_t i, Row) {
      std::string tuple;
      for (const std::span<const std::byte> piece : digester_.sent_pieces()) {
        if (tuple.size() + piece.size() > room) return;
        tuple.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      }
      room -= tuple.size();
      kept_[i] = std::move(tuple);
    });
  }

  void repair_leaf(std::span<const RowPair> all, std::size_t begin, std::size_t end,
                   const RepairRights& rights, RepairRecord record, TableDifferences& done) {
    std::vector<DoomedRow> doomed;
    std::vector<RowPair> sought;  // not kept
    std::uint64_t wanted = 0;
    std::uint64_t inserted = 0;
    for (const RowPair& pair : all.subspan(begin, end - begin)) {
      if (pair.target) doomed.push_back({pair.target->place, pair.target->row});
      if (pair.source) ++wanted;
    }
    record.leaf = leaf_of(all[begin]);
    const std::uint64_t deleted = doomed.size();
    LeafRepair repair(connection_, plan_, rights, std::move(record));
    repair.remove(std::move(doomed));
    for (std::size_t i = begin; i < end; ++i) {
      if (!all[i].source) continue;
      if (kept_[i].empty()) {
        sought.push_back(all[i]);
        continue;
      }
      const std::span<const std::byte> tuple = std::as_bytes(std::span(kept_[i]));
      repair.insert(std::span(&tuple, 1));
      ++inserted;
    }
    each_source_row_of(sought, [&](std::size_t, Row) {
      repair.insert(digester_.sent_pieces());
      ++inserted;
    });
    if (inserted != wanted) throw Error(Fault::internal, "a row of the source was not found again");
    repair.commit();
    done.deleted += deleted;
    done.inserted += inserted;
  }

  [[nodiscard]] std::uint64_t place_of(Row row) const {
    if (!has_place_) return 0;
    const std::size_t cell = leaves_.ordered() ? plan_.key_columns.front() : plan_.columns.size();
    return static_cast<std::uint64_t>(row[cell].integer());
  }

  template <class Each>
  void scan(const Extent& extent, const Each& each) {
    const std::unique_ptr<Scan> scan = reader_.scan(scan_plan_, extent);
    while (const std::optional<Row> row = scan->next()) {
      // What the types cannot hold was never loaded; the scan of the source has counted it.
      if (digester_.take(*row)) each(*row);
    }
  }

  template <class Each>
  void each_source_row(const Each& each) {
    if (!leaves_.ordered()) return scan(WholeTable{}, each);
    for (const std::size_t leaf : unit_.leaves) scan(leaves_.keys_of(leaf), each);
  }

  // The source's rows of the pairs: each by its place, or, where it has none or there are many, by another
  // scan.
  template <class Each>
  void each_source_row_of(std::span<const RowPair> pairs, const Each& each) {
    std::uint64_t wanted = 0;
    for (const RowPair& pair : pairs) wanted += pair.source ? 1 : 0;
    if (wanted == 0) return;
    std::uint64_t rows = 0;
    for (const std::size_t leaf : unit_.leaves) rows += leaves_.leaves()[leaf].rows.rows;
    if (!leaves_.ordered()) rows = leaves_.total().rows;
    constexpr std::uint64_t kRowsScannedPerSeek = 16;
    if (has_place_ && wanted * kRowsScannedPerSeek < rows) {
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        if (!pairs[i].source) continue;
        const auto rowid = static_cast<std::int64_t>(pairs[i].source->place);
        scan(RowidRange{rowid, rowid}, [&](Row row) { each(i, row); });
      }
      return;
    }
    using Name = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;
    const auto name_of_row = [](const Digest& identity, const Digest& row) {
      return Name(identity.high, identity.low, row.high, row.low);
    };
    std::multimap<Name, std::size_t> sought;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (pairs[i].source) sought.emplace(name_of_row(pairs[i].source->identity, pairs[i].source->row), i);
    }
    each_source_row([&](Row row) {
      const Digest identity = leaves_.rule().identity_of(digester_.key_tuple(), digester_.digest());
      const auto found = sought.find(name_of_row(identity, digester_.digest()));
      if (found == sought.end()) return;
      const std::size_t i = found->second;
      sought.erase(found);  // equal rows stand for each other
      each(i, row);
    });
  }

  void describe_target(std::span<const Place> places, const std::map<Place, std::size_t>& by_place,
                       const std::vector<std::vector<Digest>>& source_fields,
                       std::vector<RowDifference>& rows, bool show_values) {
    // Both reads see one state, so that a place means one row.
    const Transaction snapshot(connection_, {}, TransactionMode::one_snapshot);
    bool any_mismatch = false;
    for (const Place place : places)
      any_mismatch |= rows[by_place.at(place)].kind == DifferenceKind::mismatch;
    if (any_mismatch) {
      read_places(connection_, plan_, places, [&](Place place, std::span<const std::byte> tuple) {
        const std::size_t i = by_place.at(place);
        if (rows[i].kind != DifferenceKind::mismatch || source_fields[i].empty()) return;
        const std::vector<Digest> target = field_digests(tuple);
        for (std::size_t column = 0; column < plan_.columns.size(); ++column) {
          if (!(target[column] == source_fields[i][column]))
            rows[i].columns.push_back(plan_.columns[column].source);
        }
      });
    }
    std::vector<std::size_t> columns = plan_.key_columns;
    if (show_values) {
      for (std::size_t column = 0; column < plan_.columns.size(); ++column) columns.push_back(column);
    }
    if (columns.empty()) return;
    for (const PrintedRow& printed : print_places(connection_, plan_, columns, places, kCharactersShown)) {
      RowDifference& difference = rows[by_place.at(printed.place)];
      if (difference.kind == DifferenceKind::extraneous && !plan_.key_columns.empty()) {
        difference.key = key_of_printed(plan_, printed);
      }
      if (!show_values) continue;
      if (difference.values.empty()) {
        for (const ColumnPlan& column : plan_.columns) difference.values.push_back({column.source, {}, {}});
      }
      for (std::size_t column = 0; column < plan_.columns.size(); ++column) {
        difference.values[column].target = printed.columns[plan_.key_columns.size() + column];
      }
    }
  }

  const DifferenceWork& work_;
  const Unit& unit_;
  const TablePlan& plan_;
  const TableLeaves& leaves_;
  Source& reader_;
  Connection& connection_;
  TablePlan scan_plan_;
  RowDigester digester_;
  bool has_place_ = false;
  std::vector<std::string> kept_;  // tuples, by pair; empty for those that are not kept
};

DifferenceFinder::DifferenceFinder(DifferenceWork work, Console& console, const StopRequest& stop)
    : work_(std::move(work)), console_(console), stop_(stop) {
  cut();
}

DifferenceFinder::~DifferenceFinder() = default;

void DifferenceFinder::cut() {
  for (std::size_t table = 0; table < work_.tables->size(); ++table) {
    const std::vector<std::size_t>& differing = work_.leaves[table];
    if (differing.empty()) continue;
    const TablePlan& plan = (*work_.tables)[table];
    const TableLeaves& source = (*work_.source)[table];
    const bool by_key = source.ordered() && finds_by_key(*work_.connections.front(), plan);
    const auto rows_of = [&](std::size_t leaf) { return source.leaves()[leaf].rows.rows; };
    // What the target has too much may all be in one leaf; it is only known in sum.
    const std::uint64_t total = source.total().rows;
    const std::uint64_t surplus = work_.rows_target[table] > total ? work_.rows_target[table] - total : 0;
    const std::uint64_t room = kRowsAtOnce > surplus ? kRowsAtOnce - surplus : 0;
    Unit unit{table, {}, by_key};
    std::uint64_t rows = 0;
    const auto finish_unit = [&] {
      if (unit.leaves.empty()) return;
      const std::uint64_t passes = (rows + surplus) / kRowsAtOnce + 1;
      for (std::uint64_t pass = 0; pass < passes; ++pass) {
        unit.pass = {pass, passes};
        units_.push_back(unit);
      }
      unit.leaves.clear();
      rows = 0;
    };
    for (const std::size_t leaf : differing) {
      // One by one where each is found by its keys, so that the lanes share them.
      const bool full = !unit.leaves.empty() && (by_key || rows + rows_of(leaf) > room);
      if (full) finish_unit();
      unit.leaves.push_back(leaf);
      rows += rows_of(leaf);
    }
    finish_unit();
  }
}

std::optional<Differences> DifferenceFinder::find() {
  Differences found;
  found.tables.resize(work_.tables->size());
  std::vector<TableDifferences> counts(units_.size());
  std::vector<std::vector<RowDifference>> rows(units_.size());
  std::atomic<std::uint64_t> reported{0};
  std::atomic<std::size_t> kept{0};
  std::atomic<std::size_t> finished{0};
  PipelineWork pipeline;
  pipeline.lanes = std::min(work_.connections.size(), work_.snapshot->readers());
  pipeline.tasks = units_.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    Unit& unit = units_[number];
    try {
      Lane work(work_, lane, unit);
      std::vector<RowPair> pairs = work.find();
      for (const RowPair& pair : pairs) {
        switch (kind_of(pair)) {
          case DifferenceKind::missing:
            ++counts[number].missing;
            break;
          case DifferenceKind::mismatch:
            ++counts[number].mismatch;
            break;
          case DifferenceKind::extraneous:
            ++counts[number].extraneous;
            break;
        }
      }
      const std::uint64_t before = reported.fetch_add(pairs.size());
      const std::uint64_t room = before < work_.max_report ? work_.max_report - before : 0;
      rows[number] = work.describe(std::span(pairs).first(std::min<std::uint64_t>(room, pairs.size())),
                                   work_.show_values);
      if (kept.fetch_add(pairs.size()) + pairs.size() <= kPairsKept) unit.pairs = std::move(pairs);
    } catch (Error& error) {
      if (error.where().table.empty()) error.where().table = (*work_.tables)[unit.table].source;
      throw;
    }
    finished.fetch_add(1, std::memory_order_relaxed);
  };
  {
    const Ticker ticker(console_.interval_seconds(), [&] {
      console_.progress("differences", finished.load(std::memory_order_relaxed), units_.size());
    });
    if (!run_pipeline(pipeline, stop_)) return std::nullopt;
  }
  for (std::size_t number = 0; number < units_.size(); ++number) {
    TableDifferences& table = found.tables[units_[number].table];
    table.missing += counts[number].missing;
    table.mismatch += counts[number].mismatch;
    table.extraneous += counts[number].extraneous;
    std::move(rows[number].begin(), rows[number].end(), std::back_inserter(found.rows));
  }
  std::stable_sort(found.rows.begin(), found.rows.end(), [](const RowDifference& a, const RowDifference& b) {
    return std::tie(a.table, a.kind) < std::tie(b.table, b.kind);
  });
  return found;
}

bool DifferenceFinder::repair(const RepairRights& rights, const RepairRecord& record,
                              Differences& differences) {
  std::vector<TableDifferences> done(units_.size());
  std::atomic<std::size_t> finished{0};
  PipelineWork pipeline;
  pipeline.lanes = std::min(work_.connections.size(), work_.snapshot->readers());
  pipeline.tasks = units_.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    Unit& unit = units_[number];
    try {
      Lane work(work_, lane, unit);
      std::vector<RowPair> pairs = unit.pairs ? std::move(*unit.pairs) : work.find();
      unit.pairs.reset();
      std::stable_sort(pairs.begin(), pairs.end(), [](const RowPair& left, const RowPair& right) {
        return Lane::leaf_of(left) < Lane::leaf_of(right);
      });
      work.repair(pairs, rights, record, stop_, done[number]);
    } catch (Error& error) {
      if (error.where().table.empty()) error.where().table = (*work_.tables)[unit.table].source;
      throw;
    }
    finished.fetch_add(1, std::memory_order_relaxed);
  };
  bool complete = false;
  {
    const Ticker ticker(console_.interval_seconds(), [&] {
      console_.progress("repair", finished.load(std::memory_order_relaxed), units_.size());
    });
    complete = run_pipeline(pipeline, stop_);
  }
  for (std::size_t number = 0; number < units_.size(); ++number) {
    differences.tables[units_[number].table].deleted += done[number].deleted;
    differences.tables[units_[number].table].inserted += done[number].inserted;
  }
  return complete && !stop_.stopped();
}

}  // namespace sluice
