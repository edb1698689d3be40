#pragma once
// A migration of 150,000 rows and more that is disturbed in ever new ways, and what it leaves when nothing
// disturbs it.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/command.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {

class UndisturbedTest : public ::testing::Test {
 protected:
  // Makes the source and an empty database `undisturbed` on a server of its own.
  static void make(const std::string& rows, const TestServerOptions& options = {});
  // `command` loads into that database; what it leaves is what must always be left.
  static void load_undisturbed(const std::vector<std::string>& command);
  static void TearDownTestSuite();

  // Nothing lost, nothing doubled, and all of it there.
  static void expect_whole(const std::string& target);
  static void expect_whole(const CommandResult& end, const std::string& target);

  static inline TemporaryDirectory* folder_ = nullptr;
  static inline TestServer* server_ = nullptr;
  static inline std::string source_;
  static inline std::string root_;
  static inline std::string picture_;
};

}  // namespace sluice::testing
