#include "io/wire/utf8.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace sluice {
namespace {

std::mt19937_64 seeded_random() { return std::mt19937_64(testing::test_seed()); }

// The slow, obvious reference: decode by the bit patterns, then look at the number. True when the
// character at `at` is well-formed; moves `at` past it.
bool decode_one(const std::string& text, std::size_t& at) {
  struct Form {
    unsigned mask, bits, length;
    std::uint32_t least;
  };
  static constexpr Form kForms[] = {
      {0x80, 0x00, 1, 0}, {0xE0, 0xC0, 2, 0x80}, {0xF0, 0xE0, 3, 0x800}, {0xF8, 0xF0, 4, 0x10000}};
  const unsigned lead = static_cast<unsigned char>(text[at]);
  for (const Form& form : kForms) {
    if ((lead & form.mask) != form.bits) continue;
    if (at + form.length > text.size()) return false;
    std::uint32_t code = lead & ~form.mask;
    for (unsigned i = 1; i < form.length; ++i) {
      const unsigned tail = static_cast<unsigned char>(text[at + i]);
      if ((tail & 0xC0) != 0x80) return false;
      code = code << 6 | (tail & 0x3F);
    }
    if (code < form.least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    at += form.length;
    return true;
  }
  return false;
}

TextCheck reference_check(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\0') return TextCheck::nul;
    if (!decode_one(text, at)) return TextCheck::bad_utf8;
  }
  return TextCheck::ok;
}

bool reference_valid(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    if (!decode_one(text, at)) return false;
  }
  return true;
}

// In a heap block of exactly its size, so that the address sanitizer sees any read past the end.
TextCheck check_exact(const std::string& text) {
  const auto block = std::make_unique<char[]>(text.size());
  text.copy(block.get(), text.size());
  return check_text({block.get(), text.size()});
}

void append_utf8(std::string& text, std::uint32_t code) {
  const auto put = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

TEST(CheckText, TakesEveryCharacterOfUnicodeButNulAndSurrogates) {
  for (std::uint32_t code = 0; code <= 0x10FFFF + 0x1000; ++code) {
    std::string text;
    append_utf8(text, code);
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    const TextCheck expected = code == 0                      ? TextCheck::nul
                               : surrogate || code > 0x10FFFF ? TextCheck::bad_utf8
                                                              : TextCheck::ok;
    ASSERT_EQ(check_text(text), expected) << std::hex << code;
  }
}

TEST(CheckText, AgreesWithASlowDecoderOnEverySequenceOfUpToThreeBytes) {
  for (unsigned first = 0; first < 256; ++first) {
    ASSERT_EQ(check_text(std::string(1, static_cast<char>(first))),
              reference_check(std::string(1, static_cast<char>(first))));
    for (unsigned second = 0; second < 256; ++second) {
      std::string text{static_cast<char>(first), static_cast<char>(second)};
      ASSERT_EQ(check_text(text), reference_check(text)) << first << ' ' << second;
      for (const unsigned third : {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xFF}) {
        const std::string longer = text + static_cast<char>(third);
        ASSERT_EQ(check_text(longer), reference_check(longer)) << first << ' ' << second << ' ' << third;
      }
    }
  }
}

TEST(CheckText, FindsOneWrongByteAtEveryPlaceOfEveryLength) {
  for (std::size_t size = 1; size <= 100; ++size) {
    const std::string good(size, 'x');
    ASSERT_EQ(check_exact(good), TextCheck::ok) << size;
    for (std::size_t at = 0; at < size; ++at) {
      std::string text = good;
      text[at] = '\0';
      ASSERT_EQ(check_exact(text), TextCheck::nul) << size << ' ' << at;
      for (const unsigned byte : {0x80, 0xBF, 0xC0, 0xC3, 0xE2, 0xED, 0xF0, 0xF5, 0xFF}) {
        text[at] = static_cast<char>(byte);
        ASSERT_EQ(check_exact(text), TextCheck::bad_utf8) << size << ' ' << at << ' ' << byte;
      }
    }
  }
}

TEST(CheckText, TakesACharacterAcrossEveryBoundary) {
  for (std::size_t before = 0; before <= 40; ++before) {
    for (std::size_t after = 0; after <= 40; ++after) {
      for (const std::string character : {"é", "€", "𝄞"}) {
        const std::string text = std::string(before, 'a') + character + std::string(after, 'b');
        ASSERT_EQ(check_exact(text), TextCheck::ok) << before << ' ' << after;
        const std::string cut =
            std::string(before, 'a') + character.substr(0, character.size() - 1) + std::string(after, 'b');
        ASSERT_EQ(check_exact(cut), TextCheck::bad_utf8) << before << ' ' << after;
      }
    }
  }
}

TEST(CheckText, AgreesWithASlowDecoderOnRandomMixtures) {
  auto random = seeded_random();
  const std::vector<std::string> pieces = {"a",
                                           "word ",
                                           "sixteen bytes ok",
                                           "é",
                                           "я",
                                           "€",
                                           "漢字",
                                           "𝄞",
                                           "\xEF\xBF\xBE",
                                           "\xED\x9F\xBF",
                                           "\xEE\x80\x80",
                                           "\xF4\x8F\xBF\xBF",
                                           std::string(1, '\0'),
                                           "\x80",
                                           "\xC0\x80",
                                           "\xE0\x9F\xBF",
                                           "\xED\xA0\x80",
                                           "\xF0\x8F\xBF\xBF",
                                           "\xF4\x90\x80\x80",
                                           "\xE2\x82",
                                           "\xFF"};
  for (int round = 0; round < 60000; ++round) {
    // Good pieces mostly, or else hardly any text would survive to its end.
    const std::size_t kinds = random() % 4 == 0 ? pieces.size() : 12;
    std::string text;
    for (std::size_t count = random() % 24; count > 0; --count) text += pieces[random() % kinds];
    ASSERT_EQ(check_exact(text), reference_check(text)) << ::testing::PrintToString(text);
    ASSERT_EQ(valid_utf8(text), reference_valid(text)) << ::testing::PrintToString(text);
  }
}

TEST(CheckText, AgreesWithASlowDecoderOnRandomBytes) {
  auto random = seeded_random();
  for (int round = 0; round < 200000; ++round) {
    std::string text(random() % 8, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    ASSERT_EQ(check_exact(text), reference_check(text)) << ::testing::PrintToString(text);
    ASSERT_EQ(valid_utf8(text), reference_valid(text)) << ::testing::PrintToString(text);
  }
}

TEST(CheckText, NamesTheFirstOfTwoFaults) {
  using namespace std::string_literals;
  EXPECT_EQ(check_text("ab\0cd\xFF"s), TextCheck::nul);
  EXPECT_EQ(check_text("ab\xFF cd\0"s), TextCheck::bad_utf8);
  EXPECT_EQ(check_text("a sequence \xC3\0 cut by it"s), TextCheck::bad_utf8);
}

TEST(ValidUtf8, LetsNulPass) {
  using namespace std::string_literals;
  EXPECT_TRUE(valid_utf8(""));
  EXPECT_TRUE(valid_utf8("\0"s));
  EXPECT_TRUE(valid_utf8("é\0\0я\0"s));
  EXPECT_FALSE(valid_utf8("é\0\xC3\0"s));
  EXPECT_FALSE(valid_utf8("\0\x80"s));
}

}  // namespace
}  // namespace sluice
