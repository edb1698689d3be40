#include "engine/app/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace sluice {
namespace {

constexpr auto kPlainInterval = std::chrono::seconds(10);

std::string line_of(const Progress& progress, double seconds) {
  const double rows = static_cast<double>(progress.rows - progress.rows_before) / std::max(seconds, 0.001);
  const double bytes = static_cast<double>(progress.bytes - progress.bytes_before) / std::max(seconds, 0.001);
  std::string eta = "--";
  if (progress.fraction > 0.02 && progress.fraction <= 1.0) {
    eta = human_seconds(seconds * (1.0 - progress.fraction) / progress.fraction);
  }
  return fmt::format("{:<8} {:>3.0f} %  {} rows  {} rows/s  {}/s  ETA {}", progress.phase,
                     progress.fraction * 100, human_count(progress.rows),
                     human_count(static_cast<std::uint64_t>(rows)),
                     human_bytes(static_cast<std::uint64_t>(bytes)), eta);
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string human_count(std::uint64_t count) {
  const std::string digits = std::to_string(count);
  std::string grouped;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string counted(std::uint64_t count, const std::string& noun) {
  return human_count(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string human_seconds(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

Console::Console(ProgressMode mode)
    : mode_(mode),
      live_(mode == ProgressMode::automatic && log_format() == LogFormat::text &&
            isatty(STDERR_FILENO) == 1) {
  begin_phase();
}

void Console::begin_phase() {
  const std::lock_guard lock(mutex_);
  clear_line();
  phase_began_ = std::chrono::steady_clock::now();
  last_plain_line_ = phase_began_;
}

double Console::seconds_of_phase() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - phase_began_).count();
}

void Console::progress(const Progress& progress) {
  const std::lock_guard lock(mutex_);
  LogEvent event;
  event.rows = progress.rows;
  event.bytes = progress.bytes;
  event.phase = progress.phase;
  show(line_of(progress, seconds_of_phase()), std::move(event));
}

void Console::progress(const std::string& phase, std::size_t done, std::size_t total) {
  const std::lock_guard lock(mutex_);
  LogEvent event;
  event.phase = phase;
  show(fmt::format("{:<8} {} of {}  {}", phase, done, total, human_seconds(seconds_of_phase())),
       std::move(event));
}

void Console::show(const std::string& line, LogEvent event) {
  if (mode_ == ProgressMode::none) return;
  if (live_) {
    fmt::print(stderr, "\r\x1b[K{}", line);
    std::fflush(stderr);
    line_shown_ = true;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_plain_line_ < kPlainInterval) return;
  last_plain_line_ = now;
  event.message = line;
  event.duration_s = seconds_of_phase();
  write_log(event);
}

void Console::end_phase() {
  const std::lock_guard lock(mutex_);
  clear_line();
}

void Console::note(const LogEvent& event) {
  const std::lock_guard lock(mutex_);
  clear_line();
  write_log(event);
}

void Console::say(const std::string& text) { note({.message = text}); }

void Console::record(const LogEvent& event) {
  if (log_format() == LogFormat::json) note(event);
}

void Console::clear_line() {
  if (!line_shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  line_shown_ = false;
}

}  // namespace sluice
