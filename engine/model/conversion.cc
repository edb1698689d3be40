#include "engine/model/conversion.h"

#include <array>
#include <string_view>

namespace sluice {
namespace {

constexpr std::array<std::string_view, 11> kEpochs = {
    "", "s", "ms", "us", "ns", "julian", "apple", "webkit", "filetime", "dotnet", "excel"};
constexpr std::array<std::string_view, 4> kEncodings = {"", "cp1252", "latin1", "cesu8"};
constexpr std::array<std::string_view, 3> kBadTexts = {"", "replace", "strip"};
constexpr std::array<std::string_view, 3> kUuids = {"", "be", "dotnet"};
constexpr std::array<std::string_view, 3> kBase64s = {"", "strict", "relaxed"};

}  // namespace

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
