#pragma once
// One value as SQLite stores it, and one row of them.
//
// A Cell borrows: the bytes of a text or blob belong to the Scan that produced the row and stay valid
// until the next call of its next(). Nothing here owns memory; copy what must live longer.

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice {

// SQLite's five storage classes. The class is part of the value: 1, 1.0, '1' and x'31' are four values.
enum class StorageClass : std::uint8_t { null, integer, real, text, blob };

std::string_view name_of(StorageClass storage);

class Cell {
 public:
  Cell() : integer_(0) {}

  static Cell of_integer(std::int64_t value) {
    Cell cell;
    cell.storage_ = StorageClass::integer;
    cell.integer_ = value;
    return cell;
  }
  static Cell of_real(double value) {
    Cell cell;
    cell.storage_ = StorageClass::real;
    cell.real_ = value;
    return cell;
  }
  // Text is UTF-8 whatever the encoding of the file, but not necessarily valid, and may contain NUL.
  static Cell of_text(std::string_view text) {
    return of_bytes(StorageClass::text, text.data(), text.size());
  }
  static Cell of_blob(std::span<const std::byte> bytes) {
    return of_bytes(StorageClass::blob, bytes.data(), bytes.size());
  }

  [[nodiscard]] StorageClass storage() const { return storage_; }
  [[nodiscard]] bool is_null() const { return storage_ == StorageClass::null; }

  // REQUIRES: storage() is the class named.
  [[nodiscard]] std::int64_t integer() const {
    assert(storage_ == StorageClass::integer);
    return integer_;
  }
  [[nodiscard]] double real() const {
    assert(storage_ == StorageClass::real);
    return real_;
  }
  [[nodiscard]] std::string_view text() const {
    assert(storage_ == StorageClass::text);
    return {static_cast<const char*>(data_), size_};
  }
  // REQUIRES: text or blob.
  [[nodiscard]] std::span<const std::byte> bytes() const {
    assert(storage_ == StorageClass::text || storage_ == StorageClass::blob);
    return {static_cast<const std::byte*>(data_), size_};
  }

 private:
  static Cell of_bytes(StorageClass storage, const void* data, std::size_t size) {
    assert(size <= UINT32_MAX);  // SQLite's own limit is below 2^31
    Cell cell;
    cell.storage_ = storage;
    cell.size_ = static_cast<std::uint32_t>(size);
    cell.data_ = data;
    return cell;
  }

  StorageClass storage_ = StorageClass::null;
  std::uint32_t size_ = 0;
  union {
    std::int64_t integer_;
    double real_;
    const void* data_;
  };
};

using Row = std::span<const Cell>;

}  // namespace sluice
