#include "io/sqlite/pages.h"

#include <sqlite3.h>

#include <bit>

namespace sluice {
namespace {

constexpr std::size_t kInteriorHeaderBytes = 12;
constexpr std::size_t kInteriorCellBytesMin = 5;  // a page number and a varint
constexpr std::size_t kUsableBytesMin = 480;      // the format's own

}  // namespace

Bytes ByteTaker::take(std::uint64_t count) {
  if (count > bytes_.size()) {
    failed_ = true;
    bytes_ = {};
    return {};
  }
  const Bytes taken = bytes_.first(static_cast<std::size_t>(count));
  bytes_ = bytes_.subspan(static_cast<std::size_t>(count));
  return taken;
}

std::uint64_t ByteTaker::varint() {
  std::uint64_t value = 0;
  const std::byte* const rest = take_varint(bytes_.data(), bytes_.data() + bytes_.size(), value);
  if (rest == nullptr) {
    failed_ = true;
    bytes_ = {};
    return 0;
  }
  bytes_ = bytes_.subspan(static_cast<std::size_t>(rest - bytes_.data()));
  return value;
}

std::uint64_t local_bytes(CellPlace place, std::uint64_t usable, std::uint64_t payload) {
  if (usable < kUsableBytesMin) return 0;
  const std::uint64_t most = place == CellPlace::leaf_of_rowids ? usable - 35 : (usable - 12) * 64 / 255 - 23;
  if (payload <= most) return payload;
  const std::uint64_t least = (usable - 12) * 32 / 255 - 23;
  const std::uint64_t fitting = least + (payload - least) % (usable - 4);
  return fitting <= most ? fitting : least;
}

bool InteriorPage::open(Bytes page, PageKind kind) {
  if (page.size() < kInteriorHeaderBytes || page[0] != std::byte{static_cast<std::uint8_t>(kind)})
    return false;
  cells_ = big_endian(page.subspan(3, 2));
  page_ = page;
  const std::size_t first = kInteriorHeaderBytes + cells_ * 2;
  if (first > page.size()) return false;
  for (std::size_t at = kInteriorHeaderBytes; at < first; at += 2) {
    const std::uint32_t offset = big_endian(page.subspan(at, 2));
    if (offset < first || offset + kInteriorCellBytesMin > page.size()) return false;
  }
  return true;
}

Bytes InteriorPage::at(std::size_t index) const {
  return page_.subspan(big_endian(page_.subspan(kInteriorHeaderBytes + index * 2, 2)));
}

std::uint32_t InteriorPage::child(std::size_t index) const {
  return big_endian(index == cells_ ? page_.subspan(8, 4) : at(index).first(4));
}

ByteTaker InteriorPage::cell(std::size_t index) const { return ByteTaker(at(index).subspan(4)); }

bool InteriorPage::rowid(std::size_t index, std::int64_t& rowid) const {
  ByteTaker rest = cell(index);
  rowid = std::bit_cast<std::int64_t>(rest.varint());
  return !rest.failed();
}

PageFile::PageFile(const SqliteConnection& connection)
    : file_(connection.get()), header_(file_.header(connection.name().string())) {
  if (header_.page_bytes == 0) return;  // an empty file
  pages_ = file_.bytes() / header_.page_bytes;
  if (header_.page_bytes >= header_.reserved_bytes + kUsableBytesMin) {
    usable_bytes_ = header_.page_bytes - header_.reserved_bytes;
  }
}

bool PageFile::read(std::uint64_t first, std::size_t count, std::span<std::byte> buffer) const {
  if (usable_bytes_ == 0 || first < 2 || first > pages_ || count > pages_ - first + 1) return false;
  return file_.read((first - 1) * header_.page_bytes, buffer.first(count * header_.page_bytes));
}

std::uint32_t root_page(const SqliteConnection& connection, const std::string& table) {
  const StatementHandle schema =
      connection.prepare("SELECT rootpage FROM main.sqlite_schema WHERE type = 'table' AND name = ?1");
  bind_value(connection, schema, 1, Cell::of_text(table));
  const std::int64_t root = connection.step(schema) ? sqlite3_column_int64(schema.get(), 0) : 0;
  return root < 2 || root > UINT32_MAX ? 0 : static_cast<std::uint32_t>(root);
}

}  // namespace sluice
