#pragma once
// A column of the target whose values are files written as Base64, and the columns that refer to them once
// the files are in a store: looking at it, making room for the references, reading values and exchanging
// them.
//
// Every function runs in a transaction of its own, or in the one that is open. Errors name no value.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/error.h"
#include "engine/model/offload.h"
#include "engine/model/plan.h"
#include "engine/model/target_catalog.h"
#include "io/postgres/connection.h"
#include "io/postgres/read_back.h"

namespace sluice {

// Names as they are in the target.
struct FileColumn : FileReferences {
  std::string schema;
  std::string table;
  std::string content;

  // "schema"."table", and the column of a role, as SQL. REQUIRES: it has one.
  [[nodiscard]] std::string quoted_table() const;
  [[nodiscard]] std::string quoted(OffloadRole role) const;
  [[nodiscard]] bool has(OffloadRole role) const;
  // Of a column that is yet to be added: whoever reads sees NULL.
  void forget(OffloadRole role);
};

// That of an offload of a table that sluice loads. Without a content where that is dropped.
FileColumn file_column_of(const TablePlan& plan, std::size_t offload);

// What is there, and what is in the way.
struct FileColumnState {
  // The tables that hold rows, as SQL: itself, or its partitions.
  std::vector<std::string> heaps;
  bool content_exists = false;
  bool content_not_null = false;
  bool content_is_bytea = false;
  std::vector<OffloadRole> missing;  // columns that phase 1 adds
  std::vector<Obstacle> obstacles;   // all of them at once
  bool fires_triggers = false;       // somebody's triggers see every change of a row
};

enum class FileUse : std::uint8_t {
  look,  // nothing is changed
  keep,  // references are set
  null,  // and contents become NULL
  drop,  // and in the end their column goes
};

// Throws Error (target_refused) when
// there is no such table.
FileColumnState look_at(Connection& connection, const FileColumn& column, FileUse use);

// Adds the missing columns and, where contents are to become NULL, lets them. Waits no longer than a moment
// for the locks, so that nobody queues behind it: Error (target_unavailable, 55P03) then, which may pass.
void make_room(Connection& connection, const FileColumn& column, const FileColumnState& state,
               bool null_contents);

// Which rows are looked for.
enum class FileRows : std::uint8_t {
  without_path,  // content and no path yet
  with_content,  // content, whether there is a path or not: it is to become NULL
};

// A row as one transaction left it: good for as long as nobody changes it, and version tells whether that is
// so.
struct FileRow {
  Place place = 0;
  std::uint32_t version = 0;  // xmin
  std::uint64_t bytes = 0;    // of the content as it is stored: text
};

// In no order.
std::vector<FileRow> list_file_rows(Connection& connection, const FileColumn& column, const std::string& heap,
                                    const BlockRange& blocks, FileRows which);
std::uint64_t count_heap_blocks(Connection& connection, const std::string& heap);

// Borrowed for the call.
struct FileValue {
  Place place = 0;
  std::uint32_t version = 0;
  std::string_view content;  // empty where it was asked to be left out
  std::string_view path;     // empty: none
  std::string_view media_type;
};
// The rows at these places that are still of that version. `content` false: without it.
void read_file_rows(Connection& connection, const FileColumn& column, const std::string& heap,
                    std::span<const FileRow> rows, bool content,
                    const std::function<void(const FileValue&)>& each);

// One large content piece by piece, as often as it is asked for. REQUIRES: a transaction is open.
class FileCursor {
 public:
  FileCursor(Connection& connection, const FileColumn& column, const FileColumnState& state,
             const std::string& heap, const FileRow& row);
  ~FileCursor();
  FileCursor(const FileCursor&) = delete;
  FileCursor& operator=(const FileCursor&) = delete;

  void rewind();
  // Empty at the end, and where the row is no longer what it was. Bytes that are not ASCII come as escapes,
  // with a backslash, which no Base64 has.
  std::string_view next();

 private:
  Connection& connection_;
  std::string query_;
  bool open_ = false;
  std::string piece_;
};

// What takes the place of a content.
struct StoredReference {
  Place place = 0;
  std::uint32_t version = 0;
  std::string path;
  std::uint64_t size = 0;
  std::string sha256;      // hex
  std::string media_type;  // empty: the row keeps its own
};

// Sets the references of the rows that nobody has changed since, and returns how many those were; the others
// are to be looked at again. With `null_contents` content and reference change places in one statement:
// whoever reads sees the one or the other.
std::uint64_t set_references(Connection& connection, const FileColumn& column, const std::string& heap,
                             std::string_view storage_type, std::span<const StoredReference> references,
                             bool null_contents);

// Rows that still have a content, and those of them without a path.
struct LeftContents {
  std::uint64_t rows = 0;
  std::uint64_t without_path = 0;
};
LeftContents count_contents(Connection& connection, const FileColumn& column);

// Paths of this storage type, each counted once.
std::uint64_t count_files(Connection& connection, const FileColumn& column, std::string_view storage_type);

// The paths of the rows of this storage type, or of any, each once, with the size that a row gives it where
// there is a column of sizes (one of them, should rows differ).
struct PathInUse {
  std::string_view path;  // borrowed for the call
  std::optional<std::uint64_t> size;
};
void list_paths(Connection& connection, const FileColumn& column,
                std::optional<std::string_view> storage_type,
                const std::function<void(const PathInUse&)>& each);

// Takes the column away, in a transaction that has looked once more whether any content is left: Error
// (target_refused) then. Waits no longer than a moment for its lock, as make_room().
void drop_content(Connection& connection, const FileColumn& column);

// ---- who refers to files of which store ----

// Until the transaction ends. A file that is there already is not put again, so between that look and the
// commit of its reference nobody may remove it: putting takes the lock shared, and removing takes it alone.
// REQUIRES: a transaction is open.
enum class FileLock : std::uint8_t { putting, removing };
void lock_files(Connection& connection, FileLock lock);

// In the ledger, so that whoever removes what nobody refers to knows of everybody. Installs the ledger where
// it is missing.
void register_file_column(Connection& connection, const FileColumn& column, const std::string& store);
// Schema, table and path of all of them, whatever the store: two addresses may be one store.
struct RegisteredFileColumn {
  FileColumn column;
  bool there = false;  // false: the table or the column is gone, or has another name
};
// Nothing when the role may not read them.
std::optional<std::vector<RegisteredFileColumn>> list_file_columns(Connection& connection);

}  // namespace sluice
