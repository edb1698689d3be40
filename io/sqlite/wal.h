#pragma once
// Where the write-ahead log ends: which commit is the last one.
// Formats: https://www.sqlite.org/walformat.html (wal-index header) and fileformat2.html section 4.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "io/sqlite/handle.h"

namespace sluice {

// Two equal tips are the same sequence of commits. Not the other way round: after a crash or a restart of
// the log the same content may show another tip.
struct WalTip {
  std::uint32_t commits = 0;  // the wal-index's own counter, 0 when read from the log itself
  std::uint32_t salt_1 = 0;
  std::uint32_t salt_2 = 0;
  std::uint32_t frames = 0;  // up to and including the last commit frame
  std::uint32_t checksum_1 = 0;
  std::uint32_t checksum_2 = 0;
  bool operator==(const WalTip&) const = default;

  // salt1.salt2.frames.checksum in hex; "none" without frames, when the main file says it all.
  [[nodiscard]] std::string text() const;
};

// From the wal-index that all connections share: exactly what a reader starting now would see. Writers
// publish a commit here after its frames are in the log, so the log alone may run ahead of what is
// visible. Nothing when the connection has no shared wal-index (it has not read yet, or -shm is readable
// only and SQLite keeps a private one).
// REQUIRES: a WAL database. Elsewhere the question itself would create a -shm.
std::optional<WalTip> published_tip(sqlite3* database);

// From the log's frame headers, for want of a wal-index. A missing or foreign file has no frames. Uses a
// descriptor of its own, which is harmless here: SQLite's locks are on the database and on -shm.
WalTip tip_in_log(const std::filesystem::path& log);

}  // namespace sluice
