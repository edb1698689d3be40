#include "engine/app/differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <tuple>
#include <utility>

#include "engine/model/hex.h"
#include "engine/model/quote.h"
#include "io/postgres/read_back.h"
#include "io/wire/reject_record.h"
#include "verify/row_diff.h"
#include "verify/row_digest.h"
#include "verify/row_digester.h"

namespace sluice {
namespace {

// Rows of both sides that are compared at once, in one lane: 8 MB of marks, and 14 of pairs if all differ.
constexpr std::uint64_t kRowsAtOnce = std::uint64_t{1} << 17;

// Parts that a scan sums up: 12 MB, and of 100 million rows each has a hundred.
constexpr unsigned kPartBits = 20;

// Pairs kept from finding for repairing, over all units: 14 MB. Beyond that they are found again.
constexpr std::size_t kPairsKept = std::size_t{1} << 17;

// Tuples that one lane keeps for a repair.
constexpr std::size_t kRowBytesKept = std::size_t{16} << 20;

// Places asked for in one query.
constexpr std::size_t kPlacesAtOnce = 4096;

// Characters of a value that are shown, and of a value of the key.
constexpr std::size_t kCharactersShown = 60;
constexpr std::size_t kKeyCharactersShown = 4096;

// Mixed, since an integer key is its own identity.
std::uint64_t mixed(const Digest& identity) { return identity.low * 0x9e3779b97f4a7c15U; }

// REQUIRES: parts is a power of two.
std::size_t part_of(const Digest& identity, std::size_t parts) {
  return mixed(identity) >> (64 - std::countr_zero(parts));
}

// The rows of a unit that it compares, by their identities.
struct Share {
  // One of `count` even shares,
  std::uint64_t number = 0;
  std::uint64_t count = 1;
  // or, where a scan has told them apart, the parts that differ from the first to before the last.
  std::shared_ptr<const std::vector<bool>> differing{};
  std::size_t first_part = 0;
  std::size_t last_part = 0;

  [[nodiscard]] bool has(const Digest& identity) const {
    if (differing) {
      const std::size_t part = part_of(identity, differing->size());
      return part >= first_part && part < last_part && (*differing)[part];
    }
    return count == 1 || (mixed(identity) >> 32) % count == number;
  }
};

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

// A value of the key as the source would have it, as far as its type says.
nlohmann::ordered_json key_value(const ColumnPlan& column, const std::string& text) {
  switch (column.type) {
    case PgType::int8:
    case PgType::int4:
    case PgType::int2:
    case PgType::float4:
    case PgType::float8:
    case PgType::numeric: {
      if (!column.type_name.empty() || column.compared_as_text) return text;
      auto number = nlohmann::ordered_json::parse(text, nullptr, false);
      return number.is_number() ? number : nlohmann::ordered_json(text);
    }
    case PgType::bytea:
      if (!text.starts_with("\\x")) return text;
      return nlohmann::ordered_json{{"hex", text.substr(2)}};
    default:
      return text;
  }
}

std::string unfit_reason(const std::string& column, std::string_view reason) {
  return fmt::format("the target's column for {} cannot hold its value ({})", column, reason);
}

}  // namespace

std::string key_of_printed(const TablePlan& plan, const PrintedRow& row) {
  nlohmann::ordered_json key = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < plan.key_columns.size(); ++i) {
    const ColumnPlan& column = plan.columns[plan.key_columns[i]];
    const std::optional<std::string>& text = row.columns.at(i);
    key[column.source] = text ? key_value(column, *text) : nlohmann::ordered_json(nullptr);
  }
  return spaced_object(key);
}

std::string spaced_object(const nlohmann::ordered_json& object) {
  if (!object.is_object()) return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string spaced = "{";
  for (const auto& [name, value] : object.items()) {
    spaced += (spaced.size() == 1 ? "" : ", ") + nlohmann::json(name).dump() + ": " + spaced_object(value);
  }
  return spaced + "}";
}

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
  if (!difference.reason.empty()) text += ": " + difference.reason;
  return text;
}

// How much is held at once. Each is at most what the constants above say.
struct DifferenceFinder::Room {
  std::uint64_t rows_at_once = kRowsAtOnce;
  unsigned part_bits = kPartBits;
  std::size_t pairs_kept = kPairsKept;
  std::size_t row_bytes_kept = kRowBytesKept;

  // Three quarters for the rows of the lanes: a mark of 64 bytes each, and where all of them differ a pair,
  // an item of a repair and its copy while they are sorted, for every two. An eighth each for pairs and
  // tuples that are kept. Parts are summed up before all that.
  static Room within(std::uint64_t memory_bytes, std::size_t lanes) {
    constexpr std::uint64_t kBytesPerRow = 256;
    constexpr std::uint64_t kRowsMin = 1024;
    constexpr std::uint64_t kBytesPerPart = 16;
    constexpr unsigned kPartBitsMin = 12;
    Room room;
    if (memory_bytes == 0) return room;
    room.rows_at_once = std::clamp(memory_bytes * 3 / 4 / lanes / kBytesPerRow, kRowsMin, kRowsAtOnce);
    const auto parts = std::max<std::uint64_t>(memory_bytes / kBytesPerPart, 1);
    room.part_bits = std::clamp(static_cast<unsigned>(std::bit_width(parts)) - 1, kPartBitsMin, kPartBits);
    room.pairs_kept = std::min<std::size_t>(memory_bytes / 8 / sizeof(RowPair), kPairsKept);
    room.row_bytes_kept = std::min<std::size_t>(memory_bytes / 8 / lanes, kRowBytesKept);
    return room;
  }
};

// Leaves of one table that are compared at once, or, where they have too many rows for that, a part of them.
struct DifferenceFinder::Unit {
  std::size_t table = 0;
  std::vector<std::size_t> leaves;  // ascending
  bool by_key = false;              // the target finds their rows without reading all of the table
  Share share{};
  std::optional<std::vector<RowPair>> pairs{};  // kept from find()
};

// A pair on its way through a repair.
struct DifferenceFinder::Item {
  std::size_t unit = 0;
  RowPair pair;
  std::string kept{};  // the source's tuple, where there is room and seeking it costs a scan
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
    RowSum met;
    each_source_row([&](Row row, bool fits) {
      if (!fits && !take_key(row)) {
        unfit_unnamed_ = true;
        return;
      }
      const RowDigester& key = fits ? digester_ : *key_digester_;
      const auto mark = mark_of(key.key_tuple(), key.digest(), fits ? &met : nullptr);
      if (!mark) return;
      RowMark added{mark->identity, fits ? key.digest() : Digest{}, place_of(row), mark->leaf};
      if (!fits) {
        added.unfit_column = static_cast<std::uint16_t>(digester_.reject().column + 1);
        added.unfit_reason = static_cast<std::uint8_t>(digester_.reject().reason);
      }
      diff.add_source(added);
    });
    refuse_other_rows(met);
    const auto add_target = [&](const TargetRow& row) {
      if (const auto mark = mark_of(row.tuple, row.digest))
        diff.add_target({mark->identity, row.digest, row.place, mark->leaf});
    };
    if (unit_.by_key) {
      for (const std::size_t leaf : unit_.leaves)
        read_placed(connection_, plan_, leaves_.keys_of(leaf), add_target);
    } else {
      read_placed(connection_, plan_, std::nullopt, add_target);
    }
    std::vector<RowPair> pairs = diff.finish();
    // Those that the target has nothing of were counted when the source was read.
    std::erase_if(pairs,
                  [](const RowPair& pair) { return pair.source && pair.source->is_unfit() && !pair.target; });
    return pairs;
  }

  // find() has met rows that do not fit and have no key that says which they are.
  [[nodiscard]] bool unfit_unnamed() const { return unfit_unnamed_; }

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
    each_source_row_of(pairs, [&](std::size_t i, Row row, bool fits) {
      RowDifference& difference = rows[i];
      if (!fits) {
        const std::size_t column = pairs[i].source->unfit_column - 1u;
        difference.key = key_of_row(plan_, row);
        difference.columns = {shown_name(plan_.columns[column])};
        difference.reason = unfit_reason(difference.columns.front(),
                                         name_of(static_cast<Misfit>(pairs[i].source->unfit_reason)));
        difference.unfit = true;
        return;
      }
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
        difference.values.push_back({shown_name(plan_.columns[column]),
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
      const Digest& identity = pairs[i].source ? pairs[i].source->identity : pairs[i].target->identity;
      const auto refused = work_.refused.find({unit_.table, identity.high, identity.low});
      if (refused != work_.refused.end()) difference.reason = refused->second;
      if (difference.kind != DifferenceKind::mismatch) continue;
      std::erase_if(difference.values, [&](const ValueDifference& value) {
        return std::find(difference.columns.begin(), difference.columns.end(), value.column) ==
               difference.columns.end();
      });
    }
    return rows;
  }

  // What is to be done about these pairs. Rows that only a scan of the table finds are kept, as far as there
  // is room, or each leaf would scan anew.
  std::vector<Item> items_of(std::size_t unit, std::vector<RowPair> pairs, std::size_t row_bytes_kept) {
    std::vector<Item> items;
    items.reserve(pairs.size());
    // What does not fit cannot come, so what is there stays.
    std::erase_if(pairs, [](const RowPair& pair) { return pair.source && pair.source->is_unfit(); });
    for (const RowPair& pair : pairs) items.push_back({unit, pair});
    if (has_place_) return items;
    std::size_t room = row_bytes_kept;
    each_source_row_of(pairs, [&](std::size_t i, Row, bool) {
      std::string tuple;
      for (const std::span<const std::byte> piece : digester_.sent_pieces()) {
        if (tuple.size() + piece.size() > room) return;
        tuple.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      }
      room -= tuple.size();
      items[i].kept = std::move(tuple);
    });
    return items;
  }

  // REQUIRES: the items are of this unit and in order of their leaves.
  void remove(std::span<const Item> items, const RepairTable& table, RepairTransaction& transaction) const {
    for (std::size_t begin = 0; begin < items.size();) {
      const std::uint32_t leaf = leaf_of(items[begin].pair);
      std::vector<DoomedRow> doomed;
      for (; begin < items.size() && leaf_of(items[begin].pair) == leaf; ++begin) {
        const RowPair& pair = items[begin].pair;
        if (pair.target) doomed.push_back({pair.target->place, pair.target->row, pair.source.has_value()});
      }
      transaction.remove(table, leaf, doomed);
    }
  }

  void insert(std::span<const Item> items, const RepairTable& table, RepairTransaction& transaction) {
    if (table.carried.empty()) return insert_some(items, table, transaction, std::nullopt);
    // They come by two COPYs, one after the other.
    insert_some(items, table, transaction, true);
    insert_some(items, table, transaction, false);
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
  // looked at. `met`: sums up those of the unit's leaves.
  [[nodiscard]] std::optional<Mark> mark_of(std::span<const std::byte> tuple, const Digest& row,
                                            RowSum* met = nullptr) const {
    const std::size_t leaf = leaves_.leaf_of(tuple, row);
    if (!std::binary_search(unit_.leaves.begin(), unit_.leaves.end(), leaf)) return std::nullopt;
    if (met != nullptr) *met += RowSum{row, 1};
    const Digest identity = leaves_.rule().identity_of(tuple, row);
    if (!unit_.share.has(identity)) return std::nullopt;
    return Mark{identity, static_cast<std::uint32_t>(leaf)};
  }

  // Leaves are searched for by their keys, which in a damaged table leads past rows; what the target has of
  // those would be called too much, and deleted by a repair.
  void refuse_other_rows(const RowSum& met) const {
    RowSum expected;
    for (const std::size_t leaf : unit_.leaves) expected += leaves_.leaves()[leaf].rows;
    if (met == expected) return;
    if (!work_.snapshot->unchanged()) {
      throw Error(Fault::source_changed,
                  "the source was overwritten while it was read, by something that ignores locks",
                  "copy it where nobody writes to it, and compare again");
    }
    throw not_found_again(
        fmt::format("{} where {} were", counted(met.rows, "row"), human_count(expected.rows)));
  }

  [[nodiscard]] Error not_found_again(const std::string& how) const {
    return Error(Fault::source_unreadable,
                 fmt::format("table {} is corrupt: its rows are not found again by their keys ({})",
                             plan_.source, how),
                 "PRAGMA integrity_check tells more, and sqlite3 FILE .recover can save what is left");
  }

  // `replacing`: only the rows that take the place of another, or only those that do not.
  void insert_some(std::span<const Item> items, const RepairTable& table, RepairTransaction& transaction,
                   std::optional<bool> replacing) {
    std::vector<RowPair> sought;  // not kept
    std::uint64_t wanted = 0;
    std::uint64_t inserted = 0;
    const auto insert = [&](const RowPair& pair, std::span<const std::span<const std::byte>> pieces) {
      transaction.insert(table, leaf_of(pair), pieces,
                         pair.target ? std::optional(pair.target->place) : std::nullopt);
      ++inserted;
    };
    for (const Item& item : items) {
      if (!item.pair.source || (replacing && *replacing != item.pair.target.has_value())) continue;
      ++wanted;
      if (item.kept.empty()) {
        sought.push_back(item.pair);
        continue;
      }
      const std::span<const std::byte> tuple = std::as_bytes(std::span(item.kept));
      insert(item.pair, std::span(&tuple, 1));
    }
    each_source_row_of(sought, [&](std::size_t i, Row, bool) { insert(sought[i], digester_.sent_pieces()); });
    if (inserted != wanted) {
      throw not_found_again(fmt::format("{} of {}", human_count(inserted), counted(wanted, "row")));
    }
  }

  // Of a row that does not fit: whether its key does, which key_digester_ has then.
  bool take_key(Row row) {
    if (plan_.key_columns.empty()) return false;
    if (!key_digester_) {
      TablePlan keys = plan_;
      for (ColumnPlan& column : keys.columns) column.not_null = false;
      key_digester_.emplace(keys);
    }
    key_cells_.assign(plan_.columns.size(), Cell());
    for (const std::size_t column : plan_.key_columns) key_cells_[column] = row[column];
    return key_digester_->take(key_cells_);
  }

  [[nodiscard]] std::uint64_t place_of(Row row) const {
    if (!has_place_) return 0;
    const std::size_t cell = leaves_.ordered() ? plan_.key_columns.front() : plan_.columns.size();
    return static_cast<std::uint64_t>(row[cell].integer());
  }

  // each(row, fits): digester_ has the row, or says why it does not fit its types.
  template <class Each>
  void scan(const Extent& extent, const Each& each) {
    const std::unique_ptr<Scan> scan = reader_.scan(scan_plan_, extent);
    while (const std::optional<Row> row = scan->next()) {
      const bool fits = digester_.take(*row);
      each(*row, fits);
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
        scan(RowidRange{rowid, rowid}, [&](Row row, bool fits) { each(i, row, fits); });
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
    each_source_row([&](Row row, bool fits) {
      if (!fits && !take_key(row)) return;
      const RowDigester& key = fits ? digester_ : *key_digester_;
      const Digest identity = leaves_.rule().identity_of(key.key_tuple(), key.digest());
      const auto found = sought.find(name_of_row(identity, fits ? key.digest() : Digest{}));
      if (found == sought.end()) return;
      const std::size_t i = found->second;
      sought.erase(found);  // equal rows stand for each other
      each(i, row, fits);
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
      read_places(connection_, plan_, places, [&](const TargetRow& row) {
        const std::size_t i = by_place.at(row.place);
        if (rows[i].kind != DifferenceKind::mismatch || source_fields[i].empty()) return;
        const std::vector<Digest> target = field_digests(row);
        for (std::size_t column = 0; column < plan_.columns.size(); ++column) {
          if (!(target[column] == source_fields[i][column]))
            rows[i].columns.push_back(shown_name(plan_.columns[column]));
        }
      });
    }
    if (!plan_.key_columns.empty()) {
      for (const PrintedRow& printed :
           print_places(connection_, plan_, plan_.key_columns, places, kKeyCharactersShown)) {
        RowDifference& difference = rows[by_place.at(printed.place)];
        if (difference.kind == DifferenceKind::extraneous) difference.key = key_of_printed(plan_, printed);
      }
    }
    if (!show_values) return;
    std::vector<std::size_t> columns(plan_.columns.size());
    for (std::size_t column = 0; column < columns.size(); ++column) columns[column] = column;
    for (const PrintedRow& printed : print_places(connection_, plan_, columns, places, kCharactersShown)) {
      RowDifference& difference = rows[by_place.at(printed.place)];
      if (difference.values.empty()) {
        for (const ColumnPlan& column : plan_.columns) difference.values.push_back({column.source, {}, {}});
      }
      for (const std::size_t column : columns) difference.values[column].target = printed.columns[column];
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
  bool unfit_unnamed_ = false;
  std::optional<RowDigester> key_digester_;  // of rows whose other columns are NULL
  std::vector<Cell> key_cells_;
};

DifferenceFinder::DifferenceFinder(DifferenceWork work, Console& console, const StopRequest& stop)
    : work_(std::move(work)),
      room_(std::make_unique<const Room>(Room::within(work_.memory_bytes, work_.connections.size()))),
      console_(console),
      stop_(stop) {}

DifferenceFinder::~DifferenceFinder() = default;

// False when stopped.
bool DifferenceFinder::cut() {
  for (std::size_t table = 0; table < work_.tables->size(); ++table) {
    if (work_.leaves[table].empty()) continue;
    const std::size_t before = units_.size();
    const bool cut = retried([&] {
      units_.erase(units_.begin() + static_cast<std::ptrdiff_t>(before), units_.end());
      return cut_table(table);
    });
    if (!cut) return false;
  }
  return true;
}

bool DifferenceFinder::cut_table(std::size_t table) {
  const std::vector<std::size_t>& differing = work_.leaves[table];
  const TablePlan& plan = (*work_.tables)[table];
  const TableLeaves& source = (*work_.source)[table];
  const bool by_key = source.ordered() && finds_by_key(*work_.connections.front(), plan);
  std::uint64_t all_rows = 0;
  for (std::size_t i = 0; i < differing.size(); ++i) {
    const std::uint64_t rows = source.leaves()[differing[i]].rows.rows + work_.rows_target[table][i];
    all_rows += rows;
    if (!by_key) continue;
    // One by one where each is found by its keys, so that the lanes share them.
    const std::uint64_t count = rows / room_->rows_at_once + 1;
    for (std::uint64_t number = 0; number < count; ++number)
      units_.push_back({table, {differing[i]}, true, {.number = number, .count = count}});
  }
  if (by_key) return true;
  if (all_rows > room_->rows_at_once) return cut_by_scan(table, differing, by_key);
  units_.push_back({table, differing, false});
  return true;
}

// Each unit reads the whole table, so there must be few of them: those rows that cancel out, most of them as
// a rule, are found by their sums and left out.
bool DifferenceFinder::cut_by_scan(std::size_t table, const std::vector<std::size_t>& leaves, bool by_key) {
  const TablePlan& plan = (*work_.tables)[table];
  const TableLeaves& source = (*work_.source)[table];
  struct Part {
    std::atomic<std::uint64_t> sum{0};  // the source's digests less the target's
    std::atomic<std::uint32_t> rows{0};
  };
  std::vector<Part> parts(std::size_t{1} << room_->part_bits);
  const auto add = [&](std::span<const std::byte> key, const Digest& row, bool of_target) {
    const std::size_t leaf = source.leaf_of(key, row);
    if (!std::binary_search(leaves.begin(), leaves.end(), leaf)) return;
    Part& part = parts[part_of(source.rule().identity_of(key, row), parts.size())];
    const std::uint64_t digest = row.low ^ row.high;
    part.sum.fetch_add(of_target ? 0 - digest : digest, std::memory_order_relaxed);
    part.rows.fetch_add(1, std::memory_order_relaxed);
  };
  const std::uint64_t blocks = count_blocks(*work_.connections.front(), plan);
  const std::uint64_t target_tasks = blocks / kBlocksPerPiece + 1;
  PipelineWork pipeline;
  pipeline.lanes = std::min(work_.connections.size(), work_.snapshot->readers());
  pipeline.tasks = plan.extents.size() + target_tasks;
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    naming_table(plan, [&] {
      if (number >= plan.extents.size()) {
        const std::uint64_t begin = (number - plan.extents.size()) * kBlocksPerPiece;
        const bool last = number + 1 == pipeline.tasks;
        read_blocks(*work_.connections[lane], plan, {begin, last ? UINT64_MAX : begin + kBlocksPerPiece},
                    [&](const TargetRow& row) { add(row.tuple, row.digest, true); });
        return;
      }
      RowDigester digester(plan);
      const std::unique_ptr<Scan> scan = work_.snapshot->reader(lane).scan(plan, plan.extents[number]);
      while (const std::optional<Row> row = scan->next()) {
        if (digester.take(*row)) add(digester.key_tuple(), digester.digest(), false);
      }
    });
  };
  if (!run_pipeline(pipeline, stop_)) return false;
  auto differing = std::make_shared<std::vector<bool>>(parts.size());
  for (std::size_t part = 0; part < parts.size(); ++part) (*differing)[part] = parts[part].sum != 0;
  Share share{.differing = differing};
  std::uint64_t rows = 0;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    if (!(*differing)[part]) continue;
    if (rows > 0 && rows + parts[part].rows > room_->rows_at_once) {
      share.last_part = part;
      units_.push_back({table, leaves, by_key, share});
      share.first_part = part;
      rows = 0;
    }
    rows += parts[part].rows;
  }
  if (rows > 0) {
    share.last_part = parts.size();
    units_.push_back({table, leaves, by_key, share});
  }
  return true;
}

DifferenceKind kind_of(const RowPair& pair) {
  if (!pair.target) return DifferenceKind::missing;
  return pair.source ? DifferenceKind::mismatch : DifferenceKind::extraneous;
}

void UnitDifferences::count(const RowPair& pair) {
  if (pair.source && pair.source->is_unfit()) ++counts.unfit_there;
  switch (kind_of(pair)) {
    case DifferenceKind::missing:
      ++counts.missing;
      break;
    case DifferenceKind::mismatch:
      ++counts.mismatch;
      break;
    case DifferenceKind::extraneous:
      ++counts.extraneous;
      break;
  }
}

Differences add_up(std::vector<UnitDifferences> units, std::size_t tables) {
  Differences found;
  found.tables.resize(tables);
  for (UnitDifferences& unit : units) {
    TableDifferences& table = found.tables[unit.table];
    table.missing += unit.counts.missing;
    table.mismatch += unit.counts.mismatch;
    table.extraneous += unit.counts.extraneous;
    table.unfit_there += unit.counts.unfit_there;
    table.unfit_unnamed |= unit.counts.unfit_unnamed;
    std::move(unit.rows.begin(), unit.rows.end(), std::back_inserter(found.rows));
  }
  std::stable_sort(found.rows.begin(), found.rows.end(), [](const RowDifference& a, const RowDifference& b) {
    return std::tie(a.table, a.kind) < std::tie(b.table, b.kind);
  });
  return found;
}

std::optional<Differences> DifferenceFinder::find() {
  if (!cut()) return std::nullopt;
  std::vector<UnitDifferences> parts(units_.size());
  for (std::size_t number = 0; number < units_.size(); ++number) parts[number].table = units_[number].table;
  std::atomic<std::uint64_t> reported{0};
  std::atomic<std::size_t> kept{0};
  std::atomic<std::size_t> finished{0};
  PipelineWork pipeline;
  pipeline.lanes = std::min(work_.connections.size(), work_.snapshot->readers());
  pipeline.tasks = units_.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    Unit& unit = units_[number];
    const auto with_lane = [&](const auto& what) {
      return retried([&] {
        naming_table((*work_.tables)[unit.table], [&] {
          Lane work(work_, lane, unit);
          what(work);
        });
      });
    };
    std::vector<RowPair> pairs;
    with_lane([&](Lane& work) {
      pairs = work.find();
      parts[number].counts.unfit_unnamed = work.unfit_unnamed();
    });
    for (const RowPair& pair : pairs) parts[number].count(pair);
    const std::uint64_t before = reported.fetch_add(pairs.size());
    const std::uint64_t room = before < work_.max_report ? work_.max_report - before : 0;
    const auto shown = std::span(pairs).first(std::min<std::uint64_t>(room, pairs.size()));
    with_lane([&](Lane& work) { parts[number].rows = work.describe(shown, work_.show_values); });
    if (kept.fetch_add(pairs.size()) + pairs.size() <= room_->pairs_kept) unit.pairs = std::move(pairs);
    finished.fetch_add(1, std::memory_order_relaxed);
  };
  {
    const Ticker ticker(console_.interval_seconds(), [&] {
      console_.progress("differences", finished.load(std::memory_order_relaxed), units_.size());
    });
    if (!run_pipeline(pipeline, stop_)) return std::nullopt;
  }
  return add_up(std::move(parts), work_.tables->size());
}

// Repairs items, puts aside what has to wait for others, and gives up on what the target refuses.
class DifferenceFinder::Repairer {
 public:
  Repairer(const DifferenceWork& work, const std::vector<Unit>& units, const RepairRights& rights,
           const RepairRecord& record, const std::vector<std::string>& runs, Retries& progress)
      : work_(work),
        units_(units),
        rights_(rights),
        record_(record),
        progress_(progress),
        done_(work.tables->size()) {
    for (std::size_t table = 0; table < runs.size(); ++table) runs_[&(*work.tables)[table]] = runs[table];
  }

  // One unit, leaf by leaf, on one lane.
  void repair_unit(std::size_t lane, Lane& worker, std::span<Item> items, const StopRequest& stop) {
    for (std::size_t begin = 0; begin < items.size() && !stop.stopped();) {
      const std::uint32_t leaf = Lane::leaf_of(items[begin].pair);
      std::size_t end = begin;
      while (end < items.size() && Lane::leaf_of(items[end].pair) == leaf) ++end;
      repair_leaf(lane, worker, items.subspan(begin, end - begin));
      begin = end;
    }
  }

  // What was put aside, all together on the first lane: first everything is deleted, in the order of tables
  // that foreign keys ask for, then everything inserted. Halved as long as the target refuses it.
  void repair_together() {
    std::mt19937_64 random(1);
    for (int round = 0; round < kRounds && !aside_.empty(); ++round) {
      std::vector<Item> items = std::exchange(aside_, {});
      const std::size_t before = items.size();
      halve_together(items);
      // What has failed alone may do well with the others that have, in other halves.
      if (aside_.size() == before && before == 1) break;
      std::shuffle(aside_.begin(), aside_.end(), random);
    }
    for (const Item& item : aside_) give_up(item, reasons_.at(identity_of(item)));
    aside_.clear();
  }

  [[nodiscard]] const RefusedRows& refused() const { return refused_; }
  [[nodiscard]] const std::vector<TableDifferences>& done() const { return done_; }

 private:
  static constexpr int kRounds = 6;

  // Another row is in the way, which may be gone or there once the others are repaired: unique, exclusion and
  // foreign keys, and two lanes that wait for each other.
  static bool waits_for_others(const Error& error) {
    return error.sqlstate() == "23505" || error.sqlstate() == "23P01" || error.sqlstate() == "23503" ||
           error.sqlstate() == "40P01";
  }
  // The row of another table that a foreign key asks for is gone and came back since our snapshot, by a lane
  // that repairs that table. Of what is repaired together only somebody else can be the cause.
  static bool meets_another_lane(const Error& error) { return error.sqlstate() == "40001"; }
  // The target's word on this row, whatever becomes of others.
  static bool refuses(const Error& error) { return error.sqlstate().starts_with("23"); }

  [[nodiscard]] std::tuple<std::size_t, std::uint64_t, std::uint64_t> identity_of(const Item& item) const {
    const RowMark& mark = item.pair.source ? *item.pair.source : *item.pair.target;
    return {units_[item.unit].table, mark.identity.high, mark.identity.low};
  }

  [[nodiscard]] const RepairTable& table_of(const Item& item) const {
    return rights_.tables[units_[item.unit].table];
  }

  void repair_leaf(std::size_t lane, Lane& worker, std::span<Item> items) {
    try {
      RepairTransaction transaction(*work_.connections[lane], rights_, record_);
      const RepairTable& table = table_of(items.front());
      worker.remove(items, table, transaction);
      worker.insert(items, table, transaction);
      transaction.commit(runs_);
      count(items);
    } catch (const Error& error) {
      if (waits_for_others(error) || meets_another_lane(error)) {
        put_aside(items, error);
      } else if (!refuses(error)) {
        throw;
      } else if (items.size() == 1) {
        give_up(items.front(), error.what());
      } else {
        repair_leaf(lane, worker, items.first(items.size() / 2));
        repair_leaf(lane, worker, items.subspan(items.size() / 2));
      }
    }
  }

  void halve_together(std::span<Item> items) {
    try {
      repair_at_once(items);
    } catch (const Error& error) {
      if (!refuses(error) && !waits_for_others(error)) throw;
      if (items.size() > 1) {
        halve_together(items.first(items.size() / 2));
        halve_together(items.subspan(items.size() / 2));
      } else if (waits_for_others(error)) {
        put_aside(items, error);
      } else {
        give_up(items.front(), error.what());
      }
    }
  }

  void repair_at_once(std::span<Item> items) {
    std::map<std::size_t, std::vector<Item>> by_unit;
    for (const Item& item : items) by_unit[item.unit].push_back(item);
    std::vector<std::size_t> order;  // parents first
    for (auto& [unit, own] : by_unit) {
      order.push_back(unit);
      std::stable_sort(own.begin(), own.end(), [](const Item& left, const Item& right) {
        return Lane::leaf_of(left.pair) < Lane::leaf_of(right.pair);
      });
    }
    std::stable_sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) {
      return rights_.tables[units_[left].table].rank < rights_.tables[units_[right].table].rank;
    });
    RepairTransaction transaction(*work_.connections.front(), rights_, record_);
    const auto with = [&](std::size_t unit, const auto& what) {
      const TablePlan& plan = (*work_.tables)[units_[unit].table];
      naming_table(plan, [&] {
        Lane lane(work_, 0, units_[unit]);
        what(lane, rights_.tables[units_[unit].table]);
      });
    };
    for (auto unit = order.rbegin(); unit != order.rend(); ++unit) {
      with(*unit,
           [&](Lane& lane, const RepairTable& table) { lane.remove(by_unit[*unit], table, transaction); });
    }
    for (const std::size_t unit : order) {
      with(unit,
           [&](Lane& lane, const RepairTable& table) { lane.insert(by_unit[unit], table, transaction); });
    }
    transaction.commit(runs_);
    count(items);
  }

  void count(std::span<const Item> items) {
    progress_.note_progress();
    const std::scoped_lock lock(mutex_);
    for (const Item& item : items) {
      TableDifferences& table = done_[units_[item.unit].table];
      table.deleted += item.pair.target ? 1 : 0;
      table.inserted += item.pair.source ? 1 : 0;
    }
  }

  void put_aside(std::span<Item> items, const Error& error) {
    const std::scoped_lock lock(mutex_);
    for (Item& item : items) {
      reasons_[identity_of(item)] = error.what();
      aside_.push_back(std::move(item));
    }
  }

  void give_up(const Item& item, const std::string& reason) {
    const std::scoped_lock lock(mutex_);
    refused_[identity_of(item)] = "the target refuses it: " + reason;
  }

  const DifferenceWork& work_;
  const std::vector<Unit>& units_;
  const RepairRights& rights_;
  const RepairRecord& record_;
  Retries& progress_;
  std::map<const TablePlan*, std::string> runs_;
  std::mutex mutex_;  // of what follows; held for moments between transactions
  std::vector<Item> aside_;
  RefusedRows reasons_;  // of what is put aside
  RefusedRows refused_;
  std::vector<TableDifferences> done_;
};

bool DifferenceFinder::repair(const RepairRights& rights, const RepairRecord& record,
                              const std::vector<std::string>& runs, Retries& progress,
                              Differences& differences, RefusedRows& refused) {
  Repairer repairer(work_, units_, rights, record, runs, progress);
  std::atomic<std::size_t> finished{0};
  PipelineWork pipeline;
  pipeline.lanes = std::min(work_.connections.size(), work_.snapshot->readers());
  pipeline.tasks = units_.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    Unit& unit = units_[number];
    naming_table((*work_.tables)[unit.table], [&] {
      Lane worker(work_, lane, unit);
      std::vector<RowPair> pairs = unit.pairs ? std::move(*unit.pairs) : worker.find();
      unit.pairs.reset();
      std::vector<Item> items = worker.items_of(number, std::move(pairs), room_->row_bytes_kept);
      std::stable_sort(items.begin(), items.end(), [](const Item& left, const Item& right) {
        return Lane::leaf_of(left.pair) < Lane::leaf_of(right.pair);
      });
      repairer.repair_unit(lane, worker, items, stop_);
    });
    finished.fetch_add(1, std::memory_order_relaxed);
  };
  const auto conclude = [&] {
    for (std::size_t table = 0; table < differences.tables.size(); ++table) {
      differences.tables[table].deleted += repairer.done()[table].deleted;
      differences.tables[table].inserted += repairer.done()[table].inserted;
    }
    refused = repairer.refused();
  };
  bool complete = false;
  try {
    const Ticker ticker(console_.interval_seconds(), [&] {
      console_.progress("repair", finished.load(std::memory_order_relaxed), units_.size());
    });
    complete = run_pipeline(pipeline, stop_) && !stop_.stopped();
    if (complete) repairer.repair_together();
  } catch (...) {
    conclude();
    throw;
  }
  conclude();
  return complete;
}

}  // namespace sluice
