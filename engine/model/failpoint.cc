#include "engine/model/failpoint.h"

#ifdef SLUICE_FAILPOINTS

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <sstream>
#include <string>

namespace sluice {
namespace {

struct Failpoint {
  std::string step;
  std::uint64_t hit = 0;
  int signal = SIGKILL;
  std::atomic<std::uint64_t> hits{0};
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::deque<Failpoint> wanted() {
  std::deque<Failpoint> all;
  std::istringstream text(environment("SLUICE_FAILPOINT"));
  for (std::string word; std::getline(text, word, ',');) {
    Failpoint& wanted = all.emplace_back();
    std::istringstream parts(word);
    std::string hit;
    std::string what;
    std::getline(parts, wanted.step, ':');
    std::getline(parts, hit, ':');
    std::getline(parts, what, ':');
    std::from_chars(hit.data(), hit.data() + hit.size(), wanted.hit);
    if (what == "stop") wanted.signal = SIGSTOP;
  }
  return all;
}

void trace(std::string_view step) {
  static const std::string path = environment("SLUICE_FAILPOINT_TRACE");
  if (path.empty()) return;
  static std::mutex mutex;
  static std::FILE* const file = std::fopen(path.c_str(), "a");
  const std::lock_guard lock(mutex);
  if (file == nullptr) std::abort();  // a trace that is asked for and not there would pass for an empty one
  std::fwrite(step.data(), 1, step.size(), file);
  std::fputc('\n', file);
  std::fflush(file);
}

}  // namespace

inline namespace with_failpoints {

void failpoint(std::string_view step) {
  static std::deque<Failpoint> all = wanted();
  trace(step);
  for (Failpoint& one : all) {
    if (step == one.step && ++one.hits == one.hit) std::raise(one.signal);
  }
}

}  // namespace with_failpoints

}  // namespace sluice

#endif
