#pragma once
// What goes to stderr: one line an event, for people or, with --log-format json, one JSON object a line.
//
//   {"ts":"2026-03-01T12:00:00.123Z","level":"warning","msg":"...","run_id":"...","table":"orders","range":41}
//
// Keys: ts (UTC), level (info, warning, error), msg (the line that people see, without the program's name),
// run_id once a run has begun, and where they apply table (as the source names it), range, attempt, sqlstate,
// duration_s, rows, bytes (COPY payload), phase, exit_status. Each line is ASCII: what a stranger named so
// that it moves the cursor, turns the direction of writing or is not UTF-8 comes as an escape. Never a cell
// value or a password.
//
// stderr, its format and the run at work belong to the process, and so does what is here. Any thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/model/error.h"
#include "engine/model/range.h"

namespace sluice {

enum class LogFormat : std::uint8_t { text, json };

// People see warnings and errors with the program's name in front.
enum class LogLevel : std::uint8_t { info, warning, error };

// Every member has an initializer, so that {.level = LogLevel::warning, .message = "..."} compiles without a
// warning. What is empty is left out.
struct LogEvent {
  LogLevel level = LogLevel::info;
  std::string message{};  // one line
  std::string table{};
  std::optional<RangeNumber> range{};
  std::optional<unsigned> attempt{};  // the one that has failed, from 1
  std::string sqlstate{};
  std::optional<double> duration_s{};
  std::optional<std::uint64_t> rows{};
  std::optional<std::uint64_t> bytes{};
  std::string phase{};
  std::optional<int> exit_status{};
};

// The error's sentence, and what it knows of table, range and SQLSTATE.
LogEvent event_of(LogLevel level, const Error& error);

// Text from the start. Set before the threads begin.
void set_log_format(LogFormat format);
LogFormat log_format();

// The uuid that events carry from here on. Once a process.
void set_log_run(std::string_view run_id);

void write_log(const LogEvent& event);

// The line without its end. `run_id` may be empty.
std::string json_line(const LogEvent& event, std::chrono::system_clock::time_point at,
                      std::string_view run_id);

// The one way to say something from the handler of a signal: allocates nothing and takes no lock.
// REQUIRES: printable ASCII without quotes and backslashes, at most 200 characters.
void write_log_in_signal_handler(LogLevel level, std::string_view message) noexcept;

}  // namespace sluice
