#include "engine/model/failpoint.h"

#ifdef SLUICE_FAILPOINTS

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

namespace sluice {
namespace {

struct Failpoint {
  std::string step;  // empty: none
  std::uint64_t hit = 0;
  int signal = SIGKILL;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

Failpoint wanted() {
  Failpoint wanted;
  std::string text = environment("SLUICE_FAILPOINT");
  const std::string stop = ":stop";
  if (text.ends_with(stop)) {
    wanted.signal = SIGSTOP;
    text.resize(text.size() - stop.size());
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return wanted;
  wanted.step = text.substr(0, colon);
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), wanted.hit);
  return wanted;
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
  static const Failpoint failpoint = wanted();
  static std::atomic<std::uint64_t> hits{0};
  trace(step);
  if (step == failpoint.step && ++hits == failpoint.hit) std::raise(failpoint.signal);
}

}  // namespace with_failpoints

}  // namespace sluice

#endif
