#include "support/conditions.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "support/query.h"

namespace sluice::testing {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool wait_until(const std::function<bool()>& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

bool wait_for_ranges(const std::string& conninfo, int ranges) {
  return wait_until([&] {
    return query_value(conninfo, "SELECT to_regclass('sluice.work') IS NOT NULL") == "t" &&
           std::stoi(query_value(conninfo, "SELECT count(*) FROM sluice.work WHERE done")) >= ranges;
  });
}

bool is_stopped(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t name_end = text.rfind(')');  // the name may hold one, too
  return name_end != std::string::npos && text.substr(name_end, 3) == ") T";
}

}  // namespace sluice::testing
