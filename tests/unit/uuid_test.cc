#include "io/wire/uuid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>
#include <string>

namespace sluice {
namespace {

using Bytes = std::array<std::byte, 16>;

std::optional<Bytes> parse(const std::string& text) {
  Bytes bytes{};
  if (!parse_uuid(text, bytes)) return std::nullopt;
  return bytes;
}

std::string bare_text(const Bytes& bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    for (const unsigned digit :
         {std::to_integer<unsigned>(byte) >> 4, std::to_integer<unsigned>(byte) & 15u}) {
      text.push_back("0123456789abcdef"[digit]);
    }
  }
  return text;
}

std::string dashed_text(std::string bare) {
  for (const std::size_t at : {20u, 16u, 12u, 8u}) bare.insert(at, "-");
  return bare;
}

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

TEST(ParseUuid, ReadsAllFourFormsInBothCases) {
  const char* const given = std::getenv("SLUICE_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "SLUICE_TEST_SEED=" << seed << '\n';
  std::mt19937_64 random(seed);
  for (int round = 0; round < 10000; ++round) {
    Bytes bytes;
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    const std::string bare = bare_text(bytes);
    const std::string dashed = dashed_text(bare);
    for (const std::string& text : {bare, dashed, '{' + bare + '}', '{' + dashed + '}'}) {
      ASSERT_EQ(parse(text), bytes) << text;
      ASSERT_EQ(parse(upper(text)), bytes) << text;
    }
  }
}

TEST(ParseUuid, RefusesAnyByteThatIsNoHexDigit) {
  const std::string dashed = "01234567-89ab-cdef-ABCD-EF0123456789";
  ASSERT_TRUE(parse(dashed));
  for (std::size_t at = 0; at < dashed.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = dashed;
      text[at] = static_cast<char>(byte);
      const bool fits = dashed[at] == '-' ? byte == '-' : byte < 128 && std::isxdigit(byte) != 0;
      ASSERT_EQ(parse(text).has_value(), fits) << testing::PrintToString(text);
    }
  }
}

TEST(ParseUuid, RefusesAnyOtherLengthOrPlaceOfDashesAndBraces) {
  for (std::size_t size = 0; size <= 64; ++size) {
    EXPECT_EQ(parse(std::string(size, 'a')).has_value(), size == 32) << size;
  }
  for (const char* text : {
           "{0123456789abcdef0123456789abcdef",
           "0123456789abcdef0123456789abcdef}",
           "{01234567-89ab-cdef-0123-456789abcdef",
           "01234567-89ab-cdef-0123-456789abcdef}",
           "(01234567-89ab-cdef-0123-456789abcdef)",
           "{{1234567-89ab-cdef-0123-456789abcde}}",
           "0123-4567-89ab-cdef-0123-4567-89ab-cdef",
           "0123456789ab-cdef-0123-4567-89abcdef",
           "01234567-89abcdef-01234567-89abcdef-",
           "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
           " 01234567-89ab-cdef-0123-456789abcdef",
           "01234567-89ab-cdef-0123-456789abcdef ",
           "0x0123456789abcdef0123456789abcdef",
       }) {
    EXPECT_FALSE(parse(text)) << text;
  }
}

}  // namespace
}  // namespace sluice
