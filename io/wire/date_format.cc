#include "io/wire/date_format.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace sluice {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"january",   "february", "march",    "april",
                                                      "may",       "june",     "july",     "august",
                                                      "september", "october",  "november", "december"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sunday",   "monday", "tuesday", "wednesday",
                                                       "thursday", "friday", "saturday"};

bool is_number(char directive) {
  return std::string_view("YmdHMSfyI").find(directive) != std::string_view::npos;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool take_word(std::string_view& text, std::string_view word) {
  if (text.size() < word.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != word[i]) return false;
  }
  text.remove_prefix(word.size());
  return true;
}

template <std::size_t kCount>
std::optional<unsigned> take_name(std::string_view& text, const std::array<std::string_view, kCount>& names,
                                  bool whole) {
  for (std::size_t i = 0; i < kCount; ++i) {
    if (take_word(text, whole ? names[i] : names[i].substr(0, 3))) return static_cast<unsigned>(i);
  }
  return std::nullopt;
}

bool take_number(std::string_view& text, std::size_t digits_min, std::size_t digits_max, unsigned& value) {
  std::size_t digits = 0;
  for (value = 0; digits < digits_max && digits < text.size() && is_digit(text[digits]); ++digits) {
    value = value * 10 + static_cast<unsigned>(text[digits] - '0');
  }
  if (digits < digits_min) return false;
  text.remove_prefix(digits);
  return true;
}

bool take_fraction(std::string_view& text, bool truncate, std::int64_t& microseconds) {
  std::size_t digits = 0;
  microseconds = 0;
  for (std::int64_t unit = 100'000; digits < text.size() && is_digit(text[digits]); ++digits, unit /= 10) {
    if (unit == 0 && text[digits] != '0' && !truncate) return false;
    microseconds += (text[digits] - '0') * unit;
  }
  text.remove_prefix(digits);
  return digits > 0;
}

bool take_zone(std::string_view& text, std::int32_t& offset_seconds) {
  std::size_t size = 0;
  while (size < text.size() &&
         std::string_view("Zz+-:0123456789").find(text[size]) != std::string_view::npos) {
    ++size;
  }
  offset_seconds = 0;
  if (!parse_zone(text.substr(0, size), offset_seconds)) return false;
  text.remove_prefix(size);
  return true;
}

}  // namespace

DateFormat::DateFormat(std::string_view format) {
  for (std::size_t at = 0; at < format.size(); ++at) {
    Element element;
    if (format[at] == '%' && at + 1 < format.size() && format[at + 1] != '%') {
      element.directive = format[++at];
    } else {
      element.literal = format[at];
      if (format[at] == '%') ++at;
    }
    elements_.push_back(element);
  }
  for (std::size_t i = 1; i < elements_.size(); ++i) {
    const bool both = is_number(elements_[i - 1].directive) && is_number(elements_[i].directive);
    if (both) elements_[i - 1].touched = elements_[i].touched = true;
  }
}

bool DateFormat::parse(std::string_view text, bool truncate_fraction, WrittenTimestamp& written) const {
  unsigned year = 2000;
  unsigned month = 1;
  unsigned day = 1;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  std::int64_t fraction = 0;
  std::optional<unsigned> weekday;
  std::optional<bool> afternoon;
  WrittenTimestamp result;
  for (const Element& element : elements_) {
    const std::size_t least = element.touched ? 2 : 1;
    bool good = false;
    std::optional<unsigned> name;
    switch (element.directive) {
      case 0:
        good = text.starts_with(element.literal);
        if (good) text.remove_prefix(1);
        break;
      case 'Y':
        good = take_number(text, 4, 4, year);
        break;
      case 'y':
        good = take_number(text, 2, 2, year);
        year += year < 69 ? 2000 : 1900;
        break;
      case 'm':
        good = take_number(text, least, 2, month);
        break;
      case 'd':
        good = take_number(text, least, 2, day);
        break;
      case 'H':
        good = take_number(text, least, 2, hour) && hour < 24;
        break;
      case 'I':
        good = take_number(text, least, 2, hour) && hour >= 1 && hour <= 12;
        break;
      case 'M':
        good = take_number(text, least, 2, minute) && minute < 60;
        break;
      case 'S':
        good = take_number(text, least, 2, second) && second < 60;
        break;
      case 'f':
        good = take_fraction(text, truncate_fraction, fraction);
        break;
      case 'b':
      case 'B':
        name = take_name(text, kMonths, element.directive == 'B');
        good = name.has_value();
        month = name.value_or(0) + 1;
        break;
      case 'a':
      case 'A':
        weekday = take_name(text, kWeekdays, element.directive == 'A');
        good = weekday.has_value();
        break;
      case 'p':
        afternoon = take_word(text, "pm");
        good = *afternoon || take_word(text, "am");
        break;
      case 'z':
        result.zoned = true;
        good = take_zone(text, result.offset_seconds);
        break;
      default:
        break;
    }
    if (!good) return false;
  }
  std::int64_t days = 0;
  if (!text.empty() || !make_date(year, month, day, days)) return false;
  if (afternoon) hour = hour % 12 + (*afternoon ? 12 : 0);
  constexpr std::int64_t kSaturday = 6;  // 2000-01-01
  if (weekday && (days % 7 + 7 + kSaturday) % 7 != *weekday) return false;
  const std::int64_t seconds = days * 86'400 + std::int64_t{hour} * 3600 + minute * 60 + second;
  result.microseconds = seconds * 1'000'000 + fraction;
  written = result;
  return true;
}

}  // namespace sluice
