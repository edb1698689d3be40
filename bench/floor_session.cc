#include "bench/floor_session.h"

#include <libpq-fe.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "bench/figures.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

void run_expecting(pg_conn* session, const std::string& sql, ExecStatusType expected) {
  const Answer answer(PQexec(session, sql.c_str()));
  if (PQresultStatus(answer.get()) != expected) fail(session);
}

}  // namespace

void CloseSession::operator()(pg_conn* session) const noexcept { PQfinish(session); }

void ClearAnswer::operator()(pg_result* answer) const noexcept { PQclear(answer); }

void fail(pg_conn* session) { throw std::runtime_error(PQerrorMessage(session)); }

Session connect(const std::string& conninfo) {
  Session session(PQconnectdb(conninfo.c_str()));
  if (PQstatus(session.get()) != CONNECTION_OK) fail(session.get());
  return session;
}

void command(pg_conn* session, const std::string& sql) { run_expecting(session, sql, PGRES_COMMAND_OK); }

void begin_copy_in(pg_conn* session, const std::string& sql) { run_expecting(session, sql, PGRES_COPY_IN); }

void begin_copy_out(pg_conn* session, const std::string& sql) { run_expecting(session, sql, PGRES_COPY_OUT); }

std::uint64_t copied_rows(pg_conn* session) {
  const Answer answer(PQgetResult(session));
  if (PQresultStatus(answer.get()) != PGRES_COMMAND_OK) fail(session);
  const std::uint64_t rows = std::stoull(PQcmdTuples(answer.get()));
  while (Answer(PQgetResult(session))) {
  }
  return rows;
}

FloorTime run_over_sessions(const std::string& conninfo, std::size_t connections, std::size_t tasks,
                            const std::function<void(pg_conn*, std::size_t task)>& run) {
  std::vector<Session> sessions;
  for (std::size_t i = 0; i < connections; ++i) sessions.push_back(connect(conninfo));

  std::atomic<std::size_t> next{0};
  std::latch start(static_cast<std::ptrdiff_t>(connections) + 1);
  std::mutex mutex;  // guards `failure`
  std::exception_ptr failure;
  const auto work = [&](pg_conn* session) {
    start.arrive_and_wait();
    try {
      for (std::size_t at = next++; at < tasks; at = next++) run(session, at);
    } catch (...) {
      next = tasks;  // the others need not go on
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  FloorTime time;
  {
    std::vector<std::jthread> threads;
    for (const Session& session : sessions) threads.emplace_back(work, session.get());
    const double cpu_before = cpu_of_process();
    const Clock::time_point began = Clock::now();
    start.arrive_and_wait();
    threads.clear();  // joins
    time.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    time.cpu_seconds = cpu_of_process() - cpu_before;
  }
  if (failure) std::rethrow_exception(failure);
  return time;
}

}  // namespace sluice::bench
