#include "bench/bare_scan.h"

#include <sqlite3.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "engine/model/quote.h"

namespace sluice::bench {

void CloseFile::operator()(sqlite3* database) const noexcept { sqlite3_close(database); }

File open_file(const std::filesystem::path& file) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
  File database(raw);
  if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(raw));
  return database;
}

namespace {

struct Finalize {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

// Every byte, eight at a time.
std::uint64_t touch(const void* bytes, std::size_t size) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::uint64_t sum = 0;
  for (; size >= 8; at += 8, size -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    sum += word;
  }
  for (; size > 0; ++at, --size) sum += *at;
  return sum;
}

// A sum over all that was read, so that the compiler has to read it.
std::uint64_t scan_range(sqlite3* database, const BareRange& range, Values values, std::uint64_t& rows) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, range.sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(database));
  }
  const Statement statement(raw);
  sqlite3_bind_int64(raw, 1, range.first);
  sqlite3_bind_int64(raw, 2, range.last);
  const int columns = sqlite3_column_count(raw);
  std::uint64_t sum = 0;
  int code = 0;
  while ((code = sqlite3_step(raw)) == SQLITE_ROW) {
    ++rows;
    for (int i = 0; values == Values::touched && i < columns; ++i) {
      sqlite3_value* const value = sqlite3_column_value(raw, i);
      switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER:
          sum += static_cast<std::uint64_t>(sqlite3_value_int64(value));
          break;
        case SQLITE_FLOAT: {
          const double real = sqlite3_value_double(value);
          sum += touch(&real, sizeof real);
          break;
        }
        case SQLITE_TEXT: {
          const void* text = sqlite3_value_text(value);
          sum += touch(text, static_cast<std::size_t>(sqlite3_value_bytes(value)));
          break;
        }
        case SQLITE_BLOB: {
          const void* blob = sqlite3_value_blob(value);
          sum += touch(blob, static_cast<std::size_t>(sqlite3_value_bytes(value)));
          break;
        }
        default:
          break;
      }
    }
  }
  if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database));
  return sum;
}

}  // namespace

std::vector<BareRange> even_ranges(sqlite3* database, const std::vector<std::string>& tables,
                                   std::size_t ranges) {
  std::vector<BareRange> even;
  for (const std::string& table : tables) {
    const std::string name = quote_identifier(table);
    sqlite3_stmt* raw = nullptr;
    const std::string ends =
        "SELECT (SELECT min(rowid) FROM " + name + "), (SELECT max(rowid) FROM " + name + ")";
    if (sqlite3_prepare_v2(database, ends.c_str(), -1, &raw, nullptr) != SQLITE_OK)
      throw std::runtime_error(sqlite3_errmsg(database));
    const Statement statement(raw);
    if (sqlite3_step(raw) != SQLITE_ROW) throw std::runtime_error(sqlite3_errmsg(database));
    const std::int64_t first = sqlite3_column_int64(raw, 0);
    const auto width = (sqlite3_column_int64(raw, 1) - first) / static_cast<std::int64_t>(ranges) + 1;
    const std::string sql = "SELECT * FROM " + name + " NOT INDEXED WHERE rowid BETWEEN ? AND ?";
    for (std::size_t i = 0; i < ranges; ++i) {
      const std::int64_t begin = first + static_cast<std::int64_t>(i) * width;
      even.push_back({sql, begin, begin + width - 1});
    }
  }
  return even;
}

std::uint64_t scan_bare(const std::vector<File>& files, const std::vector<BareRange>& ranges, Values values) {
  std::atomic<std::size_t> next{0};
  std::atomic<std::uint64_t> sum{0};
  std::atomic<std::uint64_t> rows{0};
  std::vector<std::thread> threads;
  for (const File& file : files) {
    threads.emplace_back([&] {
      std::uint64_t mine = 0;
      std::uint64_t seen = 0;
      for (std::size_t i = next++; i < ranges.size(); i = next++)
        mine += scan_range(file.get(), ranges[i], values, seen);
      sum += mine;
      rows += seen;
    });
  }
  for (std::thread& thread : threads) thread.join();
  static std::atomic<std::uint64_t> kept;
  kept = sum.load();
  return rows;
}

}  // namespace sluice::bench
