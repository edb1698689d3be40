#include "io/wire/text_forms.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>

#include "io/wire/boolean.h"
#include "io/wire/datetime.h"
#include "io/wire/uuid.h"

namespace sluice {
namespace {

bool is_digit(char byte) { return static_cast<unsigned char>(byte - '0') < 10; }
bool is_letter(char byte) { return static_cast<unsigned char>((byte | 0x20) - 'a') < 26; }

bool all_digits(std::string_view text) { return std::all_of(text.begin(), text.end(), is_digit); }

// Past the digits that `text` begins with; how many there were.
std::size_t skip_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  text.remove_prefix(count);
  return count;
}

TextFormSet number_forms(std::string_view text) {
  std::string_view rest = text;
  if (!rest.empty() && (rest.front() == '+' || rest.front() == '-')) rest.remove_prefix(1);
  const std::size_t before = skip_digits(rest);
  if (rest.empty() && before > 0) {
    std::int64_t value = 0;
    const std::string_view written = text.front() == '+' ? text.substr(1) : text;
    const auto result = std::from_chars(written.data(), written.data() + written.size(), value);
    if (result.ec != std::errc()) return set_of(TextForm::number);
    const std::string_view digits = text.front() == '-' ? text.substr(1) : text;
    const bool plain = text.front() != '+' && (digits.front() != '0' || text == "0");
    return set_of(TextForm::integer) | (plain ? set_of(TextForm::plain_integer) : TextFormSet{0});
  }
  std::size_t after = 0;
  if (!rest.empty() && rest.front() == '.') {
    rest.remove_prefix(1);
    after = skip_digits(rest);
  }
  if (before + after == 0) return 0;
  if (!rest.empty() && (rest.front() | 0x20) == 'e') {
    rest.remove_prefix(1);
    if (!rest.empty() && (rest.front() == '+' || rest.front() == '-')) rest.remove_prefix(1);
    if (skip_digits(rest) == 0) return 0;
  }
  return rest.empty() ? set_of(TextForm::number) : 0;
}

// 20240131 or 20240131123456, by the same calendar as the dates with dashes.
bool is_compact_date(std::string_view text) {
  if ((text.size() != 8 && text.size() != 14) || !all_digits(text)) return false;
  std::array<char, 19> spelled{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    constexpr std::array<char, 14> kBefore = {0, 0, 0, 0, '-', 0, '-', 0, ' ', 0, ':', 0, ':', 0};
    if (kBefore[i] != 0) spelled[at++] = kBefore[i];
    spelled[at++] = text[i];
  }
  std::int64_t microseconds = 0;
  return parse_timestamp({spelled.data(), at}, microseconds);
}

bool is_zero_date(std::string_view text) {
  if (!text.starts_with("0000-00-00")) return false;
  text.remove_prefix(10);
  if (text.empty()) return true;
  if (text.front() != ' ' && text.front() != 'T') return false;
  text.remove_prefix(1);
  if (text == "00:00") return true;
  if (!text.starts_with("00:00:00")) return false;
  text.remove_prefix(8);
  return text.empty() ||
         (text.size() > 1 && text.front() == '.' && text.find_first_not_of('0', 1) == std::string_view::npos);
}

// Of the words of `list`, each three letters, the place of the one that `text` begins with.
std::size_t place_in(std::string_view list, std::string_view text) {
  for (std::size_t at = 0; at < list.size(); at += 3) {
    if (text.substr(0, 3) == list.substr(at, 3)) return at / 3;
  }
  return std::string_view::npos;
}

// [Tue, ]1 Jan 2024 12:00[:00] +0000, as RFC 2822 and 1123 write it.
bool is_rfc2822(std::string_view text) {
  constexpr std::string_view kDays = "MonTueWedThuFriSatSun";
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() > 5 && is_letter(text.front())) {
    if (place_in(kDays, text) == std::string_view::npos || text.substr(3, 2) != ", ") return false;
    text.remove_prefix(5);
  }
  const std::string_view day = text.substr(0, text.find(' '));
  if (day.empty() || day.size() > 2 || !all_digits(day) || text.size() < day.size() + 10) return false;
  text.remove_prefix(day.size() + 1);
  const std::size_t month = place_in(kMonths, text);
  if (month == std::string_view::npos || text[3] != ' ' || !all_digits(text.substr(4, 4)) || text[8] != ' ') {
    return false;
  }
  std::array<char, 10> date{};
  std::copy_n(text.data() + 4, 4, date.begin());
  date[4] = date[7] = '-';
  date[5] = static_cast<char>('0' + (month + 1) / 10);
  date[6] = static_cast<char>('0' + (month + 1) % 10);
  date[8] = day.size() == 2 ? day[0] : '0';
  date[9] = day.back();
  std::int32_t days = 0;
  if (!parse_date({date.data(), date.size()}, days)) return false;
  text.remove_prefix(9);
  const std::string_view time = text.substr(0, text.find(' '));
  std::int64_t microseconds = 0;
  if (!parse_time(time, microseconds) || text.size() <= time.size() + 1) return false;
  const std::string_view zone = text.substr(time.size() + 1);
  if (zone == "GMT" || zone == "UT" || zone == "UTC" || zone == "Z") return true;
  return zone.size() == 5 && (zone[0] == '+' || zone[0] == '-') && all_digits(zone.substr(1));
}

// A date, and perhaps a time, with dashes in the usual places.
TextFormSet dated_forms(std::string_view text) {
  if (is_usual_timestamp(text)) [[likely]]
    return set_of(TextForm::timestamp);
  std::int64_t microseconds = 0;
  std::int32_t days = 0;
  const bool signed_year = !is_digit(text.front());
  if ((text.size() == 10 || signed_year) && parse_date(text, days)) return set_of(TextForm::date);
  if (parse_timestamp(text, microseconds)) return set_of(TextForm::timestamp);
  if (parse_timestamptz(text, microseconds)) return set_of(TextForm::timestamptz);
  return is_zero_date(text) ? set_of(TextForm::zero_date) : 0;
}

constexpr std::array<bool, 256> kBase64 = [] {
  std::array<bool, 256> table{};
  for (const char byte :
       std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")) {
    table[static_cast<unsigned char>(byte)] = true;
  }
  return table;
}();

bool is_base64(std::string_view text) {
  if (text.size() < 16 || text.size() % 4 != 0) return false;
  if (text.ends_with("==")) {
    text.remove_suffix(2);
  } else if (text.ends_with('=')) {
    text.remove_suffix(1);
  }
  bool letters = false;
  for (const char byte : text) {
    if (!kBase64[static_cast<unsigned char>(byte)]) return false;
    letters = letters || is_letter(byte);
  }
  if (!letters) return false;
  // The bits that the padding leaves over are zero.
  constexpr std::string_view kOneByte = "AQgw";
  constexpr std::string_view kTwoBytes = "AEIMQUYcgkosw048";
  if (text.size() % 4 == 2) return kOneByte.find(text.back()) != std::string_view::npos;
  return text.size() % 4 != 3 || kTwoBytes.find(text.back()) != std::string_view::npos;
}

TextFormSet uuid_forms(std::string_view text) {
  std::array<std::byte, 16> bytes;
  if (text.size() < 32 || text.size() > 38 || !parse_uuid(text, bytes)) return 0;
  const bool printed = text.size() == 36 && std::none_of(text.begin(), text.end(), [](char byte) {
                         return byte >= 'A' && byte <= 'F';
                       });
  return set_of(TextForm::uuid) | (printed ? set_of(TextForm::uuid_lower) : 0);
}

}  // namespace

TextFormSet TextForms::json_forms(std::string_view text, TextForm kind) {
  const JsonExamination found = json_.examine(text);
  if (found.check != JsonCheck::ok) return 0;
  return set_of(kind) | (found.jsonb == JsonbResult::ok ? set_of(TextForm::jsonb_exact) : 0);
}

TextFormSet TextForms::forms_of_digits(std::string_view text) {
  std::int64_t microseconds = 0;
  TextFormSet forms = number_forms(text);
  if (is_digit(text.front()) || text.front() == '-') forms |= json_forms(text, TextForm::json_scalar);
  if (is_compact_date(text)) forms |= set_of(TextForm::compact_date);
  if (parse_time(text, microseconds)) forms |= set_of(TextForm::time);
  if (text.size() == 1 && parse_boolean(text)) forms |= set_of(TextForm::boolean);
  if (is_rfc2822(text)) forms |= set_of(TextForm::rfc2822);
  // Years of more than four digits.
  if (text.size() > 10 && (text.front() == '+' || text.front() == '-')) forms |= dated_forms(text);
  return forms | uuid_forms(text);
}

// By the first character, because each form begins in its own way and nearly all texts have one form or none.
TextFormSet TextForms::of(std::string_view text) {
  if (text.empty()) return 0;
  const char first = text.front();
  if (is_digit(first) && text.size() >= 10 && text[4] == '-' && text[7] == '-') return dated_forms(text);
  if (first == '{' || first == '[') {
    const TextFormSet forms = json_forms(text, TextForm::json);
    return forms != 0 ? forms : uuid_forms(text);
  }
  if (first == '"') return json_forms(text, TextForm::json_scalar);
  const TextFormSet base64 = is_base64(text) ? set_of(TextForm::base64) : 0;
  if (is_digit(first) || first == '-' || first == '+' || first == '.') return base64 | forms_of_digits(text);
  if (first == ' ' || first == '\n' || first == '\t' || first == '\r') {
    const std::size_t start = text.find_first_not_of(" \n\t\r");
    if (start == std::string_view::npos) return 0;
    const bool container = text[start] == '{' || text[start] == '[';
    return json_forms(text, container ? TextForm::json : TextForm::json_scalar);
  }
  if (!is_letter(first)) return base64;
  TextFormSet forms = base64 | uuid_forms(text);
  if (parse_boolean(text)) forms |= set_of(TextForm::boolean);
  if (first == 't' || first == 'f' || first == 'n') forms |= json_forms(text, TextForm::json_scalar);
  if (is_rfc2822(text)) forms |= set_of(TextForm::rfc2822);
  return forms;
}

bool is_date_beyond_timestamp(std::string_view text) {
  std::int32_t days = 0;
  std::int64_t microseconds = 0;
  // Only a year with a sign reaches that far.
  return !text.empty() && text.front() == '+' && parse_date(text, days) &&
         !parse_timestamp(text, microseconds);
}

}  // namespace sluice
