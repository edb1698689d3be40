#pragma once
// One state of a SQLite file, seen by many readers.
//
// How the readers come to agree:
//
// - Rollback journal: the first reader's SHARED lock keeps every commit out until the Snapshot is gone, and
//   a change of journal mode with it. A writer meanwhile gets "database is locked".
// - WAL: commits go on while we read, and a reader sees the last commit before its first read. So a control
//   connection takes BEGIN IMMEDIATE, which keeps writers (not readers) out for a fraction of a
//   millisecond, each reader does BEGIN and one SELECT, and the control connection rolls back. Not
//   COMMIT: in rollback mode that fails while readers hold locks. Not on a read-only connection:
//   there BEGIN IMMEDIATE succeeds and keeps no one out.
// - WAL without the right to write, or with a writer that does not let go: the wal-index says which commit
//   is the last; when it says the same before and after the readers began, all of them see that commit.
//   Otherwise they begin again. This comparison is made under the fence too: it is the proof, the
//   fence only makes it succeed at once.
// - WAL without write permission on the directory and without -wal and -shm: SQLite cannot read the file
//   unless told that nobody writes to it. We tell it so (immutable), and remark() tells the user.
//
// A snapshot lives as long as the process. A later one compares fingerprints.
//
// Never writes to the database and never checkpoints, also not on closing. It does use -shm as every reader
// must, and where a WAL database has no -wal it makes SQLite create an empty one, which is removed again.
//
// The constructor, catalog(), fingerprint() and outline() belong to one thread. Each reader(i) may be used
// by a thread of its own, one at a time, beside that one; check_foreign_keys() counts as its reader.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/load.h"
#include "io/sqlite/foreign_keys.h"
#include "io/sqlite/handle.h"
#include "io/sqlite/scan.h"

namespace sluice {

// What a file is a copy of, where it is one: then the copy is read, and the original is spoken of.
struct SnapshotOrigin {
  std::filesystem::path path;
  std::string fingerprint;
  std::uint64_t bytes = 0;
};

struct ReaderOptions {
  // Where large rows borrow, over all readers; null: they take what they need.
  std::unique_ptr<RowMemory> memory{};
  // Pages that SQLite keeps per reader; 0: its own choice, 2 MB.
  std::uint64_t cache_bytes = 0;
  // Ends a statement that takes too long once the user wants to stop; see SqliteConnection::stop_when().
  // Called by all readers' threads.
  std::function<bool()> stop{};
  // The file is a private copy of this.
  std::optional<SnapshotOrigin> origin{};
  // Makes what stands between a reader and its users, for rows that arrive changed. The reader outlives it.
  // Empty: nothing does.
  std::function<std::unique_ptr<Source>(Source&)> wrap{};
};

class Snapshot {
 public:
  enum class Agreement : std::uint8_t {
    fence,       // where possible, else comparison
    comparison,  // never open the file for writing, not even to take a lock
  };

  // The number of readers is fixed here: none could join this state later. One more connection is opened
  // for the catalog and the outlines. Throws Error (source_unreadable).
  Snapshot(const std::filesystem::path& file, std::size_t readers, Agreement agreement = Agreement::fence,
           ReaderOptions options = {});
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  [[nodiscard]] std::size_t readers() const { return readers_.size(); }
  // REQUIRES: index < readers(). Valid as long as the Snapshot.
  Source& reader(std::size_t index) {
    Reader& reader = *readers_[index];
    return reader.wrapped ? *reader.wrapped : reader.source;
  }

  [[nodiscard]] const Catalog& catalog() const { return catalog_; }
  // Where the table could be cut; see outline.h.
  [[nodiscard]] TableOutline outline(const SourceTable& table) const;

  // The table's foreign keys against the rows of this state; see foreign_keys.h.
  [[nodiscard]] std::vector<ForeignKeyCheck> check_foreign_keys(const SourceTable& table,
                                                                std::size_t reader) const;

  // Throws Error (source_unreadable) when the table, which was read in ranges, has another number of rows
  // when it is read as a whole: its tree is not in order then, and searching for the bounds of a range passes
  // rows over. The reader of pages sees disorder by itself, so this costs nothing but where SQL has read (a
  // log with frames, WITHOUT ROWID, UTF-16, odd records): some 50 ns a row. No reader may be at work.
  void expect_rows(const TablePlan& plan, std::uint64_t rows) const;

  // Which state this is, for the ledger; engine/model/fingerprint.h has the format and how to compare. The
  // same means unchanged. Different means only that it may have changed: a checkpoint is enough. mtime is
  // there because the change counter of a WAL database stands still when a transaction does not touch the
  // first page, and a clean close then removes the only other trace. (It is as fine as the file system's
  // clock, some milliseconds.)
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  // False when the file's bytes were changed since, by something that takes no notice of SQLite's locks: a
  // copy over it, say. What was read meanwhile may then be a mixture. In WAL mode always true, because there
  // a checkpoint may change the file rightfully; a file replaced by renaming is another file and harmless.
  [[nodiscard]] bool unchanged() const;
  // True when the path names another file by now, or none. This snapshot still reads the one that it opened,
  // which is whole; but its user may think of the other.
  [[nodiscard]] bool replaced() const;
  // Main file and WAL together, as they were when the snapshot was taken.
  [[nodiscard]] std::uint64_t file_bytes() const { return file_bytes_; }
  // The WAL beside the file as it is now; 0 where there is none, also beside a copy. Any thread. A
  // snapshot keeps the log from being restarted, so it grows by all that is written meanwhile.
  [[nodiscard]] std::uint64_t wal_bytes() const;
  // Absolute. Of a private copy, the original's.
  [[nodiscard]] const std::filesystem::path& path() const { return spare_->name(); }
  // Something the user should know about how the file is read; usually empty.
  [[nodiscard]] const std::string& remark() const { return remark_; }

  // For who copies this state: the connection that has it pinned, and how large its pages are together.
  [[nodiscard]] const SqliteConnection& connection() const { return *spare_; }
  [[nodiscard]] std::uint64_t pages_bytes() const { return pages_bytes_; }

 private:
  struct Reader {
    Reader(const std::filesystem::path& path, Access access, const ReaderOptions& options)
        : connection(path, access), source(connection, options.memory.get()) {
      prepare(connection, options);
      if (options.cache_bytes != 0) connection.set_cache_bytes(options.cache_bytes);
      if (options.wrap) wrapped = options.wrap(source);
    }
    SqliteConnection connection;
    TableSource source;
    std::unique_ptr<Source> wrapped;  // of source; may be null
  };

  static void prepare(SqliteConnection& connection, const ReaderOptions& options);
  void open_spare(const std::filesystem::path& file, Access access);
  void open(const std::filesystem::path& file, std::size_t readers, Access access);
  void agree_in_wal_mode(Agreement agreement);
  bool begin_everywhere();
  void take_fingerprint();
  void add_sample();

  ReaderOptions options_;
  // Declared in the order in which they may go: the control connection last, see the destructor.
  std::unique_ptr<SqliteConnection> control_;
  std::unique_ptr<SqliteConnection> spare_;
  std::vector<std::unique_ptr<Reader>> readers_;
  bool log_was_there_ = true;

  Catalog catalog_;
  std::string fingerprint_;
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t bytes = 0;
    std::int64_t seconds = 0;  // mtime
    std::int64_t nanoseconds = 0;
    bool operator==(const Stamp&) const = default;
  };
  Stamp stamp_;
  std::uint32_t change_counter_ = 0;
  bool wal_ = false;
  std::string remark_;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t pages_bytes_ = 0;
};

}  // namespace sluice
