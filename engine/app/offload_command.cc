#include "engine/app/offload_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/app/canceller.h"
#include "engine/app/console.h"
#include "engine/app/endpoints.h"
#include "engine/app/planning.h"
#include "engine/app/retry_notice.h"
#include "engine/app/stores.h"
#include "engine/model/error.h"
#include "engine/model/failpoint.h"
#include "engine/model/quote.h"
#include "engine/offload/file_check.h"
#include "engine/offload/file_stores.h"
#include "engine/offload/file_text.h"
#include "engine/offload/rate_limit.h"
#include "engine/run/retries.h"
#include "io/postgres/file_column.h"
#include "io/postgres/preflight.h"

namespace sluice {
namespace {

// Few enough that a killed run loses little and that no row's lock is held for long.
constexpr std::uint64_t kGroupBytes = std::uint64_t{8} << 20;
constexpr std::size_t kGroupRows = 1000;
// From here on a value comes in pieces.
constexpr std::uint64_t kLargeBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kBlocksPerTask = 64;
// New contents that arrive all the time are the next run's.
constexpr int kPassesMax = 20;
constexpr std::size_t kNamesShown = 20;
constexpr std::size_t kChecksAtOnce = 512;
constexpr auto kUnfinishedAge = std::chrono::hours(24);

// A content that stays where it is, and why.
struct Left {
  std::uint32_t version = 0;
  bool other_path = false;  // it has a path already, of another file
};
// By heap and place.
using LeftContentsByPlace = std::map<std::pair<std::size_t, Place>, Left>;

// A large content of the server's, as pieces.
class ServerText final : public TextPieces {
 public:
  explicit ServerText(FileCursor& cursor) : cursor_(cursor) {}
  void rewind() override { cursor_.rewind(); }
  std::string_view next() override { return cursor_.next(); }

 private:
  FileCursor& cursor_;
};

class Offload {
 public:
  Offload(const OffloadOptions& options, StopRequest& stop)
      : options_(options),
        stop_(stop),
        console_(options.progress),
        retry_notice_(console_),
        retries_(options.retry_for, stop,
                 [this](const Retries::Notice& notice) { retry_notice_.say(notice); }),
        canceller_(stop, options.grace),
        rate_(options.max_rate) {
    column_.schema = options.schema;
    column_.table = options.table;
    column_.content = options.column;
    static_cast<FileReferences&>(column_) = options.references;
  }

  int run() {
    endpoint_ = open_target(options_.target, LocalTarget::must_exist);
    connect(1);
    retries_.run([&] { check_version(first()); });
    storage_type_ = storage_type_of(options_.store);
    switch (options_.action) {
      case OffloadAction::verify:
        require(FileUse::look);
        open(false);
        return verify() ? 0 : kDifferent;
      case OffloadAction::collect_garbage:
        require(FileUse::look);
        open(options_.remove);
        return collect_garbage();
      case OffloadAction::move:
        break;
    }
    require(options_.drop_column ? FileUse::drop : nulls_contents() ? FileUse::null : FileUse::keep);
    if (options_.dry_run) return preview();
    // A column that an earlier run has dropped: the same command says so again.
    if (!state_.content_exists) return already_dropped();
    open(true);
    const bool finished = move();
    if (options_.drop_column) return drop();
    return finished ? 0 : exit_status_of(Fault::interrupted);
  }

 private:
  static constexpr int kDifferent = 4;

  [[nodiscard]] Connection& first() const { return *connections_.front(); }
  [[nodiscard]] bool nulls_contents() const { return options_.afterwards == OffloadedColumn::null; }

  void connect(std::size_t count) {
    const std::size_t before = connections_.size();
    const auto connect = [&] { connect_lanes(connections_, endpoint_.conninfo, count, console_); };
    before == 0 ? connect() : retries_.run(connect);
    for (std::size_t i = before; i < connections_.size(); ++i) canceller_.watch(*connections_[i]);
  }

  // Everything that is in the way, at once.
  void require(FileUse use) {
    const bool changes = use != FileUse::look;
    state_ = retries_.run([&] { return look_at(first(), column_, use); });
    std::vector<Obstacle> obstacles = state_.obstacles;
    const auto is_missing = [&](OffloadRole role) {
      return std::find(state_.missing.begin(), state_.missing.end(), role) != state_.missing.end();
    };
    if (changes && !state_.content_exists && !options_.drop_column) {
      obstacles.push_back(
          {"table " + column_.quoted_table() + " has no column " + column_.quoted(OffloadRole::content),
           "--column takes the name as PostgreSQL has it, with its case"});
    }
    if (!changes && (is_missing(OffloadRole::path) || is_missing(OffloadRole::storage_type))) {
      obstacles.push_back({"table " + column_.quoted_table() + " has no columns that refer to files",
                           "--path and --storage-type name them"});
    }
    refuse_findings({}, obstacles, console_);
  }

  // A store that is only read need not take files.
  void open(bool changes) {
    store_ = &stores_.add(options_.store, store_options(stop_, options_.retry_for), changes);
  }

  // Looks at every value as the move will, and changes nothing.
  int preview() {
    if (!state_.content_exists) return already_dropped();
    std::string added;
    for (const OffloadRole role : state_.missing)
      added += "column to be added: " + column_.quoted(role) + "\n";
    for (const OffloadRole role : state_.missing) column_.forget(role);
    connect(options_.jobs);
    console_.begin_phase();
    run_pass([this](Connection& connection, std::size_t heap, std::span<const FileRow> rows) {
      look_at_group(connection, heap, rows);
    });
    console_.end_phase();
    std::cout << fmt::format("{} of {} to be offloaded to {} ({})\n", counted(files_.load(), "content"),
                             column_.quoted_table() + "." + column_.quoted(OffloadRole::content),
                             options_.store, human_bytes(bytes_.load()));
    say_left();
    std::cout << added;
    std::cout.flush();
    return 0;
  }

  void look_at_group(Connection& connection, std::size_t heap, std::span<const FileRow> rows) {
    const Transaction transaction(connection, {}, TransactionMode::read_only);
    LeftContentsByPlace left;
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
    for_each_value(connection, heap, rows, [&](const FileValue& value, TextPieces& text) {
      const std::optional<FoundFile> found = find_file(heap, value, text, left);
      if (!found) return;
      ++files;
      bytes += found->content.size();
    });
    files_.fetch_add(files, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    leave(left);
  }

  int already_dropped() {
    std::cout << fmt::format("{} has no column {} any more; nothing to do\n", column_.quoted_table(),
                             column_.quoted(OffloadRole::content));
    return 0;
  }

  // ---- moving ----

  // False when contents are left that came, or were changed, meanwhile.
  bool move() {
    const std::size_t cleared = store_->abandon_unfinished(kUnfinishedAge);
    if (cleared > 0) console_.say(fmt::format("cleared away {} that earlier runs left unfinished", cleared));
    if (state_.fires_triggers) {
      console_.note({.level = LogLevel::warning,
                     .message = "triggers of " + column_.quoted_table() +
                                " see every row that is changed; what they do is theirs"});
    }
    retries_.run([&] { make_room(first(), column_, state_, nulls_contents()); });
    // Before the first file: whoever looks for files that nobody refers to must know of this column.
    retries_.run([&] { register_file_column(first(), column_, options_.store); });
    connect(options_.jobs);
    console_.begin_phase();
    for (int pass = 0; pass < kPassesMax; ++pass) {
      changed_meanwhile_ = 0;
      const std::uint64_t before = files_.load();
      run_pass([this](Connection& connection, std::size_t heap, std::span<const FileRow> rows) {
        move_group(connection, heap, rows);
      });
      if (files_.load() == before && changed_meanwhile_.load() == 0) break;
    }
    console_.end_phase();
    return say_what_moved();
  }

  struct Task {
    std::size_t heap = 0;
    BlockRange blocks;
  };

  // Some rows of a heap; called by several threads, each with a connection of its own, and once more where
  // that was lost.
  using GroupBody = std::function<void(Connection&, std::size_t heap, std::span<const FileRow>)>;

  void run_pass(const GroupBody& body) {
    std::vector<Task> tasks;
    for (std::size_t heap = 0; heap < state_.heaps.size(); ++heap) {
      const std::uint64_t blocks =
          retries_.run([&] { return count_heap_blocks(first(), state_.heaps[heap]); });
      for (std::uint64_t block = 0; block < blocks; block += kBlocksPerTask) {
        tasks.push_back({heap, {block, std::min(block + kBlocksPerTask, blocks)}});
      }
    }
    std::atomic<std::size_t> done{0};
    PipelineWork work;
    work.lanes = connections_.size();
    work.tasks = tasks.size();
    work.body = [&](std::size_t lane, std::size_t task) {
      pass_blocks(*connections_[lane], tasks[task], body);
      done.fetch_add(1, std::memory_order_relaxed);
    };
    const Ticker ticker(console_.interval_seconds(), [&] {
      Progress progress;
      progress.phase = "offload";
      progress.rows = files_.load(std::memory_order_relaxed);
      progress.bytes = bytes_.load(std::memory_order_relaxed);
      progress.fraction =
          tasks.empty() ? 1 : static_cast<double>(done.load()) / static_cast<double>(tasks.size());
      console_.progress(progress);
    });
    if (!run_pipeline(work, stop_)) throw_interrupted();
  }

  [[noreturn]] static void throw_interrupted() {
    throw Error(Fault::interrupted, "stopped before the end", "run the same command again to go on");
  }

  void pass_blocks(Connection& connection, const Task& task, const GroupBody& body) {
    const std::string& heap = state_.heaps[task.heap];
    const FileRows which = nulls_contents() ? FileRows::with_content : FileRows::without_path;
    std::vector<FileRow> rows =
        retries_.run([&] { return list_file_rows(connection, column_, heap, task.blocks, which); });
    std::erase_if(rows, [&](const FileRow& row) { return is_left(task.heap, row); });
    for (std::size_t first = 0; first < rows.size();) {
      std::size_t last = first;
      std::uint64_t bytes = 0;
      do {
        bytes += rows[last++].bytes;
      } while (last < rows.size() && last - first < kGroupRows && bytes + rows[last].bytes <= kGroupBytes);
      if (stop_.stopped()) throw_interrupted();
      rate_.pass(bytes / 4 * 3, [&] { return stop_.stopped(); });
      const std::span<const FileRow> group(rows.data() + first, last - first);
      retries_.run([&] { body(connection, task.heap, group); });
      first = last;
    }
  }

  // Files first, and durable; then their references, in the transaction in which the rows were read.
  void move_group(Connection& connection, std::size_t heap_number, std::span<const FileRow> rows) {
    Transaction transaction(connection);
    lock_files(connection, FileLock::putting);
    const std::unique_ptr<FileBatch> batch = store_->begin_batch();
    std::vector<StoredReference> references;
    LeftContentsByPlace left;
    std::uint64_t bytes = 0;
    for_each_value(connection, heap_number, rows, [&](const FileValue& value, TextPieces& text) {
      std::optional<FoundFile> found = find_file(heap_number, value, text, left);
      if (!found) return;
      FileOfText& file = found->content;
      put_file(*batch, found->name, file);
      bytes += file.size();
      references.push_back({value.place, value.version, found->name.text(), file.size(),
                            to_hex(found->name.sha256), file.media_type()});
    });
    failpoint("before files settle");
    batch->settle();
    failpoint("after files settle");
    const std::uint64_t moved = set_references(connection, column_, state_.heaps[heap_number], storage_type_,
                                               references, nulls_contents());
    transaction.commit();
    failpoint("after files committed");
    stores_.note(*batch);
    files_.fetch_add(moved, std::memory_order_relaxed);
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    changed_meanwhile_.fetch_add(rows.size() - left.size() - moved, std::memory_order_relaxed);
    leave(left);
  }

  // The rows' values, with their texts. REQUIRES: a transaction is open.
  void for_each_value(Connection& connection, std::size_t heap_number, std::span<const FileRow> rows,
                      const std::function<void(const FileValue&, TextPieces&)>& each) {
    const std::string& heap = state_.heaps[heap_number];
    std::vector<FileRow> small;
    std::vector<FileRow> large;
    for (const FileRow& row : rows) (row.bytes < kLargeBytes ? small : large).push_back(row);
    read_file_rows(connection, column_, heap, small, true, [&](const FileValue& value) {
      WholeText text(value.content);
      each(value, text);
    });
    // Their names first: nothing else may use the connection while a cursor's pieces are asked for.
    struct Named {
      FileRow row;
      std::string path;
      std::string media_type;
    };
    std::vector<Named> named;
    read_file_rows(connection, column_, heap, large, false, [&](const FileValue& value) {
      named.push_back(
          {{value.place, value.version, 0}, std::string(value.path), std::string(value.media_type)});
    });
    for (const Named& one : named) {
      FileCursor cursor(connection, column_, state_, heap, one.row);
      ServerText text(cursor);
      each({one.row.place, one.row.version, {}, one.path, one.media_type}, text);
    }
  }

  struct FoundFile {
    FileOfText content;
    FileName name;  // that it is to have
  };

  // Nothing for a value that stays where it is, which is noted.
  std::optional<FoundFile> find_file(std::size_t heap, const FileValue& value, TextPieces& text,
                                     LeftContentsByPlace& left) const {
    std::optional<FileOfText> file = FileOfText::find(text, options_.text);
    if (!file) {
      left[{heap, value.place}] = {value.version, false};
      return std::nullopt;
    }
    FileName name;
    name.sha256 = file->sha256();
    const std::string_view media_type =
        file->media_type().empty() ? value.media_type : std::string_view(file->media_type());
    name.zstd = options_.compress && is_compressible(media_type);
    if (!value.path.empty()) {
      // It stayed beside its path, and may go when that is this very file.
      const std::optional<FileName> known = FileName::parse(value.path);
      if (!known || known->sha256 != name.sha256) {
        left[{heap, value.place}] = {value.version, true};
        return std::nullopt;
      }
      name = *known;
    }
    return FoundFile{std::move(*file), name};
  }

  void leave(const LeftContentsByPlace& contents) {
    const std::lock_guard lock(mutex_);
    for (const auto& [place, left] : contents) left_.insert_or_assign(place, left);
  }

  // Looked at before, and the same since.
  bool is_left(std::size_t heap, const FileRow& row) {
    const std::lock_guard lock(mutex_);
    const auto found = left_.find({heap, row.place});
    return found != left_.end() && found->second.version == row.version;
  }

  bool say_what_moved() {
    const LeftContents left = retries_.run([&] { return count_contents(first(), column_); });
    std::cout << fmt::format("{} offloaded to {} ({}; {} written, {})\n", counted(files_.load(), "row"),
                             options_.store, human_bytes(bytes_.load()),
                             counted(stores_.files_written(), "new file"),
                             human_bytes(stores_.bytes_written()));
    say_left();
    const std::uint64_t waiting = nulls_contents() ? left.rows : left.without_path;
    const bool finished = waiting <= left_.size();
    if (!finished) {
      std::cout << fmt::format(
          "{} came meanwhile, or could not be changed; run the same command again for them\n",
          counted(waiting - left_.size(), "row"));
    }
    if (nulls_contents() && files_.load() > 0) {
      std::cout << "the space is free for new rows after VACUUM " << column_.quoted_table()
                << ", and the disk's again after VACUUM FULL, which locks it\n";
    }
    std::cout.flush();
    return finished;
  }

  void say_left() {
    std::uint64_t unreadable = 0;
    std::uint64_t other_path = 0;
    for (const auto& [place, stays] : left_) ++(stays.other_path ? other_path : unreadable);
    if (unreadable > 0) {
      std::cout << fmt::format(
          "left as they are: {} that {} no Base64 as the flags allow it (--data-uri, --line-breaks, "
          "--url-alphabet, "
          "--missing-padding)\n",
          counted(unreadable, "row"), unreadable == 1 ? "is" : "are");
    }
    if (other_path > 0) {
      std::cout << fmt::format("left as they are: {} whose path is that of another file\n",
                               counted(other_path, "row"));
    }
    list_left();
    if (unreadable > 0) {
      if (!column_.has(OffloadRole::path)) return;
      std::cout << "  SELECT * FROM " << column_.quoted_table() << " WHERE "
                << column_.quoted(OffloadRole::content) << " IS NOT NULL AND coalesce("
                << column_.quoted(OffloadRole::path) << ", '') = '' finds them\n";
    }
  }

  void list_left() {
    std::size_t shown = 0;
    for (const auto& [place, left] : left_) {
      if (++shown > kNamesShown) {
        std::cout << "  and more\n";
        break;
      }
      std::cout << "  " << state_.heaps[place.first] << " ctid " << text_of_place(place.second) << "\n";
    }
  }

  // ---- checking ----

  // Every file that rows refer to. False when one is missing or damaged.
  bool verify() {
    return retries_.run([&] { return verify_once(); });
  }

  bool verify_once() {
    console_.begin_phase();
    bytes_checked_ = 0;
    std::vector<ReferredFile> some;
    checked_ = broken_ = foreign_ = 0;
    const auto check_some = [&] {
      PipelineWork work;
      work.lanes = options_.jobs;
      work.tasks = some.size();
      work.body = [&](std::size_t, std::size_t task) { check(some[task]); };
      if (!run_pipeline(work, stop_)) throw_interrupted();
      console_.progress({"verify", checked_.load(), bytes_checked_.load(), 0});
      some.clear();
    };
    list_paths(first(), column_, storage_type_, [&](const PathInUse& used) {
      const std::optional<FileName> name = FileName::parse(used.path);
      if (!name) {
        ++foreign_;
        return;
      }
      some.push_back({*name, used.size});
      if (some.size() == kChecksAtOnce) check_some();
    });
    check_some();
    console_.end_phase();
    std::cout << fmt::format(
        "{} read back from {} ({}), {}\n", counted(checked_.load(), "file"), options_.store,
        human_bytes(bytes_checked_.load()),
        broken_.load() == 0 ? "all as they were put" : fmt::format("{} missing or damaged", broken_.load()));
    if (foreign_ > 0) {
      std::cout << fmt::format("{} not of sluice's form, and not looked at\n", counted(foreign_, "path"));
    }
    std::cout.flush();
    return broken_.load() == 0;
  }

  void check(const ReferredFile& file) {
    std::uint64_t bytes = 0;
    const std::string wrong = why_broken(*store_, file, bytes);
    checked_.fetch_add(1, std::memory_order_relaxed);
    bytes_checked_.fetch_add(bytes, std::memory_order_relaxed);
    if (wrong.empty()) return;
    const std::lock_guard lock(mutex_);
    if (broken_.fetch_add(1) < kNamesShown) std::cout << file.name.text() << ": " << wrong << "\n";
  }

  int drop() {
    const LeftContents left = retries_.run([&] { return count_contents(first(), column_); });
    if (left.rows > 0) {
      throw Error(Fault::target_refused,
                  fmt::format("the column stays: {} {} left in it", counted(left.rows, "content"),
                              left.rows == 1 ? "is" : "are"),
                  nulls_contents() ? "look at the rows listed above" : "leave out --after keep");
    }
    if (!verify()) return kDifferent;
    retries_.run([&] { drop_content(first(), column_); });
    std::cout << fmt::format("column {} dropped\n", column_.quoted(OffloadRole::content));
    return 0;
  }

  // ---- files that nobody refers to ----

  int collect_garbage() {
    const auto now = std::chrono::system_clock::now();
    console_.begin_phase();
    std::map<std::string, std::uint64_t> old;  // by name: bytes
    std::uint64_t young = 0;
    std::uint64_t foreign = 0;
    std::uint64_t all = 0;
    store_->list([&](const StoredFile& file) {
      ++all;
      if (!FileName::parse(file.name)) {
        ++foreign;
      } else if (options_.older_than.count() > 0 &&
                 now - file.modified < options_.older_than) {  // clocks differ
        ++young;
      } else {
        old.emplace(file.name, file.bytes);
      }
      if (stop_.stopped()) throw_interrupted();
    });
    // From here to the end nobody takes a file for granted that is about to go. Policies that would hide rows
    // of this role are an error then: what it does not see would count as unused.
    Transaction transaction(first(), "SET LOCAL row_security = off");
    lock_files(first(), FileLock::removing);
    std::vector<FileColumn> columns;
    bool named_is_known = false;
    const std::optional<std::vector<RegisteredFileColumn>> known = list_file_columns(first());
    if (!known) {
      throw Error(Fault::target_refused,
                  "no privilege to read which columns refer to files (sluice.file_column)",
                  "run as its owner: GRANT USAGE ON SCHEMA sluice TO " + quote_identifier(first().user()) +
                      "; GRANT SELECT ON sluice.file_column TO " + quote_identifier(first().user()));
    }
    for (const RegisteredFileColumn& registered : *known) {
      if (registered.there) {
        const FileColumn& column = columns.emplace_back(registered.column);
        named_is_known |=
            column.schema == column_.schema && column.table == column_.table && column.path == column_.path;
        continue;
      }
      refuse_unknown(registered.column);
    }
    if (!named_is_known) columns.push_back(column_);
    // Whatever the store and the storage type that a row names: two addresses may be one store, and a file
    // too many that stays does no harm.
    for (const FileColumn& column : columns) {
      list_paths(first(), column, std::nullopt,
                 [&](const PathInUse& used) { old.erase(std::string(used.path)); });
    }
    std::uint64_t bytes = 0;
    std::uint64_t removed = 0;
    for (const auto& [name, size] : old) {
      bytes += size;
      std::cout << name << "\n";
      if (!options_.remove) continue;
      if (stop_.stopped()) throw_interrupted();
      // The lock is the session's, and goes with it.
      first().execute("SELECT 1");
      if (store_->remove(*FileName::parse(name))) ++removed;
    }
    transaction.commit();
    console_.end_phase();
    std::cout << fmt::format("{} in {}; {} that no row refers to ({}), {}\n", counted(all, "file"),
                             options_.store, old.size(), human_bytes(bytes),
                             options_.remove ? fmt::format("{} removed", removed) : "--delete removes them");
    if (young > 0) {
      std::cout << fmt::format("{} younger than --older-than, and not judged\n", counted(young, "file"));
    }
    if (foreign > 0)
      std::cout << fmt::format("{} not of sluice's form, and not touched\n", counted(foreign, "file"));
    std::cout.flush();
    return 0;
  }

  // A column that referred to files once, and cannot be found any more: under another name it still may.
  void refuse_unknown(const FileColumn& column) {
    const std::string what = column.quoted_table() + "." + column.quoted(OffloadRole::path);
    if (!options_.remove) {
      console_.say(what +
                   ", which referred to files, is gone or has another name; its files count as unused here");
      return;
    }
    throw Error(Fault::target_refused, what + ", which referred to files, is gone or has another name",
                "UPDATE sluice.file_column with its new name, or DELETE its row there if its files may go");
  }

  const OffloadOptions& options_;
  StopRequest& stop_;
  Console console_;
  RetryNotice retry_notice_;
  Retries retries_;
  Canceller canceller_;
  RateLimit rate_;
  FileColumn column_;
  FileColumnState state_;
  TargetEndpoint endpoint_;
  std::vector<std::unique_ptr<Connection>> connections_;
  FileStores stores_;
  FileStore* store_ = nullptr;  // of stores_
  std::string storage_type_;

  std::atomic<std::uint64_t> files_{0};  // moved, or only looked at
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> changed_meanwhile_{0};
  std::atomic<std::uint64_t> checked_{0};
  std::atomic<std::uint64_t> bytes_checked_{0};
  std::atomic<std::uint64_t> broken_{0};
  std::uint64_t foreign_ = 0;
  std::mutex mutex_;  // of left_, and of the lines of verify()
  LeftContentsByPlace left_;
};

}  // namespace

int offload(const OffloadOptions& options, StopRequest& stop) { return Offload(options, stop).run(); }

}  // namespace sluice
