// uuid and boolean words, and the quoting that every name and literal goes through.

#include <array>
#include <cctype>
#include <string>

#include "engine/model/quote.h"
#include "engine/plan/names.h"
#include "fuzz/fuzz.h"
#include "io/wire/boolean.h"
#include "io/wire/utf8.h"
#include "io/wire/uuid.h"

namespace sluice {
namespace {

// The slow reading of the rule: 32 hex digits, alone, in groups of 8-4-4-4-12, and either in braces.
bool reads_as_uuid(std::string_view text, std::string& digits) {
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}') text = text.substr(1, text.size() - 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash_here = text.size() == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
    if (dash_here != (text[i] == '-')) return false;
    if (dash_here) continue;
    if (std::isxdigit(static_cast<unsigned char>(text[i])) == 0) return false;
    digits += static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
  }
  return digits.size() == 32 && (text.size() == 32 || text.size() == 36);
}

void check_uuid(std::string_view text) {
  std::array<std::byte, 16> bytes{};
  std::string digits;
  const bool expected = reads_as_uuid(text, digits);
  fuzz::expect(parse_uuid(text, bytes) == expected, "a uuid by the slow rule");
  if (!expected) return;
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4];
    hex += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 15];
  }
  fuzz::expect(hex == digits, "a uuid keeps its digits");
}

// Undoes the quoting as the server does.
void check_quoting(std::string_view name) {
  if (name.find('\0') != std::string_view::npos) return;  // no name of SQLite holds one
  const std::string quoted = quote_identifier(name);
  fuzz::expect(quoted.size() >= 2 && quoted.front() == '"' && quoted.back() == '"', "names stand in quotes");
  std::string inner;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] == '"') fuzz::expect(quoted[++i] == '"' && i + 1 < quoted.size(), "quotes are doubled");
    inner += quoted[i];
  }
  fuzz::expect(inner == name, "a quoted name is the name");
}

// As the server reads it, whatever standard_conforming_strings says: backslashes mean something in E'...'
// alone.
void check_literal(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return;  // neither server takes it
  const std::string quoted = quote_literal(text);
  const bool escapes = quoted.starts_with(" E'");
  const std::size_t begin = escapes ? 3 : 1;
  fuzz::expect(quoted.size() > begin && quoted[begin - 1] == '\'' && quoted.back() == '\'',
               "texts stand in quotes");
  std::string inner;
  for (std::size_t i = begin; i + 1 < quoted.size(); ++i) {
    fuzz::expect(escapes || quoted[i] != '\\', "a backslash asks for E");
    const bool doubled = quoted[i] == '\'' || quoted[i] == '\\';
    if (doubled) {
      fuzz::expect(i + 2 < quoted.size() && quoted[i + 1] == quoted[i], "quotes and backslashes are doubled");
      ++i;
    }
    inner += quoted[i];
  }
  fuzz::expect(inner == text, "a quoted text is the text");
}

void check_names(std::string_view name) {
  if (!valid_utf8(name)) return;
  const std::string made = shortened(name);
  fuzz::expect(made.size() <= kNameBytesMax, "names fit");
  fuzz::expect(valid_utf8(made), "names are cut between characters");
  NameSpace names;
  const std::string first = names.claim_column(name);
  fuzz::expect(!first.empty() && first != names.claim_column(name), "two columns never share a name");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  const std::string_view text = fuzz::text_of(data, size);
  check_uuid(text);
  check_quoting(text);
  check_literal(text);
  check_names(text);
  static_cast<void>(parse_boolean(text));
  return 0;
}
