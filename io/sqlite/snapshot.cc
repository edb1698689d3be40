#include "io/sqlite/snapshot.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "io/sqlite/catalog.h"
#include "io/sqlite/outline.h"
#include "io/sqlite/page_sample.h"
#include "io/sqlite/wal.h"

namespace sluice {
namespace {

// A writer that commits all the time makes a round of comparison fail with the probability that it commits
// within the round, which takes some ten microseconds per reader. Ten seconds is thousands of rounds.
constexpr std::chrono::seconds kAgreementMax{10};

std::filesystem::path beside(const std::filesystem::path& path, const char* suffix) {
  std::filesystem::path other = path;
  other += suffix;
  return other;
}

// Nothing for a missing file.
std::optional<std::uint64_t> size_of(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return static_cast<std::uint64_t>(status.st_size);
}

bool has_content(const std::filesystem::path& path) { return size_of(path).value_or(0) != 0; }

WalTip tip_of(const SqliteConnection& connection) {
  if (const auto tip = published_tip(connection.get())) return *tip;
  // Without a shared wal-index every reader builds its own from the log, so the log is what counts.
  return tip_in_log(beside(connection.path(), "-wal"));
}

// True when SQLite refused a WAL database only because it may not create -wal and -shm beside it, and
// nothing is lost by reading the main file alone.
bool can_be_immutable(const SqliteConnection& connection) {
  const DatabaseFile file(connection.get());
  return file.header(connection.path().string()).journal_mode == JournalMode::wal &&
         eaccess(connection.path().parent_path().c_str(), W_OK) != 0 &&
         !has_content(beside(connection.path(), "-wal")) &&
         !has_content(beside(connection.path(), "-journal"));
}

}  // namespace

Snapshot::Snapshot(const std::filesystem::path& file, std::size_t readers, Agreement agreement,
                   ReaderOptions options)
    : options_(std::move(options)) {
  open_spare(file, Access::read);
  static_cast<void>(DatabaseFile(spare_->get()).header(file.string()));  // not SQLite at all: say so first
  log_was_there_ = size_of(beside(spare_->path(), "-wal")).has_value();
  Access access = Access::read;
  try {
    spare_->pin();
  } catch (const Error&) {
    if (!can_be_immutable(*spare_)) throw;
    access = Access::immutable;
    open_spare(file, access);
    spare_->pin();
    remark_ =
        "read as an immutable file, because its directory is not writable; nobody may write to it meanwhile";
  }
  // The spare's SHARED lock keeps the journal mode as it is from here on.
  const DatabaseHeader header = DatabaseFile(spare_->get()).header(file.string());
  open(file, readers, access);
  if (header.journal_mode == JournalMode::wal && access == Access::read) {
    agree_in_wal_mode(agreement);
  } else {
    for (const auto& reader : readers_) reader->connection.pin();
    take_fingerprint();
  }
  if (options_.origin) {
    fingerprint_ = options_.origin->fingerprint;
    file_bytes_ = options_.origin->bytes;
  } else {
    add_sample();
  }
  catalog_ = read_catalog(*spare_);
}

Snapshot::~Snapshot() {
  readers_.clear();
  spare_.reset();
  // Where we made SQLite create an empty log, its own way of closing removes it: with the locks that make
  // this safe, and without a checkpoint as there is nothing in it. Left lying about it could belong to
  // another user than the application's, which then could not write to its own database.
  if (control_ && !log_was_there_ && size_of(beside(control_->path(), "-wal")) == 0) {
    control_->checkpoint_on_close(true);
  }
}

TableOutline Snapshot::outline(const SourceTable& table) const { return outline_of(*spare_, table); }

std::vector<ForeignKeyCheck> Snapshot::check_foreign_keys(const SourceTable& table,
                                                          std::size_t reader) const {
  return sluice::check_foreign_keys(readers_[reader]->connection, catalog_, table);
}

void Snapshot::expect_rows(const TablePlan& plan, std::uint64_t rows) const {
  if (std::none_of(readers_.begin(), readers_.end(),
                   [&](const auto& reader) { return reader->connection.has_searched(plan.source); })) {
    return;
  }
  const SqliteConnection& connection = *spare_;
  TablePlan bare = plan;  // a row is counted without being looked at
  bare.columns.clear();
  bare.key_columns.clear();
  bare.row_key = RowKey::none;
  const auto scan = scan_through_sql(connection, bare, WholeTable{});
  std::uint64_t there = 0;
  while (scan->next()) ++there;
  if (there == rows) return;
  Error error = connection.corrupt("its rows are not in order: " + std::to_string(there) +
                                   " are there, and " + std::to_string(rows) + " are found by their keys");
  error.where().table = plan.source;
  throw error;
}

void Snapshot::prepare(SqliteConnection& connection, const ReaderOptions& options) {
  connection.stop_when(options.stop);
  if (options.origin) connection.speak_of(options.origin->path);
}

void Snapshot::open_spare(const std::filesystem::path& file, Access access) {
  spare_ = std::make_unique<SqliteConnection>(file, access);
  prepare(*spare_, options_);
}

void Snapshot::open(const std::filesystem::path& file, std::size_t readers, Access access) {
  readers_.reserve(readers);
  for (std::size_t i = 0; i < readers; ++i) {
    readers_.push_back(std::make_unique<Reader>(file, access, options_));
  }
}

void Snapshot::agree_in_wal_mode(Agreement agreement) {
  // Once for practice: opens the log and reads the schema, so that the fence is held for less.
  static_cast<void>(begin_everywhere());
  bool fenced = false;
  if (agreement == Agreement::fence) {
    try {
      control_ = std::make_unique<SqliteConnection>(spare_->path(), Access::fence);
      // BEGIN IMMEDIATE takes a lock and writes nothing.
      if (control_->writable()) {
        control_->execute("BEGIN IMMEDIATE");
        fenced = true;
      }
    } catch (const Error&) {
      // Someone has been writing for longer than we wait, or -shm is not ours to write: compare, then.
    }
  }
  const auto give_up = std::chrono::steady_clock::now() + kAgreementMax;
  while (!begin_everywhere()) {
    if (std::chrono::steady_clock::now() > give_up) throw spare_->error(SQLITE_BUSY);
    std::this_thread::yield();
  }
  if (fenced) control_->unpin();
}

// All readers and the spare begin anew. True when no commit came between the first and the last.
bool Snapshot::begin_everywhere() {
  spare_->unpin();
  for (const auto& reader : readers_) reader->connection.unpin();
  const WalTip before = tip_of(*spare_);
  spare_->pin();
  for (const auto& reader : readers_) reader->connection.pin();
  take_fingerprint();
  return tip_of(*spare_) == before;
}

// REQUIRES: the spare is pinned. In WAL mode the log may move on meanwhile; the caller compares.
void Snapshot::take_fingerprint() {
  const DatabaseFile file(spare_->get());
  const DatabaseHeader header = file.header(path().string());
  const std::uint64_t file_bytes = file.bytes();
  const auto pages = static_cast<std::uint64_t>(spare_->integer("PRAGMA page_count"));
  const std::int64_t schema = spare_->integer("PRAGMA schema_version");
  const bool wal = header.journal_mode == JournalMode::wal && remark_.empty();
  const WalTip tip = wal ? tip_of(*spare_) : WalTip{};

  // SQLite notices missing pages when it comes to them, and part of a page never.
  const std::uint64_t expected = pages * header.page_bytes;
  if (expected > file_bytes &&
      (expected - file_bytes + header.page_bytes - 1) / header.page_bytes > tip.frames) {
    throw spare_->truncated(expected);
  }

  struct stat status {};
  if (replaced() || stat(spare_->path().c_str(), &status) != 0) {
    throw Error(Fault::source_unreadable, path().string() + ": was replaced while it was being opened",
                "try again when whoever replaces it is done");
  }
  const auto number = [](auto value) { return std::to_string(value); };
  fingerprint_ = "size=" + number(file_bytes) + " mtime=" + number(status.st_mtim.tv_sec) + "." +
                 number(status.st_mtim.tv_nsec) + " page=" + number(header.page_bytes) +
                 " pages=" + number(pages) + " change=" + number(header.change_counter) +
                 " schema=" + number(schema) + " wal=" + tip.text();
  stamp_ = {status.st_dev, status.st_ino, file_bytes, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  change_counter_ = header.change_counter;
  wal_ = wal;
  pages_bytes_ = expected;
  file_bytes_ = file_bytes + (wal ? size_of(beside(spare_->path(), "-wal")).value_or(0) : 0);
}

std::uint64_t Snapshot::wal_bytes() const {
  return wal_ ? size_of(beside(spare_->path(), "-wal")).value_or(0) : 0;
}

// Not under the fence: it would keep writers out for as long as the disk takes. A checkpoint that comes in
// between makes the fingerprint one of no state, as it makes the time in it one of the past.
void Snapshot::add_sample() {
  const DatabaseFile file(spare_->get());
  fingerprint_ += " content=" + page_sample(file, file.header(path().string())) +
                  " dev=" + std::to_string(stamp_.device) + " ino=" + std::to_string(stamp_.inode);
}

bool Snapshot::replaced() const {
  int moved = 0;
  sqlite3_file_control(spare_->get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

bool Snapshot::unchanged() const {
  if (wal_) return true;
  const DatabaseFile file(spare_->get());
  if (file.bytes() != stamp_.bytes) return false;
  if (stamp_.bytes > 0 && file.header(path().string()).change_counter != change_counter_) return false;
  struct stat status {};
  if (stat(spare_->path().c_str(), &status) != 0) return true;  // removed; what we have open is still whole
  const Stamp now{status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
                  status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  const bool same_file = now.device == stamp_.device && now.inode == stamp_.inode;
  return !same_file || now == stamp_;
}

}  // namespace sluice
