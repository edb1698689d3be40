#include "io/wire/base64.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/seed.h"

namespace sluice {
namespace {

std::span<const std::byte> bytes_in(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string random_bytes(std::mt19937_64& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

struct Answer {
  std::string bytes;
  std::optional<std::size_t> wrong_at;
  friend bool operator==(const Answer&, const Answer&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Answer& answer) {
    out << ::testing::PrintToString(answer.bytes);
    if (answer.wrong_at) out << ", wrong at " << *answer.wrong_at;
    return out;
  }
};

using Decoder = Base64Decoded (*)(std::string_view, std::span<std::byte>, const Base64Options&);

// From and to heap blocks of exactly the sizes that are promised, so that the address sanitizer sees any
// access beyond them.
Answer answer_of(Decoder decode, const std::string& text, const Base64Options& options) {
  const auto block = std::make_unique<char[]>(text.size());
  text.copy(block.get(), text.size());
  const std::size_t room = base64_bytes_max(text.size());
  const auto bytes = std::make_unique<std::byte[]>(room);
  const Base64Decoded decoded = decode({block.get(), text.size()}, {bytes.get(), room}, options);
  return {std::string(reinterpret_cast<const char*>(bytes.get()), decoded.bytes), decoded.wrong_at};
}

// Both ways, which must agree.
Answer decoded(const std::string& text, const Base64Options& options = {}) {
  const Answer scalar = answer_of(decode_base64_scalar, text, options);
  const Answer fast = answer_of(decode_base64, text, options);
  EXPECT_EQ(fast, scalar) << ::testing::PrintToString(text);
  return scalar;
}

// The obvious reference, straight from the header's definition: the beginning of a text, byte by byte.
class Beginning {
 public:
  explicit Beginning(const Base64Options& options)
      : options_(options),
        alphabet_(std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") +
                  (options.url_alphabet ? "-_" : "+/")) {}

  // Whether a valid text begins like this with the byte.
  bool add(char byte) {
    if (options_.line_breaks && (byte == '\r' || byte == '\n')) return true;
    if (byte == '=') return ++padding_ <= missing() && missing() < 3 && !loose();
    last_ = alphabet_.find(byte);
    ++digits_;
    return last_ != std::string::npos && padding_ == 0;
  }
  [[nodiscard]] bool whole() const {
    return missing() < 3 && !loose() &&
           (padding_ == missing() || (padding_ == 0 && options_.missing_padding));
  }

 private:
  [[nodiscard]] std::size_t missing() const { return (4 - digits_ % 4) % 4; }
  [[nodiscard]] bool loose() const {
    return (missing() == 2 && last_ % 16 != 0) || (missing() == 1 && last_ % 4 != 0);
  }

  const Base64Options options_;
  const std::string alphabet_;
  std::size_t digits_ = 0;
  std::size_t last_ = 0;
  std::size_t padding_ = 0;
};

std::optional<std::size_t> reference_wrong_at(const std::string& text, const Base64Options& options) {
  Beginning beginning(options);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!beginning.add(text[at])) return at;
  }
  if (beginning.whole()) return std::nullopt;
  return text.size();
}

std::vector<Base64Options> all_options() {
  std::vector<Base64Options> all;
  for (unsigned bits = 0; bits < 8; ++bits) {
    all.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0});
  }
  return all;
}

std::string with_breaks(const std::string& text, std::size_t width, const std::string& line_break) {
  std::string broken;
  for (std::size_t at = 0; at < text.size(); at += width) broken += text.substr(at, width) + line_break;
  return broken;
}

TEST(Base64Codec, KnowsTheVectorsOfTheRfc) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(encode_base64(bytes_in(bytes)), text);
    EXPECT_EQ(decoded(text), (Answer{bytes, std::nullopt}));
  }
}

TEST(Base64Codec, ReadsBackEveryLength) {
  std::mt19937_64 random(testing::test_seed());
  for (std::size_t size = 0; size <= 200; ++size) {
    const std::string bytes = random_bytes(random, size);
    for (const Base64Options& options : all_options()) {
      const std::string text = encode_base64(bytes_in(bytes), options);
      EXPECT_EQ(decoded(text, options), (Answer{bytes, std::nullopt})) << size;
      if (!options.line_breaks) continue;
      for (const std::size_t width : {1, 3, 31, 64, 76}) {
        EXPECT_EQ(decoded("\n" + with_breaks(text, width, "\r\n"), options), (Answer{bytes, std::nullopt}))
            << size << " in lines of " << width;
      }
    }
  }
}

TEST(Base64Codec, RefusesEveryWrongByteAtEveryPlace) {
  std::mt19937_64 random(testing::test_seed());
  for (const std::size_t size : {1, 2, 3, 47, 48, 49, 95, 96, 97, 98}) {
    const std::string good = encode_base64(bytes_in(random_bytes(random, size)));
    for (const Base64Options& options : all_options()) {
      for (std::size_t at = 0; at < good.size(); ++at) {
        for (unsigned byte = 0; byte < 256; ++byte) {
          std::string text = good;
          text[at] = static_cast<char>(byte);
          ASSERT_EQ(decoded(text, options).wrong_at, reference_wrong_at(text, options))
              << ::testing::PrintToString(text);
        }
      }
    }
  }
}

TEST(Base64Codec, NamesThePlaceWhereATextGoesWrong) {
  const Base64Options strict;
  const Base64Options lenient{.url_alphabet = false, .line_breaks = true, .missing_padding = true};
  const struct {
    std::string text;
    Base64Options options;
    std::optional<std::size_t> wrong_at;
  } cases[] = {
      {"Z", strict, 1},
      {"Zg", strict, 2},
      {"Zg=", strict, 3},
      {"Zg===", strict, 4},
      {"Zh==", strict, 2},
      {"Zm9=", strict, 3},
      {"=", strict, 0},
      {"Zg==Zg==", strict, 4},
      {"Zm9v\n", strict, 4},
      {"Zm 9v", strict, 2},
      {"Zm9-", strict, 3},
      {"Z===", strict, 1},
      {"Zm9vZm9v=", strict, 8},
      {"Z", lenient, 1},
      {"Zg", lenient, {}},
      {"Zg=", lenient, 3},
      {"Zh", lenient, 2},
      {"Z\r\ng=\n=\n", lenient, {}},
      {"\n\n", lenient, {}},
      {"Zm9v\n*", lenient, 5},
      {"+/+/", {.url_alphabet = true}, 0},
      {"-_-_", {.url_alphabet = true}, {}},
  };
  for (const auto& [text, options, wrong_at] : cases) {
    EXPECT_EQ(decoded(text, options).wrong_at, wrong_at) << ::testing::PrintToString(text);
  }
}

TEST(Base64Codec, DecodesInBlocksWhatItDecodesByteByByte) {
  std::mt19937_64 random(testing::test_seed());
  const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random() % end); };
  const std::vector<Base64Options> options = all_options();
  for (int round = 0; round < 20000; ++round) {
    const Base64Options& chosen = options[below(options.size())];
    std::string text =
        encode_base64(bytes_in(random_bytes(random, below(500))), options[below(options.size())]);
    if (below(2) == 0) text = with_breaks(text, 1 + below(90), below(2) == 0 ? "\n" : "\r\n");
    for (std::size_t damages = below(4); damages > 0 && !text.empty(); --damages) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + below(3));
          break;
        case 2:
          text.insert(at, 1, "=\r\n+-/_ \0\x80"[below(10)]);
          break;
        default:
          text.resize(at);
          break;
      }
    }
    ASSERT_EQ(decoded(text, chosen).wrong_at, reference_wrong_at(text, chosen))
        << ::testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace sluice
