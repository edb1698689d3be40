#pragma once
// A real server of the language of S3: OpenStack Swift from Debian's packages, with one account, in a folder
// of its own and on ports of the loopback device.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/temporary_directory.h"

namespace sluice::testing {

// Five processes that die with the test program.
class SwiftServer {
 public:
  // Why it cannot run here; empty when it can. Skip, visibly, where not.
  static std::string obstacle();

  // Returns when it answers. Throws std::runtime_error with its output otherwise.
  SwiftServer();
  ~SwiftServer();
  SwiftServer(const SwiftServer&) = delete;
  SwiftServer& operator=(const SwiftServer&) = delete;

  [[nodiscard]] std::string endpoint() const;
  static constexpr const char* kAccessKeyId = "test:tester";
  static constexpr const char* kSecretAccessKey = "testing";
  static constexpr const char* kRegion = "us-east-1";

 private:
  void write(const std::string& name, const std::string& text) const;
  void make_rings(const std::map<std::string, int>& ports) const;
  void start(const std::vector<std::string>& argv);
  [[nodiscard]] std::string output() const;

  TemporaryDirectory folder_;
  int port_ = 0;
  std::vector<RunningCommand> processes_;
};

}  // namespace sluice::testing
