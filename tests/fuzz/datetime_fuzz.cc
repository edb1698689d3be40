// Text that promises to be a date or a time. The oracle prints what was read and reads it again.

#include <cstdio>
#include <string>

#include "fuzz/fuzz.h"
#include "io/wire/datetime.h"

namespace sluice {
namespace {

constexpr std::int64_t kMicrosecondsPerDay = 86'400'000'000;

// The civil date of a day number (days since 2000-01-01), by going through the 400-year cycle slowly.
std::string print_date(std::int64_t days) {
  const auto leap = [](std::int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); };
  constexpr std::int64_t kDaysPerCycle = 146'097;
  std::int64_t cycles = days / kDaysPerCycle;
  std::int64_t rest = days % kDaysPerCycle;
  if (rest < 0) {
    rest += kDaysPerCycle;
    --cycles;
  }
  std::int64_t year = 2000 + 400 * cycles;
  while (rest >= (leap(year) ? 366 : 365)) {
    rest -= leap(year) ? 366 : 365;
    ++year;
  }
  const int lengths[] = {31, leap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int month = 0;
  while (rest >= lengths[month]) rest -= lengths[month++];
  char text[40];
  const bool plain = year >= 0 && year <= 9999;
  std::snprintf(text, sizeof text, "%s%04lld-%02d-%02d",
                plain      ? ""
                : year < 0 ? "-"
                           : "+",
                static_cast<long long>(year < 0 ? -year : year), month + 1, static_cast<int>(rest) + 1);
  return text;
}

std::string print_time(std::int64_t microseconds) {
  char text[40];
  const std::int64_t seconds = microseconds / 1'000'000;
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%06d", static_cast<int>(seconds / 3600),
                static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60),
                static_cast<int>(microseconds % 1'000'000));
  return text;
}

void check_date(std::string_view text) {
  std::int32_t days = 0;
  if (!parse_date(text, days)) return;
  std::int32_t again = 0;
  fuzz::expect(parse_date(print_date(days), again) && again == days, "a date reads back");
  std::int64_t timestamp = 0;
  const bool in_range = parse_timestamp(text, timestamp);
  if (in_range) fuzz::expect(timestamp == days * kMicrosecondsPerDay, "a date alone is midnight");
}

void check_time(std::string_view text) {
  std::int64_t microseconds = 0;
  if (!parse_time(text, microseconds)) return;
  fuzz::expect(microseconds >= 0 && microseconds < kMicrosecondsPerDay, "a time is within its day");
  std::int64_t again = 0;
  fuzz::expect(parse_time(print_time(microseconds), again) && again == microseconds, "a time reads back");
}

void check_timestamp(std::string_view text) {
  WrittenTimestamp written;
  std::int64_t naive = 0;
  std::int64_t zoned = 0;
  const bool any = parse_written_timestamp(text, written);
  const bool is_naive = parse_timestamp(text, naive);
  const bool is_zoned = parse_timestamptz(text, zoned);
  fuzz::expect(!(is_naive && is_zoned), "with a zone or without");
  fuzz::expect(any || (!is_naive && !is_zoned), "one reader for all");
  if (!is_naive && !is_zoned) return;
  fuzz::expect(written.zoned == is_zoned, "the zone is seen");
  const std::int64_t moment = is_zoned ? zoned : naive;
  fuzz::expect(moment == written.microseconds - std::int64_t{written.offset_seconds} * 1'000'000,
               "the offset is taken off");
  std::int64_t days = moment / kMicrosecondsPerDay;
  std::int64_t rest = moment % kMicrosecondsPerDay;
  if (rest < 0) {
    rest += kMicrosecondsPerDay;
    --days;
  }
  std::string printed = print_date(days);
  printed.append("T").append(print_time(rest)).append(is_zoned ? "Z" : "");
  std::int64_t again = 0;
  fuzz::expect(
      (is_zoned ? parse_timestamptz(printed, again) : parse_timestamp(printed, again)) && again == moment,
      "a timestamp reads back");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = sluice::fuzz::text_of(data, size);
  sluice::check_date(text);
  sluice::check_time(text);
  sluice::check_timestamp(text);
  return 0;
}
