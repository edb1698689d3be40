#pragma once
// A copy of a database that nobody else writes to, to be read in its place.
//
// It is made page by page from inside a read transaction, so it is one state of the source, with the rowids
// that the source has. While it is made, writers in rollback-journal mode wait; afterwards the source is not
// touched any more. Only its owner may read it (0600).
//
// A kept copy ends with a few lines behind its last page, where SQLite does not look:
//
//   1 <bytes of the database> <its change counter> <bytes of the source>\n<fingerprint of the source>\n<path>
//   <length of the above, eight hex digits> + "SLUICE1\n"
//
// They come last and the file gets its name after them, so a copy with a name is whole; and whoever writes to
// it as a database moves the counter, so that it is not taken for a copy any more.
//
// One thread.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "io/sqlite/snapshot.h"

namespace sluice {

struct CopyRequest {
  std::filesystem::path source;
  // Empty: the copy gets a name in TMPDIR (or /tmp), which goes with the PrivateCopy.
  std::filesystem::path keep_as;
  // Makes a new copy even where one is kept.
  bool anew = false;
  // Called between pieces with pages; may be empty. False ends it with Error (interrupted).
  std::function<bool(std::uint64_t done, std::uint64_t total)> go_on;
  // For the statements that read the schema; see SqliteConnection::stop_when().
  std::function<bool()> stop;
};

class PrivateCopy {
 public:
  // Takes the copy that is kept under that name, or makes one. Throws Error: usage when there is no room, or
  // when another file has the name; source_unreadable as a Snapshot does; source_changed when the source was
  // overwritten meanwhile; output when the copy cannot be written.
  explicit PrivateCopy(const CopyRequest& request);
  // Removes a copy that is not kept. Whoever has it open goes on reading, and its room is free when the last
  // one closes it, however that process ends.
  ~PrivateCopy();
  PrivateCopy(const PrivateCopy&) = delete;
  PrivateCopy& operator=(const PrivateCopy&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const SnapshotOrigin& origin() const { return origin_; }
  // True when the copy was there, from an earlier run.
  [[nodiscard]] bool found() const { return found_; }
  // As Snapshot::remark(), of reading the source; empty for a copy that was found.
  [[nodiscard]] const std::string& remark() const { return remark_; }

 private:
  void take_kept(const CopyRequest& request);
  void make(const CopyRequest& request);

  std::filesystem::path path_;
  SnapshotOrigin origin_;
  bool kept_ = false;
  bool found_ = false;
  std::string remark_;
};

}  // namespace sluice
