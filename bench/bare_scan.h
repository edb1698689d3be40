#pragma once
// Reading a SQLite file by SQLite alone: the floor under every reader. It shares no code with ours, so that
// the floor does not sink when that becomes slow.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

struct sqlite3;

namespace sluice::bench {

struct CloseFile {
  void operator()(sqlite3* database) const noexcept;
};
using File = std::unique_ptr<sqlite3, CloseFile>;

// One for each thread that scans. Throws std::runtime_error, as all of these.
File open_file(const std::filesystem::path& file);

struct BareRange {
  std::string sql;  // with two parameters: the first rowid and the last
  std::int64_t first = INT64_MIN;
  std::int64_t last = INT64_MAX;
};

// These tables of a file, each in so many ranges of as many rowids.
std::vector<BareRange> even_ranges(sqlite3* database, const std::vector<std::string>& tables,
                                   std::size_t ranges);

// Whether a value is looked at, every byte of it, or only stepped over.
enum class Values : std::uint8_t { skipped, touched };

// A thread for each file handed in. Returns the number of rows.
std::uint64_t scan_bare(const std::vector<File>& files, const std::vector<BareRange>& ranges, Values values);

}  // namespace sluice::bench
