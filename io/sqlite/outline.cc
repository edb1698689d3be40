#include "io/sqlite/outline.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <optional>
#include <string_view>

#include "engine/model/quote.h"
#include "io/sqlite/declared_affinity.h"
#include "io/sqlite/pages.h"
#include "io/sqlite/virtual_table.h"

namespace sluice {
namespace {

constexpr std::size_t kSplitPointsMax = 4096;

// Going down stops at a level of this many subtrees. A page of 4 KiB has some 400 children, so one more
// level than this asks for is never more than 2,047 pages to read, and from 3 GB on it is a handful.
constexpr std::size_t kSubtreesEnough = 2048;

// No real level under 2,048 nodes has more children than this, except with pages of 64 KiB, where we then
// stop a level earlier.
constexpr std::size_t kChildrenMax = 1 << 20;

constexpr std::size_t kSubtreesSampled = 32;

std::optional<KeyValue> value_of(std::uint64_t type, ByteTaker& record) {
  constexpr std::array<std::uint64_t, 8> kNumberBytes = {0, 1, 2, 3, 4, 6, 8, 8};
  if (type == 8 || type == 9) return KeyValue(static_cast<std::int64_t>(type - 8));
  if (type >= 12) {
    const Bytes bytes = record.take((type - 12) / 2);
    if (record.failed()) return std::nullopt;
    std::string copy(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (type % 2 == 0) return KeyValue(BlobValue{std::move(copy)});
    return KeyValue(TextValue{std::move(copy)});
  }
  if (type == 0 || type > 9) return std::nullopt;  // NULL is no key, and 10 and 11 mean nothing
  const Bytes bytes = record.take(kNumberBytes[static_cast<std::size_t>(type)]);
  if (record.failed()) return std::nullopt;
  // Two's complement: begin with the sign in all bits.
  std::uint64_t bits = std::to_integer<int>(bytes[0]) >= 0x80 ? ~std::uint64_t{0} : 0;
  for (const std::byte byte : bytes) bits = bits << 8 | std::to_integer<std::uint64_t>(byte);
  if (type != 7) return KeyValue(std::bit_cast<std::int64_t>(bits));
  const auto real = std::bit_cast<double>(bits);
  if (real != real) return std::nullopt;  // SQLite reads NaN as NULL
  return KeyValue(real);
}

// The pages of one b-tree, one at a time.
class Tree {
 public:
  Tree(const SqliteConnection& connection, bool of_keys)
      : file_(connection),
        kind_(of_keys ? PageKind::interior_of_keys : PageKind::interior_of_rowids),
        buffer_(file_.page_bytes()) {}

  [[nodiscard]] std::uint64_t page_bytes() const { return file_.page_bytes(); }
  [[nodiscard]] const PageFile& file() const { return file_; }

  // True when the page is there and an interior page of this kind of tree, with room for its cells.
  bool load(std::uint32_t number) {
    if (number == loaded_ && number != 0) return true;
    loaded_ = 0;
    there_ = file_.read(number, 1, buffer_);
    if (!there_ || !page_.open(page(), kind_)) return false;
    loaded_ = number;
    return true;
  }

  // The page that load() was last called with, of whatever kind, without its reserved bytes. Empty: not
  // there.
  [[nodiscard]] Bytes page() const { return there_ ? Bytes(buffer_).first(file_.usable_bytes()) : Bytes(); }

  // REQUIRES, here and below: load() has returned true.
  [[nodiscard]] std::size_t children() const { return page_.children(); }
  [[nodiscard]] std::uint32_t child(std::size_t index) const { return page_.child(index); }

  [[nodiscard]] std::optional<std::int64_t> rowid(std::size_t index) const {
    std::int64_t rowid = 0;
    if (!page_.rowid(index, rowid)) return std::nullopt;
    return rowid;
  }

  // The first `width` values of the row in this cell, when they lie on the page as a whole.
  [[nodiscard]] std::optional<std::vector<KeyValue>> key(std::size_t index, std::size_t width) const {
    ByteTaker cell = page_.cell(index);
    const std::uint64_t payload = cell.varint();
    ByteTaker record(cell.take(local_bytes(CellPlace::of_keys, file_.usable_bytes(), payload)));
    if (cell.failed()) return std::nullopt;

    ByteTaker sizing = record;
    const std::uint64_t header_bytes = sizing.varint();
    ByteTaker types(record.take(header_bytes));
    types.varint();  // its own size again
    std::vector<KeyValue> values;
    values.reserve(width);
    for (std::size_t i = 0; i < width; ++i) {
      const std::uint64_t type = types.varint();
      if (types.failed() || record.failed()) return std::nullopt;
      auto value = value_of(type, record);
      if (!value) return std::nullopt;
      values.push_back(std::move(*value));
    }
    return values;
  }

 private:
  PageFile file_;
  PageKind kind_;
  std::vector<std::byte> buffer_;
  InteriorPage page_;
  bool there_ = false;
  std::uint32_t loaded_ = 0;
};

// A leaf of a table with rowid: its rows and what they take, overflow pages included.
struct LeafRow {
  std::int64_t rowid = 0;
  std::uint64_t bytes = 0;
};

// From the page that the tree holds. False when it is no such leaf, or not in order.
bool take_leaf(const Tree& tree, std::vector<LeafRow>& rows) {
  constexpr std::size_t kLeafHeaderBytes = 8;
  rows.clear();
  const PageFile& file = tree.file();
  const Bytes page = tree.page();
  if (page.empty() || page[0] != std::byte{static_cast<std::uint8_t>(PageKind::leaf_of_rowids)}) return false;
  const std::size_t cells = big_endian(page.subspan(3, 2));
  if (kLeafHeaderBytes + cells * 2 > page.size()) return false;
  for (std::size_t i = 0; i < cells; ++i) {
    const std::size_t offset = big_endian(page.subspan(kLeafHeaderBytes + i * 2, 2));
    if (offset >= page.size()) return false;
    ByteTaker cell(page.subspan(offset));
    const std::uint64_t payload = cell.varint();
    const auto rowid = std::bit_cast<std::int64_t>(cell.varint());
    if (cell.failed() || (!rows.empty() && rowid <= rows.back().rowid)) return false;
    const std::uint64_t local = local_bytes(CellPlace::leaf_of_rowids, file.usable_bytes(), payload);
    // A payload that lies may claim anything; the file is the most that there is.
    const std::uint64_t most = file.pages() * file.page_bytes();
    rows.push_back({rowid, std::min(payload, most) - std::min(local, most)});
  }
  for (LeafRow& row : rows) row.bytes += file.page_bytes() / rows.size();
  return true;
}

// A subtree, and where to find the key that ends it: a cell of the page above it or further up. Keys are
// decoded only for those that become split points.
struct Subtree {
  std::uint32_t page = 0;
  std::uint32_t key_page = 0;  // 0: the last one, which no key ends
  std::uint32_t key_cell = 0;
};

// One level of the tree with enough subtrees, or its leaves.
std::vector<Subtree> level_of(Tree& tree, std::uint32_t root) {
  std::vector<Subtree> level = {{root, 0, 0}};
  for (int depth = 0; depth < kTreeDepthMax && level.size() < kSubtreesEnough; ++depth) {
    // All leaves are at one depth, so a few pages tell whether these are leaves without reading them all.
    if (!tree.load(level.front().page) && !tree.load(level[level.size() / 2].page) &&
        !tree.load(level.back().page)) {
      break;
    }
    std::vector<Subtree> below;
    for (const Subtree& subtree : level) {
      if (!tree.load(subtree.page)) {
        below.push_back(subtree);  // stale or damaged: stays as it is
        continue;
      }
      const std::size_t last = tree.children() - 1;
      for (std::size_t i = 0; i < last; ++i) {
        below.push_back({tree.child(i), subtree.page, static_cast<std::uint32_t>(i)});
      }
      below.push_back({tree.child(last), subtree.key_page, subtree.key_cell});
      if (below.size() > kChildrenMax) return level;
    }
    level = std::move(below);
  }
  return level;
}

// Exact where the level is that of the leaves; below it, by the mean fan-out of some of the subtrees.
std::uint64_t leaf_pages(Tree& tree, const std::vector<Subtree>& level) {
  const std::size_t samples = std::min(level.size(), kSubtreesSampled);
  std::vector<std::uint32_t> pages;
  for (std::size_t i = 0; i < samples; ++i) pages.push_back(level[i * level.size() / samples].page);
  double leaves = static_cast<double>(level.size());
  for (int depth = 0; depth < kTreeDepthMax; ++depth) {
    std::size_t read = 0;
    std::size_t children = 0;
    for (std::uint32_t& page : pages) {
      if (!tree.load(page)) continue;
      ++read;
      children += tree.children();
      page = tree.child(tree.children() / 2);
    }
    if (read == 0) break;
    leaves *= static_cast<double>(children) / static_cast<double>(read);
  }
  // Pages that lie may multiply to anything; there is no table of more pages than numbers for them.
  return static_cast<std::uint64_t>(std::min(leaves, 4294967294.0));
}

// Calls `accept` with the subtrees after which to cut, evenly spread. When it returns false it gets the
// next one instead, as far as there are any before the next regular place.
template <typename Accept>
void pick(const std::vector<Subtree>& level, Accept accept) {
  const std::size_t keys = level.size() - 1;
  const std::size_t wanted = std::min(keys, kSplitPointsMax);
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::size_t end = (i + 1) * keys / wanted;
    for (std::size_t at = i * keys / wanted; at < end; ++at) {
      if (level[at].key_page != 0 && accept(level[at])) break;
    }
  }
}

bool is_built_in(const std::string& collation) {
  const std::string folded = fold_ascii(collation);
  return folded == "binary" || folded == "nocase" || folded == "rtrim";
}

bool looks_numeric(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return false;
  text = text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
  if (text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error != std::errc::invalid_argument && end == text.data() + text.size();
}

// A bound is compared after the column's affinity has been applied to it. A value that the affinity would
// change cannot be in the column: it comes from a page that has since changed hands, and it would not
// be in the place where we would sort it.
bool belongs(const KeyValue& value, DeclaredAffinity affinity) {
  const bool is_number = std::holds_alternative<std::int64_t>(value) || std::holds_alternative<double>(value);
  if (affinity == DeclaredAffinity::text) return !is_number;
  const auto* text = std::get_if<TextValue>(&value);
  return affinity == DeclaredAffinity::none || text == nullptr || !looks_numeric(text->bytes);
}

// The key of a WITHOUT ROWID table, where ranges of it can be searched for.
struct Key {
  std::vector<DeclaredAffinity> affinities;
  std::vector<std::string> collations;
};

std::optional<Key> searchable_key(const SqliteConnection& connection, const SourceTable& table) {
  const auto is_key = [](const SourceIndex& index) { return index.origin == IndexOrigin::primary_key; };
  const auto index = std::find_if(table.indexes.begin(), table.indexes.end(), is_key);
  const std::vector<std::size_t> columns = table.primary_key();
  // Different when a column is named twice in the key, which then has it once.
  if (index == table.indexes.end() || index->columns.size() != columns.size()) return std::nullopt;
  const StatementHandle encoding = connection.prepare("PRAGMA main.encoding");
  if (!connection.step(encoding) || text_of(encoding, 0) != "UTF-8") return std::nullopt;
  Key key;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const SourceColumn& column = table.columns[columns[i]];
    const SourceIndexColumn& part = index->columns[i];
    if (part.name != column.name || part.descending || !is_built_in(part.collation)) return std::nullopt;
    const char* declared = nullptr;
    const int code =
        sqlite3_table_column_metadata(connection.get(), "main", table.name.c_str(), column.name.c_str(),
                                      nullptr, &declared, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) throw connection.error(code);
    // A range compares by the column's collation, the tree is in order of the index's.
    if (declared == nullptr || fold_ascii(declared) != fold_ascii(part.collation)) return std::nullopt;
    key.affinities.push_back(affinity_of(column.declared_type));
    key.collations.push_back(part.collation);
  }
  return key;
}

// (?1 COLLATE x, ?2 COLLATE y) < (?3, ?4)
std::string order_query(const Key& key) {
  std::string left;
  std::string right;
  for (const std::string& collation : key.collations) {
    left += (left.empty() ? "? COLLATE " : ", ? COLLATE ") + quote_identifier(collation);
    right += right.empty() ? "?" : ", ?";
  }
  if (key.collations.size() == 1) return "SELECT " + left + " < " + right;
  return "SELECT (" + left + ") < (" + right + ")";
}

// Ranges between tuples that are not in ascending order would overlap, and load rows twice. Only SQLite
// knows its order, so it is asked for every pair.
std::vector<std::vector<KeyValue>> read_keys(const SqliteConnection& connection, Tree& tree, const Key& key,
                                             const std::vector<Subtree>& level) {
  const StatementHandle order = connection.prepare(order_query(key));
  const auto ascending = [&](const std::vector<KeyValue>& left, const std::vector<KeyValue>& right) {
    sqlite3_reset(order.get());
    int parameter = 0;
    for (const KeyValue& value : left) bind_value(connection, order, ++parameter, cell_of(value));
    for (const KeyValue& value : right) bind_value(connection, order, ++parameter, cell_of(value));
    return connection.step(order) && sqlite3_column_int(order.get(), 0) == 1;
  };
  std::vector<std::vector<KeyValue>> tuples;
  pick(level, [&](const Subtree& subtree) {
    if (!tree.load(subtree.key_page)) return false;
    auto tuple = tree.key(subtree.key_cell, key.affinities.size());
    if (!tuple) return false;
    for (std::size_t i = 0; i < tuple->size(); ++i) {
      if (!belongs((*tuple)[i], key.affinities[i])) return false;
    }
    if (!tuples.empty() && !ascending(tuples.back(), *tuple)) return false;
    tuples.push_back(std::move(*tuple));
    return true;
  });
  return tuples;
}

std::vector<std::int64_t> read_rowids(Tree& tree, const std::vector<Subtree>& level) {
  std::vector<std::int64_t> rowids;
  pick(level, [&](const Subtree& subtree) {
    if (!tree.load(subtree.key_page)) return false;
    const auto rowid = tree.rowid(subtree.key_cell);
    if (!rowid || *rowid == INT64_MAX) return false;  // nothing comes after the largest
    rowids.push_back(*rowid);
    return true;
  });
  std::sort(rowids.begin(), rowids.end());
  rowids.erase(std::unique(rowids.begin(), rowids.end()), rowids.end());
  return rowids;
}

// Large rows lie on overflow pages, of which the tree above says nothing. A few leaves show whether there are
// any; then every run between two split points is weighed, by all of its leaves or, where they are too many
// to be read, by some. Where one leaf holds more than a range should, its rows become split points.
class Weights {
 public:
  Weights(Tree& tree, const std::vector<Subtree>& level, std::uint64_t leaves)
      : tree_(tree),
        level_(level),
        leaves_each_(static_cast<double>(leaves) / static_cast<double>(level.size())),
        reads_all_(leaves == level.size() && leaves <= kLeavesRead) {}

  // Leaves the outline as it is when no large rows are seen.
  void weigh(TableOutline& outline) {
    if (level_.size() < 2) {
      // One page: a handful of rows, which may be of any size.
      if (!find_leaf(level_.front(), 0) || !has_large_rows()) return;
      add_rows(INT64_MAX);
      take(outline);
      return;
    }
    if (!any_large_rows()) return;
    const std::size_t keys = level_.size() - 1;
    const std::size_t wanted = std::min(keys, kSplitPointsMax);
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= wanted; ++i) {
      const std::size_t end = i == wanted ? level_.size() : (i + 1) * keys / wanted;
      if (end == begin) continue;
      const std::optional<std::int64_t> last =
          i == wanted ? std::optional(INT64_MAX) : key_of(level_[end - 1]);
      if (!last) continue;  // what it would have ended goes to the next
      if (reads_all_) {
        weigh_leaves(begin, end, *last);
      } else {
        weigh_samples(begin, end, *last);
      }
      begin = end;
    }
    take(outline);
  }

 private:
  // A leaf of more than this is cut between its rows.
  static constexpr std::uint64_t kLeafBytesMax = std::uint64_t{256} << 10;
  static constexpr std::size_t kLeavesRead = 16384;
  static constexpr std::size_t kSamplesPerRun = kLeavesRead / kSplitPointsMax;

  struct Point {
    std::int64_t last;
    std::uint64_t bytes;  // since the point before
  };

  [[nodiscard]] bool has_large_rows() const {
    return std::any_of(rows_.begin(), rows_.end(),
                       [&](const LeafRow& row) { return row.bytes > 2 * tree_.page_bytes(); });
  }

  // Down to a leaf, into rows_: `place`, from 0 until 1, says where between the first and the last one.
  // False, without rows, when there is none.
  bool find_leaf(const Subtree& subtree, double place) {
    std::uint32_t page = subtree.page;
    for (int depth = 0; depth < kTreeDepthMax && tree_.load(page); ++depth) {
      place *= static_cast<double>(tree_.children());
      const auto child = std::min(static_cast<std::size_t>(place), tree_.children() - 1);
      place -= static_cast<double>(child);
      page = tree_.child(child);
    }
    if (take_leaf(tree_, rows_)) return true;
    rows_.clear();
    return false;
  }

  bool any_large_rows() {
    constexpr std::size_t kLeavesSampled = 256;
    const std::size_t samples = std::min(level_.size(), kLeavesSampled);
    for (std::size_t i = 0; i < samples; ++i) {
      // The last one always: what is new is often what is large.
      const std::size_t at = i + 1 == samples ? level_.size() - 1 : i * level_.size() / samples;
      if (find_leaf(level_[at], 0.5) && has_large_rows()) return true;
    }
    return false;
  }

  std::optional<std::int64_t> key_of(const Subtree& subtree) {
    if (subtree.key_page == 0 || !tree_.load(subtree.key_page)) return std::nullopt;
    return tree_.rowid(subtree.key_cell);
  }

  // What the leaf found last holds; the page alone when there was none.
  [[nodiscard]] std::uint64_t leaf_bytes() const {
    if (rows_.empty()) return tree_.page_bytes();
    std::uint64_t bytes = 0;
    for (const LeafRow& row : rows_) bytes += row.bytes;
    return bytes;
  }

  // The leaves from `begin` until `end`, whose rows end at `last`.
  void weigh_leaves(std::size_t begin, std::size_t end, std::int64_t last) {
    std::uint64_t bytes = 0;
    for (std::size_t i = begin; i < end; ++i) {
      find_leaf(level_[i], 0);
      const std::uint64_t here = leaf_bytes();
      if (here <= kLeafBytesMax) {
        bytes += here;
        continue;
      }
      if (bytes > 0)
        points_.push_back({rows_.front().rowid - (rows_.front().rowid == INT64_MIN ? 0 : 1), bytes});
      bytes = 0;
      add_rows(last);
    }
    points_.push_back({last, bytes});
  }

  // The same for subtrees, by some leaves evenly spread. The same number in every run, or the first ones of
  // the table would weigh more than those for which no more were left.
  void weigh_samples(std::size_t begin, std::size_t end, std::int64_t last) {
    double bytes = 0;
    for (std::size_t i = 0; i < kSamplesPerRun; ++i) {
      const double place = (static_cast<double>(i) + 0.5) * static_cast<double>(end - begin) / kSamplesPerRun;
      const auto subtree = static_cast<std::size_t>(place);
      find_leaf(level_[begin + subtree], place - static_cast<double>(subtree));
      bytes += static_cast<double>(leaf_bytes());
    }
    const double leaves = static_cast<double>(end - begin) * leaves_each_;
    // Pages that lie may add up to anything.
    constexpr double kRunBytesMax = 0x1p50;
    points_.push_back(
        {last, static_cast<std::uint64_t>(std::min(bytes / kSamplesPerRun * leaves, kRunBytesMax))});
  }

  void add_rows(std::int64_t last) {
    for (const LeafRow& row : rows_) points_.push_back({std::min(row.rowid, last), row.bytes});
  }

  // No more points than anyone needs. Stale pages may have put some out of order: their bytes are the next
  // one's.
  void take(TableOutline& outline) const {
    std::uint64_t total = 0;
    for (const Point& point : points_) total += point.bytes;
    outline.rowids.clear();
    std::uint64_t bytes = 0;
    std::uint64_t taken = 0;
    for (const Point& point : points_) {
      bytes += point.bytes;
      if (point.last == INT64_MAX || bytes - taken < total / kSplitPointsMax) continue;
      if (!outline.rowids.empty() && point.last <= outline.rowids.back()) continue;
      outline.rowids.push_back(point.last);
      outline.bytes_before.push_back(bytes);
      taken = bytes;
    }
    outline.bytes = bytes;
  }

  Tree& tree_;
  const std::vector<Subtree>& level_;
  const double leaves_each_;
  const bool reads_all_;
  std::vector<LeafRow> rows_;
  std::vector<Point> points_;
};

}  // namespace

TableOutline outline_of(const SqliteConnection& connection, const SourceTable& table) {
  const std::string tree_name = table.module.empty() ? table.name : content_table_of(table);
  Tree tree(connection, table.without_rowid);
  const std::vector<Subtree> level = level_of(tree, root_page(connection, tree_name));
  TableOutline outline;
  const std::uint64_t leaves = leaf_pages(tree, level);
  outline.bytes = leaves * tree.page_bytes();
  if (!table.without_rowid) {
    if (!table.module.empty() && !has_ordered_rowid(table)) return outline;
    if (!table.rowid_name.empty() || table.rowid_alias) {
      outline.rowids = read_rowids(tree, level);
      Weights(tree, level, leaves).weigh(outline);
    }
  } else if (const auto key = searchable_key(connection, table)) {
    outline.key_tuples = read_keys(connection, tree, *key, level);
  }
  return outline;
}

}  // namespace sluice
