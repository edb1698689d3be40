#include "fault/undisturbed.h"

#include "fault/invariants.h"

namespace sluice::testing {

void UndisturbedTest::make(const std::string& rows, const TestServerOptions& options) {
  server_ = new TestServer(options);
  server_->create_database("undisturbed");
  folder_ = new TemporaryDirectory();
  source_ = (*folder_ / "source.sqlite").string();
  const CommandResult made =
      run_command({generate_dataset_program(), "three_tables", source_, "--rows", rows, "--seed", "7"});
  ASSERT_EQ(made.exit_status, 0) << made.err;
}

void UndisturbedTest::load_undisturbed(const std::vector<std::string>& command) {
  const CommandResult result = run_command(command);
  ASSERT_EQ(result.exit_status, 0) << result.err;
  root_ = root_in(result);
  picture_ = picture_of(server_->conninfo("undisturbed"));
  server_->create_database("undisturbed");  // room on the disk
}

void UndisturbedTest::TearDownTestSuite() {
  delete server_;
  delete folder_;
}

void UndisturbedTest::expect_whole(const std::string& target) {
  EXPECT_EQ(violations(target), std::vector<std::string>());
  EXPECT_EQ(picture_of(target), picture_);
}

void UndisturbedTest::expect_whole(const CommandResult& end, const std::string& target) {
  EXPECT_EQ(end.exit_status, 0) << end.err;
  EXPECT_EQ(root_in(end), root_);
  expect_whole(target);
}

}  // namespace sluice::testing
