#include "io/postgres/range_sink.h"

#include <cassert>
#include <chrono>
#include <utility>

#include "engine/model/failpoint.h"
#include "engine/model/hex.h"
#include "engine/model/thread_time.h"
#include "io/postgres/copy_stream.h"
#include "io/postgres/file_column.h"
#include "io/postgres/ledger.h"
#include "io/wire/reject_record.h"
#include "io/wire/row_encoder.h"
#include "verify/leaves.h"
#include "verify/row_digest.h"
#include "verify/server_hash.h"
#include "verify/tuple_digester.h"

namespace sluice {
namespace {

// synchronous_commit may be off: data and ledger share the write-ahead log, so a crash of the server
// loses a suffix of both. No step on a table runs while a range of it is missing from the ledger, and the run
// ends with a synchronous commit that looks at all of them once more and covers everything before.
constexpr const char* kSettings = "SET LOCAL synchronous_commit = off";

// A build whose ledger has neither of its two guards shows that the tests would notice (tests/CMakeLists.txt,
// sluice_careless).
#ifdef SLUICE_CARELESS_LEDGER
constexpr bool kGuarded = false;
#else
constexpr bool kGuarded = true;
#endif
constexpr const char* kAndNotDone = kGuarded ? " AND NOT done" : "";

constexpr std::size_t kBufferBytesKept = std::size_t{16} << 20;

std::string copy_statement(const TablePlan& plan, bool freeze) {
  return "COPY " + quoted_name(plan) + " (" + quoted_sent_columns(plan) + ") FROM STDIN (FORMAT binary" +
         (freeze ? ", FREEZE" : "") + ")";
}

// Gives the table a new file in this transaction, which COPY FREEZE asks for: the rows arrive frozen, so that
// neither the first reader nor VACUUM writes them once more, and where wal_level is minimal they stay out of
// the write-ahead log. False when somebody else has to do with the table already, or would be told of the
// TRUNCATE; it is then loaded as any other. No lock is waited for: a reader of theirs could hold it for
// hours.
//
// Rows in it cannot be ours, since they come with their row in the ledger; but a dump that was begun before
// our commit and came to the table after it has them without, because frozen rows are seen by older
// snapshots, too. Adding to them could double them.
bool renew_file(Connection& connection, const TablePlan& plan) {
  const std::string table = quoted_name(plan);
  const auto refuse_rows = [&] {
    if (!connection.execute("SELECT EXISTS (SELECT 1 FROM " + table + ")").boolean(0, 0)) return;
    throw Error(Fault::target_refused,
                "table " + table + " was made by this run and holds rows of somebody else",
                "empty it and run the same command again, or replace it with --table-handling drop");
  };
  const Result fit = connection.execute(
      "SELECT has_table_privilege($1, 'SELECT'), "
      "has_table_privilege($1, 'TRUNCATE') AND current_setting('wal_level') <> 'logical' AND "
      "NOT EXISTS (SELECT 1 FROM pg_constraint WHERE confrelid = $1::regclass AND contype = 'f') AND "
      "NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = $1::regclass) AND "
      "NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = $1::regclass)",
      {table});
  if (!fit.boolean(0, 0)) return false;
  refuse_rows();
  if (!fit.boolean(0, 1)) return false;
  connection.execute("SAVEPOINT renew");
  try {
    connection.execute("LOCK TABLE ONLY " + table + " IN ACCESS EXCLUSIVE MODE NOWAIT");
  } catch (const Error& error) {
    if (error.sqlstate() != "55P03") throw;
    // RELEASE, too: rows of a subtransaction would carry its number, and the ledger has the transaction's.
    connection.execute("ROLLBACK TO SAVEPOINT renew; RELEASE SAVEPOINT renew");
    return false;
  }
  // TRUNCATE must not be in a subtransaction of its own, or COPY would not take the file for a new one.
  connection.execute("RELEASE SAVEPOINT renew");
  refuse_rows();
  connection.execute("TRUNCATE ONLY " + table);
  failpoint("after TRUNCATE");
  return true;
}

class PostgresWriter final : public RangeWriter {
 public:
  PostgresWriter(Connection& connection, std::unique_ptr<Transaction> transaction, const std::string& run_id,
                 const RangeTask& task, bool freeze, const RangeSinkOptions& options, Buffer& buffer)
      : connection_(connection),
        run_id_(run_id),
        plan_(*task.plan),
        options_(options),
        freeze_(freeze),
        transaction_(std::move(transaction)),
        sent_columns_(sluice::sent_columns(plan_)),
        has_generated_(sent_columns_ < plan_.columns.size()),
        digester_(plan_),
        buffer_(buffer) {
    if (options.server_sums && why_no_server_hash(plan_).empty()) server_.emplace(plan_);
    buffer_.clear();
    seal_.table = plan_.id;
    seal_.number = task.number;
    seal_.frozen = freeze_;
    copy_.emplace(connection_, copy_statement(plan_, freeze_));
  }

  void write(Row row) override {
    ++seal_.rows_read;
    if (!encoder_) [[unlikely]]
      encoder_.emplace(plan_);
    if (encoder_->has_apart(row)) [[unlikely]]
      return write_apart(row);
    const std::size_t start = buffer_.size();
    if (!encoder_->encode(row, buffer_)) [[unlikely]] {
      reject(row);
      return;
    }
    const std::span<const std::byte> tuple = buffer_.span().subspan(start);
    digester_.add(tuple, digest_of_row(tuple), server_ ? server_->hash(tuple) : 0);
    if (has_generated_) [[unlikely]]
      drop_generated(start);
    ++seal_.rows_loaded;
    failpoint(seal_.rows_loaded == 1 ? "after first row" : "mid buffer");
    if (buffer_.size() >= options_.send_bytes) send();
  }

  void write_tuple(std::span<const std::byte> tuple) override {
    ++seal_.rows_read;
    const std::size_t start = buffer_.size();
    digester_.add(tuple, digest_of_row(tuple), server_ ? server_->hash(tuple) : 0);
    buffer_.append(tuple);
    if (has_generated_) drop_generated(start);
    ++seal_.rows_loaded;
    if (buffer_.size() >= options_.send_bytes) send();
  }

  void write_tuple(TuplePieces& tuple) override {
    // The server's hash and the cut before the generated columns take the row in one piece.
    if (server_ || has_generated_) {
      Buffer whole;
      for (auto piece = tuple.next(); !piece.empty(); piece = tuple.next()) whole.append(piece);
      return write_tuple(whole.span());
    }
    ++seal_.rows_read;
    send();
    TupleDigester row(plan_);
    for (auto piece = tuple.next(); !piece.empty(); piece = tuple.next()) {
      row.add(piece);
      copy_->write(piece);
      seal_.bytes += piece.size();
    }
    digester_.add(row.key_tuple(), row.digest());
    ++seal_.rows_loaded;
  }

  void write_reject(std::uint64_t row, std::string_view record) override {
    ++seal_.rows_read;
    reject(row, record);
  }

  void expect(const RangeExpectation& expected) override { expected_ = expected; }

  [[nodiscard]] std::uint64_t bytes() const override { return seal_.bytes; }

  RangeSeal seal() override {
    failpoint("after last row");
    finish_copy();
    std::optional<AddOffCore> blocked(std::in_place, seal_.blocked_seconds);
    store_rejects();
    seal_.digest = digester_.finish();
    if (expected_) {
      const std::string wrong = why_unexpected(seal_, *expected_);
      if (!wrong.empty()) throw Error(Fault::source_unreadable, std::string(expected_->name) + ": " + wrong);
    }
    assert(seal_.digest.total.rows == seal_.rows_loaded);
    assert(seal_.rows_read == seal_.rows_loaded + seal_.rows_rejected);
    seal_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    failpoint("before work UPDATE");
    // AND NOT done, because without it a second session that waited for our lock would count twice.
    const Result updated = connection_.execute(
        std::string("UPDATE sluice.work SET done = true, rows_read = $4, rows_loaded = $5, rows_rejected = "
                    "$6, bytes = "
                    "$7, "
                    "seconds = $8, digest = $9, leaves = $10, xid = pg_current_xact_id()::xid::text::bigint, "
                    "server_sums = $11, done_at = clock_timestamp() WHERE run_id = $1 AND table_no = $2 AND "
                    "range_no = "
                    "$3") +
            kAndNotDone,
        {run_id_, std::to_string(static_cast<std::uint32_t>(seal_.table)),
         std::to_string(static_cast<std::uint32_t>(seal_.number)), std::to_string(seal_.rows_read),
         std::to_string(seal_.rows_loaded), std::to_string(seal_.rows_rejected), std::to_string(seal_.bytes),
         std::to_string(seal_.seconds), to_hex(seal_.digest.total.sum),
         "\\x" + hex_of(pack_leaves(seal_.digest.leaves)),
         server_ ? Connection::Parameter("\\x" + hex_of(pack_server_sums(seal_.digest.leaves)))
                 : std::nullopt});
    if (updated.affected() != 1) {
      throw Error(Fault::internal, "a range was finished that this session had not claimed");
    }
    failpoint("after work UPDATE");
    transaction_->commit();
    failpoint("after range");
    blocked.reset();
    return std::move(seal_);
  }

 private:
  // A row with large values: they go from SQLite's memory to the server in pieces, so that a lane holds one
  // copy of them. All of the row is checked before its first byte is sent.
  void write_apart(Row row) {
    const std::size_t start = buffer_.size();
    if (!encoder_->encode_apart(row, buffer_, apart_)) {
      reject(row);
      return;
    }
    const std::vector<std::span<const std::byte>> pieces = pieces_of(buffer_, start, apart_);
    const Digest digest = digest_of_row(pieces);
    const std::uint64_t server = server_ ? server_->hash(pieces) : 0;
    // None of them is part of the key; for finding that, they are empty.
    for (const CellApart& cell : apart_) buffer_.patch_int32(cell.offset - 4, 0);
    digester_.add(buffer_.span().subspan(start), digest, server);
    for (const CellApart& cell : apart_) {
      buffer_.patch_int32(cell.offset - 4, static_cast<std::int32_t>(cell.bytes.size()));
    }
    ++seal_.rows_loaded;
    copy_->write(buffer_.span().first(start));
    seal_.bytes += start;
    for (const std::span<const std::byte> piece : pieces) {
      copy_->write(piece);
      seal_.bytes += piece.size();
    }
    buffer_.clear();
  }

  void send() {
    copy_->write(buffer_.span());
    seal_.bytes += buffer_.size();
    buffer_.clear();
    // One row of a gigabyte must not cost every lane a gigabyte for the rest of the run.
    if (buffer_.capacity() > kBufferBytesKept) buffer_ = Buffer(options_.send_bytes * 2);
  }

  // Takes the generated columns, the last ones, off the tuple that begins at `start`: they are part of what
  // was hashed, but the server computes them itself, and the read-back shows whether it agrees with SQLite.
  void drop_generated(std::size_t start) {
    TupleFields fields(buffer_.span().subspan(start));
    std::size_t size = 2;
    for (std::size_t i = 0; i < sent_columns_; ++i) size += fields.next().with_length.size();
    buffer_.truncate(start + size);
    const auto count = to_big_endian(static_cast<std::int16_t>(sent_columns_));
    buffer_.patch(start, std::as_bytes(std::span(&count, 1)));
  }

  void finish_copy() {
    send();
    const std::uint64_t counted = copy_->finish();
    seal_.blocked_seconds += copy_->blocked_seconds();
    copy_.reset();
    const std::uint64_t sent = seal_.rows_loaded - rows_in_finished_copies_;
    if (counted != sent) {
      throw Error(Fault::internal, "the server took " + std::to_string(counted) + " rows of " +
                                       std::to_string(sent) + " sent");
    }
    rows_in_finished_copies_ = seal_.rows_loaded;
  }

  void reject(Row row) { reject(seal_.rows_read, reject_record(plan_, row, encoder_->reject())); }

  void reject(std::uint64_t row, std::string_view record) {
    append_failure(row, record);
    ++seal_.rows_rejected;
    if (rejects_.size() >= options_.reject_bytes_max) {
      finish_copy();
      store_rejects();
      copy_.emplace(connection_, copy_statement(plan_, freeze_));
    }
  }

  void append_failure(std::uint64_t row, std::string_view record) {
    rejects_.put_int16(5);
    append_run_id(rejects_, run_id_);
    rejects_.put_int32(4);
    rejects_.put_int32(static_cast<std::int32_t>(seal_.table));
    rejects_.put_int32(4);
    rejects_.put_int32(static_cast<std::int32_t>(seal_.number));
    rejects_.put_int32(8);
    rejects_.put_int64(static_cast<std::int64_t>(row));
    rejects_.put_int32(static_cast<std::int32_t>(record.size()));
    rejects_.append(record);
  }

  void store_rejects() {
    if (rejects_.empty()) return;
    CopyStream copy(
        connection_,
        "COPY sluice.failure (run_id, table_no, range_no, row_no, record) FROM STDIN (FORMAT binary)");
    copy.write(rejects_.span());
    static_cast<void>(copy.finish());
    failpoint("after rejects");
    rejects_.clear();
  }

  Connection& connection_;
  const std::string& run_id_;
  const TablePlan& plan_;
  const RangeSinkOptions& options_;
  const bool freeze_;
  // Destroyed after the COPY, which must end before the ROLLBACK can be sent.
  std::unique_ptr<Transaction> transaction_;
  std::optional<CopyStream> copy_;
  const std::size_t sent_columns_;
  const bool has_generated_;
  std::optional<RowEncoder> encoder_;  // made for the first row of cells
  RangeDigester digester_;
  std::optional<ServerHasher> server_;
  Buffer& buffer_;
  std::vector<CellApart> apart_;
  std::optional<RangeExpectation> expected_;
  Buffer rejects_;
  RangeSeal seal_;
  std::uint64_t rows_in_finished_copies_ = 0;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

class PostgresSink final : public Sink {
 public:
  PostgresSink(Connection& connection, std::string run_id, RangeSinkOptions options)
      : connection_(connection),
        run_id_(std::move(run_id)),
        options_(options),
        buffer_(options.send_bytes * 2) {}

  std::unique_ptr<RangeWriter> begin(const RangeTask& task, Claim claim) override {
    auto transaction = std::make_unique<Transaction>(connection_, kSettings);
    share_run(connection_, run_id_);
    failpoint("before claim");
    const Result claimed = connection_.execute(
        std::string("SELECT 1 FROM sluice.work WHERE run_id = $1 AND table_no = $2 AND range_no = $3") +
            kAndNotDone +
            (!kGuarded                     ? ""
             : claim == Claim::skip_locked ? " FOR UPDATE SKIP LOCKED"
                                           : " FOR UPDATE"),
        {run_id_, std::to_string(static_cast<std::uint32_t>(task.plan->id)),
         std::to_string(static_cast<std::uint32_t>(task.number))});
    if (claimed.rows() == 0) return nullptr;
    failpoint("after claim");
    // Its files are put from here on, and referred to with the commit.
    if (!task.plan->offloads.empty()) lock_files(connection_, FileLock::putting);
    const bool freeze = task.whole_new_table && renew_file(connection_, *task.plan);
    return std::make_unique<PostgresWriter>(connection_, std::move(transaction), run_id_, task, freeze,
                                            options_, buffer_);
  }

 private:
  Connection& connection_;
  const std::string run_id_;
  const RangeSinkOptions options_;
  // Shared by the lane's ranges, one after the other, so that only the first one grows it.
  Buffer buffer_;
};

}  // namespace

std::unique_ptr<Sink> make_range_sink(Connection& connection, std::string run_id, RangeSinkOptions options) {
  return std::make_unique<PostgresSink>(connection, std::move(run_id), options);
}

}  // namespace sluice
