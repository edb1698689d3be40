#pragma once
// How many rows a day a table has been given, read from the column that says when a row was made.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/cell.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"

namespace sluice {

// Columns that may say when a row was made, the likeliest first, as indexes into TablePlan::columns: by name
// (created_at, loggedAt, inserted), then those whose last word is a time (at, time, date, timestamp, ts),
// then any other column of dates. Never those whose name says that they mean something else (updated_at,
// expires, due_date, birthday). `facts` as in SourceTable::columns: columns without a single value that may
// be a moment are left out.
std::vector<std::size_t> growth_columns(const TablePlan& plan, const TableFacts& facts);

// Rows per day of one column. A moment is a text as parse_written_timestamp() takes it (the day in UTC where
// there is a zone), or a number of seconds, milliseconds or microseconds since 1970 that lies between 1990
// and 2100; texts between those years likewise. Memory: one number per day.
class DailyCounts {
 public:
  void add(const Cell& cell);
  void add(const DailyCounts& other);

  [[nodiscard]] const std::map<std::int32_t, std::uint64_t>& days() const { return days_; }
  // Values other than NULL that are no moment.
  [[nodiscard]] std::uint64_t others() const { return others_; }

 private:
  std::map<std::int32_t, std::uint64_t> days_;  // since 2000-01-01
  std::uint64_t others_ = 0;
};

struct Growth {
  std::string table;
  std::string column;
  std::int32_t first_day = 0;  // since 2000-01-01, as all days here
  std::int32_t last_day = 0;
  std::uint64_t rows = 0;  // dated ones, not counting those after `today`
  std::int32_t recent_days = 0;
  double recent_per_day = 0;   // over the last 30 days of the history, or all of it where it is shorter
  double overall_per_day = 0;  // from the first day to the last
  // Less than a week says nothing: a table that was filled at once has all its rows on one day.
  bool long_enough = false;
  bool sampled = false;  // the numbers are scaled up from evenly spread parts of the table
};

inline constexpr std::int32_t kRecentDays = 30;
inline constexpr std::int32_t kHistoryDaysMin = 7;

// Nothing when no row is dated by `today`, or fewer than half of the values are moments. `scale`: rows of the
// table per row looked at.
std::optional<Growth> growth_of(const DailyCounts& counts, std::int32_t today, double scale);

// "2024-02-29"
std::string iso_day(std::int32_t day);
// Of the system's clock, in UTC.
std::int32_t day_today();

}  // namespace sluice
