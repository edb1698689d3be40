#include "bench/recorded_streams.h"

#include <libpq-fe.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <latch>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>

#include "engine/model/quote.h"
#include "tests/support/query.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

// As io/postgres/range_sink.cc has them.
constexpr const char* kBegin =
    "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL synchronous_commit = off";
constexpr std::size_t kSendBytes = std::size_t{128} << 10;

struct Finish {
  void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Session = std::unique_ptr<PGconn, Finish>;
using Answer = std::unique_ptr<PGresult, Clear>;

[[noreturn]] void fail(PGconn* session) { throw std::runtime_error(PQerrorMessage(session)); }

Session connect(const std::string& conninfo) {
  Session session(PQconnectdb(conninfo.c_str()));
  if (PQstatus(session.get()) != CONNECTION_OK) fail(session.get());
  return session;
}

void command(PGconn* session, const std::string& sql, ExecStatusType expected = PGRES_COMMAND_OK) {
  const Answer answer(PQexec(session, sql.c_str()));
  if (PQresultStatus(answer.get()) != expected) fail(session);
}

// The end of a COPY in either direction: how many rows the server counted.
std::uint64_t copied_rows(PGconn* session) {
  const Answer answer(PQgetResult(session));
  if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) fail(session);
  const std::uint64_t rows = std::stoull(PQcmdTuples(answer.get()));
  while (Answer(PQgetResult(session))) {
  }
  return rows;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The whole memory file, touched once before the clock starts.
class Mapping {
 public:
  Mapping(int file, std::size_t size) : size_(size) {
    start_ = mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    if (start_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  }
  ~Mapping() { munmap(start_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] std::string_view bytes() const { return {static_cast<const char*>(start_), size_}; }

 private:
  void* start_ = nullptr;
  std::size_t size_;
};

}  // namespace

struct RecordedStreams::Stream {
  std::string table;
  int file = -1;
  std::size_t size = 0;
  std::uint64_t rows = 0;

  explicit Stream(std::string name) : table(std::move(name)), file(memfd_create("stream", MFD_CLOEXEC)) {
    if (file < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  }
  ~Stream() { ::close(file); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void append(std::string_view bytes) {
    size += bytes.size();
    while (!bytes.empty()) {
      const ssize_t written = ::write(file, bytes.data(), bytes.size());
      if (written < 0) throw std::system_error(errno, std::generic_category(), "no room for the streams");
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  // Everything that `query` gives, header and trailer included.
  void record(PGconn* session, const std::string& query) {
    command(session, "COPY (" + query + ") TO STDOUT (FORMAT binary)", PGRES_COPY_OUT);
    std::string collected;
    char* row = nullptr;
    for (int got = 0; (got = PQgetCopyData(session, &row, 0)) > 0; PQfreemem(row)) {
      collected.append(row, static_cast<std::size_t>(got));
      if (collected.size() < (std::size_t{1} << 20)) continue;
      append(collected);
      collected.clear();
    }
    append(collected);
    rows = copied_rows(session);
  }

  void send(PGconn* session, const std::string& schema, std::string_view bytes) const {
    command(session, kBegin);
    command(session, "COPY " + quote_qualified(schema, table) + " FROM STDIN (FORMAT binary)", PGRES_COPY_IN);
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kSendBytes))) {
      const std::string_view piece = bytes.substr(0, kSendBytes);
      if (PQputCopyData(session, piece.data(), static_cast<int>(piece.size())) != 1) fail(session);
    }
    if (PQputCopyEnd(session, nullptr) != 1) fail(session);
    if (copied_rows(session) != rows)
      throw std::runtime_error("a replayed stream has other rows than recorded");
    command(session, "COMMIT");
  }
};

RecordedStreams::RecordedStreams(const std::string& conninfo, const std::string& schema,
                                 const std::vector<StreamCut>& cuts) {
  const Session session = connect(conninfo);
  for (const StreamCut& cut : cuts) {
    const std::string name = quote_qualified(schema, cut.table);
    const std::uint64_t blocks = std::stoull(
        testing::query_value(conninfo, "SELECT pg_relation_size(" + quote_literal(name) +
                                           "::regclass) / current_setting('block_size')::bigint"));
    const std::uint64_t pieces = std::max<std::uint64_t>(cut.pieces, 1);
    for (std::uint64_t piece = 0; piece < pieces; ++piece) {
      const auto block = [&](std::uint64_t number) {
        return "'(" + std::to_string(number * blocks / pieces) + ",0)'";
      };
      auto stream = std::make_unique<Stream>(cut.table);
      stream->record(session.get(), "SELECT * FROM " + name + " WHERE ctid >= " + block(piece) +
                                        (piece + 1 < pieces ? " AND ctid < " + block(piece + 1) : ""));
      streams_.push_back(std::move(stream));
    }
  }
}

RecordedStreams::~RecordedStreams() = default;

std::uint64_t RecordedStreams::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& stream : streams_) sum += stream->size;
  return sum;
}

ReplayTime RecordedStreams::replay(const std::string& conninfo, const std::string& schema,
                                   std::size_t connections) const {
  std::vector<std::unique_ptr<Mapping>> mappings;
  for (const auto& stream : streams_)
    mappings.push_back(std::make_unique<Mapping>(stream->file, stream->size));
  std::vector<Session> sessions;
  for (std::size_t i = 0; i < connections; ++i) sessions.push_back(connect(conninfo));

  std::atomic<std::size_t> next{0};
  std::latch start(static_cast<std::ptrdiff_t>(connections) + 1);
  std::mutex mutex;  // guards `failure`
  std::exception_ptr failure;
  const auto work = [&](PGconn* session) {
    start.arrive_and_wait();
    try {
      for (std::size_t at = next++; at < streams_.size(); at = next++) {
        streams_[at]->send(session, schema, mappings[at]->bytes());
      }
    } catch (...) {
      next = streams_.size();  // the others need not go on
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  ReplayTime time;
  {
    std::vector<std::jthread> threads;
    for (const Session& session : sessions) threads.emplace_back(work, session.get());
    const double cpu_before = cpu_seconds();
    const Clock::time_point began = Clock::now();
    start.arrive_and_wait();
    threads.clear();  // joins
    time.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    time.cpu_seconds = cpu_seconds() - cpu_before;
  }
  if (failure) std::rethrow_exception(failure);
  return time;
}

}  // namespace sluice::bench
