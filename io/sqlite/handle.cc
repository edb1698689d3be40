#include "io/sqlite/handle.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/model/quote.h"

namespace sluice {
namespace {

// In KiB, whatever the size of a page.
std::string cache_size_sql(std::uint64_t bytes) {
  return "PRAGMA cache_size=-" + std::to_string(std::max<std::uint64_t>(bytes / 1024, 1));
}

// Pages are read with pread, not mapped. Measured with a warm cache on two cores, CPU time a row, one and
// two threads, mapped against read: 3.0 M rows of 8 columns in 307 MB, 204 and 225 ns against 205 and 209;
// 120 k rows of 3.9 kB in 477 MB, 1.00 and 1.00 us against 1.03 and 1.05. A few per cent on wide rows is
// not worth what mapping costs: the file counts as our memory (271 MB resident instead of 9), an I/O error
// or someone truncating the file becomes SIGBUS, and beyond 2 GiB SQLite goes back to reading anyway.
constexpr const char* kMapNothing = "PRAGMA mmap_size=0";

// Someone else's commit holds the file for milliseconds, or for as long as its disk takes to sync. SQLite's
// own handler backs off to a tenth of a second, and so looks some fifty times in five seconds: too seldom to
// meet the moments in which a busy writer lets go. In a test against one it gave up.
constexpr int kBusyRetries = 5000;
constexpr std::chrono::milliseconds kBusyRest{1};

int wait_for_writer(void*, int retries) {
  std::this_thread::sleep_for(kBusyRest);
  return retries < kBusyRetries ? 1 : 0;
}

constexpr std::string_view kMagic{"SQLite format 3\0", 16};

int compare_bytes(void*, int left_bytes, const void* left, int right_bytes, const void* right) {
  const int common = std::min(left_bytes, right_bytes);
  const int order = common == 0 ? 0 : std::memcmp(left, right, static_cast<std::size_t>(common));
  return order != 0 ? order : left_bytes - right_bytes;
}

void register_stand_in(void* unknown_collations, sqlite3* database, int encoding, const char* name) {
  sqlite3_create_collation_v2(database, name, encoding, nullptr, compare_bytes, nullptr);
  try {
    static_cast<std::set<std::string>*>(unknown_collations)->insert(name);
  } catch (...) {  // out of memory: the name is missing from the list, and C must not see an exception
  }
}

// More names than a schema written by people would call; each costs one more reading of the schema.
constexpr std::size_t kStandInsMax = 200;
constexpr int kArgumentsMax = 127;

void refuse_call(sqlite3_context* context, int, sqlite3_value**) {
  const auto* name = static_cast<const std::string*>(sqlite3_user_data(context));
  const std::string message = "sluice does not know function " + *name;
  sqlite3_result_error(context, message.c_str(), -1);
}

// The function in "malformed database schema (x) - wrong number of arguments to function y()", or in the "no
// such function: y" of older versions; empty for any other message.
std::string function_missing_in_schema(std::string_view message) {
  if (!message.starts_with("malformed database schema (")) return {};
  constexpr std::string_view kWrongNumber = " - wrong number of arguments to function ";
  constexpr std::string_view kUnknown = " - no such function: ";
  // From the right, because the object's name may hold anything.
  if (const std::size_t at = message.rfind(kWrongNumber); at != std::string_view::npos) {
    message.remove_prefix(at + kWrongNumber.size());
    if (message.ends_with("()")) message.remove_suffix(2);
    return std::string(message);
  }
  if (const std::size_t at = message.rfind(kUnknown); at != std::string_view::npos) {
    return std::string(message.substr(at + kUnknown.size()));
  }
  return {};
}

std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

Error unreadable(const std::filesystem::path& path, const std::string& why, std::string advice = {}) {
  return Error(Fault::source_unreadable, one_line(path.string()) + ": " + why, std::move(advice));
}

Error not_permitted(const std::filesystem::path& path) {
  return unreadable(path, "no permission to read it", "run as a user who may read the file, or copy it");
}

// Percent-encodes everything that could mean something in a URI.
std::string uri_of(const std::filesystem::path& path, std::string_view query) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string uri = "file://";
  for (const char character : path.string()) {
    const auto byte = static_cast<unsigned char>(character);
    if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
        byte == '/' || byte == '.' || byte == '_' || byte == '-') {
      uri += character;
    } else {
      uri += '%';
      uri += kHex[byte >> 4];
      uri += kHex[byte & 15];
    }
  }
  uri += '?';
  uri += query;
  return uri;
}

// Everything that can be said without reading the file. Returns the path as SQLite will know it.
std::filesystem::path checked_path(const std::filesystem::path& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) throw unreadable(path, "no such file");
    if (error == EACCES) throw not_permitted(path);
    throw unreadable(path, std::generic_category().message(error));
  }
  if (S_ISDIR(status.st_mode)) throw unreadable(path, "is a directory", "name the database file in it");
  if (!S_ISREG(status.st_mode)) throw unreadable(path, "is not a regular file");
  std::error_code error;
  std::filesystem::path canonical = std::filesystem::canonical(path, error);
  if (error) throw unreadable(path, error.message());
  // effective user, as open() will see it
  if (eaccess(canonical.c_str(), R_OK) != 0) throw not_permitted(path);
  return canonical;
}

std::uint32_t big_endian_32(const std::byte* bytes) {
  return std::to_integer<std::uint32_t>(bytes[0]) << 24 | std::to_integer<std::uint32_t>(bytes[1]) << 16 |
         std::to_integer<std::uint32_t>(bytes[2]) << 8 | std::to_integer<std::uint32_t>(bytes[3]);
}

struct FunctionName {
  std::string name;
  int arguments = -1;  // any number
};

// SQLite's own functions that a schema may not call: those that it does not mark as innocuous, but for the
// ones of JSON, which it marks from 3.41 on. In 3.40 these are rtreecheck(), which runs queries of its own,
// and the auxiliary functions of full text search. What is marked for statements alone (load_extension) is
// refused in a schema anyway. The same for every connection of the process, so it is asked for once.
const std::vector<FunctionName>& functions_not_for_schemas(sqlite3* database) {
  static const std::vector<FunctionName> functions = [database] {
    std::vector<FunctionName> found;
    sqlite3_stmt* raw = nullptr;
    sqlite3_prepare_v2(database, "PRAGMA function_list", -1, &raw, nullptr);
    const StatementHandle list(raw);  // name, builtin, type, encoding, arguments, flags
    while (raw != nullptr && sqlite3_step(raw) == SQLITE_ROW) {
      const std::string name = text_of(list, 0);
      const int flags = sqlite3_column_int(raw, 5);
      if ((flags & (SQLITE_INNOCUOUS | SQLITE_DIRECTONLY)) != 0) continue;
      if (name.starts_with("json") || name.starts_with("->")) continue;
      found.push_back({name, sqlite3_column_int(raw, 4)});
    }
    return found;
  }();
  return functions;
}

void refuse_in_schema(sqlite3_context* context, int, sqlite3_value**) {
  const auto* function = static_cast<const FunctionName*>(sqlite3_user_data(context));
  sqlite3_result_error(context, ("sluice lets no schema call " + function->name + "()").c_str(), -1);
}

// Built-in collations and harmless functions are there; an attacker's schema gets nothing beyond them.
void make_defensive(sqlite3* database) {
  const auto set = [database](int option, int value) { sqlite3_db_config(database, option, value, nullptr); };
  set(SQLITE_DBCONFIG_DEFENSIVE, 1);
  // On, because off makes SQLite 3.40 refuse all of a file whose indexes, checks or generated columns use
  // json_extract() and the like. What off would keep away besides, refuses to compute: that costs an object
  // that calls it, and not the file.
  set(SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1);
  for (const FunctionName& function : functions_not_for_schemas(database)) {
    sqlite3_create_function_v2(database, function.name.c_str(), function.arguments,
                               SQLITE_UTF8 | SQLITE_DETERMINISTIC, const_cast<FunctionName*>(&function),
                               refuse_in_schema, nullptr, nullptr, nullptr);
  }
  set(SQLITE_DBCONFIG_ENABLE_TRIGGER, 0);
  set(SQLITE_DBCONFIG_ENABLE_VIEW, 0);
  set(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0);
  // "nothing" must be an unknown column, not the text 'nothing' in every row.
  set(SQLITE_DBCONFIG_DQS_DML, 0);
  // We never checkpoint: it is a write to the source, and in SQLite 3.7.0 to 3.51.2 a checkpoint racing
  // with a writer can, very rarely, corrupt the file.
  set(SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1);

  // Far above what any schema needs, and far below where a hostile one takes the memory of the machine. The
  // length of a value stays at SQLite's own gigabyte, since values of that size are moved.
  const auto limit = [database](int which, int most) { sqlite3_limit(database, which, most); };
  limit(SQLITE_LIMIT_ATTACHED, 0);  // not even VACUUM INTO
  limit(SQLITE_LIMIT_TRIGGER_DEPTH, 1);
  limit(SQLITE_LIMIT_WORKER_THREADS, 0);
  limit(SQLITE_LIMIT_SQL_LENGTH, 16 << 20);
  limit(SQLITE_LIMIT_VDBE_OP, 4 << 20);
}

// Between two questions whether to go on, in steps of SQLite's virtual machine: about a millisecond.
constexpr int kStepsBetweenQuestions = 100'000;

// What the schema may take to be read, in the same steps. A row of it takes some thirty and has about as many
// bytes, so this is for pages that lead in circles, of which a file may make more than a lifetime of rows.
constexpr std::uint64_t kSchemaStepsPerByte = 100;
constexpr std::uint64_t kSchemaStepsMin = 100'000'000;

// For the fence, where query_only would also refuse BEGIN IMMEDIATE.
int refuse_changes(void*, int action, const char*, const char*, const char*, const char*) {
  return action == SQLITE_TRANSACTION || action == SQLITE_SELECT || action == SQLITE_READ ? SQLITE_OK
                                                                                          : SQLITE_DENY;
}

}  // namespace

void CloseDatabase::operator()(sqlite3* database) const noexcept {
  // v2: a statement that outlives its connection by mistake keeps it alive instead of dangling.
  sqlite3_close_v2(database);
}

void FinalizeStatement::operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }

void initialize_sqlite() {
  static std::once_flag once;
  std::call_once(once, [] {
    // These fail with SQLITE_MISUSE when something initialised SQLite before us. Then it is slower, and
    // still right: NOMUTEX is asked for at every open, and every path is absolute.
    sqlite3_config(SQLITE_CONFIG_MULTITHREAD);  // no mutex per connection; each has one thread at a time
    // Statistics take one mutex of the whole process at every allocation: Bedrock measured 3.5 times the
    // throughput on two threads without them, and Debian builds SQLite without lookaside, which makes
    // allocations frequent.
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_URI, 0);  // Debian switches it on for every path
    sqlite3_initialize();
  });
}

DatabaseFile::DatabaseFile(sqlite3* database) : file_(nullptr) {
  sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file_));
  if (file_ != nullptr && file_->pMethods == nullptr) file_ = nullptr;
}

std::uint64_t DatabaseFile::bytes() const {
  sqlite3_int64 bytes = 0;
  if (file_ == nullptr || file_->pMethods->xFileSize(file_, &bytes) != SQLITE_OK || bytes < 0) return 0;
  return static_cast<std::uint64_t>(bytes);
}

bool DatabaseFile::read(std::uint64_t offset, std::span<std::byte> buffer) const {
  if (file_ == nullptr || offset > static_cast<std::uint64_t>(INT64_MAX) - buffer.size()) return false;
  return file_->pMethods->xRead(file_, buffer.data(), static_cast<int>(buffer.size()),
                                static_cast<sqlite3_int64>(offset)) == SQLITE_OK;
}

DatabaseHeader DatabaseFile::header(const std::string& name) const {
  if (bytes() == 0) return {};
  std::array<std::byte, 100> raw{};
  const bool whole = read(0, raw);
  if (!whole || std::memcmp(raw.data(), kMagic.data(), kMagic.size()) != 0) {
    throw Error(Fault::source_unreadable, one_line(name) + ": is not a SQLite database",
                "it may be encrypted; then decrypt it with the program that wrote it first");
  }
  DatabaseHeader header;
  header.page_bytes = std::to_integer<std::uint32_t>(raw[16]) << 8 | std::to_integer<std::uint32_t>(raw[17]);
  if (header.page_bytes == 1) header.page_bytes = 65536;
  if (header.page_bytes < 512 || (header.page_bytes & (header.page_bytes - 1)) != 0) {
    throw Error(Fault::source_unreadable, one_line(name) + ": the header of the database is damaged",
                "sqlite3 FILE .recover can save what is left");
  }
  header.reserved_bytes = std::to_integer<std::uint32_t>(raw[20]);
  header.change_counter = big_endian_32(raw.data() + 24);
  // The count is only valid when the SQLite that wrote it last also knew about it.
  if (big_endian_32(raw.data() + 92) == header.change_counter)
    header.page_count = big_endian_32(raw.data() + 28);
  // Version 2 for reading or writing means WAL.
  header.journal_mode =
      raw[18] == std::byte{2} || raw[19] == std::byte{2} ? JournalMode::wal : JournalMode::rollback;
  return header;
}

SqliteConnection::SqliteConnection(const std::filesystem::path& path, Access access)
    : path_(checked_path(path)), name_(path_) {
  initialize_sqlite();
  const int common = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  sqlite3* raw = nullptr;
  int code = SQLITE_OK;
  switch (access) {
    case Access::read:
      code = sqlite3_open_v2(path_.c_str(), &raw, common | SQLITE_OPEN_READONLY, nullptr);
      break;
    case Access::fence:
      code = sqlite3_open_v2(path_.c_str(), &raw, common | SQLITE_OPEN_READWRITE, nullptr);
      break;
    case Access::immutable:
      code = sqlite3_open_v2(uri_of(path_, "immutable=1").c_str(), &raw,
                             common | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
      break;
  }
  database_.reset(raw);  // even a failed open hands out a handle
  if (code != SQLITE_OK) throw error(code);

  sqlite3_extended_result_codes(get(), 1);
  sqlite3_busy_handler(get(), wait_for_writer, nullptr);
  make_defensive(get());
  sqlite3_collation_needed(get(), &unknown_collations_, register_stand_in);
  sqlite3_progress_handler(get(), kStepsBetweenQuestions, ask_to_go_on, this);
  for (const char* pragma : {"PRAGMA cell_size_check=ON", "PRAGMA temp_store=MEMORY", kMapNothing}) {
    execute(pragma);
  }
  if (access == Access::fence) {
    execute("PRAGMA wal_autocheckpoint=0");
    sqlite3_set_authorizer(get(), refuse_changes, nullptr);
  } else {
    execute("PRAGMA query_only=ON");
  }
}

StatementHandle SqliteConnection::prepare(std::string_view sql) const {
  assert(sql.size() <= INT_MAX);
  sqlite3_stmt* raw = nullptr;
  int code = SQLITE_OK;
  do {
    code = sqlite3_prepare_v2(get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  } while (code != SQLITE_OK && stand_in_for_function());
  StatementHandle statement(raw);
  if (code != SQLITE_OK) throw error(code);
  return statement;
}

bool SqliteConnection::stand_in_for_function() const {
  std::string name = function_missing_in_schema(sqlite3_errmsg(get()));
  if (name.empty() || stand_ins_.size() >= kStandInsMax) return false;
  const std::string folded = fold_ascii(name);
  // SQLite's own stay in force for the numbers of arguments that they take.
  std::set<int> known;
  {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v2(get(), "PRAGMA function_list", -1, &raw, nullptr);
    const StatementHandle list(raw);
    if (code != SQLITE_OK) return false;
    while (sqlite3_step(list.get()) == SQLITE_ROW) {
      if (fold_ascii(text_of(list, 0)) == folded) known.insert(sqlite3_column_int(list.get(), 4));
    }
  }
  if (known.count(-1) > 0) return false;
  const auto inserted = stand_ins_.insert(std::move(name));
  if (!inserted.second) return false;
  const std::string& stored = *inserted.first;  // as long as the connection: sets do not move what they hold
  const auto add = [&](int arguments) {
    stand_in_calls_.insert(stored + "(" + std::to_string(arguments) + ")");
    return sqlite3_create_function_v2(get(), stored.c_str(), arguments, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                      const_cast<std::string*>(&stored), refuse_call, nullptr, nullptr,
                                      nullptr) == SQLITE_OK;
  };
  if (known.empty()) return add(-1);
  for (int arguments = 0; arguments <= kArgumentsMax; ++arguments) {
    if (known.count(arguments) == 0 && !add(arguments)) return false;
  }
  return true;
}

std::string SqliteConnection::obstacle_to(const std::string& sql) const {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v2(get(), sql.c_str(), -1, &raw, nullptr);
  const StatementHandle whole(raw);
  if (code != SQLITE_OK) {
    if ((code & 0xff) != SQLITE_ERROR) throw error(code);
    const std::string said = sqlite3_errmsg(get());
    constexpr std::string_view kUnknown = "unknown function: ";
    return said.starts_with(kUnknown) ? "no such function: " + said.substr(kUnknown.size()) : said;
  }
  const std::vector<FunctionName>& refused = functions_not_for_schemas(get());
  // Which functions a program calls stands in it: address, opcode, p1 to p3, then "name(arguments)".
  const StatementHandle program = prepare("EXPLAIN " + sql);
  while (step(program)) {
    const std::string opcode = text_of(program, 1);
    if (opcode != "Function" && opcode != "PureFunc") continue;
    const std::string call = text_of(program, 5);
    if (stand_in_calls_.count(call) > 0) return "no such function: " + call;
    const std::string_view name = std::string_view(call).substr(0, call.rfind('('));
    const auto is_it = [name](const FunctionName& function) { return function.name == name; };
    if (std::any_of(refused.begin(), refused.end(), is_it)) {
      return "it calls " + std::string(name) + "(), which sluice lets no schema do";
    }
  }
  return {};
}

bool SqliteConnection::step(const StatementHandle& statement) const {
  const int code = sqlite3_step(statement.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  throw error(code);
}

void SqliteConnection::execute(std::string_view sql) const {
  const StatementHandle statement = prepare(sql);
  while (step(statement)) {
  }
}

std::int64_t SqliteConnection::integer(std::string_view sql) const {
  const StatementHandle statement = prepare(sql);
  return step(statement) ? sqlite3_column_int64(statement.get(), 0) : 0;
}

int SqliteConnection::ask_to_go_on(void* connection) {
  const auto* self = static_cast<const SqliteConnection*>(connection);
  if (self->schema_steps_left_) {
    if (*self->schema_steps_left_ < kStepsBetweenQuestions) return 1;
    *self->schema_steps_left_ -= kStepsBetweenQuestions;
  }
  return self->stop_ && self->stop_() ? 1 : 0;
}

void SqliteConnection::pin() const {
  execute("BEGIN");
  try {
    schema_steps_left_ = std::max(
        kSchemaStepsMin, std::min(DatabaseFile(get()).bytes(), std::uint64_t{1} << 50) * kSchemaStepsPerByte);
    // BEGIN alone takes no lock and fixes no snapshot: the first read does.
    execute("SELECT 1 FROM main.sqlite_schema LIMIT 1");
    execute(cache_size_sql(cache_bytes_));  // here and not at the opening, because it reads the schema
    schema_steps_left_.reset();
  } catch (...) {
    schema_steps_left_.reset();
    unpin();
    throw;
  }
}

void SqliteConnection::unpin() const {
  // Not execute(): where SQLite has rolled back by itself there is nothing to end, and that is fine.
  if (sqlite3_get_autocommit(get()) == 0) sqlite3_exec(get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

bool SqliteConnection::writable() const { return sqlite3_db_readonly(get(), "main") == 0; }

void SqliteConnection::checkpoint_on_close(bool on) const {
  sqlite3_db_config(get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on ? 0 : 1, nullptr);
}

Error SqliteConnection::error(int code) const {
  switch (code) {  // what needs the whole code
    case SQLITE_READONLY_ROLLBACK:
      return unreadable(
          name_, "a writer crashed in the middle of a transaction and left its rollback journal",
          "open it once with sqlite3 so that it can recover, or copy the file together with its "
          "-journal elsewhere and open the copy");
    case SQLITE_READONLY_RECOVERY:
    case SQLITE_READONLY_CANTINIT:
    case SQLITE_READONLY_CANTLOCK:
    case SQLITE_READONLY_DIRECTORY:
      return unreadable(
          name_, "its -wal and -shm cannot be used from here",
          "-shm and -wal must exist and be readable, or their directory be writable; or copy the "
          "file together with its -wal elsewhere");
    default:
      break;
  }
  const std::string said = sqlite3_errmsg(get());
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      return unreadable(name_, "is not a SQLite database",
                        "it may be encrypted; then decrypt it with the program that wrote it first");
    case SQLITE_CORRUPT:
      // SQLite calls a file corrupt that ends before its header says. That has its own usual reason.
      try {
        const DatabaseFile file(get());
        const DatabaseHeader header = file.header(name_.string());
        const std::uint64_t expected = std::uint64_t{header.page_count} * header.page_bytes;
        std::error_code absent;
        const std::uintmax_t log_bytes = std::filesystem::file_size(path_.string() + "-wal", absent);
        if ((absent || log_bytes == 0) && file.bytes() < expected) return truncated(expected);
      } catch (const Error& damaged_header) {
        return damaged_header;
      }
      return corrupt(one_line(said));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return unreadable(name_, "is busy: someone is writing to it", "try again when the writer is done");
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return not_permitted(name_);
    case SQLITE_READONLY:
      return unreadable(name_, "cannot be read without writing to it (" + one_line(said) + ")",
                        "copy the file together with its -wal or -journal elsewhere and open the copy");
    case SQLITE_CANTOPEN: {
      const int system = sqlite3_system_errno(get());
      const std::string why =
          system == 0 ? std::string() : " (" + std::generic_category().message(system) + ")";
      return unreadable(name_, "cannot be opened, or its -wal, -shm or -journal cannot" + why,
                        "-shm and -wal must exist, or their directory be writable; or copy the file together "
                        "with its -wal and -journal elsewhere");
    }
    case SQLITE_IOERR: {
      const int system = sqlite3_system_errno(get());
      const std::string why = system == 0 ? said : std::generic_category().message(system);
      return unreadable(name_, "cannot be read (" + one_line(why) + ")",
                        "check the disk and the file system");
    }
    case SQLITE_NOMEM:
      return unreadable(name_, "out of memory while reading it", "use fewer jobs");
    case SQLITE_INTERRUPT:
      if (!schema_steps_left_)
        return {Fault::interrupted, "stopped before the end", "run the same command again"};
      return corrupt("the pages of its schema lead in circles");
    default:
      return unreadable(name_, one_line(said) + " [SQLite " + std::to_string(code) + "]");
  }
}

Error SqliteConnection::corrupt(const std::string& how) const {
  return unreadable(name_, "is corrupt (" + how + ")",
                    "PRAGMA integrity_check tells more, and sqlite3 FILE .recover can save what is left");
}

Error SqliteConnection::truncated(std::uint64_t bytes_expected) const {
  return unreadable(name_,
                    "is truncated: " + std::to_string(DatabaseFile(get()).bytes()) + " of " +
                        std::to_string(bytes_expected) + " bytes are there",
                    "copy it again, together with its -wal if there is one");
}

void bind_value(const SqliteConnection& connection, const StatementHandle& statement, int parameter,
                const Cell& value) {
  int code = SQLITE_OK;
  switch (value.storage()) {
    case StorageClass::null:
      code = sqlite3_bind_null(statement.get(), parameter);
      break;
    case StorageClass::integer:
      code = sqlite3_bind_int64(statement.get(), parameter, value.integer());
      break;
    case StorageClass::real:
      code = sqlite3_bind_double(statement.get(), parameter, value.real());
      break;
    case StorageClass::text: {
      const std::string_view text = value.text();
      // A null pointer would mean NULL.
      code = sqlite3_bind_text64(statement.get(), parameter, text.empty() ? "" : text.data(), text.size(),
                                 SQLITE_TRANSIENT, SQLITE_UTF8);
      break;
    }
    case StorageClass::blob: {
      const auto blob = value.bytes();
      code = blob.empty() ? sqlite3_bind_zeroblob(statement.get(), parameter, 0)
                          : sqlite3_bind_blob64(statement.get(), parameter, blob.data(), blob.size(),
                                                SQLITE_TRANSIENT);
      break;
    }
  }
  if (code != SQLITE_OK) throw connection.error(code);
}

std::string text_of(const StatementHandle& statement, int index) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), index));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), index))};
}

}  // namespace sluice
