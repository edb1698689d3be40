#include "io/postgres/connection.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "engine/model/failpoint.h"
#include "io/postgres/client_error.h"

namespace sluice {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(20);

void ignore_notice(void*, const char*) {}

// With PQERRORS_VERBOSE libpq prints "FATAL:  28P01: password authentication failed ...": the only way
// to learn the SQLSTATE of a refused connection, for which libpq keeps no result.
std::pair<std::string, std::string> split_verbose_message(std::string message) {
  if (const std::size_t end = message.find('\n'); end != std::string::npos) message.resize(end);
  for (std::size_t at = message.find(":  "); at != std::string::npos; at = message.find(":  ", at + 1)) {
    const std::string_view rest = std::string_view(message).substr(at + 3);
    if (rest.size() < 7 || rest[5] != ':') continue;
    const std::string_view state = rest.substr(0, 5);
    const bool looks_right = state.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == state.npos;
    if (looks_right) return {std::string(state), std::string(rest.substr(7))};
  }
  return {"", message};
}

Error connect_error(pg_conn* connection) {
  auto [sqlstate, message] = split_verbose_message(PQerrorMessage(connection));
  if (sqlstate.empty() && PQconnectionNeedsPassword(connection) != 0) {
    return Error(Fault::target_refused, "the server asks for a password and none was given",
                 "put it into the file of PGPASSFILE (~/.pgpass) or into PGPASSWORD");
  }
  if (sqlstate.empty()) {
    if (std::optional<Error> error = error_of_client(message)) return *std::move(error);
    return Error(Fault::target_unavailable, "cannot reach the server: " + message,
                 "check host, port and that the server is running, then run the same command again");
  }
  const Fault fault = fault_of_sqlstate(sqlstate);
  std::string advice;
  if (sqlstate.starts_with("28")) advice = "check user, password (PGPASSFILE, PGPASSWORD) and pg_hba.conf";
  if (sqlstate == "3D000") advice = "create it first: createdb, or CREATE DATABASE";
  if (fault == Fault::connection_lost || fault == Fault::target_unavailable) {
    advice = "run the same command again later";
  }
  return Error(fault == Fault::connection_lost ? Fault::target_unavailable : fault, message, advice)
      .set_sqlstate(sqlstate);
}

// connect_timeout of the target, which libpq itself only heeds when it connects in one go.
std::chrono::seconds connect_timeout(pg_conn* connection) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfo(connection),
                                                                             PQconninfoFree);
  for (const PQconninfoOption* option = options.get(); option != nullptr && option->keyword != nullptr;
       ++option) {
    if (std::string_view(option->keyword) != "connect_timeout" || option->val == nullptr) continue;
    const long seconds = std::strtol(option->val, nullptr, 10);
    if (seconds > 0) return std::chrono::seconds(seconds);
  }
  return kConnectTimeout;
}

// A larger send buffer lets the reader run ahead of the server; the kernel caps it silently.
void enlarge_send_buffer(pg_conn* connection) {
  const int bytes = 1 << 20;
  setsockopt(PQsocket(connection), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

// `poll_once`: PQconnectPoll or PQresetPoll.
void wait_for_connection(pg_conn* connection, PostgresPollingStatusType (*poll_once)(pg_conn*)) {
  const auto deadline = std::chrono::steady_clock::now() + connect_timeout(connection);
  PostgresPollingStatusType status = PGRES_POLLING_WRITING;
  while (status != PGRES_POLLING_OK) {
    if (status == PGRES_POLLING_FAILED) throw connect_error(connection);
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd descriptor{PQsocket(connection),
                      static_cast<short>(status == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    if (left.count() <= 0 || poll(&descriptor, 1, static_cast<int>(left.count())) == 0) {
      throw Error(Fault::target_unavailable, "the server does not answer",
                  "check host and port, then run the same command again");
    }
    status = poll_once(connection);
  }
}

}  // namespace

void FinishConnection::operator()(pg_conn* connection) const noexcept { PQfinish(connection); }
void ClearResult::operator()(pg_result* result) const noexcept { PQclear(result); }

namespace {

// Of those states that a fault calls "later", the ones that no waiting mends: somebody cancelled the
// statement on purpose, the database is gone, files of the server are missing or doubled.
bool is_lasting(std::string_view sqlstate) {
  constexpr std::array kLasting = {"57014", "57P04", "58P01", "58P02", "40002", "53400", "55P02", "55P04"};
  return std::find(kLasting.begin(), kLasting.end(), sqlstate) != kLasting.end();
}

}  // namespace

Fault fault_of_sqlstate(std::string_view sqlstate) {
  if (sqlstate.empty()) return Fault::connection_lost;
  const std::string_view family = sqlstate.substr(0, 2);
  // A protocol violation is a complaint about what was sent, on a connection that lives on.
  if (family == "08" && sqlstate != "08P01") return Fault::connection_lost;
  // Not "later", but never: the object is not in the state that the statement needs.
  if (sqlstate == "55000") return Fault::target_refused;
  // The server is going down, or an administrator or a timeout ended the session.
  if (sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P05" || sqlstate == "25P03") {
    return Fault::connection_lost;
  }
  // Out of a resource (disk, memory, connections), starting up, cancelled, deadlocked, or (25006) a primary
  // that became a standby: later may be fine.
  if (sqlstate == "25006") return Fault::target_unavailable;
  if (family == "53" || family == "57" || family == "55" || family == "40" || family == "58") {
    return Fault::target_unavailable;
  }
  return Fault::target_refused;
}

Error error_of(const pg_result* result, pg_conn* connection) {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* primary = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (state == nullptr || PQstatus(connection) == CONNECTION_BAD) {
    // Whatever the last words of the server were, what matters is that the session is gone.
    std::string message = "the connection to the server was lost";
    if (primary != nullptr) message += std::string(": ") + primary;
    Error error(Fault::connection_lost, message, "run the same command again to go on");
    if (state != nullptr) error.set_sqlstate(state);
    return error;
  }
  const Fault fault = fault_of_sqlstate(state);
  std::string message = primary == nullptr ? "the server reported an error without a message" : primary;
  // Details of class 42 name columns and types, that of 2BP01 what depends. Others hold values of rows.
  const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
  if (detail != nullptr &&
      (std::string_view(state).starts_with("42") || std::string_view(state) == "2BP01")) {
    message.append(": ").append(detail);
  }
  std::string advice;
  if (fault == Fault::target_unavailable) advice = "mend that, then run the same command again to go on";
  if (fault == Fault::connection_lost) advice = "run the same command again to go on";
  if (std::string_view(state).starts_with("23")) {
    advice =
        "a constraint of the existing table refuses rows; drop it for the load (--data-only: --rebuild), or "
        "let "
        "sluice make the table with --restart --table-handling drop";
  }
  if (std::string_view(state) == "42501") advice = "ask the owner to GRANT the privilege to your role";
  Error error(fault, std::move(message), std::move(advice));
  error.set_sqlstate(state);
  if (is_lasting(state)) error.set_may_pass(false);
  if (const char* table = PQresultErrorField(result, PG_DIAG_TABLE_NAME)) error.where().table = table;
  if (const char* column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME)) error.where().column = column;
  return error;
}

std::size_t Result::rows() const { return static_cast<std::size_t>(PQntuples(result_.get())); }

bool Result::is_null(std::size_t row, std::size_t column) const {
  return PQgetisnull(result_.get(), static_cast<int>(row), static_cast<int>(column)) != 0;
}

std::string Result::text(std::size_t row, std::size_t column) const {
  return PQgetvalue(result_.get(), static_cast<int>(row), static_cast<int>(column));
}

std::int64_t Result::integer(std::size_t row, std::size_t column) const {
  return std::strtoll(text(row, column).c_str(), nullptr, 10);
}

double Result::real(std::size_t row, std::size_t column) const {
  const std::string value = text(row, column);
  double parsed = 0;
  std::from_chars(value.data(), value.data() + value.size(), parsed);
  return parsed;
}

bool Result::boolean(std::size_t row, std::size_t column) const { return text(row, column) == "t"; }

std::uint64_t Result::affected() const { return std::strtoull(PQcmdTuples(result_.get()), nullptr, 10); }

namespace {

// What libpq would take for something else, or complain about in words that quote the password.
void check_target(const std::string& target) {
  constexpr const char* kForms =
      "write postgresql://user@host:port/database, 'host=... dbname=...' or local:DIR";
  const std::size_t scheme = target.find("://");  // that of a password would stand behind its =
  const bool is_uri = scheme != std::string::npos && scheme < target.find('=');
  const bool is_pairs = !is_uri && target.find('=') != std::string::npos;
  if (!is_uri && !is_pairs) {
    // To libpq this is the name of a database, and it would say so aloud.
    if (target.find_first_of("@:/") == std::string::npos) return;
    throw Error(Fault::usage, "TARGET looks like an address without a scheme", kForms);
  }
  if (is_uri && target.find('@') != target.rfind('@')) {
    throw Error(Fault::usage, "TARGET holds more than one @", "write an @ inside a password as %40");
  }
  char* ignored = nullptr;  // libpq's own text may quote the password
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(target.c_str(), &ignored), PQconninfoFree);
  PQfreemem(ignored);
  if (!options) throw Error(Fault::usage, "TARGET is not a connection string that libpq understands", kForms);
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (std::string_view(option->keyword) != "port" || option->val == nullptr) continue;
    if (std::string_view(option->val).find_first_not_of("0123456789,") == std::string_view::npos) continue;
    throw Error(Fault::usage, "the port in TARGET is not a number", kForms);
  }
}

}  // namespace

Connection::Connection(const std::string& target) {
  check_target(target);
  failpoint("before connect");

  // Keywords before dbname are defaults: what the expanded target says comes later and wins.
  constexpr std::array kKeywords = {"fallback_application_name", "keepalives_idle",
                                    "keepalives_interval",       "keepalives_count",
                                    "tcp_user_timeout",          "dbname",
                                    "client_encoding",           static_cast<const char*>(nullptr)};
  const std::array values = {"sluice", "10",           "10",   "6",
                             "60000",  target.c_str(), "UTF8", static_cast<const char*>(nullptr)};
  handle_.reset(PQconnectStartParams(kKeywords.data(), values.data(), 1));
  if (!handle_) throw std::bad_alloc();
  PQsetErrorVerbosity(handle_.get(), PQERRORS_VERBOSE);
  PQsetNoticeProcessor(handle_.get(), ignore_notice, nullptr);
  if (PQstatus(handle_.get()) == CONNECTION_BAD) throw connect_error(handle_.get());
  wait_for_connection(handle_.get(), PQconnectPoll);
  PQsetErrorVerbosity(handle_.get(), PQERRORS_DEFAULT);

  begin_session();
  failpoint("after connect");
}

namespace {

Result checked(ResultHandle result, pg_conn* connection) {
  switch (PQresultStatus(result.get())) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
      return Result(std::move(result));
    default:
      throw error_of(result.get(), connection);
  }
}

}  // namespace

Result Connection::execute(const std::string& sql) {
  cancel_->refuse_cancelled();
  return checked(ResultHandle(PQexec(handle_.get(), sql.c_str())), handle_.get());
}

Result Connection::execute(const std::string& sql, const std::vector<Parameter>& parameters) {
  cancel_->refuse_cancelled();
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const Parameter& parameter : parameters) values.push_back(parameter ? parameter->c_str() : nullptr);
  return checked(ResultHandle(PQexecParams(handle_.get(), sql.c_str(), static_cast<int>(values.size()),
                                           nullptr, values.data(), nullptr, nullptr, 0)),
                 handle_.get());
}

std::string Connection::database() const { return PQdb(handle_.get()); }
std::string Connection::user() const { return PQuser(handle_.get()); }

bool Connection::alive() {
  // An idle session may have been ended by the server: its last words and the end wait in the socket.
  if (PQtransactionStatus(handle_.get()) != PQTRANS_ACTIVE) {
    pollfd descriptor{PQsocket(handle_.get()), POLLIN, 0};
    while (PQstatus(handle_.get()) == CONNECTION_OK && poll(&descriptor, 1, 0) > 0) {
      if (PQconsumeInput(handle_.get()) == 0) break;
    }
  }
  return PQstatus(handle_.get()) == CONNECTION_OK;
}

void Connection::revive() {
  if (alive()) return;
  PQsetErrorVerbosity(handle_.get(), PQERRORS_VERBOSE);  // for the SQLSTATE, as in the constructor
  try {
    if (PQresetStart(handle_.get()) == 0) throw connect_error(handle_.get());
    wait_for_connection(handle_.get(), PQresetPoll);
    PQsetErrorVerbosity(handle_.get(), PQERRORS_DEFAULT);
  } catch (const Error& error) {
    const bool lasting = error.fault() == Fault::target_refused;
    Error lost(lasting ? Fault::target_refused : Fault::connection_lost,
               std::string("the connection to the server was lost: ") + error.what(),
               "run the same command again to go on");
    if (!error.sqlstate().empty()) lost.set_sqlstate(error.sqlstate());
    throw lost;
  }
  begin_session();
}

void Connection::drop() {
  // Both ends of the socket stay open until libpq resets; this only makes it notice at once.
  shutdown(PQsocket(handle_.get()), SHUT_RDWR);
}

void Connection::begin_session() {
  server_version_ = PQserverVersion(handle_.get());
  enlarge_send_buffer(handle_.get());
  cancel_->set(handle_.get());
}

void CancelSwitch::set(pg_conn* connection) {
  const std::lock_guard lock(mutex_);
  request_.reset(PQgetCancel(connection), [](PGcancel* request) { PQfreeCancel(request); });
}

void CancelSwitch::cancel() {
  cancelled_.store(true, std::memory_order_relaxed);
  std::shared_ptr<pg_cancel> request;
  {
    const std::lock_guard lock(mutex_);
    request = request_;
  }
  if (!request) return;
  std::array<char, 256> message;
  PQcancel(request.get(), message.data(), static_cast<int>(message.size()));
}

void CancelSwitch::refuse_cancelled() const {
  if (!cancelled_.load(std::memory_order_relaxed)) return;
  throw Error(Fault::interrupted, "stopped before the end", "run the same command again to go on");
}

namespace {

// The other end of the socket is on this machine, whoever that is.
bool ends_here(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return false;
  switch (address.ss_family) {
    case AF_UNIX:
      return true;
    case AF_INET:
      return (ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24) == 127;
    case AF_INET6: {
      const in6_addr& end = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
      return IN6_IS_ADDR_LOOPBACK(&end) || (IN6_IS_ADDR_V4MAPPED(&end) && end.s6_addr[12] == 127);
    }
    default:
      return false;
  }
}

}  // namespace

bool Connection::is_local() const {
  if (!ends_here(PQsocket(handle_.get()))) return false;
  std::ifstream file("/proc/" + std::to_string(PQbackendPID(handle_.get())) + "/comm");
  std::string name;
  return std::getline(file, name) && name == "postgres";
}

bool Connection::is_exposed() const {
  if (PQsslInUse(handle_.get()) != 0 || PQgssEncInUse(handle_.get()) != 0) return false;
  return !ends_here(PQsocket(handle_.get()));
}

std::string Connection::host() const { return PQhost(handle_.get()); }

bool Connection::in_transaction() const { return PQtransactionStatus(handle_.get()) == PQTRANS_INTRANS; }

Transaction::Transaction(Connection& connection, const std::string& settings, TransactionMode mode)
    : connection_(&connection) {
  std::string begin = "BEGIN ISOLATION LEVEL ";
  begin += mode == TransactionMode::one_snapshot ? "REPEATABLE READ " : "READ COMMITTED ";
  begin += mode == TransactionMode::read_only ? "READ ONLY; " : "READ WRITE; ";
  begin +=
      "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL bytea_output = 'hex'; "
      "SET LOCAL extra_float_digits = 1; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = "
      "'postgres'; "
      "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; "
      "SET LOCAL idle_in_transaction_session_timeout = 0; "
      // The other end, too, must notice that the network died: its session holds the claim of a range.
      "SET LOCAL tcp_keepalives_idle = 10; SET LOCAL tcp_keepalives_interval = 10; "
      "SET LOCAL tcp_keepalives_count = 6; SET LOCAL tcp_user_timeout = 60000; ";
  if (mode != TransactionMode::read_write) begin += "SET LOCAL timezone = 'UTC'; ";
  try {
    begin_once(begin, settings);
  } catch (const Error& error) {
    // The session ended after it was looked at. Nothing has happened in it, so another one does as well; a
    // second time is no accident, and for those who count and wait.
    if (error.fault() == Fault::connection_lost) {
      connection.drop();  // its last words may be here before its end
      begin_once(begin, settings);
      return;
    }
    // A refused setting leaves the session inside a failed transaction.
    if (connection.alive()) const ResultHandle ended(PQexec(connection.handle(), "ROLLBACK"));
    // READ WRITE is refused: what was the primary is one no longer. Another session may find the one that is.
    if (mode != TransactionMode::read_write || error.sqlstate() != "0A000") throw;
    connection.drop();
    throw Error(Fault::target_unavailable, "the server became a standby and takes no writes",
                "connect to the primary (target_session_attrs=read-write finds it among several hosts)")
        .set_sqlstate(error.sqlstate());
  }
}

void Transaction::begin_once(std::string statement, const std::string& settings) {
  connection_->revive();
  if (connection_->server_version() >= 170000) statement += "SET LOCAL transaction_timeout = 0; ";
  failpoint("before BEGIN");
  connection_->execute(statement + settings);
  failpoint("after BEGIN");
}

ReadScope::ReadScope(Connection& connection) {
  if (!connection.in_transaction()) own_.emplace(connection, "", TransactionMode::read_only);
}

Transaction::~Transaction() {
  if (connection_ == nullptr || !connection_->alive()) return;
  // No throw from here: a failed ROLLBACK means a broken connection, and then the server rolls back.
  const ResultHandle result(PQexec(connection_->handle(), "ROLLBACK"));
}

void Transaction::commit() {
  connection_->cancel_switch()->refuse_cancelled();
  Connection& connection = *std::exchange(connection_, nullptr);
  failpoint("before COMMIT");
  // PQexec in two halves, so that there is a moment between them.
  ResultHandle result;
  if (PQsendQuery(connection.handle(), "COMMIT") == 1) {
    failpoint("after COMMIT sent");
    while (ResultHandle next{PQgetResult(connection.handle())}) result = std::move(next);
  }
  failpoint("after COMMIT reply");
  if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) {
    // COMMIT of a failed transaction answers ROLLBACK, and says so only in the command tag.
    if (std::string_view(PQcmdStatus(result.get())) == "COMMIT") return;
    throw Error(Fault::internal, "the server rolled back a transaction that should have committed");
  }
  Error error = error_of(result.get(), connection.handle());
  if (error.fault() != Fault::connection_lost) throw error;
  throw Error(Fault::in_doubt, error.what(),
              "run the same command again; the ledger knows what was committed");
}

}  // namespace sluice
