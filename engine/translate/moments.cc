// SQLite's functions of dates and times (https://www.sqlite.org/lang_datefunc.html).

#include <algorithm>
#include <array>
#include <utility>

#include "engine/model/quote.h"
#include "engine/translate/translator.h"

namespace sluice {
namespace {

constexpr std::string_view kUtcNow = "statement_timestamp() AT TIME ZONE 'UTC'";

}  // namespace

Fragment Translator::moment_call(const std::string& name, const std::vector<Fragment>& arguments) {
  const bool clock = name.starts_with("current_");
  const bool formatted = name == "strftime";
  const std::size_t first_argument = formatted ? 1 : 0;
  const bool of_now =
      clock || arguments.size() <= first_argument ||
      (arguments[first_argument].literal && fold_ascii(arguments[first_argument].text) == "now");
  if (purpose_ == Purpose::constraint) {
    const bool of_column = !clock && !arguments.empty() && !arguments.front().literal;
    refuse(of_column ? "the function " + name + " is not translated"
                     : name + " changes from moment to moment");
  }
  const bool modified = of_now && !clock && arguments.size() > first_argument + 1;
  if (for_view() && (!of_now || modified)) return moment_of_value(name, arguments);
  if (formatted && (arguments.empty() || !arguments[0].literal || arguments[0].value != ValueClass::text)) {
    refuse("strftime with a format that is not a literal");
  }
  bool fraction = false;
  for (std::size_t i = formatted ? 1 : 0; i < arguments.size(); ++i) {
    if (!arguments[i].literal || arguments[i].value != ValueClass::text)
      refuse(name + " of something other than now");
    const std::string word = fold_ascii(arguments[i].text);
    const bool first = i == (formatted ? 1u : 0u);
    if (first && word == "now") continue;
    if (first) refuse(name + " of something other than now");
    if (word == "localtime") refuse("'localtime' is the time zone of whatever machine runs SQLite");
    if (word == "utc") refuse("'utc' after 'now' shifts by the time zone of whatever machine runs SQLite");
    if (word != "subsec" && word != "subsecond")
      refuse("the modifier " + arguments[i].sql + " is not translated");
    fraction = true;
  }
  Fragment result;
  if (name == "date" || name == "current_date") {
    result = formatted_moment("%Y-%m-%d", std::string(kUtcNow));
  } else if (name == "time" || name == "current_time") {
    result = formatted_moment(fraction ? "%H:%M:%f" : "%H:%M:%S", std::string(kUtcNow));
  } else if (name == "datetime" || name == "current_timestamp") {
    result = formatted_moment(fraction ? "%Y-%m-%d %H:%M:%f" : "%Y-%m-%d %H:%M:%S", std::string(kUtcNow));
  } else if (formatted) {
    result = formatted_moment(arguments[0].text, std::string(kUtcNow));
  } else if (name == "unixepoch") {
    if (fraction) refuse("unixepoch with 'subsec'");
    result = make_fragment("floor(extract(epoch FROM statement_timestamp()))::bigint", Binding::cast,
                           ValueClass::integer, PgType::int8);
  } else {
    result = make_fragment(
        "extract(epoch FROM date_trunc('milliseconds', statement_timestamp()))::double precision / "
        "86400 + 2440587.5",
        Binding::sum, ValueClass::real, PgType::float8);
  }
  result.changes = true;
  return result;
}

Fragment Translator::formatted_moment(const std::string& format, const std::string& base) {
  if (format == "%s") {
    const std::string number = base == kUtcNow ? "floor(extract(epoch FROM statement_timestamp()))::bigint"
                                               : "floor(extract(epoch FROM " + base + "))::bigint";
    Fragment seconds = text_fragment(number + "::text", Binding::cast);
    seconds.digits = number;
    return seconds;
  }
  if (format == "%w" && base != kUtcNow) {
    Fragment day = text_fragment("extract(dow FROM " + base + ")::bigint::text", Binding::cast);
    day.digits = "extract(dow FROM " + base + ")::bigint";
    return day;
  }
  // to_char takes any letter for a pattern, so what stands for itself goes into double quotes.
  std::string pattern;
  std::string plain;
  const auto flush = [&] {
    if (plain.empty()) return;
    const bool safe = plain.find_first_not_of("-: ./,") == std::string::npos;
    pattern += safe ? plain : '"' + plain + '"';
    plain.clear();
  };
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      if (format[i] == '"' || format[i] == '\\') plain += '\\';
      plain += format[i];
      continue;
    }
    const char letter = ++i < format.size() ? format[i] : '\0';
    std::string_view part;
    switch (letter) {
      case 'Y':
        part = "YYYY";
        break;
      case 'm':
        part = "MM";
        break;
      case 'd':
        part = "DD";
        break;
      case 'H':
        part = "HH24";
        break;
      case 'M':
        part = "MI";
        break;
      case 'S':
        part = "SS";
        break;
      case 'f':
        part = "SS.MS";
        break;
      case 'j':
        part = "DDD";
        break;
      case '%':
        plain += '%';
        continue;
      default:
        refuse("strftime with a format that is not translated");
    }
    flush();
    pattern += part;
  }
  flush();
  Fragment text = text_fragment("to_char(" + base + ", " + quote_literal(pattern) + ")");
  std::string_view shape = pattern;
  const bool zone = shape.ends_with("\"Z\"") || shape.ends_with("\"+00:00\"");
  if (zone) shape.remove_suffix(shape.ends_with("\"Z\"") ? 3 : 8);
  if (shape == "YYYY-MM-DD" && !zone) text.moment = Moment::date;
  if ((shape == "HH24:MI:SS" || shape == "HH24:MI:SS.MS") && !zone) text.moment = Moment::time;
  for (const std::string_view separator : {" ", "\"T\""}) {
    const std::string seconds = "YYYY-MM-DD" + std::string(separator) + "HH24:MI:SS";
    if (shape == seconds) text.moment = zone ? Moment::seconds_zone : Moment::seconds;
    if (shape == seconds + ".MS") text.moment = zone ? Moment::milliseconds_zone : Moment::milliseconds;
  }
  return text;
}

namespace {

// What a number of one field is read from, for text that arithmetic or CAST takes for a number.
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kFields = {{{"%Y", "year"},
                                                                                   {"%m", "month"},
                                                                                   {"%d", "day"},
                                                                                   {"%H", "hour"},
                                                                                   {"%M", "minute"},
                                                                                   {"%S", "second"},
                                                                                   {"%j", "doy"}}};

// base after a modifier of SQLite's, or a Refusal.
std::string modified_moment(const std::string& base, const Fragment& modifier) {
  if (!modifier.literal || modifier.value != ValueClass::text)
    refuse("a modifier of dates that is not a literal");
  const std::string word = fold_ascii(modifier.text);
  for (const std::string_view unit : {"day", "month", "year"}) {
    if (word == "start of " + std::string(unit))
      return "date_trunc(" + quote_literal(unit) + ", " + base + ")";
  }
  if (word == "localtime" || word == "utc") {
    refuse(quote_literal(word) + " is the time zone of whatever machine runs SQLite");
  }
  // +N days and the like. Months and years overflow into the next month, where PostgreSQL stays in the first.
  std::size_t at = word.starts_with('+') || word.starts_with('-') ? 1 : 0;
  const std::size_t digits = at;
  while (at < word.size() && word[at] >= '0' && word[at] <= '9') ++at;
  std::string unit = at < word.size() && word[at] == ' ' ? word.substr(at + 1) : std::string();
  if (unit.ends_with('s')) unit.pop_back();
  const bool known = unit == "day" || unit == "hour" || unit == "minute" || unit == "second";
  if (!known || at == digits || at - digits > 6)
    refuse("the modifier " + modifier.sql + " is not translated");
  return "(" + base + (word.starts_with('-') ? " - " : " + ") + "interval " +
         quote_literal(word.substr(digits, at - digits) + " " + unit) + ")";
}

}  // namespace

// Of a column or a literal, in a view.
Fragment Translator::moment_of_value(const std::string& name, const std::vector<Fragment>& arguments) {
  const bool formatted = name == "strftime";
  if (formatted && (!arguments[0].literal || arguments[0].value != ValueClass::text)) {
    refuse("strftime with a format that is not a literal");
  }
  const std::size_t first = formatted ? 1 : 0;
  const Fragment& value = arguments[first];
  std::string format = formatted            ? arguments[0].text
                       : name == "date"     ? "%Y-%m-%d"
                       : name == "time"     ? "%H:%M:%S"
                       : name == "datetime" ? "%Y-%m-%d %H:%M:%S"
                                            : "";
  std::string base;
  bool changes = value.changes;
  switch (value.value) {
    case ValueClass::null:
      return value;
    case ValueClass::date:
      base = bound(value, Binding::cast) + "::timestamp";
      break;
    case ValueClass::timestamp:
      base = bound(value, Binding::cast);
      break;
    case ValueClass::timestamptz:
      base = "(" + bound(value, Binding::time_zone) + " AT TIME ZONE 'UTC')";
      break;
    case ValueClass::text: {
      if (fold_ascii(value.text) == "now" && value.literal) {
        base = "(" + std::string(kUtcNow) + ")";
        changes = true;
        break;
      }
      const std::string& text = value.text;
      const bool whole = is_moment_text(text, PgType::timestamp) &&
                         (text.size() == 10 || text.size() == 16 || text.size() == 19);
      if (!value.literal || !whole) refuse(name + " of text, which may hold no date");
      std::string full = text.substr(0, 10) + " " + (text.size() > 10 ? text.substr(11) : "00:00");
      if (full.size() == 16) full += ":00";
      if (arguments.size() == first + 1 && (name == "date" || name == "time" || name == "datetime")) {
        return text_literal(name == "date" ? full.substr(0, 10) : name == "time" ? full.substr(11) : full);
      }
      base = quote_literal(full) + "::timestamp";
      break;
    }
    default:
      refuse(name + " of " + std::string(spoken(value.value)) + " is not translated");
  }
  for (std::size_t i = first + 1; i < arguments.size(); ++i) base = modified_moment(base, arguments[i]);
  Fragment result;
  if (name == "unixepoch") {
    result = make_fragment("floor(extract(epoch FROM " + base + "))::bigint", Binding::cast,
                           ValueClass::integer, PgType::int8);
  } else if (name == "julianday") {
    // Milliseconds, as SQLite keeps them, since noon of -4713-11-24.
    result = make_fragment(
        "(round(extract(epoch FROM " + base + ") * 1000) + 210866760000000)::double precision / 86400000",
        Binding::product, ValueClass::real, PgType::float8);
  } else {
    if (format.find("%f") != std::string::npos) refuse("strftime with fractions of a second of a column");
    result = formatted_moment(format, base);
    for (const auto& [field, word] : kFields) {
      if (format != field) continue;
      const std::string part = "extract(" + std::string(word) + " FROM " + base + ")";
      result.digits = (field == "%S" ? "floor(" + part + ")" : part) + "::bigint";
    }
    result.moment = Moment::none;
  }
  result.not_null = value.not_null;
  result.changes = changes;
  return result;
}

}  // namespace sluice
