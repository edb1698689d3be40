#include "engine/app/archive_differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "engine/app/table_read_back.h"
#include "io/postgres/read_back.h"
#include "io/wire/printed_value.h"
#include "verify/digesting_writer.h"
#include "verify/row_diff.h"
#include "verify/row_digester.h"

namespace sluice {
namespace {

constexpr std::uint64_t kRowsAtOnce = std::uint64_t{1} << 17;
constexpr std::size_t kPlacesAtOnce = 4096;
constexpr std::size_t kCharactersShown = 60;
constexpr std::size_t kKeyCharactersShown = 4096;

// Rows of some leaves of one table, or an even share of them by their identities.
struct Unit {
  std::size_t table = 0;
  std::vector<std::size_t> leaves;  // ascending
  bool by_key = false;              // the target finds their rows without reading all of the table
  std::uint64_t number = 0;
  std::uint64_t count = 1;

  [[nodiscard]] bool has(const Digest& identity) const {
    // Mixed, since an integer key is its own identity.
    return count == 1 || ((identity.low * 0x9e3779b97f4a7c15U) >> 32U) % count == number;
  }
};

// As the server would cut it: whole characters.
std::string beginning_of(std::string text, std::size_t characters) {
  std::size_t end = 0;
  for (; end < text.size() && characters > 0; --characters) {
    ++end;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) ++end;
  }
  text.resize(end);
  return text;
}

std::vector<std::optional<std::string>> print_tuple(const TablePlan& plan, std::span<const std::byte> tuple,
                                                    std::size_t characters) {
  std::vector<std::optional<std::string>> values;
  TupleFields fields(tuple);
  for (const ColumnPlan& column : plan.columns) {
    const TupleFields::Field field = fields.next();
    values.push_back(field.null
                         ? std::nullopt
                         : std::optional(beginning_of(printed_value(column.type, field.value), characters)));
  }
  return values;
}

// What one thread does with one unit.
class Lane {
 public:
  Lane(const DifferenceWork& work, std::size_t lane, Source& source, const Unit& unit)
      : unit_(unit),
        plan_((*work.tables)[unit.table]),
        leaves_((*work.source)[unit.table]),
        source_(source),
        connection_(*work.connections[lane]) {}

  std::vector<RowPair> find() {
    RowDiff diff;
    each_source_row([&](std::span<const std::byte>, const RowMark& mark) { diff.add_source(mark); });
    const auto add_target = [&](const TargetRow& row) {
      if (auto mark = mark_of(row.tuple, row.digest)) {
        mark->place = row.place;
        diff.add_target(*mark);
      }
    };
    if (unit_.by_key) {
      for (const std::size_t leaf : unit_.leaves)
        read_placed(connection_, plan_, leaves_.keys_of(leaf), add_target);
    } else {
      read_placed(connection_, plan_, std::nullopt, add_target);
    }
    return diff.finish();
  }

  std::vector<RowDifference> describe(std::span<const RowPair> pairs, bool show_values) {
    std::vector<RowDifference> rows(pairs.size());
    std::vector<std::vector<Digest>> source_fields(pairs.size());
    describe_source(pairs, show_values, rows, source_fields);
    std::vector<Place> places;
    std::map<Place, std::size_t> by_place;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      rows[i].table = unit_.table;
      rows[i].kind = kind_of(pairs[i]);
      if (!pairs[i].target) continue;
      places.push_back(pairs[i].target->place);
      by_place.emplace(pairs[i].target->place, i);
      if (plan_.key_columns.empty()) {
        rows[i].row = fmt::format("row {}, ctid {}", to_hex(pairs[i].target->row),
                                  text_of_place(pairs[i].target->place));
      }
    }
    for (std::size_t begin = 0; begin < places.size(); begin += kPlacesAtOnce) {
      const auto some = std::span(places).subspan(begin, std::min(kPlacesAtOnce, places.size() - begin));
      describe_target(some, by_place, source_fields, rows, show_values);
    }
    for (RowDifference& row : rows) {
      if (row.kind != DifferenceKind::mismatch) continue;
      std::erase_if(row.values, [&](const ValueDifference& value) {
        return std::find(row.columns.begin(), row.columns.end(), value.column) == row.columns.end();
      });
    }
    return rows;
  }

 private:
  // Nothing for a row that the unit does not compare.
  [[nodiscard]] std::optional<RowMark> mark_of(std::span<const std::byte> tuple, const Digest& row) const {
    const std::size_t leaf = leaves_.leaf_of(tuple, row);
    if (!std::binary_search(unit_.leaves.begin(), unit_.leaves.end(), leaf)) return std::nullopt;
    const Digest identity = leaves_.rule().identity_of(tuple, row);
    if (!unit_.has(identity)) return std::nullopt;
    RowMark mark;
    mark.identity = identity;
    mark.row = row;
    mark.leaf = static_cast<std::uint32_t>(leaf);
    return mark;
  }

  // each(tuple, mark)
  template <class Each>
  void each_source_row(const Each& each) {
    std::set<std::size_t> ranges;
    for (std::size_t i = 0; i < plan_.extents.size() && !leaves_.ordered(); ++i) ranges.insert(i);
    if (leaves_.ordered()) {
      for (const std::size_t leaf : unit_.leaves) {
        for (const RangeNumber range : ranges_of_leaf(plan_, leaves_, leaf)) {
          ranges.insert(static_cast<std::size_t>(range));
        }
      }
    }
    DigestingWriterOptions options;
    options.each = [&](std::span<const std::byte> tuple, const Digest& row) {
      if (const auto mark = mark_of(tuple, row)) each(tuple, *mark);
    };
    for (const std::size_t range : ranges) {
      DigestingWriter writer(plan_, options);
      const std::unique_ptr<Scan> scan = source_.scan(plan_, plan_.extents[range]);
      std::uint64_t rows = 0;
      while (scan->deliver(writer, rows)) continue;
      static_cast<void>(writer.seal());
    }
  }

  void describe_source(std::span<const RowPair> pairs, bool show_values, std::vector<RowDifference>& rows,
                       std::vector<std::vector<Digest>>& fields) {
    using Name = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;
    const auto name_of_row = [](const RowMark& mark) {
      return Name(mark.identity.high, mark.identity.low, mark.row.high, mark.row.low);
    };
    std::multimap<Name, std::size_t> sought;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (pairs[i].source) sought.emplace(name_of_row(*pairs[i].source), i);
    }
    if (sought.empty()) return;
    each_source_row([&](std::span<const std::byte> tuple, const RowMark& mark) {
      const auto found = sought.find(name_of_row(mark));
      if (found == sought.end()) return;
      const std::size_t i = found->second;
      sought.erase(found);  // equal rows stand for each other
      RowDifference& row = rows[i];
      if (pairs[i].target) {
        fields[i] = field_digests(tuple);
      } else if (plan_.key_columns.empty()) {
        row.row = "row " + to_hex(mark.row);
      } else {
        PrintedRow printed;
        const auto values = print_tuple(plan_, tuple, kKeyCharactersShown);
        for (const std::size_t column : plan_.key_columns) printed.columns.push_back(values[column]);
        row.key = key_of_printed(plan_, printed);
      }
      if (!show_values) return;
      const auto values = print_tuple(plan_, tuple, kCharactersShown);
      for (std::size_t column = 0; column < values.size(); ++column) {
        row.values.push_back({shown_name(plan_.columns[column]), values[column], std::nullopt});
      }
    });
  }

  void describe_target(std::span<const Place> places, const std::map<Place, std::size_t>& by_place,
                       const std::vector<std::vector<Digest>>& source_fields,
                       std::vector<RowDifference>& rows, bool show_values) {
    // All reads see one state, so that a place means one row.
    const Transaction snapshot(connection_, {}, TransactionMode::one_snapshot);
    read_places(connection_, plan_, places, [&](const TargetRow& row) {
      const std::size_t i = by_place.at(row.place);
      if (source_fields[i].empty()) return;
      const std::vector<Digest> target = field_digests(row);
      for (std::size_t column = 0; column < plan_.columns.size(); ++column) {
        if (!(target[column] == source_fields[i][column]))
          rows[i].columns.push_back(shown_name(plan_.columns[column]));
      }
    });
    if (!plan_.key_columns.empty()) {
      for (const PrintedRow& printed :
           print_places(connection_, plan_, plan_.key_columns, places, kKeyCharactersShown)) {
        rows[by_place.at(printed.place)].key = key_of_printed(plan_, printed);
      }
    }
    if (!show_values) return;
    std::vector<std::size_t> columns(plan_.columns.size());
    for (std::size_t column = 0; column < columns.size(); ++column) columns[column] = column;
    for (const PrintedRow& printed : print_places(connection_, plan_, columns, places, kCharactersShown)) {
      RowDifference& row = rows[by_place.at(printed.place)];
      if (row.values.empty()) {
        for (const ColumnPlan& column : plan_.columns) row.values.push_back({shown_name(column), {}, {}});
      }
      for (const std::size_t column : columns) row.values[column].target = printed.columns[column];
    }
  }

  const Unit& unit_;
  const TablePlan& plan_;
  const TableLeaves& leaves_;
  Source& source_;
  Connection& connection_;
};

std::vector<Unit> cut(const DifferenceWork& work) {
  std::vector<Unit> units;
  for (std::size_t table = 0; table < work.tables->size(); ++table) {
    const std::vector<std::size_t>& differing = work.leaves[table];
    if (differing.empty()) continue;
    const TableLeaves& source = (*work.source)[table];
    const bool by_key = source.ordered() && finds_by_key(*work.connections.front(), (*work.tables)[table]);
    const auto add = [&](std::vector<std::size_t> leaves, std::uint64_t rows) {
      const std::uint64_t count = rows / kRowsAtOnce + 1;
      for (std::uint64_t number = 0; number < count; ++number)
        units.push_back({table, leaves, by_key, number, count});
    };
    // Runs of neighbours together, since they lie in the same ranges.
    std::vector<std::size_t> leaves;
    std::uint64_t rows = 0;
    for (std::size_t i = 0; i < differing.size(); ++i) {
      const std::uint64_t more = source.leaves()[differing[i]].rows.rows + work.rows_target[table][i];
      if (by_key && !leaves.empty() && rows + more > kRowsAtOnce) {
        add(std::exchange(leaves, {}), std::exchange(rows, 0));
      }
      leaves.push_back(differing[i]);
      rows += more;
    }
    add(leaves, rows);
  }
  return units;
}

}  // namespace

std::optional<Differences> find_archive_differences(const Archive& archive, const DifferenceWork& work,
                                                    Console& console, const StopRequest& stop) {
  const std::vector<Unit> units = cut(work);
  std::vector<UnitDifferences> parts(units.size());
  for (std::size_t number = 0; number < units.size(); ++number) parts[number].table = units[number].table;
  std::vector<std::unique_ptr<Source>> sources;
  for (std::size_t i = 0; i < work.connections.size(); ++i) sources.push_back(make_archive_source(archive));
  std::atomic<std::uint64_t> reported{0};
  std::atomic<std::size_t> finished{0};
  PipelineWork pipeline;
  pipeline.lanes = work.connections.size();
  pipeline.tasks = units.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    const Unit& unit = units[number];
    naming_table((*work.tables)[unit.table], [&] {
      Lane at(work, lane, *sources[lane], unit);
      const std::vector<RowPair> pairs = at.find();
      for (const RowPair& pair : pairs) parts[number].count(pair);
      const std::uint64_t before = reported.fetch_add(pairs.size());
      const std::uint64_t room = before < work.max_report ? work.max_report - before : 0;
      parts[number].rows =
          at.describe(std::span(pairs).first(std::min<std::uint64_t>(room, pairs.size())), work.show_values);
    });
    finished.fetch_add(1, std::memory_order_relaxed);
  };
  {
    const Ticker ticker(console.interval_seconds(), [&] {
      console.progress("differences", finished.load(std::memory_order_relaxed), units.size());
    });
    if (!run_pipeline(pipeline, stop)) return std::nullopt;
  }
  return add_up(std::move(parts), work.tables->size());
}

}  // namespace sluice
