#include "bench/figures.h"

#include <stdlib.h>  // getloadavg
#include <sys/resource.h>
#include <unistd.h>  // sysconf

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

namespace sluice::bench {
namespace {

double cpu_seconds_of(int who) {
  rusage usage{};
  getrusage(who, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

double minimum(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

double maximum(const std::vector<double>& values) { return *std::max_element(values.begin(), values.end()); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double load_average() {
  double average = 0;
  return getloadavg(&average, 1) == 1 ? average : 0;
}

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }

double cpu_of_process() { return cpu_seconds_of(RUSAGE_SELF); }

double cpu_of_children() { return cpu_seconds_of(RUSAGE_CHILDREN); }

double cpu_of_server(pid_t postmaster) {
  // Those that have ended are in the postmaster's account of its children.
  const auto ticks = [](const std::string& pid, bool with_ended_children) {
    std::ifstream file("/proc/" + pid + "/stat");
    std::string line;
    std::getline(file, line);
    // After the name, which may hold anything: state is the 3rd field, utime the 14th, then stime, cutime,
    // cstime.
    std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double sum = 0;
    double value = 0;
    for (int count = with_ended_children ? 4 : 2; count > 0 && fields >> value; --count) sum += value;
    return sum;
  };
  const std::string pid = std::to_string(postmaster);
  double sum = ticks(pid, true);
  std::ifstream children("/proc/" + pid + "/task/" + pid + "/children");
  for (std::string child; children >> child;) sum += ticks(child, false);
  return sum / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace sluice::bench
