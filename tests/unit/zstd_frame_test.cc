// zstd frames within limits: what was compressed comes back, and what somebody else made ends in an Error
// before it costs memory.

#include "io/archive/zstd_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "support/conditions.h"
#include "support/seed.h"

namespace sluice {
namespace {

using testing::contains;

using Bytes = std::vector<std::byte>;

Bytes bytes_of(const std::vector<int>& numbers) {
  Bytes bytes;
  for (const int number : numbers) bytes.push_back(static_cast<std::byte>(number));
  return bytes;
}

// Compressible, but not much.
Bytes some_bytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>('a' + random() % 7);
  return bytes;
}

Bytes compressed(const Bytes& content, int level = 1) {
  ZstdCompressor compressor(level);
  Bytes frame;
  compressor.compress(content, frame);
  return frame;
}

Bytes in_pieces(const Bytes& frame, std::uint64_t content_bytes, std::size_t piece) {
  ZstdDecompressor decompressor;
  Bytes content;
  decompressor.begin(content_bytes);
  for (std::size_t at = 0; at < frame.size(); at += piece) {
    decompressor.add(std::span(frame).subspan(at, std::min(piece, frame.size() - at)), content);
  }
  decompressor.finish();
  return content;
}

// What either way of reading says; empty when there is nothing to say.
std::string refusal_at_once(const Bytes& frame, std::uint64_t content_bytes) {
  ZstdDecompressor decompressor;
  Bytes content;
  try {
    decompressor.decompress(frame, content_bytes, content);
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::source_unreadable);
    EXPECT_TRUE(content.empty()) << "something of a bad frame was handed out";
    return error.what();
  }
}

std::string refusal_in_pieces(const Bytes& frame, std::uint64_t content_bytes, std::size_t piece = 1000) {
  try {
    in_pieces(frame, content_bytes, piece);
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::source_unreadable);
    return error.what();
  }
}

void expect_refused(const Bytes& frame, std::uint64_t content_bytes, const std::string& why) {
  for (const std::string& refusal :
       {refusal_at_once(frame, content_bytes), refusal_in_pieces(frame, content_bytes)}) {
    EXPECT_TRUE(contains(refusal, why)) << refusal;
  }
}

// A frame by hand: one raw block, no checksum.
Bytes raw_frame(const std::vector<int>& header, const std::vector<int>& content) {
  std::vector<int> numbers = {0x28, 0xb5, 0x2f, 0xfd};
  numbers.insert(numbers.end(), header.begin(), header.end());
  numbers.push_back(static_cast<int>(content.size()) << 3 | 1);
  numbers.insert(numbers.end(), {0, 0});
  numbers.insert(numbers.end(), content.begin(), content.end());
  return bytes_of(numbers);
}

TEST(ZstdFrame, WhatWasCompressedComesBackAtOnceAndInPieces) {
  std::mt19937_64 random(testing::test_seed());
  for (const std::size_t size : {0, 1, 2, 255, 256, 100'000, (1 << 22) + 1}) {
    for (const int level : {-5, 1, 3, 19}) {
      if (level == 19 && size > 1'000'000) continue;  // slow, and the same
      const Bytes content = some_bytes(random, size);
      const Bytes frame = compressed(content, level);
      ZstdDecompressor decompressor;
      Bytes back = bytes_of({1, 2, 3});
      decompressor.decompress(frame, size, back);
      EXPECT_EQ(back, content) << size;
      EXPECT_EQ(in_pieces(frame, size, 4096), content) << size;
    }
  }
}

TEST(ZstdFrame, CompressedInPiecesIsAFrameLikeAnyOther) {
  std::mt19937_64 random(testing::test_seed());
  const Bytes content = some_bytes(random, 3'000'000);
  ZstdCompressor compressor(1);
  Bytes frame;
  for (int round = 0; round < 2; ++round) {
    frame.clear();
    compressor.begin(content.size());
    for (std::size_t at = 0; at < content.size();) {
      const std::size_t piece = std::min<std::size_t>(content.size() - at, random() % 300'000);
      compressor.add(std::span(content).subspan(at, piece), frame);
      at += piece;
    }
    compressor.finish(frame);
    ZstdDecompressor decompressor;
    Bytes back;
    decompressor.decompress(frame, content.size(), back);
    EXPECT_EQ(back, content);
  }
  compressor.begin(content.size() + 1);
  compressor.add(content, frame);
  EXPECT_THROW(compressor.finish(frame), Error) << "more was promised";
}

TEST(ZstdFrame, CutAtAnyByteIsRefused) {
  std::mt19937_64 random(testing::test_seed());
  const Bytes content = some_bytes(random, 2000);
  const Bytes frame = compressed(content);
  for (std::size_t length = 0; length < frame.size(); ++length) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_NE(refusal_at_once(cut, content.size()), "") << length;
    EXPECT_NE(refusal_in_pieces(cut, content.size()), "") << length;
  }
}

TEST(ZstdFrame, WithAnyBitFlippedIsRefusedOrHoldsTheSame) {
  std::mt19937_64 random(testing::test_seed());
  const Bytes content = some_bytes(random, 700);
  const Bytes frame = compressed(content);
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Bytes flipped = frame;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    if (refusal_at_once(flipped, content.size()).empty()) {
      ZstdDecompressor decompressor;
      Bytes back;
      decompressor.decompress(flipped, content.size(), back);
      EXPECT_EQ(back, content) << "bit " << bit;
    } else {
      ++refused;
    }
    if (refusal_in_pieces(flipped, content.size()).empty()) {
      EXPECT_EQ(in_pieces(flipped, content.size(), 1000), content) << "bit " << bit;
    }
  }
  EXPECT_GT(refused, frame.size() * 7) << "hardly a bit is without meaning";
}

TEST(ZstdFrame, AWrongChecksumIsRefused) {
  std::mt19937_64 random(testing::test_seed());
  const Bytes content = some_bytes(random, 5000);
  Bytes frame = compressed(content);
  frame.back() ^= std::byte{0x10};
  expect_refused(frame, content.size(), "checksum");
}

TEST(ZstdFrame, ABombCostsNoMoreThanWhatIsExpected) {
  // A gigabyte of zeros in some 100 kB.
  ZstdCompressor compressor(1);
  const Bytes zeros(std::size_t{1} << 20);
  Bytes bomb;
  compressor.begin(zeros.size() << 10);
  for (int i = 0; i < 1024; ++i) compressor.add(zeros, bomb);
  compressor.finish(bomb);
  ASSERT_LT(bomb.size(), 200'000u);
  EXPECT_TRUE(
      contains(refusal_at_once(bomb, 4096), "says that its content has 1073741824 bytes and not 4096"));
  ZstdDecompressor decompressor;
  Bytes content;
  decompressor.begin(4096);
  EXPECT_THROW(decompressor.add(bomb, content), Error);
  EXPECT_LT(content.capacity(), std::size_t{1} << 20);
}

TEST(ZstdFrame, AFrameThatHoldsMoreOrLessThanItSaysIsRefused) {
  // Single segment, content size 3 or 5 in one byte; four bytes follow.
  for (const int said : {3, 5}) {
    const Bytes frame = raw_frame({0x20, said}, {1, 2, 3, 4});
    EXPECT_NE(refusal_at_once(frame, static_cast<std::uint64_t>(said)), "") << said;
    EXPECT_NE(refusal_in_pieces(frame, static_cast<std::uint64_t>(said)), "") << said;
  }
  EXPECT_EQ(refusal_at_once(raw_frame({0x20, 4}, {1, 2, 3, 4}), 4), "") << "the same with the right number";
}

TEST(ZstdFrame, AFrameThatDoesNotSayHowLargeItIsIsRefused) {
  // A window of 1 KB, no content size.
  const Bytes frame = raw_frame({0x00, 0x00}, {1, 2, 3, 4});
  EXPECT_TRUE(contains(refusal_at_once(frame, 4), "does not say how large"));
}

TEST(ZstdFrame, AWindowOfMoreThan8MiBIsRefused) {
  // A content size in four bytes, and a window of 2^31.
  const Bytes window31 = raw_frame({0x80, (31 - 10) << 3, 4, 0, 0, 0}, {1, 2, 3, 4});
  const Bytes above = raw_frame({0x80, (23 - 10) << 3 | 1, 4, 0, 0, 0}, {1, 2, 3, 4});
  for (const Bytes& frame : {window31, above}) {
    EXPECT_TRUE(contains(refusal_at_once(frame, 4), "window of more than 8 MiB"));
    // In one piece the window would not be made.
    EXPECT_TRUE(contains(refusal_in_pieces(frame, 4, 3), "window of more than 8 MiB"));
  }
  const Bytes at_the_limit = raw_frame({0x80, (23 - 10) << 3, 4, 0, 0, 0}, {1, 2, 3, 4});
  EXPECT_EQ(refusal_at_once(at_the_limit, 4), "");
  EXPECT_EQ(refusal_in_pieces(at_the_limit, 4), "");
}

TEST(ZstdFrame, NothingMayFollowIt) {
  const Bytes content = bytes_of({1, 2, 3});
  const Bytes frame = compressed(content);
  Bytes two = frame;
  two.insert(two.end(), frame.begin(), frame.end());
  expect_refused(two, 3, "something follows");
  Bytes more = frame;
  more.push_back(std::byte{0});
  expect_refused(more, 3, "something follows");
}

TEST(ZstdFrame, WhatIsNoneIsRefused) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 2000; ++i) {
    Bytes bytes(random() % 40);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    EXPECT_NE(refusal_at_once(bytes, random() % 50), "");
  }
  // A skippable one has no content.
  const Bytes skippable = bytes_of({0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7});
  EXPECT_NE(refusal_at_once(skippable, 1), "");
}

}  // namespace
}  // namespace sluice
