#include "engine/model/conversion.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace sluice {
namespace {

constexpr std::array<std::string_view, 11> kEpochs = {
    "", "s", "ms", "us", "ns", "julian", "apple", "webkit", "filetime", "dotnet", "excel"};
constexpr std::array<std::string_view, 4> kEncodings = {"", "cp1252", "latin1", "cesu8"};
constexpr std::array<std::string_view, 3> kBadTexts = {"", "replace", "strip"};
constexpr std::array<std::string_view, 3> kUuids = {"", "be", "dotnet"};
constexpr std::array<std::string_view, 3> kBase64s = {"", "strict", "relaxed"};

using TypeSet = std::uint32_t;
static_assert(kPgTypeCount <= 32);

template <class... Types>
constexpr TypeSet types(Types... listed) {
  return ((TypeSet{1} << static_cast<unsigned>(listed)) | ...);
}

constexpr TypeSet kNumbers =
    types(PgType::int2, PgType::int4, PgType::int8, PgType::float4, PgType::float8, PgType::numeric);
constexpr TypeSet kDates = types(PgType::date, PgType::timestamp, PgType::timestamptz);
constexpr TypeSet kTexts = types(PgType::text, PgType::varchar, PgType::bpchar, PgType::json, PgType::jsonb);
constexpr TypeSet kAll = (TypeSet{1} << kPgTypeCount) - 1;

// Which conversion has a meaning for which types.
struct Applicability {
  std::string_view key;  // as in the mapping
  bool (*wanted)(const Conversion&);
  TypeSet types;
};

constexpr std::array kApplicability = {
    Applicability{"epoch", [](const Conversion& c) { return c.epoch != EpochUnit::none; }, kDates},
    Applicability{"encoding", [](const Conversion& c) { return c.encoding != TextEncoding::utf8; }, kTexts},
    Applicability{"bad-text", [](const Conversion& c) { return c.bad_text != BadText::misfit; }, kTexts},
    Applicability{"uuid-bytes", [](const Conversion& c) { return c.uuid_bytes != UuidBytes::none; },
                  types(PgType::uuid)},
    Applicability{"base64", [](const Conversion& c) { return c.base64 != Base64::none; },
                  types(PgType::bytea)},
    Applicability{"empty-as-null", [](const Conversion& c) { return c.empty_as_null; }, kAll},
    Applicability{"zero-date-as-null", [](const Conversion& c) { return c.zero_date_as_null; }, kDates},
    Applicability{"truncate-fraction", [](const Conversion& c) { return c.truncate_fraction; },
                  kDates | types(PgType::time, PgType::interval)},
    Applicability{"blob-as-text", [](const Conversion& c) { return c.blob_as_text; },
                  kAll & ~types(PgType::bytea)},
    Applicability{"text-as-number", [](const Conversion& c) { return c.text_as_number; }, kNumbers},
    Applicability{"naive-as-utc", [](const Conversion& c) { return c.naive_as_utc; },
                  types(PgType::timestamptz)},
    Applicability{"lossy-jsonb", [](const Conversion& c) { return c.lossy_jsonb; }, types(PgType::jsonb)},
    Applicability{"date-format", [](const Conversion& c) { return !c.date_format.empty(); },
                  kDates | types(PgType::time)},
};

std::string list_of(TypeSet set) {
  std::string list;
  for (const PgTypeName& name : kPgTypeNames) {
    if ((set & types(name.type)) == 0) continue;
    if (!list.empty()) list.append(", ");
    list.append(name.sql);
  }
  return list;
}

// A format that says too little, or the same thing twice, for the type.
std::string why_not_format(const Conversion& conversion, PgType type) {
  const std::string& format = conversion.date_format;
  std::string seen;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') continue;
    if (++at == format.size()) return "date-format ends in a lone %";
    const char directive = format[at];
    if (kDateDirectives.find(directive) == std::string_view::npos) {
      return std::string("date-format does not know %") + directive;
    }
    if (directive == '%') continue;
    if (seen.find(directive) != std::string::npos) {
      return std::string("date-format has %") + directive + " twice";
    }
    seen += directive;
  }
  const auto count = [&](std::string_view directives) {
    return std::count_if(seen.begin(), seen.end(),
                         [&](char c) { return directives.find(c) != std::string_view::npos; });
  };
  const auto date_parts = count("YymbBdaA");
  if (type == PgType::time) {
    if (date_parts > 0 || count("z") > 0) return "date-format has a date or a zone, and the column is a time";
  } else if (count("Yy") != 1 || count("mbB") != 1 || count("d") != 1) {
    return "date-format must have a year (%Y or %y), a month (%m, %b or %B) and a day (%d), each once";
  }
  if (count("HI") > 1) return "date-format has two hours";
  if (count("I") != count("p")) return "date-format must have %I and %p together";
  if (count("MS") + count("f") > 0 && count("HI") == 0)
    return "date-format has parts of an hour, but no hour";
  if (count("S") > 0 && count("M") == 0) return "date-format has seconds, but no minutes";
  if (count("f") > 0 && count("S") == 0) return "date-format has a fraction, but no seconds";
  if (type == PgType::time && count("HI") == 0) return "date-format must have an hour (%H or %I)";
  if (count("z") > 0 && count("HI") == 0) return "date-format has a zone, but no hour";
  if (count("z") > 0 && type != PgType::timestamptz) {
    return "date-format has a zone, which only timestamp with time zone can keep";
  }
  if (count("z") == 0 && type == PgType::timestamptz && !conversion.naive_as_utc) {
    return "date-format must have a zone (%z), or naive-as-utc must say that it is UTC";
  }
  return {};
}

}  // namespace

std::string why_not(const Conversion& conversion, PgType type) {
  for (const Applicability& row : kApplicability) {
    if (!row.wanted(conversion) || (row.types & types(type)) != 0) continue;
    std::string text(row.key);
    text.append(" does not apply to ").append(name_of(type).sql).append(", only to ");
    return text.append(list_of(row.types));
  }
  if (!conversion.date_format.empty()) return why_not_format(conversion, type);
  return {};
}

std::string describe(const Conversion& conversion) {
  std::string text;
  const auto add = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    if (!text.empty()) text.append(", ");
    text.append(key).append(" = ").append(value);
  };
  const auto add_word = [&](std::string_view key, std::string_view word) {
    if (!word.empty()) add(key, std::string("\"").append(word).append("\""));
  };
  const auto add_flag = [&](std::string_view key, bool on) { add(key, on ? "true" : ""); };
  add_word("epoch", kEpochs.at(static_cast<std::size_t>(conversion.epoch)));
  add_word("encoding", kEncodings.at(static_cast<std::size_t>(conversion.encoding)));
  add_word("bad-text", kBadTexts.at(static_cast<std::size_t>(conversion.bad_text)));
  add_word("uuid-bytes", kUuids.at(static_cast<std::size_t>(conversion.uuid_bytes)));
  add_word("base64", kBase64s.at(static_cast<std::size_t>(conversion.base64)));
  add_flag("empty-as-null", conversion.empty_as_null);
  add_flag("zero-date-as-null", conversion.zero_date_as_null);
  add_flag("truncate-fraction", conversion.truncate_fraction);
  add_flag("blob-as-text", conversion.blob_as_text);
  add_flag("text-as-number", conversion.text_as_number);
  add_flag("naive-as-utc", conversion.naive_as_utc);
  add_flag("lossy-jsonb", conversion.lossy_jsonb);
  add_word("date-format", conversion.date_format);
  return text;
}

}  // namespace sluice
