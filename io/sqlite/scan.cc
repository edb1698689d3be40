#include "io/sqlite/scan.h"

#include <sqlite3.h>

#include <algorithm>
#include <cassert>
#include <utility>
#include <variant>
#include <vector>

#include "engine/model/quote.h"
#include "io/sqlite/page_scan.h"
#include "io/sqlite/pages.h"

namespace sluice {
namespace {

// Qualified, so that a name can never be taken for something else.
std::string column(std::string_view name) { return "t." + quote_identifier(name); }

std::string rowid_column(const TablePlan& plan) {
  if (!plan.rowid_name.empty()) return column(plan.rowid_name);
  if (plan.row_key == RowKey::ordered_integer && plan.key_columns.size() == 1) {
    return column(plan.columns[plan.key_columns[0]].source);
  }
  return {};
}

// The index that a WITHOUT ROWID table is. SQLite takes its name in INDEXED BY, and nothing weaker keeps
// it from reading a covering secondary index instead: here NOT INDEXED does not (tried on 3.40).
std::string primary_key_index(const SqliteConnection& connection, const std::string& table) {
  const StatementHandle list = connection.prepare("PRAGMA main.index_list(" + quote_identifier(table) + ")");
  while (connection.step(list)) {
    if (text_of(list, 3) == "pk") return text_of(list, 1);
  }
  throw Error(Fault::internal, "a table without rowid has no primary key");
}

// (a, b) >= (?, ?)
std::string comparison(const TablePlan& plan, std::size_t width, std::string_view relation) {
  if (width > plan.key_columns.size()) {
    throw Error(Fault::internal, "a key bound has more values than the key has columns");
  }
  std::string names;
  std::string marks;
  for (std::size_t i = 0; i < width; ++i) {
    names += (i == 0 ? "" : ", ") + column(plan.columns[plan.key_columns[i]].source);
    marks += i == 0 ? "?" : ", ?";
  }
  if (width == 1) return names + std::string(relation) + marks;
  return "(" + names + ")" + std::string(relation) + "(" + marks + ")";
}

constexpr bool is_high_surrogate(char16_t unit) { return (unit & 0xfc00) == 0xd800; }
constexpr bool is_low_surrogate(char16_t unit) { return (unit & 0xfc00) == 0xdc00; }

bool is_well_formed(std::u16string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xf800) != 0xd800) continue;
    if (!is_high_surrogate(text[i]) || i + 1 == text.size() || !is_low_surrogate(text[i + 1])) return false;
    ++i;
  }
  return true;
}

// UTF-8, but for surrogates without their other half: those take three bytes, as any other unit would, which
// no reader of UTF-8 accepts. Nothing is lost, and nothing looks like text that is none.
std::string generalized_utf8(std::u16string_view text) {
  std::string bytes;
  const auto put = [&](char32_t lead, char32_t code, int more) {
    bytes += static_cast<char>(lead | code >> (6 * more));
    while (more-- > 0) bytes += static_cast<char>(0x80 | (code >> (6 * more) & 0x3f));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char16_t unit = text[i];
    if (unit < 0x80) {
      bytes += static_cast<char>(unit);
    } else if (unit < 0x800) {
      put(0xc0, unit, 1);
    } else if (is_high_surrogate(unit) && i + 1 < text.size() && is_low_surrogate(text[i + 1])) {
      put(0xf0, 0x10000 + ((unit & char32_t{0x3ff}) << 10) + (text[++i] & 0x3ff), 3);
    } else {
      put(0xe0, unit, 2);
    }
  }
  return bytes;
}

// While it lives, values from this size on are an error (SQLITE_TOOBIG) before they take memory.
class LengthLimit {
 public:
  LengthLimit(sqlite3* database, std::size_t bytes)
      : database_(database),
        before_(sqlite3_limit(database, SQLITE_LIMIT_LENGTH, static_cast<int>(bytes) - 1)) {}
  ~LengthLimit() { sqlite3_limit(database_, SQLITE_LIMIT_LENGTH, before_); }
  LengthLimit(const LengthLimit&) = delete;
  LengthLimit& operator=(const LengthLimit&) = delete;

 private:
  sqlite3* database_;
  int before_;
};

// Every row has a pointer of two bytes on a page of its own table. SQLite follows pages that point at pages
// above or beside them to twenty levels, which may be more rows than anyone can wait for. Virtual tables
// make rows by rules of their own.
std::uint64_t rows_a_file_can_hold(const SqliteConnection& connection, const TablePlan& plan) {
  if (root_page(connection, plan.source) == 0) return UINT64_MAX;
  const auto pages = static_cast<std::uint64_t>(connection.integer("PRAGMA main.page_count"));
  const auto page_bytes = static_cast<std::uint64_t>(connection.integer("PRAGMA main.page_size"));
  return pages * (page_bytes / 2);
}

class StatementScan final : public Scan {
 public:
  // `memory`: null for none.
  StatementScan(const SqliteConnection& connection, const TablePlan& plan, const Extent& extent,
                RowMemory* memory)
      : connection_(&connection),
        plan_(&plan),
        memory_(memory),
        statement_(connection.prepare(scan_query(connection, plan, extent))),
        cells_(cells_per_row(plan)) {
    const StatementHandle encoding = connection.prepare("PRAGMA main.encoding");
    if (connection.step(encoding) && text_of(encoding, 0) != "UTF-8") ill_formed_.resize(cells_.size());
    if (!std::holds_alternative<WholeTable>(extent)) connection.note_search(plan.source);
    int parameter = 0;
    const auto bind_next = [&](const Cell& value) { bind_value(connection, statement_, ++parameter, value); };
    if (const auto* range = std::get_if<RowidRange>(&extent)) {
      bind_next(Cell::of_integer(range->first));
      bind_next(Cell::of_integer(range->last));
    } else if (const auto* keys = std::get_if<PrimaryKeyRange>(&extent)) {
      for (const KeyValue& value : keys->from) bind_next(cell_of(value));
      for (const KeyValue& value : keys->until) bind_next(cell_of(value));
    }
  }

  // Every row of every table goes through here: no allocation, and each cell costs three calls into
  // SQLite. sqlite3_value_* on one sqlite3_column_value is cheaper than three sqlite3_column_*, each of
  // which looks the column up and checks for errors anew.
  std::optional<Row> next() override {
    if (done_) return std::nullopt;  // stepping on would start again from the first row
    int code = memory_ == nullptr ? sqlite3_step(statement_.get()) : step_without_large_rows();
    if (code == SQLITE_TOOBIG && memory_ != nullptr) code = borrow_and_begin_again();
    ++steps_;
    if (steps_ > steps_max_ && code == SQLITE_ROW) refuse_circles();
    if (code != SQLITE_ROW) {
      done_ = true;
      if (code != SQLITE_DONE) throw after_last_row(located(connection_->error(code)));
      return std::nullopt;
    }
    const int count = static_cast<int>(cells_.size());
    for (int i = 0; i < count; ++i) {
      sqlite3_value* const value = sqlite3_column_value(statement_.get(), i);
      Cell& cell = cells_[static_cast<std::size_t>(i)];
      // The class first: the accessors convert, and would answer 0 for a text.
      switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER:
          cell = Cell::of_integer(sqlite3_value_int64(value));
          break;
        case SQLITE_FLOAT:
          cell = Cell::of_real(sqlite3_value_double(value));
          break;
        case SQLITE_TEXT: {
          if (!ill_formed_.empty() && take_ill_formed(value, static_cast<std::size_t>(i))) break;
          // Text before bytes: in a UTF-16 file the first converts, the second then counts UTF-8.
          const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
          if (text == nullptr) out_of_memory();
          cell = Cell::of_text({text, static_cast<std::size_t>(sqlite3_value_bytes(value))});
          break;
        }
        case SQLITE_BLOB: {
          const auto* blob = static_cast<const std::byte*>(sqlite3_value_blob(value));
          const auto size = static_cast<std::size_t>(sqlite3_value_bytes(value));
          if (blob == nullptr) {
            if (size != 0) out_of_memory();
            blob = &kNoBytes;  // an empty blob is not NULL, and a null pointer upsets memcpy
          }
          cell = Cell::of_blob({blob, size});
          break;
        }
        default:
          cell = Cell();
          break;
      }
    }
    return Row(cells_);
  }

 private:
  static constexpr std::byte kNoBytes{};
  // Rows without the question how many there can be; most ranges have fewer.
  static constexpr std::uint64_t kStepsFree = 1 << 16;

  // More rows than the file has room for come from pages that are there more than once.
  void refuse_circles() {
    steps_max_ = std::max(steps_max_, rows_a_file_can_hold(*connection_, *plan_));
    if (steps_ <= steps_max_) return;
    done_ = true;
    throw located(connection_->corrupt("its pages lead in circles"));
  }

  int step_without_large_rows() {
    const LengthLimit limit(connection_->get(), kLargeRowBytes);
    return sqlite3_step(statement_.get());
  }

  // All of the memory, because the row does not say how large it is; then on to that row. The order in which
  // SQLite delivers rows is that of the same statement before, and of nothing else.
  int borrow_and_begin_again() {
    loan_ = RowLoan(*memory_, UINT64_MAX);
    memory_ = nullptr;
    sqlite3_reset(statement_.get());
    for (std::uint64_t step = 0; step < steps_; ++step) {
      const int code = sqlite3_step(statement_.get());
      if (code != SQLITE_ROW) return code;
    }
    return sqlite3_step(statement_.get());
  }

  // In a UTF-16 file a text may hold half of a surrogate pair. SQLite joins the first half with whatever
  // follows (tried on 3.40: D800 0062 becomes U+10062), so such texts are converted here.
  bool take_ill_formed(sqlite3_value* value, std::size_t place) {
    const void* const units = sqlite3_value_text16(value);
    if (units == nullptr) out_of_memory();
    const auto count = static_cast<std::size_t>(sqlite3_value_bytes16(value)) / 2;
    const std::u16string_view text(static_cast<const char16_t*>(units), count);
    if (is_well_formed(text)) return false;
    ill_formed_[place] = generalized_utf8(text);
    cells_[place] = Cell::of_text(ill_formed_[place]);
    return true;
  }

  [[nodiscard]] Error located(Error error) const {
    error.where().table = plan_->source;
    return error;
  }
  // How far the scan came, where the key is an integer: other cells are gone by now.
  [[nodiscard]] Error after_last_row(Error error) const {
    const bool rowid = plan_->row_key == RowKey::rowid;
    if (steps_ <= 1 || (!rowid && plan_->row_key != RowKey::ordered_integer)) return error;
    const Cell& key = rowid ? cells_.back() : cells_[plan_->key_columns[0]];
    error.append("the last good row has " +
                 (rowid ? std::string("rowid") : plan_->columns[plan_->key_columns[0]].source) + " " +
                 std::to_string(key.integer()));
    return error;
  }

  [[noreturn]] void out_of_memory() {
    done_ = true;
    throw located(connection_->error(SQLITE_NOMEM));
  }

  const SqliteConnection* connection_;
  const TablePlan* plan_;
  RowMemory* memory_;  // null: without limit, or once there is a loan
  RowLoan loan_;       // given back after the statement is gone, so declared before it
  StatementHandle statement_;
  std::uint64_t steps_ = 0;
  std::vector<Cell> cells_;
  std::uint64_t steps_max_ = kStepsFree;
  std::vector<std::string> ill_formed_;  // beside the cells; empty unless the file is UTF-16
  bool done_ = false;
};

}  // namespace

std::unique_ptr<Scan> scan_through_sql(const SqliteConnection& connection, const TablePlan& plan,
                                       const Extent& extent, RowMemory* memory) {
  if (memory != nullptr && root_page(connection, plan.source) == 0) memory = nullptr;
  return std::make_unique<StatementScan>(connection, plan, extent, memory);
}

TableSource::TableSource(const SqliteConnection& connection, RowMemory* memory)
    : connection_(&connection), memory_(memory) {}

std::unique_ptr<Scan> TableSource::scan(const TablePlan& plan, const Extent& extent) {
  try {
    std::unique_ptr<Scan> scan = scan_pages(*connection_, plan, extent, scan_through_sql, memory_);
    return scan ? std::move(scan) : scan_through_sql(*connection_, plan, extent, memory_);
  } catch (Error& error) {
    error.where().table = plan.source;
    throw;
  }
}

std::string scan_query(const SqliteConnection& connection, const TablePlan& plan, const Extent& extent) {
  const std::string rowid = rowid_column(plan);
  std::string query = "SELECT ";
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    query += (i == 0 ? "" : ", ") + column(plan.columns[i].source);
  }
  if (plan.row_key == RowKey::rowid) query += (plan.columns.empty() ? "" : ", ") + rowid;
  if (cells_per_row(plan) == 0) query += "NULL";
  query += " FROM main." + quote_identifier(plan.source) + " AS t ";
  query += plan.without_rowid ? "INDEXED BY " + quote_identifier(primary_key_index(connection, plan.source))
                              : "NOT INDEXED";

  if (std::holds_alternative<RowidRange>(extent)) {
    if (plan.without_rowid || rowid.empty()) {
      throw Error(Fault::internal, "a range of rowids on a table whose rowid has no name");
    }
    query += " WHERE " + rowid + " BETWEEN ? AND ?";
  } else if (const auto* keys = std::get_if<PrimaryKeyRange>(&extent)) {
    if (!plan.without_rowid) throw Error(Fault::internal, "a range of keys on a table with rowid");
    std::string relation = " WHERE ";
    if (!keys->from.empty()) {
      query += relation + comparison(plan, keys->from.size(), " >= ");
      relation = " AND ";
    }
    if (!keys->until.empty()) query += relation + comparison(plan, keys->until.size(), " < ");
  }
  // No ORDER BY: the plan above reads the b-tree from left to right. Asking for the order again would
  // make SQLite sort the whole table where a key's collation differs from its column's.
  return query;
}

}  // namespace sluice
