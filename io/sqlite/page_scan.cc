#include "io/sqlite/page_scan.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/model/quote.h"
#include "io/sqlite/declared_affinity.h"
#include "io/sqlite/pages.h"

namespace sluice {
namespace {

// Leaves that lie side by side come with one read. More than this leaves the second-level cache.
constexpr std::size_t kRunBytes = std::size_t{64} << 10;

constexpr std::size_t kLeafHeaderBytes = 8;

constexpr std::uint64_t kRowidsMin = 64;

// A buffer for a row on overflow pages is kept up to this size.
constexpr std::size_t kRecordBytesKept = std::size_t{1} << 20;

// A column as records have it.
struct StoredColumn {
  std::string name;
  int cell = -1;       // its place in the row; -1: not asked for
  bool real = false;   // whole numbers are stored as integers and read as reals
  bool rowid = false;  // stored as NULL
};

// What a record leaves out at its end: columns that were added later.
struct MissingValue {
  StorageClass storage = StorageClass::null;
  std::int64_t integer = 0;
  double real = 0;
  std::string bytes;

  static MissingValue of(const Cell& cell) {
    MissingValue value;
    value.storage = cell.storage();
    switch (cell.storage()) {
      case StorageClass::integer:
        value.integer = cell.integer();
        break;
      case StorageClass::real:
        value.real = cell.real();
        break;
      case StorageClass::text:
        value.bytes = cell.text();
        break;
      case StorageClass::blob:
        value.bytes.assign(reinterpret_cast<const char*>(cell.bytes().data()), cell.bytes().size());
        break;
      case StorageClass::null:
        break;
    }
    return value;
  }

  // Borrows from this.
  [[nodiscard]] Cell cell() const {
    switch (storage) {
      case StorageClass::integer:
        return Cell::of_integer(integer);
      case StorageClass::real:
        return Cell::of_real(real);
      case StorageClass::text:
        return Cell::of_text(bytes);
      case StorageClass::blob:
        return Cell::of_blob(std::as_bytes(std::span(bytes)));
      case StorageClass::null:
        break;
    }
    return {};
  }
};

// The columns of a table in the order of its records; empty where records alone do not tell the values.
std::vector<StoredColumn> stored_columns(const SqliteConnection& connection, const TablePlan& plan) {
  const StatementHandle list =
      connection.prepare("PRAGMA main.table_xinfo(" + quote_identifier(plan.source) + ")");
  std::vector<StoredColumn> columns;
  std::optional<std::size_t> alias;
  std::size_t key_columns = 0;
  while (connection.step(list)) {
    // 0 for plain columns, 3 for stored generated ones: both lie in the record.
    const int hidden = sqlite3_column_int(list.get(), 6);
    if (hidden != 0 && hidden != 3) return {};
    StoredColumn& column = columns.emplace_back();
    column.name = text_of(list, 1);
    const std::string type = text_of(list, 2);
    column.real = affinity_of(type) == DeclaredAffinity::real;
    if (sqlite3_column_int(list.get(), 5) != 0) {
      ++key_columns;
      if (fold_ascii(type) == "integer") alias = columns.size() - 1;
    }
  }
  // INTEGER PRIMARY KEY is the rowid unless SQLite made an index for it; see catalog.cc.
  if (alias && key_columns == 1) {
    const StatementHandle indexes =
        connection.prepare("PRAGMA main.index_list(" + quote_identifier(plan.source) + ")");
    bool indexed = false;
    while (connection.step(indexes)) indexed |= text_of(indexes, 3) == "pk";
    columns[*alias].rowid = !indexed;
  }
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const auto named = [&](const StoredColumn& column) { return column.name == plan.columns[i].source; };
    const auto found = std::find_if(columns.begin(), columns.end(), named);
    if (found == columns.end() || found->cell >= 0) return {};
    found->cell = static_cast<int>(i);
  }
  return columns;
}

// How much a lane holds of a large row, in sizes of the row. Most values are sent from the record itself
// (io/wire/row_encoder.h). Others are there once more as they are sent, in a buffer that has doubled. And a
// document becomes a tree of its parts before it is printed as jsonb: 80 MB of small objects took 2.2 GB.
std::uint64_t copies_of_row(const TablePlan& plan) {
  constexpr std::uint64_t kEncoded = 3;
  constexpr std::uint64_t kTree = 28;
  std::uint64_t copies = sent_columns(plan) < plan.columns.size() ? kEncoded : 1;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const ColumnPlan& column = plan.columns[i];
    const bool text = column.type == PgType::text || column.type == PgType::varchar;
    if (column.type == PgType::jsonb) copies = kTree;
    if (column.conversion.any() || column.type == PgType::bpchar || (text && column.modifier.any()) ||
        (is_key_column(plan, i) && (text || column.type == PgType::bytea))) {
      copies = std::max(copies, kEncoded);
    }
  }
  return copies;
}

// Whether the transaction of this connection sees the main file as it is, and nobody can change it meanwhile.
bool sees_the_main_file(const SqliteConnection& connection, const DatabaseHeader& header) {
  if (sqlite3_txn_state(connection.get(), "main") == SQLITE_TXN_NONE) return false;
  // Our SHARED lock keeps every writer from the file.
  if (header.journal_mode == JournalMode::rollback) return true;
  // An empty log: our transaction began without frames, and holds the lock (WAL_READ_LOCK(0)) under which no
  // checkpoint writes to the file. With frames in it, it would keep the log from being emptied.
  struct stat status {};
  return stat((connection.path().string() + "-wal").c_str(), &status) != 0 || status.st_size == 0;
}

class PageScan final : public Scan {
 public:
  PageScan(const SqliteConnection& connection, const TablePlan& plan, RowidRange range,
           std::vector<StoredColumn> columns, PageFile file, ScanThroughSql through_sql, RowMemory* memory)
      : connection_(&connection),
        plan_(&plan),
        range_(range),
        columns_(std::move(columns)),
        file_(std::move(file)),
        through_sql_(through_sql),
        memory_(memory),
        copies_(copies_of_row(plan)),
        usable_(file_.usable_bytes()),
        local_max_(usable_ - 35),
        cells_(cells_per_row(plan)),
        missing_(columns_.size()) {
    for (const StoredColumn& column : columns_) {
      if (column.rowid) rowid_cell_ = column.cell;
    }
    run_.resize(std::max<std::size_t>(kRunBytes / file_.page_bytes(), 1) * file_.page_bytes());
  }

  // Every row of every table goes through here: no allocation, no call into SQLite.
  std::optional<Row> next() override {
    for (;;) {
      if (loan_.open()) [[unlikely]]
        end_large_row();
      if (state_ == State::rows) [[likely]] {
        if (at_ < count_) [[likely]] {
          if (read_row()) [[likely]]
            return Row(cells_);
        } else {
          next_leaf();
        }
        continue;
      }
      if (state_ == State::begin) {
        state_ = State::rows;
        begin();
        continue;
      }
      if (state_ == State::sql) return next_through_sql();
      return std::nullopt;
    }
  }

 private:
  enum class State : std::uint8_t { begin, rows, sql, end };

  struct Level {
    std::vector<std::byte> bytes;
    InteriorPage page;
    std::size_t next = 0;            // the child to go to
    std::int64_t upper = INT64_MAX;  // nothing below has a larger rowid
  };

  // ---- to the leaves ----

  void begin() {
    const std::uint32_t root = root_page(*connection_, plan_->source);
    if (!file_.read(root, 1, run_)) return doubt();
    if (is_leaf(run_.data())) {
      return open_leaf(run_.data(), INT64_MAX, true);
    }
    if (run_[0] != std::byte{static_cast<std::uint8_t>(PageKind::interior_of_rowids)}) return doubt();
    push(run_.data(), INT64_MAX);
    next_leaf();
  }

  static bool is_leaf(const std::byte* page) {
    return page[0] == std::byte{static_cast<std::uint8_t>(PageKind::leaf_of_rowids)};
  }

  // Goes down to the child in which the range begins; once it has begun, to the first one. Searching needs
  // keys in order: among others it would miss rows that are there.
  void push(const std::byte* page, std::int64_t upper) {
    if (depth_ == static_cast<std::size_t>(kTreeDepthMax)) throw damaged("its pages form no tree");
    if (levels_.size() == depth_) levels_.emplace_back();
    Level& level = levels_[depth_];
    level.bytes.assign(page, page + usable_);
    if (!level.page.open(level.bytes, PageKind::interior_of_rowids) || level.page.children() < 2) {
      throw damaged("a page of it is none of its tree");
    }
    level.upper = upper;
    level.next = 0;
    bool bounded = any_ || passed_;
    std::int64_t before = any_ ? last_ : passed_.value_or(0);
    for (std::size_t i = 0; i + 1 < level.page.children(); ++i) {
      std::int64_t rowid = 0;
      if (!level.page.rowid(i, rowid) || rowid > upper || (bounded && rowid <= before)) {
        throw damaged("the keys of a page are not in order");
      }
      if (!begun_ && rowid < range_.first) level.next = i + 1;
      before = rowid;
      bounded = true;
    }
    if (!begun_ && level.next > 0) passed_ = upper_of(level, level.next - 1);
    ++depth_;
  }

  // The largest rowid that child `index` may hold.
  [[nodiscard]] std::int64_t upper_of(const Level& level, std::size_t index) {
    std::int64_t upper = level.upper;
    if (index + 1 < level.page.children() && !level.page.rowid(index, upper)) {
      throw damaged("a key lies beyond its page");
    }
    return upper;
  }

  void next_leaf() {
    for (;;) {
      if (depth_ == 0) return finish();
      Level& level = levels_[depth_ - 1];
      if (level.next == level.page.children()) {
        --depth_;
        continue;
      }
      // Everything left of this child has been read.
      if (begun_ && level.next > 0) {
        const std::int64_t before = upper_of(level, level.next - 1);
        if (before >= range_.last) return finish();
        done_up_to(before);
      }
      const std::uint32_t child = level.page.child(level.next);
      const std::byte* const page = page_of_run(level, child);
      if (page == nullptr) throw damaged("a page of it is not there");
      const std::int64_t upper = upper_of(level, level.next);
      ++level.next;
      if (is_leaf(page)) return open_leaf(page, upper, false);
      run_pages_ = 0;  // the buffer of leaves is free for another level's
      push(page, upper);
    }
  }

  // The page, from the last read where that had it; else it is read together with its neighbours in the tree
  // that are its neighbours in the file, which in a file that grew by appending are most of them.
  const std::byte* page_of_run(const Level& level, std::uint32_t number) {
    const std::size_t page_bytes = file_.page_bytes();
    if (number >= run_first_ && number - run_first_ < run_pages_) {
      return run_.data() + (number - run_first_) * page_bytes;
    }
    const std::size_t most = run_.size() / page_bytes;
    std::size_t count = 1;
    std::size_t index = level.next;
    while (count < most && index + 1 < level.page.children()) {
      if (upper_of(level, index) >= range_.last) break;
      if (level.page.child(++index) != number + count) break;
      ++count;
    }
    run_pages_ = 0;
    if (!file_.read(number, count, run_)) return nullptr;
    run_first_ = number;
    run_pages_ = count;
    return run_.data();
  }

  void open_leaf(const std::byte* page, std::int64_t upper, bool root) {
    const std::size_t count = big_endian(Bytes(page + 3, 2));
    // Only an empty table has an empty leaf.
    if (kLeafHeaderBytes + count * 2 > usable_ || (count == 0 && !root)) {
      throw damaged("a page of it holds no rows");
    }
    page_ = page;
    upper_ = upper;
    at_ = 0;
    count_ = count;
    skips_ = !std::exchange(begun_, true);
  }

  void done_up_to(std::int64_t rowid) {
    last_ = any_ ? std::max(last_, rowid) : rowid;
    any_ = true;
  }

  // ---- rows ----

  // False when there is no row in this cell for the caller, for whatever reason.
  bool read_row() {
    const std::byte* const page_end = page_ + usable_;
    const std::size_t offset = big_endian(Bytes(page_ + kLeafHeaderBytes + at_ * 2, 2));
    ++at_;
    if (offset >= usable_ || offset < kLeafHeaderBytes + count_ * 2) [[unlikely]]
      throw damaged("a row lies beyond its page");
    std::uint64_t payload = 0;
    std::uint64_t bits = 0;
    const std::byte* record = take_varint(page_ + offset, page_end, payload);
    if (record != nullptr) record = take_varint(record, page_end, bits);
    if (record == nullptr) [[unlikely]]
      throw damaged("a row lies beyond its page");
    const auto rowid = std::bit_cast<std::int64_t>(bits);
    if (rowid < range_.first && skips_ && !any_) {
      // The range before this one has it, unless it searched for its end among keys that are too large.
      if (passed_ && rowid <= *passed_) [[unlikely]]
        throw damaged("rowid " + std::to_string(rowid) + " is not where it belongs");
      passed_ = rowid;
      return false;
    }
    if (rowid > upper_ || rowid < range_.first || (any_ && rowid <= last_)) [[unlikely]]
      throw damaged("rowid " + std::to_string(rowid) + " is not where it belongs");
    if (rowid > range_.last) {
      finish();
      return false;
    }
    if (payload > local_max_) [[unlikely]] {
      record = gather(record, payload);
      if (record == nullptr) return doubt(rowid), false;
    } else if (payload > static_cast<std::uint64_t>(page_end - record)) [[unlikely]] {
      return doubt(rowid), false;
    }
    if (!decode(record, payload, rowid)) [[unlikely]]
      return doubt(rowid), false;
    last_ = rowid;
    last_row_ = rowid;
    any_ = true;
    return true;
  }

  bool decode(const std::byte* record, std::uint64_t payload, std::int64_t rowid) {
    std::uint64_t header_bytes = 0;
    const std::byte* const end = record + payload;
    const std::byte* types = take_varint(record, end, header_bytes);
    if (types == nullptr || header_bytes > payload || record + header_bytes < types) return false;
    const std::byte* const types_end = record + header_bytes;
    const std::byte* body = types_end;
    const std::size_t count = columns_.size();
    for (std::size_t i = 0; i < count; ++i) {
      if (types == types_end) [[unlikely]] {
        if (!supply_missing(i, rowid)) return false;
        break;
      }
      std::uint64_t type = 0;
      types = take_varint(types, types_end, type);
      if (types == nullptr) return false;
      const std::uint64_t bytes = type >= 12 ? (type - 12) / 2 : kNumberBytes[type];
      if (bytes > static_cast<std::uint64_t>(end - body)) return false;
      const StoredColumn& column = columns_[i];
      if (column.cell >= 0) {
        Cell& cell = cells_[static_cast<std::size_t>(column.cell)];
        if (column.rowid) {
          cell = Cell::of_integer(rowid);
        } else if (type >= 12) {
          const auto size = static_cast<std::size_t>(bytes);
          cell = type % 2 == 0 ? Cell::of_blob({body, size})
                               : Cell::of_text({reinterpret_cast<const char*>(body), size});
        } else if (!decode_number(type, body, column.real, cell)) {
          return false;
        }
      }
      body += bytes;
    }
    if (types != types_end || body != end) return false;
    if (plan_->row_key == RowKey::rowid) cells_.back() = Cell::of_integer(rowid);
    return true;
  }

  // Of the serial types 10 and 11, which mean nothing, nothing is read.
  static constexpr std::array<std::uint8_t, 12> kNumberBytes = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};

  static bool decode_number(std::uint64_t type, const std::byte* body, bool real, Cell& cell) {
    std::int64_t value = 0;
    switch (type) {
      case 0:
        cell = Cell();
        return true;
      case 1:
        value = static_cast<std::int8_t>(body[0]);
        break;
      case 2:
        value = static_cast<std::int16_t>(big_endian(Bytes(body, 2)));
        break;
      case 3:
        value = static_cast<std::int32_t>(big_endian(Bytes(body, 3)) << 8) >> 8;
        break;
      case 4:
        value = static_cast<std::int32_t>(load_big_endian_32(body));
        break;
      case 5:
        value =
            static_cast<std::int64_t>(static_cast<std::int16_t>(big_endian(Bytes(body, 2)))) * 0x100000000 +
            load_big_endian_32(body + 2);
        break;
      case 6:
        value = std::bit_cast<std::int64_t>(load_big_endian_64(body));
        break;
      case 7: {
        const auto number = std::bit_cast<double>(load_big_endian_64(body));
        cell = number == number ? Cell::of_real(number) : Cell();  // SQLite reads NaN as NULL
        return true;
      }
      case 8:
      case 9:
        value = static_cast<std::int64_t>(type - 8);
        break;
      default:
        return false;
    }
    cell = real ? Cell::of_real(static_cast<double>(value)) : Cell::of_integer(value);
    return true;
  }

  static std::uint32_t load_big_endian_32(const std::byte* at) {
    std::uint32_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
  }
  static std::uint64_t load_big_endian_64(const std::byte* at) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
  }

  // From column `first` on, the record of this row has nothing: the value is that of the column's default,
  // the same in every row. SQLite computes it, once per column.
  bool supply_missing(std::size_t first, std::int64_t rowid) {
    bool known = true;
    for (std::size_t i = first; i < columns_.size(); ++i) {
      known &= columns_[i].cell < 0 || columns_[i].rowid || missing_[i].has_value();
    }
    if (!known) {
      // It may be a large row, for which we have borrowed.
      const std::unique_ptr<Scan> scan =
          through_sql_(*connection_, *plan_, RowidRange{rowid, rowid}, nullptr);
      const std::optional<Row> row = scan->next();
      if (!row) return false;
      for (std::size_t i = first; i < columns_.size(); ++i) {
        if (columns_[i].cell >= 0)
          missing_[i] = MissingValue::of((*row)[static_cast<std::size_t>(columns_[i].cell)]);
      }
    }
    for (std::size_t i = first; i < columns_.size(); ++i) {
      if (columns_[i].cell < 0) continue;
      cells_[static_cast<std::size_t>(columns_[i].cell)] =
          columns_[i].rowid ? Cell::of_integer(rowid) : missing_[i]->cell();
    }
    return true;
  }

  // A record of which the page holds only the beginning. Null when the chain of pages does not hold the rest.
  const std::byte* gather(const std::byte* local, std::uint64_t payload) {
    const std::uint64_t here = local_bytes(CellPlace::leaf_of_rowids, usable_, payload);
    if (here + 4 > static_cast<std::uint64_t>(page_ + usable_ - local)) return nullptr;
    if (payload > file_.pages() * file_.page_bytes()) return nullptr;  // before a liar gets the memory
    if (record_.capacity() > kRecordBytesKept && payload < kRecordBytesKept) drop_record();
    record_.clear();
    if (memory_ != nullptr && payload >= kLargeRowBytes) loan_ = RowLoan(*memory_, payload * copies_);
    record_.reserve(static_cast<std::size_t>(payload));
    record_.insert(record_.end(), local, local + here);
    std::uint32_t number = load_big_endian_32(local + here);
    const std::size_t page_bytes = file_.page_bytes();
    const std::size_t room = usable_ - 4;
    chain_.resize(std::max<std::size_t>(kRunBytes / page_bytes, 1) * page_bytes);
    // Pages of a chain mostly follow each other. Reading ahead begins with one page and doubles as long as
    // that holds.
    std::size_t ahead = 1;
    while (record_.size() < payload) {
      const std::uint64_t left = payload - record_.size();
      const std::uint64_t in_file = number >= 2 && number <= file_.pages() ? file_.pages() - number + 1 : 0;
      const std::size_t count = static_cast<std::size_t>(
          std::min<std::uint64_t>({ahead, (left + room - 1) / room, in_file, chain_.size() / page_bytes}));
      if (count == 0 || !file_.read(number, count, chain_)) return nullptr;
      std::size_t used = 0;
      while (used < count) {
        const std::byte* const page = chain_.data() + used * page_bytes;
        const std::size_t taken =
            std::min<std::size_t>(room, static_cast<std::size_t>(payload - record_.size()));
        record_.insert(record_.end(), page + 4, page + 4 + taken);
        const std::uint32_t expected = number + 1;
        number = load_big_endian_32(page);
        ++used;
        if (number != expected) break;
      }
      ahead = used == count ? count * 2 : 1;
    }
    return record_.data();
  }

  // Not `record_ = {}`, which takes an empty list of bytes and keeps the memory.
  void drop_record() { record_ = std::vector<std::byte>(); }

  // The memory before the loan: others wait for it.
  void end_large_row() {
    if (!loan_.open()) return;
    drop_record();
    loan_.end();
  }

  // ---- other ends ----

  void finish() {
    state_ = State::end;
    count_ = at_ = 0;
  }

  // SQLite goes on from here, with the row in question where there is one. It searches behind the last row,
  // not for this one: a damaged pointer may have led us past others, and then its first row is another one.
  void doubt(std::optional<std::int64_t> rowid = std::nullopt) {
    end_large_row();  // it borrows for itself
    const std::int64_t first = rowid && any_ ? last_ + 1 : range_.first;
    rest_ = through_sql_(*connection_, *plan_, RowidRange{first, range_.last}, memory_);
    expected_ = rowid;
    state_ = State::sql;
    count_ = at_ = 0;
  }

  std::optional<Row> next_through_sql() {
    const std::optional<Row> row = rest_->next();
    if (!expected_) return row;
    // It searches for this row, which may lead elsewhere in a damaged tree.
    const bool knows_rowid = plan_->row_key == RowKey::rowid || rowid_cell_ >= 0;
    const std::size_t cell =
        plan_->row_key == RowKey::rowid ? cells_.size() - 1 : static_cast<std::size_t>(rowid_cell_);
    if (!row || (knows_rowid && (*row)[cell].integer() != *expected_)) {
      throw damaged("rowid " + std::to_string(*expected_) + " is not found where it is");
    }
    expected_.reset();
    return row;
  }

  [[nodiscard]] Error damaged(const std::string& how) {
    finish();
    Error error = connection_->corrupt(how);
    error.where().table = plan_->source;
    if (last_row_) error.append("the last good row has rowid " + std::to_string(*last_row_));
    return error;
  }

  const SqliteConnection* connection_;
  const TablePlan* plan_;
  const RowidRange range_;
  const std::vector<StoredColumn> columns_;
  const PageFile file_;
  const ScanThroughSql through_sql_;
  RowMemory* const memory_;  // null: no limit
  const std::uint64_t copies_;
  const std::size_t usable_;
  const std::size_t local_max_;
  State state_ = State::begin;
  std::vector<Cell> cells_;
  int rowid_cell_ = -1;

  std::vector<Level> levels_;
  std::size_t depth_ = 0;
  std::vector<std::byte> run_;
  std::uint32_t run_first_ = 0;
  std::size_t run_pages_ = 0;

  // The leaf being read: a page of run_.
  const std::byte* page_ = nullptr;
  std::size_t at_ = 0;
  std::size_t count_ = 0;
  std::int64_t upper_ = INT64_MAX;
  std::optional<std::int64_t> last_row_;  // the last one delivered
  bool begun_ = false;
  bool skips_ = false;  // the first leaf of all, which may begin before the range

  std::optional<std::int64_t> passed_;  // before the range has begun: nothing up to here is to come any more
  std::int64_t last_ = 0;               // everything up to here is done, once any_
  bool any_ = false;
  RowLoan loan_;  // given back after the record is gone, so declared before it
  std::vector<std::byte> record_;
  std::vector<std::byte> chain_;
  std::vector<std::optional<MissingValue>> missing_;
  std::unique_ptr<Scan> rest_;
  std::optional<std::int64_t> expected_;  // the first row that it must deliver
};

}  // namespace

std::unique_ptr<Scan> scan_pages(const SqliteConnection& connection, const TablePlan& plan,
                                 const Extent& extent, ScanThroughSql through_sql, RowMemory* memory) {
  RowidRange range;
  if (const auto* rowids = std::get_if<RowidRange>(&extent)) {
    range = *rowids;
  } else if (!std::holds_alternative<WholeTable>(extent)) {
    return nullptr;
  }
  if (plan.without_rowid || plan.rowid_name.empty()) return nullptr;
  // A few rows are looked up sooner than a scan like this is prepared. But only this scan knows how large a
  // row is before it is in memory.
  const auto rowids = static_cast<std::uint64_t>(range.last) - static_cast<std::uint64_t>(range.first);
  if (memory == nullptr && rowids < kRowidsMin) return nullptr;
  PageFile file(connection);
  if (file.usable_bytes() == 0 || !sees_the_main_file(connection, file.header())) return nullptr;
  const StatementHandle encoding = connection.prepare("PRAGMA main.encoding");
  if (!connection.step(encoding) || text_of(encoding, 0) != "UTF-8") return nullptr;
  if (root_page(connection, plan.source) == 0) return nullptr;
  std::vector<StoredColumn> columns = stored_columns(connection, plan);
  if (columns.empty()) return nullptr;
  return std::make_unique<PageScan>(connection, plan, range, std::move(columns), std::move(file), through_sql,
                                    memory);
}

}  // namespace sluice
