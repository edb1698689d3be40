#pragma once
// SQLite's C handles, each with one owner, and the only way sluice opens a file.
//
// A SqliteConnection is used by one thread at a time. It never loads extensions, runs triggers, expands views
// or attaches another file, and the schema may call SQLite's own harmless functions alone: the file may come
// from anyone. What else the schema calls gets a stand-in that computes nothing, so that it costs the one
// object and not the file.
//
// POSIX drops every lock a process holds on a file when *any* descriptor of that file is closed. So
// nothing here, and nothing that uses this, may open the database or its -shm by itself: stat() it, or
// read it through DatabaseFile, which uses the descriptor that SQLite has.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "engine/model/cell.h"
#include "engine/model/error.h"

struct sqlite3;
struct sqlite3_file;
struct sqlite3_stmt;

namespace sluice {

struct CloseDatabase {
  void operator()(sqlite3* database) const noexcept;
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept;
};
using DatabaseHandle = std::unique_ptr<sqlite3, CloseDatabase>;
using StatementHandle = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// Configures SQLite for one connection per thread. Happens once, before the first SqliteConnection opens;
// call it earlier when something else in the process uses SQLite, because SQLite listens only until then.
void initialize_sqlite();

// How SQLite writes the file; bytes 18 and 19 of the header. An empty file counts as rollback.
enum class JournalMode : std::uint8_t { rollback, wal };

// The first hundred bytes of a database, as far as we care. All zero for an empty file.
struct DatabaseHeader {
  std::uint32_t page_bytes = 0;
  std::uint32_t reserved_bytes = 0;  // at the end of every page
  std::uint32_t page_count = 0;      // 0 when written by a SQLite too old to keep it
  std::uint32_t change_counter = 0;  // counts commits in rollback mode, checkpoints in WAL mode
  JournalMode journal_mode = JournalMode::rollback;
};

// The main file, read through SQLite's own descriptor without taking a lock. What it returns may be older
// than what SQL sees (the WAL is not looked at) or torn by a concurrent checkpoint.
class DatabaseFile {
 public:
  // The connection must outlive it.
  explicit DatabaseFile(sqlite3* database);

  [[nodiscard]] std::uint64_t bytes() const;
  // False, with unspecified contents, when the file ends before the buffer is full or cannot be read.
  [[nodiscard]] bool read(std::uint64_t offset, std::span<std::byte> buffer) const;
  // Throws Error (source_unreadable) for what is not a SQLite database. `name` is for the message.
  [[nodiscard]] DatabaseHeader header(const std::string& name) const;

 private:
  sqlite3_file* file_;
};

enum class Access : std::uint8_t {
  read,
  // For locks alone: it takes them and changes nothing. Falls back to reading where we may not write.
  fence,
  // Without locks and without looking for a WAL: only for a file that nobody can be writing.
  immutable,
};

class SqliteConnection {
 public:
  // Opens without reading; the first statement takes the first lock. Throws Error (source_unreadable)
  // for what is missing, a directory or not permitted. A path is a plain name even when it looks like
  // a URI.
  SqliteConnection(const std::filesystem::path& path, Access access);
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  [[nodiscard]] sqlite3* get() const { return database_.get(); }
  // Absolute, with symbolic links resolved, as SQLite derives the names of -wal and -shm from it.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // What messages call the file: its path, or for a private copy the original's.
  [[nodiscard]] const std::filesystem::path& name() const { return name_; }
  void speak_of(const std::filesystem::path& original) { name_ = original; }

  // Where the schema calls a function with a number of arguments that SQLite's own of that name does not
  // take, as files from a newer SQLite do, SQLite refuses the whole schema: prepare() then registers a
  // stand-in and tries again. (A function that SQLite does not know at all only fails the statements that
  // call it.)
  [[nodiscard]] StatementHandle prepare(std::string_view sql) const;
  // True for a row, false for the end. Throws Error for everything else: an error is never an end.
  bool step(const StatementHandle& statement) const;
  void execute(std::string_view sql) const;
  // The first column of the first row; 0 without a row.
  [[nodiscard]] std::int64_t integer(std::string_view sql) const;

  // Asked every few milliseconds while SQLite computes, on the thread that uses the connection; true ends the
  // statement under way with an Error (interrupted). A single call of a function of SQLite's is not
  // interrupted. Call it before the connection is used; what it refers to must outlive the connection.
  void stop_when(std::function<bool()> stop) { stop_ = std::move(stop); }

  // Pages that SQLite keeps, from the next pin() on.
  void set_cache_bytes(std::uint64_t bytes) { cache_bytes_ = bytes; }

  // Begins a read transaction and pins what it sees by reading once, the schema; unpin() ends it. Throws
  // Error, also where the schema takes more steps than a sound file of this size could.
  void pin() const;
  void unpin() const;

  // False for a fence that had to fall back to reading.
  [[nodiscard]] bool writable() const;
  // When true, closing the last connection may copy the WAL into the file and delete it, as SQLite does
  // by itself. Off from the start.
  void checkpoint_on_close(bool on) const;

  // Collations that some schema or statement asked for and SQLite does not have. A comparison of bytes
  // stands in for them: rows can be read, but an order or a range by such a collation means nothing.
  [[nodiscard]] const std::set<std::string>& unknown_collations() const { return unknown_collations_; }

  // The tables of which SQLite has searched for the rows of a range, and not read all: where the tree of a
  // damaged table is not in order, a search passes rows over without an error.
  void note_search(const std::string& table) const { searched_.insert(table); }
  [[nodiscard]] bool has_searched(const std::string& table) const { return searched_.contains(table); }

  // Why SQLite cannot run the statement: "no such function: foo()", say; empty when it can. The statement is
  // compiled and not run, so anything may be asked. Throws Error for what is not about the statement.
  [[nodiscard]] std::string obstacle_to(const std::string& sql) const;

  // What a SQLite result code means to the user. REQUIRES: the last call on this connection returned it.
  [[nodiscard]] Error error(int code) const;
  [[nodiscard]] Error truncated(std::uint64_t bytes_expected) const;
  [[nodiscard]] Error corrupt(const std::string& how) const;

 private:
  // True when a stand-in was registered that may mend the error of the last call.
  bool stand_in_for_function() const;
  // SQLite's progress handler: not 0 ends the statement.
  static int ask_to_go_on(void* connection);

  std::filesystem::path path_;
  std::filesystem::path name_;
  // Two megabytes, as SQLite has it by default, but not left to how the library was built: lanes times this
  // is a good part of our memory. A scan touches each leaf once, so a larger cache holds nothing useful.
  std::uint64_t cache_bytes_ = std::uint64_t{2} << 20;
  std::set<std::string> unknown_collations_;
  // Names of functions with a stand-in; those borrow their names from here.
  mutable std::set<std::string> stand_ins_;
  mutable std::set<std::string> stand_in_calls_;  // "iif(2)", as SQLite prints them in programs
  mutable std::set<std::string> searched_;
  std::function<bool()> stop_;
  mutable std::optional<std::uint64_t> schema_steps_left_;  // only while the schema is being read
  DatabaseHandle database_;                                 // after what its callbacks use
};

// Sets a parameter, counted from 1. Text and blobs are copied.
void bind_value(const SqliteConnection& connection, const StatementHandle& statement, int parameter,
                const Cell& value);

// Column `index` of the current row as text; empty for NULL.
std::string text_of(const StatementHandle& statement, int index);

}  // namespace sluice
