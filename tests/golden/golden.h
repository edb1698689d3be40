#pragma once
// Texts that users see, kept as files: a change of wording then shows up in review as a change of a file.
// SLUICE_UPDATE_GOLDEN=1 rewrites the files instead of comparing.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "support/directories.h"

namespace sluice::testing {

inline std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(source_directory()) / "tests/golden" / name;
}

inline bool updating_golden() {
  const char* given = std::getenv("SLUICE_UPDATE_GOLDEN");
  return given != nullptr && std::string(given) == "1";
}

inline std::string read_golden(const std::string& name) {
  std::ifstream file(golden_path(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_golden(const std::string& name, const std::string& text) {
  std::ofstream file(golden_path(name), std::ios::binary | std::ios::trunc);
  file << text;
  ASSERT_TRUE(file.flush()) << golden_path(name);
}

inline void expect_golden(const std::string& name, const std::string& actual) {
  if (updating_golden()) write_golden(name, actual);
  EXPECT_EQ(actual, read_golden(name)) << "if the change is meant: SLUICE_UPDATE_GOLDEN=1";
}

}  // namespace sluice::testing
