#include "engine/app/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/app/printable.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

constexpr std::size_t kUuidBytes = 36;

std::atomic<LogFormat> format{LogFormat::text};
// Written once, before the flag says that it is there: the handler of a signal may come at any moment.
std::array<char, kUuidBytes> run{};
std::atomic<bool> run_known{false};

std::string_view known_run() {
  return run_known.load(std::memory_order_acquire) ? std::string_view(run.data(), run.size())
                                                   : std::string_view();
}

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      break;
  }
  return "error";
}

// "2026-03-01T12:00:00.123Z". By arithmetic alone, since gmtime_r() is not for handlers of signals.
std::array<char, 24> timestamp(std::chrono::system_clock::time_point at) {
  using std::chrono::days;
  const auto day = std::chrono::floor<days>(at);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::milliseconds>(at - day));
  std::array<char, 24> text{'0', '0', '0', '0', '-', '0', '0', '-', '0', '0', 'T', '0',
                            '0', ':', '0', '0', ':', '0', '0', '.', '0', '0', '0', 'Z'};
  const auto put = [&](std::size_t end, auto number) {
    for (auto left = static_cast<unsigned long>(number); left > 0; left /= 10) {
      text[--end] = static_cast<char>('0' + left % 10);
    }
  };
  put(4, static_cast<int>(date.year()));
  put(7, static_cast<unsigned>(date.month()));
  put(10, static_cast<unsigned>(date.day()));
  put(13, time.hours().count());
  put(16, time.minutes().count());
  put(19, time.seconds().count());
  put(23, time.subseconds().count());
  return text;
}

// JSON is UTF-8. Names that are not keep their bytes as escapes, as people see them.
std::string text_for_json(const std::string& text) { return valid_utf8(text) ? text : printable(text); }

}  // namespace

LogEvent event_of(LogLevel level, const Error& error) {
  LogEvent event;
  event.level = level;
  event.message = error.describe();
  event.table = error.where().table;
  event.range = error.where().range;
  event.sqlstate = error.sqlstate();
  return event;
}

void set_log_format(LogFormat wanted) { format.store(wanted, std::memory_order_relaxed); }
LogFormat log_format() { return format.load(std::memory_order_relaxed); }

void set_log_run(std::string_view run_id) {
  if (run_id.size() != run.size() || run_known.load(std::memory_order_relaxed)) return;
  std::copy(run_id.begin(), run_id.end(), run.begin());
  run_known.store(true, std::memory_order_release);
}

std::string json_line(const LogEvent& event, std::chrono::system_clock::time_point at,
                      std::string_view run_id) {
  const std::array<char, 24> ts = timestamp(at);
  nlohmann::ordered_json line = {{"ts", std::string_view(ts.data(), ts.size())},
                                 {"level", name_of(event.level)},
                                 {"msg", text_for_json(event.message)}};
  if (!run_id.empty()) line["run_id"] = run_id;
  if (!event.table.empty()) line["table"] = text_for_json(event.table);
  if (event.range) line["range"] = static_cast<std::uint32_t>(*event.range);
  if (event.attempt) line["attempt"] = *event.attempt;
  if (!event.sqlstate.empty()) line["sqlstate"] = text_for_json(event.sqlstate);
  if (event.duration_s) line["duration_s"] = *event.duration_s;
  if (event.rows) line["rows"] = *event.rows;
  if (event.bytes) line["bytes"] = *event.bytes;
  if (!event.phase.empty()) line["phase"] = event.phase;
  if (event.exit_status) line["exit_status"] = *event.exit_status;
  constexpr bool kAscii = true;
  return line.dump(-1, ' ', kAscii);
}

void write_log(const LogEvent& event) {
  std::string line;
  if (log_format() == LogFormat::json) {
    line = json_line(event, std::chrono::system_clock::now(), known_run());
  } else {
    // What it names may come from a stranger's file.
    line = (event.level == LogLevel::info ? "" : "sluice: ") + printable(event.message);
  }
  line += '\n';
  // In one piece, so that the lines of threads do not mix.
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void write_log_in_signal_handler(LogLevel level, std::string_view message) noexcept {
  std::array<char, 512> line;
  std::size_t size = 0;
  const auto put = [&](std::string_view text) {
    const std::string_view fitting = text.substr(0, line.size() - size);
    std::copy(fitting.begin(), fitting.end(), line.begin() + static_cast<std::ptrdiff_t>(size));
    size += fitting.size();
  };
  if (log_format() == LogFormat::json) {
    const std::array<char, 24> ts = timestamp(std::chrono::system_clock::now());
    put(R"({"ts":")");
    put({ts.data(), ts.size()});
    put(R"(","level":")");
    put(name_of(level));
    put(R"(","msg":")");
    put(message);
    if (const std::string_view run_id = known_run(); !run_id.empty()) {
      put(R"(","run_id":")");
      put(run_id);
    }
    put("\"}\n");
  } else {
    put("\n");  // a live line may be there
    if (level != LogLevel::info) put("sluice: ");
    put(message);
    put("\n");
  }
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), size);
}

}  // namespace sluice
