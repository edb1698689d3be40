#pragma once
// libpq for the floors, which share no code with io/postgres: if our own sending or receiving became slow,
// the floor must not sink with it.
//
// A Session is used by one thread at a time. All functions throw std::runtime_error with what the server
// said.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

struct pg_conn;
struct pg_result;

namespace sluice::bench {

struct CloseSession {
  void operator()(pg_conn* session) const noexcept;
};
struct ClearAnswer {
  void operator()(pg_result* answer) const noexcept;
};
using Session = std::unique_ptr<pg_conn, CloseSession>;
using Answer = std::unique_ptr<pg_result, ClearAnswer>;

[[noreturn]] void fail(pg_conn* session);
Session connect(const std::string& conninfo);

// A statement without rows.
void command(pg_conn* session, const std::string& sql);

// COPY, up to the first of its data.
void begin_copy_in(pg_conn* session, const std::string& sql);
void begin_copy_out(pg_conn* session, const std::string& sql);

// After the last of its data, in either direction: how many rows the server counted.
std::uint64_t copied_rows(pg_conn* session);

struct FloorTime {
  double seconds = 0;      // from the start of the first task to the end of the last
  double cpu_seconds = 0;  // ours, all threads together
};

// Hands tasks 0 .. tasks-1 out to so many connections, a thread each, in this order. Connecting is not in the
// time.
FloorTime run_over_sessions(const std::string& conninfo, std::size_t connections, std::size_t tasks,
                            const std::function<void(pg_conn*, std::size_t task)>& run);

}  // namespace sluice::bench
