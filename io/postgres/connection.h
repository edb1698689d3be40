#pragma once
// One connection to PostgreSQL.
//
// Owns a PGconn. One thread at a time. Nothing here changes the state of the session: no SET, no prepared
// statement, no temporary table, so that a pooler in transaction mode may sit in between. Settings travel
// as SET LOCAL inside each transaction, so statements belong into one.
//
// Errors: every failure of the server is an Error whose fault follows from the SQLSTATE. A connection
// that breaks is Fault::connection_lost. Messages never contain the connection string.

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/error.h"

struct pg_cancel;
struct pg_conn;
struct pg_result;

namespace sluice {

struct FinishConnection {
  void operator()(pg_conn* connection) const noexcept;
};
struct ClearResult {
  void operator()(pg_result* result) const noexcept;
};
using ConnectionHandle = std::unique_ptr<pg_conn, FinishConnection>;
using ResultHandle = std::unique_ptr<pg_result, ClearResult>;

// The rows of one answer, as text.
class Result {
 public:
  explicit Result(ResultHandle result) : result_(std::move(result)) {}

  [[nodiscard]] std::size_t rows() const;
  [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::string text(std::size_t row, std::size_t column) const;
  [[nodiscard]] std::int64_t integer(std::size_t row, std::size_t column) const;
  [[nodiscard]] double real(std::size_t row, std::size_t column) const;
  [[nodiscard]] bool boolean(std::size_t row, std::size_t column) const;
  // Rows inserted, updated, deleted or copied, as the server counted them.
  [[nodiscard]] std::uint64_t affected() const;

 private:
  ResultHandle result_;
};

// Ends what a connection is doing. Any thread may use it, and it may outlive the connection.
class CancelSwitch {
 public:
  // Ends the statement under way; every further one fails with Fault::interrupted. Blocks for as long as it
  // takes to connect to the server.
  void cancel();
  // Throws Error (interrupted) once cancelled.
  void refuse_cancelled() const;

 private:
  friend class Connection;
  void set(pg_conn* connection);

  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;  // of what follows
  std::shared_ptr<pg_cancel> request_;
};

class Connection {
 public:
  // `target`: anything libpq takes (URI, key=value, service). libpq's environment holds. Keep-alives are
  // set so that a dead network is noticed, unless the target says otherwise.
  explicit Connection(const std::string& target);

  // One or several statements; the result of the last one.
  Result execute(const std::string& sql);

  using Parameter = std::optional<std::string>;
  // One statement with parameters $1, $2, ... in text form.
  Result execute(const std::string& sql, const std::vector<Parameter>& parameters);

  // 150020 for 15.20; of the last session, when that is lost: libpq itself then says 0.
  [[nodiscard]] int server_version() const { return server_version_; }
  [[nodiscard]] std::string database() const;
  [[nodiscard]] std::string user() const;
  // False once the connection has broken, as far as is known without sending anything.
  [[nodiscard]] bool alive();
  // Connects anew when the server ended the session while it was idle. A session holds no state of ours
  // between transactions; but a server that crashed meanwhile may have lost asynchronous commits, so what
  // relies on them asks the ledger. Throws Error (connection_lost, or target_refused where it is not let in).
  void revive();

  // Ends the session, so that the next transaction begins a new one, perhaps with another server.
  void drop();

  [[nodiscard]] const std::shared_ptr<CancelSwitch>& cancel_switch() const { return cancel_; }
  [[nodiscard]] bool in_transaction() const;
  // The server is on this machine: not merely a Unix socket or a loopback address, which may be the end of a
  // tunnel or a pooler's, but its process is seen here.
  [[nodiscard]] bool is_local() const;
  // What travels on it can be read and changed on the way: it leaves this machine and neither TLS nor GSSAPI
  // encrypts it.
  [[nodiscard]] bool is_exposed() const;
  [[nodiscard]] std::string host() const;  // as the target names it

  [[nodiscard]] pg_conn* handle() { return handle_.get(); }

 private:
  void begin_session();

  ConnectionHandle handle_;
  int server_version_ = 0;
  std::shared_ptr<CancelSwitch> cancel_ = std::make_shared<CancelSwitch>();
};

// A transaction that rolls back unless committed. While it lives, nothing else may begin one.
//
// Whatever the role, the database or the server set as defaults: READ COMMITTED, on which the claims rely,
// unless asked for otherwise;
// only pg_catalog on the search path, so that no function of another user is called by an unqualified
// name; no timeouts; bytea in hex; reals with all their digits, dates and intervals in one form, because what
// is compared as text must look the same wherever it is equal. The time zone is UTC where rows are read, and
// the role's own where they are written: a default of the target's, such as CURRENT_DATE, may mean it.
enum class TransactionMode : std::uint8_t {
  read_write,
  read_only,
  one_snapshot,  // REPEATABLE READ: what another session changed since is refused with 40001
};

class Transaction {
 public:
  // `settings`: further SET LOCAL statements. A session that is lost before the server has begun is replaced
  // by another one, once.
  explicit Transaction(Connection& connection, const std::string& settings = {},
                       TransactionMode mode = TransactionMode::read_write);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Fault::in_doubt when the connection breaks after COMMIT was sent.
  void commit();

 private:
  void begin_once(std::string statement, const std::string& settings);

  Connection* connection_;  // null once committed
};

// The same for statements that only read: a transaction of their own, or the one that is open already.
class ReadScope {
 public:
  explicit ReadScope(Connection& connection);

 private:
  std::optional<Transaction> own_;
};

// The Error for a failed result, or for the connection when there is none.
Error error_of(const pg_result* result, pg_conn* connection);

// The fault for a SQLSTATE such as 53100; an empty one means that the connection broke.
Fault fault_of_sqlstate(std::string_view sqlstate);

}  // namespace sluice
