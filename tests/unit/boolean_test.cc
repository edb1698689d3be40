#include "io/wire/boolean.h"

#include <gtest/gtest.h>

#include <cctype>
#include <map>
#include <string>

namespace sluice {
namespace {

const std::map<std::string, bool>& documented_words() {
  static const std::map<std::string, bool> words = {
      {"t", true},   {"f", false},  {"true", true}, {"false", false}, {"y", true}, {"n", false},
      {"yes", true}, {"no", false}, {"on", true},   {"off", false},   {"1", true}, {"0", false}};
  return words;
}

TEST(ParseBoolean, TakesEveryDocumentedWordInEveryMixOfCases) {
  for (const auto& [word, value] : documented_words()) {
    for (unsigned upper = 0; upper < 1u << word.size(); ++upper) {
      std::string text = word;
      for (std::size_t i = 0; i < text.size(); ++i) {
        if ((upper >> i & 1) != 0) text[i] = static_cast<char>(std::toupper(text[i]));
      }
      EXPECT_EQ(parse_boolean(text), value) << text;
    }
  }
}

TEST(ParseBoolean, TakesNoOtherTextOfOneOrTwoBytes) {
  EXPECT_FALSE(parse_boolean(""));
  for (int first = 0; first < 256; ++first) {
    std::string text(1, static_cast<char>(first));
    const auto expect_as_documented = [&text] {
      std::string folded = text;
      for (char& letter : folded) {
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter + 32);
      }
      const auto found = documented_words().find(folded);
      ASSERT_EQ(parse_boolean(text).has_value(), found != documented_words().end())
          << testing::PrintToString(text);
    };
    expect_as_documented();
    text.push_back('\0');
    for (int second = 0; second < 256; ++second) {
      text[1] = static_cast<char>(second);
      expect_as_documented();
    }
  }
}

TEST(ParseBoolean, RefusesWhatTheServerWouldTake) {
  for (const char* text : {"tr", "tru", "fa", "fals", "ye", "of", " t", "true ", "\tno\n"}) {
    EXPECT_FALSE(parse_boolean(text)) << text;
  }
}

TEST(ParseBoolean, RefusesNumbersOtherThanOneAndZero) {
  for (const char* text : {"2", "-1", "1.0", "0.0", "01", "00", "truee", "null"}) {
    EXPECT_FALSE(parse_boolean(text)) << text;
  }
}

}  // namespace
}  // namespace sluice
