#include "support/hollow_table.h"

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

// Format: https://www.sqlite.org/fileformat2.html sections 1.3 (header), 1.6 (b-tree pages) and 1.7
// (overflow).

namespace sluice::testing {
namespace {

void put_big_endian(std::string& bytes, std::size_t at, std::uint64_t value, std::size_t size) {
  for (std::size_t i = size; i-- > 0; value >>= 8) bytes[at + i] = static_cast<char>(value & 0xFF);
}

std::string big_endian(std::uint64_t value, std::size_t size) {
  std::string bytes(size, '\0');
  put_big_endian(bytes, 0, value, size);
  return bytes;
}

// REQUIRES: value < 2^56, beyond which the ninth byte is of another form.
std::string varint(std::uint64_t value) {
  std::string bytes(1, static_cast<char>(value & 0x7F));
  while ((value >>= 7) != 0) bytes.insert(bytes.begin(), static_cast<char>((value & 0x7F) | 0x80));
  return bytes;
}

// One page of a b-tree, whose cells lie from its end downwards.
class Page {
 public:
  Page(std::size_t size, std::size_t header_bytes, char kind)
      : bytes_(size, '\0'), cells_at_(header_bytes), content_(size) {
    bytes_[0] = kind;
  }
  void add(const std::string& cell) {
    content_ -= cell.size();
    bytes_.replace(content_, cell.size(), cell);
    put_big_endian(bytes_, cells_at_ + cells_++ * 2, content_, 2);
    put_big_endian(bytes_, 3, cells_, 2);
    put_big_endian(bytes_, 5, content_, 2);
  }
  void set_rightmost(std::uint64_t child) { put_big_endian(bytes_, 8, child, 4); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
  std::size_t cells_at_;
  std::size_t content_;
  std::size_t cells_ = 0;
};

class Writer {
 public:
  Writer(const std::filesystem::path& path, const HollowTable& table)
      : path_(path), table_(table), file_(path, std::ios::in | std::ios::out | std::ios::binary) {
    file_.exceptions(std::ios::failbit | std::ios::badbit);
    std::string size(2, '\0');
    file_.seekg(16);
    file_.read(size.data(), 2);
    const auto byte = [&](std::size_t i) {
      return static_cast<std::size_t>(static_cast<unsigned char>(size[i]));
    };
    page_bytes_ = byte(0) << 8 | byte(1);
    if (page_bytes_ == 1) page_bytes_ = 65536;

    // Bottom up: full pages, as appending makes them, but for an even share of what is missing at the end.
    const std::size_t cell_bytes = 2 + 4 + varint(table.leaves * table.rows_per_leaf).size();
    const std::size_t children = (page_bytes_ - kInteriorHeaderBytes) / cell_bytes;
    level_pages_.push_back(table.leaves);
    while (level_pages_.back() > 1) level_pages_.push_back((level_pages_.back() + children - 1) / children);
    level_first_.resize(level_pages_.size());
    std::uint64_t next = 0;
    for (std::size_t level = level_pages_.size(); level-- > 0; next += level_pages_[level]) {
      level_first_[level] = next;
    }
    overflow_first_ = next;
  }

  std::uint64_t write() {
    for (std::size_t level = level_pages_.size() - 1; level > 0; --level) {
      for (std::uint64_t i = 0; i < level_pages_[level]; ++i) write_interior(level, i);
    }
    std::uint64_t pages = overflow_first_;
    if (table_.overflow_pages > 0) {
      for (std::uint64_t i = 0; i < table_.leaves; ++i) write_leaf(i);
      pages += table_.leaves * table_.rows_per_leaf * table_.overflow_pages;
    }
    const std::uint64_t count = number_of(pages - 1);
    file_.seekp(28);
    file_ << big_endian(count, 4);
    file_.close();
    std::filesystem::resize_file(path_, count * page_bytes_);
    return level_first_[0];
  }

 private:
  static constexpr std::size_t kInteriorHeaderBytes = 12;
  static constexpr std::size_t kLeafHeaderBytes = 8;

  // The number of the page that is `index` pages after the root. SQLite locks by bytes at one GiB, and leaves
  // the page that holds them alone.
  [[nodiscard]] std::uint64_t number_of(std::uint64_t index) const {
    const std::uint64_t number = index + 2;
    return number < 0x40000000 / page_bytes_ + 1 ? number : number + 1;
  }

  // How many of the pages one level down are under the first `count` of this level.
  [[nodiscard]] std::uint64_t children_before(std::size_t level, std::uint64_t count) const {
    return level_pages_[level - 1] * count / level_pages_[level];
  }

  // The last rowid under page `i` of a level.
  [[nodiscard]] std::uint64_t last_rowid(std::size_t level, std::uint64_t i) const {
    std::uint64_t count = i + 1;
    for (; level > 0; --level) count = children_before(level, count);
    return count * table_.rows_per_leaf;
  }

  void write_interior(std::size_t level, std::uint64_t i) {
    Page page(page_bytes_, kInteriorHeaderBytes, 0x05);
    const std::uint64_t last = children_before(level, i + 1) - 1;
    for (std::uint64_t child = children_before(level, i); child < last; ++child) {
      page.add(big_endian(number_of(level_first_[level - 1] + child), 4) +
               varint(last_rowid(level - 1, child)));
    }
    page.set_rightmost(number_of(level_first_[level - 1] + last));
    put(level_first_[level] + i, page);
  }

  void write_leaf(std::uint64_t i) {
    // The least that a leaf keeps of a row: what is beyond it fills its overflow pages.
    const std::size_t local_bytes = (page_bytes_ - 12) * 32 / 255 - 23;
    const std::uint64_t row_bytes = local_bytes + table_.overflow_pages * (page_bytes_ - 4);
    Page page(page_bytes_, kLeafHeaderBytes, 0x0d);
    for (std::uint64_t row = i * table_.rows_per_leaf; row < (i + 1) * table_.rows_per_leaf; ++row) {
      page.add(varint(row_bytes) + varint(row + 1) + std::string(local_bytes, '\0') +
               big_endian(number_of(overflow_first_ + row * table_.overflow_pages), 4));
    }
    put(level_first_[0] + i, page);
  }

  void put(std::uint64_t index, const Page& page) {
    file_.seekp(static_cast<std::streamoff>((number_of(index) - 1) * page_bytes_));
    file_ << page.bytes();
  }

  const std::filesystem::path path_;
  const HollowTable table_;
  std::fstream file_;
  std::size_t page_bytes_ = 0;
  // From the leaves up to the root: how many pages, and where they begin, counted from the root.
  std::vector<std::uint64_t> level_pages_;
  std::vector<std::uint64_t> level_first_;
  std::uint64_t overflow_first_ = 0;
};

}  // namespace

std::uint64_t write_hollow_table(const std::filesystem::path& file, const HollowTable& table) {
  return Writer(file, table).write();
}

}  // namespace sluice::testing
