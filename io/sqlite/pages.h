#pragma once
// The pages of the main file, and how a b-tree lies on them: what it takes to find rows without SQLite's
// virtual machine. Format: https://www.sqlite.org/fileformat2.html sections 1.6 (b-tree pages) and 2.1
// (records).
//
// Every byte may come from an attacker: nothing here trusts a length, a page number or an offset.

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/sqlite/handle.h"

namespace sluice {

using Bytes = std::span<const std::byte>;

enum class PageKind : std::uint8_t {
  interior_of_keys = 0x02,
  interior_of_rowids = 0x05,
  leaf_of_rowids = 0x0d,
};

// 4,294,967,294 pages are no deeper than this.
constexpr int kTreeDepthMax = 20;

// REQUIRES: at most four bytes.
inline std::uint32_t big_endian(Bytes bytes) {
  std::uint32_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

// Seven bits a byte, most significant first; the ninth byte gives all eight. Returns what follows, or null
// when the bytes end before the integer does.
inline const std::byte* take_varint(const std::byte* at, const std::byte* end, std::uint64_t& value) {
  if (at == end) return nullptr;
  auto byte = std::to_integer<std::uint64_t>(*at++);
  if (byte < 0x80) [[likely]] {
    value = byte;
    return at;
  }
  value = byte & 0x7f;
  for (int i = 1; i < 9; ++i) {
    if (at == end) return nullptr;
    byte = std::to_integer<std::uint64_t>(*at++);
    if (i == 8) {
      value = value << 8 | byte;
      break;
    }
    value = value << 7 | (byte & 0x7f);
    if (byte < 0x80) break;
  }
  return at;
}

// Takes bytes from the front; once something was not there, it has failed for good.
class ByteTaker {
 public:
  explicit ByteTaker(Bytes bytes) : bytes_(bytes) {}

  [[nodiscard]] bool failed() const { return failed_; }
  Bytes take(std::uint64_t count);
  std::uint64_t varint();

 private:
  Bytes bytes_;
  bool failed_ = false;
};

// How much of a payload its cell keeps on the page; the rest is on overflow pages. `usable`: bytes of a page
// without the reserved ones.
enum class CellPlace : std::uint8_t { leaf_of_rowids, of_keys };
std::uint64_t local_bytes(CellPlace place, std::uint64_t usable, std::uint64_t payload);

// An interior page in a buffer of the caller's. Borrows.
class InteriorPage {
 public:
  // `page` without its reserved bytes. False for any other kind of page, or one whose cells do not lie on it.
  bool open(Bytes page, PageKind kind);

  // REQUIRES, from here on: open() was true.
  [[nodiscard]] std::size_t children() const { return cells_ + 1; }
  // REQUIRES: index < children().
  [[nodiscard]] std::uint32_t child(std::size_t index) const;
  // What follows the page number of a cell. REQUIRES: index + 1 < children().
  [[nodiscard]] ByteTaker cell(std::size_t index) const;
  // The largest rowid that may be under child(index). False when it is not there. REQUIRES: as cell().
  bool rowid(std::size_t index, std::int64_t& rowid) const;

 private:
  [[nodiscard]] Bytes at(std::size_t index) const;

  Bytes page_;
  std::size_t cells_ = 0;
};

// Reads pages of the main file of a connection, which must outlive it. What it returns may be older than what
// SQL sees; see DatabaseFile.
class PageFile {
 public:
  // Throws Error (source_unreadable) for what is not a SQLite database.
  explicit PageFile(const SqliteConnection& connection);

  [[nodiscard]] const DatabaseHeader& header() const { return header_; }
  [[nodiscard]] std::size_t page_bytes() const { return header_.page_bytes; }
  // Of a page, without the reserved ones; 0 when too few are left to be a page.
  [[nodiscard]] std::size_t usable_bytes() const { return usable_bytes_; }
  [[nodiscard]] std::uint64_t pages() const { return pages_; }
  // `count` pages from number `first` on. Page 1 is the schema's root and never another table's, so it counts
  // as not there. False, with unspecified contents, when not all of them are there. REQUIRES: room in
  // `buffer`.
  [[nodiscard]] bool read(std::uint64_t first, std::size_t count, std::span<std::byte> buffer) const;

 private:
  DatabaseFile file_;
  DatabaseHeader header_;
  std::size_t usable_bytes_ = 0;
  std::uint64_t pages_ = 0;
};

// The root page of an ordinary table; 0 when there is none by this name.
std::uint32_t root_page(const SqliteConnection& connection, const std::string& table);

}  // namespace sluice
