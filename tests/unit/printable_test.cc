#include "engine/app/printable.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "io/wire/utf8.h"
#include "support/seed.h"

namespace sluice {
namespace {

TEST(Printable, PlainTextStaysAsItIs) {
  EXPECT_EQ(printable("orders"), "orders");
  EXPECT_EQ(printable("Größe 東京 🚀"), "Größe 東京 🚀");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, NothingThatATerminalActsUponGetsThrough) {
  EXPECT_EQ(printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(printable(std::string_view("\0\n\r\t\x7f", 5)), "\\x00\\x0a\\x0d\\x09\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"), "\\x9b");                // the one-character CSI
  EXPECT_EQ(printable("\u202egpj.exe"), "\\u202egpj.exe");  // turns the direction of writing
  EXPECT_EQ(printable("a\u200bb\u2028c\ufeff"), "a\\u200bb\\u2028c\\ufeff");
}

TEST(Printable, BytesThatAreNotUtf8AreShownAsSuch) {
  EXPECT_EQ(printable("gr\xfc\xdf"), "gr\\xfc\\xdf");
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(printable("\xc3"), "\\xc3");
}

TEST(Printable, AnyBytesBecomeValidUtf8WithoutControls) {
  std::mt19937_64 random(testing::test_seed());
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 40, ' ');
    for (char& c : bytes) c = static_cast<char>(random());
    const std::string shown = printable(bytes);
    EXPECT_TRUE(valid_utf8(shown));
    for (const char c : shown) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
    EXPECT_EQ(shown.find("\xc2\x9b"), std::string::npos);
  }
}

TEST(Printable, CuttingCountsCharactersAndShowsThatItCut) {
  EXPECT_EQ(cut_to("Größe", 5), "Größe");
  EXPECT_EQ(cut_to("Größen", 5), "Größ…");
  EXPECT_EQ(cut_to("東京都", 2), "東…");
  EXPECT_EQ(width_of("東京都"), 3u);
}

TEST(Printable, LinesBreakAtBlanksAndAreIndented) {
  EXPECT_EQ(wrapped("short", 10, 2), "short");
  EXPECT_EQ(wrapped("aaa bbb ccc ddd", 8, 2), "aaa bbb\n  ccc\n  ddd");
  EXPECT_EQ(wrapped("aaa bbb ccc", 7, 2), "aaa bbb\n  ccc");
  EXPECT_EQ(wrapped("  abcdefghijkl", 8, 2), "  abcdef\n  ghijkl");
  std::istringstream lines(wrapped(std::string(500, 'x') + " " + std::string(300, ' ') + "ü ü", 110, 12));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(width_of(line), 110u);
}

}  // namespace
}  // namespace sluice
