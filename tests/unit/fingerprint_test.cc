#include "engine/model/fingerprint.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

using Names = std::vector<std::string>;

const std::string kNow =
    "size=8192 mtime=1700000000.123456789 page=4096 pages=2 change=7 schema=1 wal=none "
    "content=af63bd4c8601b7df "
    "dev=66307 ino=12";

std::string with(const std::string& name, const std::string& value) {
  std::string text = kNow;
  const std::size_t at = text.find(name + "=") + name.size() + 1;
  return text.replace(at, text.find(' ', at) - at, value);
}

TEST(FingerprintText, IsAboutTheContentAndNotAboutTheFile) {
  EXPECT_TRUE(same_state(kNow, kNow));
  EXPECT_TRUE(same_state(kNow, with("dev", "1")));
  EXPECT_TRUE(same_state(with("ino", "1"), kNow));
  for (const char* name : {"size", "page", "pages", "change", "schema", "wal", "content"}) {
    EXPECT_EQ(fingerprint_differences(kNow, with(name, "5")), Names{name});
  }
}

TEST(FingerprintText, ACopyMayHaveLostTheEndOfTheTime) {
  for (const char* time :
       {"1700000000.0", "1700000000.123000000", "1700000000.123456000", "1700000000.123456700"}) {
    EXPECT_TRUE(same_state(kNow, with("mtime", time))) << time;
    EXPECT_TRUE(same_state(with("mtime", time), kNow)) << time;
  }
  for (const char* time :
       {"1700000001.0", "1700000000.123456788", "1700000000.124000000", "1699999999.123456789",
        "1700000000.100000000", "1700000000", "", "1700000000.123456789x"}) {
    EXPECT_EQ(fingerprint_differences(kNow, with("mtime", time)), Names{"mtime"}) << time;
  }
}

// dev=... ino=... size=... and so on, without content.
TEST(FingerprintText, OfAnEarlierSluiceSpeaksOfOneFile) {
  const std::string earlier =
      "dev=66307 ino=12 size=8192 mtime=1700000000.123456789 page=4096 pages=2 change=7 schema=1 wal=none";
  EXPECT_TRUE(same_state(earlier, kNow));
  EXPECT_EQ(fingerprint_differences(earlier, with("ino", "13")), Names{"ino"});
  EXPECT_EQ(fingerprint_differences(earlier, with("mtime", "1700000000.0")), Names{"mtime"});
  EXPECT_EQ(fingerprint_differences(earlier, with("change", "8")), Names{"change"});
}

TEST(FingerprintText, WhatOnlyOneOfThemHasIsADifference) {
  EXPECT_EQ(fingerprint_differences(kNow + " more=1", kNow), Names{"more"});
  EXPECT_EQ(fingerprint_differences(kNow, kNow + " more=1"), Names{"more"});
  EXPECT_FALSE(same_state(kNow, ""));
  EXPECT_FALSE(same_state("content=1", ""));
}

}  // namespace
}  // namespace sluice
