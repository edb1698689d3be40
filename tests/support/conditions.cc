#include "support/conditions.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <utility>

#include "support/query.h"

namespace sluice::testing {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool wait_until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(3);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bool wait_for_ranges(const std::string& conninfo, int ranges) {
  return wait_until([&] {
    return query_value(conninfo, "SELECT to_regclass('sluice.work') IS NOT NULL") == "t" &&
           std::stoi(query_value(conninfo, "SELECT count(*) FROM sluice.work WHERE done")) >= ranges;
  });
}

bool wait_for_sessions_to_end(const std::string& conninfo) {
  return wait_until([&] {
    return query_value(conninfo,
                       "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
                       "pg_backend_pid() AND backend_type = 'client backend'") == "0";
  });
}

bool is_stopped(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');  // the name may hold one, too
  return name_end != std::string::npos && text.substr(name_end, 3) == ") T";
}

RunningCommand begin_until(std::vector<std::string> command, const std::string& failpoints,
                           CommandOptions options) {
  if (command.front() == sluice_program()) command.front() = sluice_faults_program();
  options.environment.emplace_back("SLUICE_FAILPOINT", failpoints);
  RunningCommand running(std::move(command), std::move(options));
  if (!wait_until([&] { return is_stopped(running.pid()) || !running.running(); }) || !running.running()) {
    throw std::runtime_error("it does not come to " + failpoints + ": " + running.out_so_far() +
                             running.err_so_far());
  }
  return running;
}

}  // namespace sluice::testing
