// Files as applications write them, against a slow reader of the rules that shares no code with ours.

#include "engine/offload/file_text.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/offload/zstd_content.h"
#include "io/wire/base64.h"
#include "support/seed.h"

namespace sluice {
namespace {

class CutText final : public TextPieces {
 public:
  explicit CutText(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  void rewind() override { next_ = 0; }
  std::string_view next() override { return next_ < pieces_.size() ? pieces_[next_++] : std::string_view(); }

 private:
  std::vector<std::string> pieces_;
  std::size_t next_ = 0;
};

std::string bytes_of(FileContent& content) {
  std::string bytes;
  content.rewind();
  for (auto piece = content.next(); !piece.empty(); piece = content.next()) {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return bytes;
}

std::optional<std::string> found(TextPieces& text, const FileText& how) {
  std::optional<FileOfText> file = FileOfText::find(text, how);
  if (!file) return std::nullopt;
  std::string bytes = bytes_of(*file);
  EXPECT_EQ(file->size(), bytes.size());
  EXPECT_EQ(file->sha256(), sha256_of(std::as_bytes(std::span(bytes))));
  EXPECT_EQ(bytes_of(*file), bytes) << "the same again";
  return bytes;
}

std::optional<std::string> found(std::string_view text, const FileText& how = {}) {
  WholeText whole(text);
  return found(whole, how);
}

// One character after the other, one rule after the other.
std::optional<std::string> slowly(std::string text, const FileText& how) {
  if (how.line_breaks) std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
  const std::string usual = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto read = [&](const std::string& alphabet) -> std::optional<std::string> {
    std::string digits = text;
    std::size_t padding = 0;
    while (!digits.empty() && digits.back() == '=' && padding < 2) {
      digits.pop_back();
      ++padding;
    }
    const std::size_t over = digits.size() % 4;
    if (over == 1) return std::nullopt;
    const std::size_t wanted = over == 0 ? 0 : 4 - over;
    if (padding != wanted && !(padding == 0 && how.missing_padding)) return std::nullopt;
    std::string bytes;
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : digits) {
      const std::size_t value = alphabet.find(c);
      if (value == std::string::npos) return std::nullopt;
      bits = bits << 6U | static_cast<std::uint32_t>(value);
      held += 6;
      if (held >= 8) {
        held -= 8;
        bytes += static_cast<char>(bits >> static_cast<unsigned>(held) & 0xffU);
      }
    }
    if ((bits & ((1U << static_cast<unsigned>(held)) - 1)) != 0) return std::nullopt;
    return bytes;
  };
  std::optional<std::string> bytes = read(usual);
  if (!bytes && how.url_alphabet) bytes = read(usual.substr(0, 62) + "-_");
  return bytes;
}

TEST(FileText, IsStrictUnlessToldOtherwise) {
  EXPECT_EQ(found("aGVsbG8="), "hello");
  EXPECT_EQ(found(""), "");
  for (const char* wrong : {"aGVsbG8", "aGVs bG8=", "aGVsbG8=\n", "aGVsbG8==", "=", "a",
                            "aGVsbG9=", "data:;base64,aGVsbG8=", "aGVsbG8=aGVsbG8=", "-_-_"}) {
    EXPECT_EQ(found(wrong), std::nullopt) << wrong;
  }
}

TEST(FileText, TakesWhatEachFlagAllows) {
  EXPECT_EQ(found("aGVs\r\nbG8=\n", {.line_breaks = true}), "hello");
  EXPECT_EQ(found("aGVsbG8", {.missing_padding = true}), "hello");
  EXPECT_EQ(found("-_-_", {.url_alphabet = true}), "\xfb\xff\xbf");
  EXPECT_EQ(found("+/+/", {.url_alphabet = true}), "\xfb\xff\xbf");
  EXPECT_EQ(found("+/-_", {.url_alphabet = true}), std::nullopt) << "two alphabets in one file";
  EXPECT_EQ(found("data:image/png;base64,aGVsbG8=", {.data_uri = true}), "hello");
  EXPECT_EQ(found("aGVsbG8=", {.data_uri = true}), "hello");
  EXPECT_EQ(found("data:image/png,hello", {.data_uri = true}), std::nullopt) << "not in Base64";
  EXPECT_EQ(found("data:image/png;base64,", {.data_uri = true}), "");
}

TEST(FileText, GivesTheMediaTypeOfADataUriAndNothingThatIsNone) {
  const auto media_type = [](const std::string& text) {
    WholeText whole(text);
    const std::optional<FileOfText> file = FileOfText::find(whole, {.data_uri = true});
    return file ? std::optional(file->media_type()) : std::nullopt;
  };
  EXPECT_EQ(media_type("data:image/svg+xml;charset=utf-8;base64,aGVsbG8="), "image/svg+xml;charset=utf-8");
  EXPECT_EQ(media_type("DATA:text/plain;BASE64,aGVsbG8="), "text/plain");
  EXPECT_EQ(media_type("aGVsbG8="), "");
  EXPECT_EQ(media_type("data:;base64,aGVsbG8="), "");
  EXPECT_EQ(media_type("data:a\nb;base64,aGVsbG8="), std::nullopt);
  EXPECT_EQ(media_type(std::string("data:a\0b;base64,aGVsbG8=", 24)), std::nullopt);
  EXPECT_EQ(media_type("data:\xc3\xa9;base64,aGVsbG8="), std::nullopt);
  EXPECT_EQ(media_type("data:" + std::string(256, 'a') + ";base64,aGVsbG8="), std::nullopt);
  EXPECT_EQ(media_type("data:" + std::string(255, 'a') + ";base64,aGVsbG8="), std::string(255, 'a'));
}

TEST(FileText, ReadsWhateverItsPieces) {
  std::mt19937_64 random(testing::test_seed());
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  int decoded = 0;
  constexpr int kTexts = 3000;
  for (int round = 0; round < kTexts; ++round) {
    FileText how;
    how.line_breaks = below(2) == 0;
    how.url_alphabet = below(2) == 0;
    how.missing_padding = below(2) == 0;
    std::string bytes(below(200), '\0');
    for (char& c : bytes) c = static_cast<char>(below(256));
    std::string text =
        encode_base64(std::as_bytes(std::span(bytes)),
                      {.url_alphabet = how.url_alphabet && below(2) == 0, .missing_padding = below(3) == 0});
    for (std::size_t i = below(4); i > 0 && below(3) == 0; --i)
      text.insert(below(text.size() + 1), "\r\n", 1 + below(2));
    // One in three is damaged in one place.
    if (below(3) == 0 && !text.empty()) text[below(text.size())] = "=+/-_ \n\xff\0A"[below(10)];
    const std::optional<std::string> expected = slowly(text, how);
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = 1 + below(below(4) == 0 ? 3 : 90);
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    CutText cut(pieces);
    EXPECT_EQ(found(text, how), expected) << text;
    EXPECT_EQ(found(cut, how), expected) << text;
    decoded += expected ? 1 : 0;
  }
  EXPECT_GT(decoded, kTexts / 4);
  EXPECT_LT(decoded, kTexts);
}

TEST(FileText, ReadsLargeFilesInPieces) {
  std::mt19937_64 random(testing::test_seed());
  std::string bytes(3'000'001, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  const std::string text = encode_base64(std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(found(text) == bytes);
  std::string lines;
  for (std::size_t at = 0; at < text.size(); at += 76) lines += text.substr(at, 76) + "\r\n";
  EXPECT_TRUE(found(lines, {.line_breaks = true}) == bytes);
  // Padding in the middle, where a step of the decoder ends.
  std::string broken = text;
  broken.replace((std::size_t{256} << 10) - 2, 2, "==");
  EXPECT_EQ(found(broken), std::nullopt);
}

TEST(ZstdContent, IsTheSameFrameEveryTime) {
  std::string text;
  for (std::int64_t i = 0; i < 300'000; ++i) text += std::to_string(i * 7919 % 1000) + ",";
  const std::string base64 = encode_base64(std::as_bytes(std::span(text)));
  WholeText whole(base64);
  std::optional<FileOfText> file = FileOfText::find(whole, {});
  ASSERT_TRUE(file);
  ZstdContent compressed(*file);
  const std::string frame = bytes_of(compressed);
  EXPECT_EQ(frame.size(), compressed.size());
  EXPECT_LT(frame.size(), text.size() / 2);
  EXPECT_TRUE(bytes_of(compressed) == frame);
  std::vector<std::byte> content;
  ZstdDecompressor decompressor;
  decompressor.begin(text.size());
  decompressor.add(std::as_bytes(std::span(frame)), content);
  decompressor.finish();
  EXPECT_TRUE(std::string(reinterpret_cast<const char*>(content.data()), content.size()) == text);
}

TEST(IsCompressible, KnowsTextsFromPictures) {
  for (const char* yes :
       {"text/plain", "text/csv;charset=utf-8", "application/json", "image/svg+xml", "APPLICATION/LD+JSON"}) {
    EXPECT_TRUE(is_compressible(yes)) << yes;
  }
  for (const char* no : {"", "image/png", "application/pdf", "application/zip", "video/mp4"}) {
    EXPECT_FALSE(is_compressible(no)) << no;
  }
}

}  // namespace
}  // namespace sluice
