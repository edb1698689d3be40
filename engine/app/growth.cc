#include "engine/app/growth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include "engine/model/quote.h"
#include "io/wire/datetime.h"

namespace sluice {
namespace {

constexpr std::int64_t kSecondsPerDay = 86400;
constexpr std::int64_t kMicrosecondsPerDay = kSecondsPerDay * 1000000;
constexpr std::int64_t kEpochTo2000 = 946684800;  // seconds from 1970 to 2000
constexpr std::int64_t kFirstSecond = 631152000;  // 1990-01-01, since 1970
constexpr std::int64_t kLastSecond = 4133980799;  // 2100-12-31 23:59:59
constexpr std::int32_t kFirstDay = -3652;         // 1990-01-01, since 2000
constexpr std::int32_t kLastDay = 36889;          // 2100-12-31

std::int64_t floor_divided(std::int64_t value, std::int64_t by) {
  return value / by - (value % by < 0 ? 1 : 0);
}

// The three units do not overlap between 1990 and 2100, so the value says which one it is.
std::optional<std::int32_t> day_of_number(std::int64_t value) {
  for (const std::int64_t unit : {std::int64_t{1}, std::int64_t{1000}, std::int64_t{1000000}}) {
    const std::int64_t seconds = value / unit;
    if (seconds < kFirstSecond || seconds > kLastSecond) continue;
    return static_cast<std::int32_t>(floor_divided(seconds - kEpochTo2000, kSecondsPerDay));
  }
  return std::nullopt;
}

std::optional<std::int32_t> day_of(const Cell& cell) {
  switch (cell.storage()) {
    case StorageClass::integer:
      return day_of_number(cell.integer());
    case StorageClass::real:
      if (!(cell.real() >= 0 && cell.real() < 1e16)) return std::nullopt;
      return day_of_number(static_cast<std::int64_t>(cell.real()));
    case StorageClass::text: {
      WrittenTimestamp written;
      if (!parse_written_timestamp(cell.text(), written)) return std::nullopt;
      const std::int64_t day = floor_divided(
          written.microseconds - written.offset_seconds * std::int64_t{1000000}, kMicrosecondsPerDay);
      if (day < kFirstDay || day > kLastDay) return std::nullopt;
      return static_cast<std::int32_t>(day);
    }
    default:
      return std::nullopt;
  }
}

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_letter(char c) {
  return is_upper(c) || (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80;
}

// created_at, createdAt, CreatedAT: {"created", "at"}
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool begins = is_upper(name[i]) && i > 0 && !is_upper(name[i - 1]);
    if ((begins || !is_letter(name[i])) && !words.back().empty()) words.emplace_back();
    if (is_letter(name[i])) words.back() += name[i];
  }
  if (words.back().empty() && words.size() > 1) words.pop_back();
  for (std::string& word : words) word = fold_ascii(word);
  return words;
}

template <std::size_t count>
bool contains(const std::array<std::string_view, count>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

constexpr std::array<std::string_view, 13> kMade = {
    "created",  "creation", "create",   "inserted", "registered", "received", "logged",
    "recorded", "added",    "occurred", "joined",   "submitted",  "issued"};
constexpr std::array<std::string_view, 10> kTimes = {"at", "time",  "timestamp", "date", "datetime",
                                                     "ts", "stamp", "epoch",     "day",  "when"};
constexpr std::array<std::string_view, 20> kOther = {
    "until",     "end",      "ended",   "ends",     "last", "next",      "valid",
    "verified",  "accessed", "seen",    "due",      "dob",  "scheduled", "finished",
    "completed", "revoked",  "shipped", "required", "hire", "born"};
constexpr std::array<std::string_view, 7> kOtherParts = {"updat", "modif", "delet", "expir",
                                                         "birth", "chang", "remov"};

enum class Rank : std::uint8_t { made, time, dated, no };

Rank rank_of(const ColumnPlan& column) {
  const std::vector<std::string> words = words_of(column.source);
  const auto any = [&](const auto& list) {
    return std::any_of(words.begin(), words.end(),
                       [&](const std::string& word) { return contains(list, word); });
  };
  const bool other_part = std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return std::any_of(kOtherParts.begin(), kOtherParts.end(),
                       [&](std::string_view part) { return word.find(part) != std::string::npos; });
  });
  if (any(kMade)) return Rank::made;
  if (other_part || any(kOther)) return Rank::no;
  const std::string& last = words.back();
  if (contains(kTimes, last) || last.ends_with("date") || last.ends_with("time")) return Rank::time;
  const bool dated =
      column.type == PgType::date || column.type == PgType::timestamp || column.type == PgType::timestamptz;
  return dated ? Rank::dated : Rank::no;
}

// False when the facts show that no value can be a moment. What was not examined may hold some.
bool may_hold_moments(const ColumnFacts& facts) {
  if (!facts.examined || facts.texts > 0 || facts.reals > 0) return true;
  return facts.integers > 0 && facts.integer_max >= kFirstSecond;
}

}  // namespace

std::vector<std::size_t> growth_columns(const TablePlan& plan, const TableFacts& facts) {
  std::vector<std::pair<Rank, std::size_t>> ranked;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const ColumnPlan& column = plan.columns[i];
    const Rank rank = rank_of(column);
    if (rank == Rank::no) continue;
    if (column.place < facts.columns.size() && !may_hold_moments(facts.columns[column.place])) continue;
    ranked.emplace_back(rank, i);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& left, const auto& right) { return left.first < right.first; });
  std::vector<std::size_t> columns;
  for (const auto& [rank, column] : ranked) columns.push_back(column);
  return columns;
}

void DailyCounts::add(const Cell& cell) {
  if (cell.is_null()) return;
  if (const auto day = day_of(cell)) {
    ++days_[*day];
  } else {
    ++others_;
  }
}

void DailyCounts::add(const DailyCounts& other) {
  for (const auto& [day, rows] : other.days_) days_[day] += rows;
  others_ += other.others_;
}

std::optional<Growth> growth_of(const DailyCounts& counts, std::int32_t today, double scale) {
  // A moment to come is a mistake or a date of expiry: it must not become the end of the history.
  const auto end = counts.days().upper_bound(today);
  if (end == counts.days().begin()) return std::nullopt;
  Growth growth;
  growth.first_day = counts.days().begin()->first;
  growth.last_day = std::prev(end)->first;
  const std::int32_t span = growth.last_day - growth.first_day + 1;
  growth.recent_days = std::min(kRecentDays, span);
  std::uint64_t recent = 0;
  for (auto day = counts.days().begin(); day != end; ++day) {
    growth.rows += day->second;
    if (day->first > growth.last_day - growth.recent_days) recent += day->second;
  }
  if (growth.rows < counts.others()) return std::nullopt;
  growth.recent_per_day = static_cast<double>(recent) * scale / growth.recent_days;
  growth.overall_per_day = static_cast<double>(growth.rows) * scale / span;
  growth.rows = static_cast<std::uint64_t>(static_cast<double>(growth.rows) * scale);
  growth.long_enough = span >= kHistoryDaysMin;
  growth.sampled = scale > 1;
  return growth;
}

std::string iso_day(std::int32_t day) {
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::year{2000} / 1 / 1} +
                                         std::chrono::days{day}};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

std::int32_t day_today() {
  const auto now = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  return static_cast<std::int32_t>((now - std::chrono::sys_days{std::chrono::year{2000} / 1 / 1}).count());
}

}  // namespace sluice
