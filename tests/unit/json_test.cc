#include "io/wire/json.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {
namespace {

std::mt19937_64 seeded_random() { return std::mt19937_64(testing::test_seed()); }

// Both in a heap block of exactly their size, so that the address sanitizer sees any read past the end.
JsonCheck check(std::string_view text, const JsonLimits& limits = {}) {
  const auto block = std::make_unique<char[]>(text.size());
  text.copy(block.get(), text.size());
  return check_json({block.get(), text.size()}, limits);
}

struct Printed {
  JsonbResult result;
  std::string text;
  bool operator==(const Printed&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Printed& printed) {
  return out << static_cast<int>(printed.result) << ' ' << printed.text;
}

Printed print(std::string_view text, const JsonLimits& limits = {}) {
  const auto block = std::make_unique<char[]>(text.size());
  text.copy(block.get(), text.size());
  Buffer buffer;
  buffer.append("before");
  const JsonbResult result = canonical_jsonb({block.get(), text.size()}, buffer, limits);
  EXPECT_TRUE(buffer.view().starts_with("before"));
  const std::string written(buffer.view().substr(6));
  EXPECT_EQ(is_written(result), !written.empty()) << text;
  // One look without printing says the same; and what it remembers of one text does not reach the next.
  static JsonExaminer examiner;
  const JsonExamination examined = examiner.examine({block.get(), text.size()}, limits);
  EXPECT_EQ(examined.jsonb, result) << text;
  EXPECT_EQ(examined.check, check(text, limits)) << text;
  return {result, written};
}

Printed good(std::string text) { return {JsonbResult::ok, std::move(text)}; }

std::string repeat(std::string_view piece, std::size_t count) {
  std::string text;
  for (; count > 0; --count) text += piece;
  return text;
}

TEST(CheckJson, TakesEveryKindOfValue) {
  for (const char* text : {"null",
                           "true",
                           "false",
                           "0",
                           "-0",
                           "7",
                           "-7",
                           "10",
                           "1.5",
                           "0.5",
                           "-0.5",
                           "1e5",
                           "1E+5",
                           "1e-05",
                           "0e0",
                           "1.50e300000",
                           "\"\"",
                           "\"a\"",
                           "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\"",
                           "\"é 漢字 \x7F\"",
                           "[]",
                           "[ ]",
                           "{}",
                           "{\t}",
                           "[1]",
                           "[1,2 , 3]",
                           "{\"a\":1}",
                           "{ \"a\" : [ { } ] , \"a\" : null }",
                           " \t\r\n1\n",
                           "[[[[]]],{}]"}) {
    EXPECT_EQ(check(text), JsonCheck::ok) << text;
    EXPECT_TRUE(is_written(print(text).result) || print(text).result == JsonbResult::number_out_of_range)
        << text;
  }
}

TEST(CheckJson, RefusesWhatOnlyLooksLikeJson) {
  for (const char* text : {"",
                           " ",
                           "nul",
                           "nulll",
                           "NULL",
                           "True",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "undefined",
                           "01",
                           "-01",
                           "00",
                           "+1",
                           ".5",
                           "1.",
                           "-",
                           "-.5",
                           "1.e5",
                           "1e",
                           "1e+",
                           "1.5e+",
                           "0x10",
                           "1_000",
                           "1 2",
                           "1,",
                           ",",
                           "\"",
                           "\"a",
                           "a",
                           "'a'",
                           "\"a\"b",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\U1234\"",
                           "\"\\u",
                           "\"\\",
                           "\"\t\"",
                           "\"\n\"",
                           "\"\x01\"",
                           "\"\x1F\"",
                           "[",
                           "]",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "[1}",
                           "{",
                           "}",
                           "{]",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,",
                           "{\"a\":1,}",
                           "{\"a\" 1}",
                           "{\"a\",1}",
                           "{a:1}",
                           "{1:1}",
                           "{'a':1}",
                           "{\"a\":1 \"b\":2}",
                           "{,}",
                           "[1]]",
                           "{}{}",
                           "[]1",
                           "// comment\n1",
                           "1 // comment",
                           "/* */1",
                           "\xEF\xBB\xBF{}",
                           "\v1",
                           "\f1",
                           "\xC2\xA0"
                           "1",
                           "[1]\x01"}) {
    EXPECT_EQ(check(text), JsonCheck::malformed) << text;
    EXPECT_EQ(print(text).result, JsonbResult::malformed) << text;
  }
  using namespace std::string_literals;
  for (const std::string& text : {"\0"s, "1\0"s, "\"\0\""s, "\"a\0b\""s, "[\0]"s}) {
    EXPECT_EQ(check(text), JsonCheck::malformed) << ::testing::PrintToString(text);
  }
}

TEST(CheckJson, TakesWhatJsonKeepsAndJsonbCannot) {
  for (const char* text :
       {"\"\\u0000\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "1e200000", "{\"a\":1,\"a\":2}"}) {
    EXPECT_EQ(check(text), JsonCheck::ok) << text;
  }
}

TEST(CheckJson, CountsDepthAndNeedsNoStackForIt) {
  const std::string arrays = repeat("[", 5000) + repeat("]", 5000);
  const std::string objects = repeat("{\"a\":", 5000) + '1' + repeat("}", 5000);
  EXPECT_EQ(check(arrays), JsonCheck::ok);
  EXPECT_EQ(check(objects), JsonCheck::ok);
  EXPECT_EQ(check('[' + arrays + ']'), JsonCheck::too_deep);
  EXPECT_EQ(check('[' + objects + ']'), JsonCheck::too_deep);
  EXPECT_EQ(check(repeat("[", 1'000'000)), JsonCheck::too_deep);
  EXPECT_EQ(check(repeat("[],", 6000)), JsonCheck::malformed);
  EXPECT_EQ(check('[' + repeat("[],", 6000) + "[]]"), JsonCheck::ok);
  EXPECT_EQ(check("[[]]", {.depth_max = 1}), JsonCheck::too_deep);
  EXPECT_EQ(check("1", {.depth_max = 0}), JsonCheck::ok);
  EXPECT_EQ(check("[]", {.depth_max = 0}), JsonCheck::too_deep);
  const std::string abyss = repeat("[", 300'000) + repeat("]", 300'000);
  EXPECT_EQ(check(abyss, {.depth_max = 300'000}), JsonCheck::ok);
  EXPECT_EQ(print(abyss, {.depth_max = 300'000}), good(abyss));
  EXPECT_EQ(print(abyss).result, JsonbResult::too_deep);
}

TEST(CheckJson, FindsTheEndOfStringsOfEveryLength) {
  for (std::size_t size = 0; size <= 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (const auto& [piece, expected] : {std::pair<std::string, JsonCheck>{"\\n", JsonCheck::ok},
                                            {"\\u00e9", JsonCheck::ok},
                                            {"é", JsonCheck::ok},
                                            {"\x7F", JsonCheck::ok},
                                            {"\xFF", JsonCheck::ok},
                                            {"\"", JsonCheck::malformed},
                                            {"\x1F", JsonCheck::malformed},
                                            {"\\", JsonCheck::malformed},
                                            {"\\u00e", JsonCheck::malformed}}) {
        const std::string text = '"' + std::string(at, '!') + piece + std::string(size - at, '~') + '"';
        ASSERT_EQ(check(text), expected) << text;
      }
    }
  }
}

// RFC 8259 as recursive descent, one function per rule.
class ReferenceReader {
 public:
  explicit ReferenceReader(std::string_view text) : text_(text) {}

  bool document() { return value() && (blanks(), at_ == text_.size()); }

 private:
  void blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }
  bool digits() {
    const std::size_t first = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > first;
  }
  bool number() {
    word("-");
    if (!word("0") && !digits()) return false;
    if (word(".") && !digits()) return false;
    if (word("e") || word("E")) {
      if (!word("+")) word("-");
      if (!digits()) return false;
    }
    return true;
  }
  bool string() {
    if (!word("\"")) return false;
    while (at_ < text_.size()) {
      const char byte = text_[at_++];
      if (byte == '"') return true;
      if (static_cast<unsigned char>(byte) < 0x20) return false;
      if (byte != '\\') continue;
      if (word("u")) {
        for (int i = 0; i < 4; ++i, ++at_) {
          if (at_ >= text_.size() || std::isxdigit(static_cast<unsigned char>(text_[at_])) == 0) return false;
        }
      } else if (at_ >= text_.size() ||
                 std::string_view("\"\\/bfnrt").find(text_[at_++]) == std::string_view::npos) {
        return false;
      }
    }
    return false;
  }
  bool member() {
    blanks();
    if (!string()) return false;
    blanks();
    return word(":") && value();
  }
  bool value() {
    blanks();
    if (word("null") || word("true") || word("false")) return true;
    if (text_.substr(at_, 1) == "\"") return string();
    if (word("[")) {
      blanks();
      if (word("]")) return true;
      do {
        if (!value()) return false;
        blanks();
      } while (word(","));
      return word("]");
    }
    if (word("{")) {
      blanks();
      if (word("}")) return true;
      do {
        if (!member()) return false;
        blanks();
      } while (word(","));
      return word("}");
    }
    return number();
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// Makes documents: each as some text for a value, and as the one text that jsonb prints for it. The
// expected text is made along with the document, so no parser stands between them.
class DocumentMaker {
 public:
  explicit DocumentMaker(std::mt19937_64& random) : random_(random) {}

  struct Document {
    std::string text;
    std::string expected;
  };

  Document make(int depth) {
    const std::size_t kind = below(depth > 0 ? 10 : 6);
    if (kind == 0) {
      const std::string word = std::vector<std::string>{"null", "true", "false"}[below(3)];
      return {word, word};
    }
    if (kind < 4) return number();
    if (kind < 6) return string(below(20));
    Document made = kind < 8 ? array(depth) : object(depth);
    made.text = blanks() + made.text + blanks();
    return made;
  }

  bool duplicates = false;  // whether any object had a name twice

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }

  std::string blanks() { return std::vector<std::string>{"", "", "", " ", "\t", "\r\n", "   "}[below(7)]; }

  Document array(int depth) {
    Document made{"[", "["};
    for (std::size_t count = below(6), i = 0; i < count; ++i) {
      const Document element = make(depth - 1);
      made.text += (i > 0 ? blanks() + ',' : "") + blanks() + element.text + blanks();
      made.expected += (i > 0 ? ", " : "") + element.expected;
    }
    return {made.text + blanks() + ']', made.expected + ']'};
  }

  Document object(int depth) {
    struct Member {
      std::string key;
      std::string printed_key;
      std::string value;
    };
    std::vector<Member> members;  // in the order of jsonb
    std::string text = "{" + blanks();
    for (std::size_t count = below(8), i = 0; i < count; ++i) {
      const Document key = string(below(4));
      const std::string decoded = decoded_;
      const Document value = make(depth - 1);
      text += (i > 0 ? "," + blanks() : "") + key.text + blanks() + ':' + blanks() + value.text;
      auto place = members.begin();
      const auto before = [&decoded](const Member& member) {
        if (member.key.size() != decoded.size()) return member.key.size() < decoded.size();
        return member.key < decoded;
      };
      while (place != members.end() && before(*place)) ++place;
      if (place != members.end() && place->key == decoded) {
        place->value = value.expected;
        duplicates = true;
      } else {
        members.insert(place, {decoded, key.expected, value.expected});
      }
    }
    std::string expected = "{";
    for (const Member& member : members) {
      expected += (expected.size() > 1 ? ", " : "") + member.printed_key + ": " + member.value;
    }
    return {text + blanks() + '}', expected + '}'};
  }

  // Leaves the characters themselves in decoded_.
  Document string(std::size_t length) {
    struct Letter {
      const char* raw;
      const char* printed;
      std::vector<const char*> spellings;
    };
    static const std::vector<Letter> kLetters = {
        {"a", "a", {"a", "a", "\\u0061"}},
        {"b", "b", {"b", "b", "\\u0062"}},
        {"B", "B", {"B"}},
        {"/", "/", {"/", "\\/", "\\u002f", "\\u002F"}},
        {"\"", "\\\"", {"\\\"", "\\u0022"}},
        {"\\", "\\\\", {"\\\\", "\\u005C"}},
        {"\b", "\\b", {"\\b", "\\u0008"}},
        {"\f", "\\f", {"\\f", "\\u000c"}},
        {"\n", "\\n", {"\\n", "\\u000A"}},
        {"\r", "\\r", {"\\r", "\\u000d"}},
        {"\t", "\\t", {"\\t", "\\u0009"}},
        {"\x01", "\\u0001", {"\\u0001"}},
        {"\x1F", "\\u001f", {"\\u001f", "\\u001F"}},
        {"\x7F", "\x7F", {"\x7F", "\\u007f"}},
        {"é", "é", {"é", "\\u00e9", "\\u00E9"}},
        {"€", "€", {"€", "\\u20ac"}},
        {"\xEF\xBF\xBF", "\xEF\xBF\xBF", {"\xEF\xBF\xBF", "\\uffff"}},
        {"𝄞", "𝄞", {"𝄞", "\\ud834\\udd1e", "\\uD834\\uDD1E"}},
    };
    std::string raw;
    std::string text;
    std::string printed;
    // Some strings of plain letters only, which take another way through the code.
    const std::size_t kinds = below(2) == 0 ? 2 : kLetters.size();
    for (; length > 0; --length) {
      const Letter& letter = kLetters[below(kinds)];
      raw += letter.raw;
      text += kinds == 2 ? letter.raw : letter.spellings[below(letter.spellings.size())];
      printed += letter.printed;
    }
    decoded_ = raw;
    return {'"' + text + '"', '"' + printed + '"'};
  }

  Document number() {
    std::string before = std::to_string(random_() >> below(64));
    if (below(3) == 0) before = "0";
    if (below(3) == 0 && before != "0") before += std::string(below(12), '0');
    std::string after;
    for (std::size_t count = below(3) == 0 ? 0 : below(12); count > 0; --count)
      after += "0000123459"[below(10)];
    const std::string sign = below(3) == 0 ? "-" : "";
    std::string text = sign + before + (after.empty() ? "" : '.' + after);
    // Then let an exponent move the point, one place at a time.
    if (below(2) == 0) {
      int exponent = static_cast<int>(below(61)) - 30;
      text += below(2) == 0 ? 'e' : 'E';
      text += exponent < 0 ? "-" : below(2) == 0 ? "+" : "";
      text += std::string(below(3), '0') + std::to_string(std::abs(exponent));
      for (; exponent > 0; --exponent) {
        before += after.empty() ? '0' : after[0];
        if (!after.empty()) after.erase(0, 1);
      }
      for (; exponent < 0; ++exponent) {
        after.insert(0, 1, before.back());
        before.pop_back();
        if (before.empty()) before = "0";
      }
      before.erase(0, std::min(before.find_first_not_of('0'), before.size() - 1));
    }
    const bool zero = (before + after).find_first_not_of('0') == std::string::npos;
    return {text, (zero ? "" : sign) + before + (after.empty() ? "" : '.' + after)};
  }

  std::mt19937_64& random_;
  std::string decoded_;
};

TEST(CanonicalJsonb, PrintsRandomDocumentsAsTheyWereMadeToBe) {
  auto random = seeded_random();
  for (int round = 0; round < 15'000; ++round) {
    DocumentMaker maker(random);
    const auto document = maker.make(static_cast<int>(random() % 6));
    const JsonbResult result = maker.duplicates ? JsonbResult::duplicate_keys : JsonbResult::ok;
    ASSERT_EQ(check(document.text), JsonCheck::ok) << document.text;
    ASSERT_EQ(print(document.text), (Printed{result, document.expected})) << document.text;
    // And printing is at rest: its own output comes back as it is.
    ASSERT_EQ(print(document.expected), good(document.expected)) << document.text;
  }
}

TEST(CheckJson, AgreesWithRecursiveDescentOnDamagedDocuments) {
  auto random = seeded_random();
  const std::vector<std::string> pieces = {
      "{", "}", "[",  "]",  "\"",   ",", ":", "\\",   ".",    "-", "+", "e",     "0",
      "1", " ", "\n", "\t", "\x01", "/", "u", "true", "null", "é", "'", "\\u00", "\xEF\xBB\xBF"};
  int malformed = 0;
  for (int round = 0; round < 30'000; ++round) {
    std::string text = DocumentMaker(random).make(static_cast<int>(random() % 4)).text;
    for (std::size_t count = 1 + random() % 3; count > 0; --count) {
      const std::size_t at = random() % (text.size() + 1);
      text.replace(at, random() % 2, random() % 4 == 0 ? "" : pieces[random() % pieces.size()]);
    }
    const bool expected = ReferenceReader(text).document();
    malformed += expected ? 0 : 1;
    ASSERT_EQ(check(text), expected ? JsonCheck::ok : JsonCheck::malformed) << text;
    // It may have met a number or a surrogate that it cannot take before the damage.
    const JsonbResult result = print(text).result;
    ASSERT_FALSE(expected ? result == JsonbResult::malformed : is_written(result)) << text;
  }
  EXPECT_GT(malformed, 5000);
}

TEST(CheckJson, RefusesEveryProperPrefixOfADocument) {
  const std::string text = R"({"name": ["\u00e9\n", -12.5e+3, true, null], "b": {"c": {}}})";
  ASSERT_EQ(check(text), JsonCheck::ok);
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(check(text.substr(0, size)), JsonCheck::malformed) << size;
  }
}

// Taken from PostgreSQL 15: select '...'::jsonb.
TEST(CanonicalJsonb, MatchesWhatTheServerPrints) {
  EXPECT_EQ(
      print(R"({"a":1e2,"b":1.50,"c":-0,"d":-0.00,"e":0e5,"f":0e-3,"g":1E+2,"h":1.5e-3,"i":12.50e1})"),
      good(
          R"({"a": 100, "b": 1.50, "c": 0, "d": 0.00, "e": 0, "f": 0.000, "g": 100, "h": 0.0015, "i": 125.0})"));
  EXPECT_EQ(print(R"("\ud83d\ude00 \/ \u007f \u001f \u0022 \u005c \u000b \b")"),
            good("\"😀 / \x7F \\u001f \\\" \\\\ \\u000b \\b\""));
  EXPECT_EQ(print(R"({"aa":1,"é":3,"B":4,"":5,"b":6})"), good(R"({"": 5, "B": 4, "b": 6, "aa": 1, "é": 3})"));
}

TEST(CanonicalJsonb, KeepsTheLastOfRepeatedNamesAndSaysSo) {
  const auto lossy = [](std::string text) { return Printed{JsonbResult::duplicate_keys, std::move(text)}; };
  EXPECT_EQ(print(R"({"a":1,"b":2,"a":3})"), lossy(R"({"a": 3, "b": 2})"));
  EXPECT_EQ(print(R"({"a":1,"\u0061":{"x":[]}})"), lossy(R"({"a": {"x": []}})"));
  EXPECT_EQ(print(R"([{"a":{"b":1,"b":2},"a":0}])"), lossy(R"([{"a": 0}])"));
  EXPECT_EQ(print(R"({"a":1,"A":2})"), good(R"({"A": 2, "a": 1})"));
}

TEST(CanonicalJsonb, FindsRepeatedNamesAmongFewAndMany) {
  for (const std::size_t count : {2, 3, 15, 16, 17, 40, 500}) {
    for (const std::size_t same : {std::size_t{0}, count / 2, count - 1}) {
      std::string unique;
      std::string repeated;
      for (std::size_t i = 0; i < count; ++i) {
        // Names that differ only after their first eight bytes, too.
        const std::string prefix = i % 2 == 0 ? "key" : "a name of some length, ";
        const std::string rest = (i + 1 == count ? "" : ",");
        unique += '"' + prefix + std::to_string(i) + "\":{\"key0\":0}" + rest;
        const std::size_t number = i + 1 == count && same != i ? same : i;
        const std::string other = number % 2 == 0 ? "key" : "a name of some length, ";
        repeated += '"' + other + std::to_string(number) + "\":{\"key0\":0}" + rest;
      }
      EXPECT_EQ(print("{" + unique + "}").result, JsonbResult::ok) << count;
      const bool repeats = same + 1 != count;
      EXPECT_EQ(print("{" + repeated + "}").result, repeats ? JsonbResult::duplicate_keys : JsonbResult::ok)
          << count << ' ' << same;
    }
  }
}

TEST(CanonicalJsonb, RefusesWhatTheServerRefuses) {
  EXPECT_EQ(print(R"("a\u0000b")").result, JsonbResult::nul_escape);
  EXPECT_EQ(print(R"({"\u0000":1})").result, JsonbResult::nul_escape);
  EXPECT_EQ(print(R"("\\u0000")"), good(R"("\\u0000")"));
  for (const char* text :
       {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\n")", R"("\ud800\ud800\udc00")",
        R"("\udc00\ud800")", R"({"\ud800":1})", R"("\ud800\u0041")"}) {
    EXPECT_EQ(print(text).result, JsonbResult::lone_surrogate) << text;
  }
}

TEST(CanonicalJsonb, EndsNumbersWhereNumericDoes) {
  const auto refused = [](std::string_view text) {
    return print(text).result == JsonbResult::number_out_of_range;
  };
  EXPECT_EQ(print("1e131071"), good('1' + std::string(131'071, '0')));
  EXPECT_TRUE(refused("1e131072"));
  EXPECT_TRUE(refused("-1e131072"));
  EXPECT_FALSE(refused("0.0001e131075"));
  EXPECT_TRUE(refused("0.0001e131076"));
  EXPECT_EQ(print("1e-16383"), good("0." + std::string(16'382, '0') + '1'));
  EXPECT_TRUE(refused("1e-16384"));
  EXPECT_EQ(print("0e-16383"), good("0." + std::string(16'383, '0')));
  EXPECT_TRUE(refused("0e-16384"));
  EXPECT_EQ(print("0e1073741822"), good("0"));
  EXPECT_TRUE(refused("0e1073741823"));
  EXPECT_TRUE(refused("0e99999999999999999999999999"));
  EXPECT_TRUE(refused("1e-99999999999999999999999999"));
  EXPECT_EQ(print(std::string(131'072, '9')), good(std::string(131'072, '9')));
  EXPECT_TRUE(refused(std::string(131'073, '9')));
  EXPECT_EQ(print("0." + std::string(16'383, '9')), good("0." + std::string(16'383, '9')));
  EXPECT_TRUE(refused("0." + std::string(16'384, '0')));
}

}  // namespace
}  // namespace sluice
