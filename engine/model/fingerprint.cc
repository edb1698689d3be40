#include "engine/model/fingerprint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>

namespace sluice {
namespace {

using Traits = std::map<std::string, std::string, std::less<>>;

Traits traits_of(std::string_view text) {
  Traits traits;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    const std::size_t end = word.find('=');
    if (end == word.npos) continue;
    traits.emplace(word.substr(0, end), word.substr(end + 1));
  }
  return traits;
}

struct Time {
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;
};

std::optional<Time> time_of(std::string_view text) {
  Time time;
  const char* const end = text.data() + text.size();
  const auto seconds = std::from_chars(text.data(), end, time.seconds);
  if (seconds.ec != std::errc{} || seconds.ptr == end || *seconds.ptr != '.') return std::nullopt;
  const auto rest = std::from_chars(seconds.ptr + 1, end, time.nanoseconds);
  return rest.ec == std::errc{} && rest.ptr == end ? std::optional(time) : std::nullopt;
}

bool same_time(std::string_view left_text, std::string_view right_text) {
  const std::optional<Time> left = time_of(left_text);
  const std::optional<Time> right = time_of(right_text);
  if (!left || !right || left->seconds != right->seconds) return left_text == right_text;
  const std::int64_t coarse = std::min(left->nanoseconds, right->nanoseconds);
  const std::int64_t fine = std::max(left->nanoseconds, right->nanoseconds);
  if (coarse == fine) return true;
  constexpr std::array<std::int64_t, 4> kGrains = {100, 1'000, 1'000'000, 1'000'000'000};
  return std::any_of(kGrains.begin(), kGrains.end(),
                     [&](std::int64_t grain) { return coarse == fine / grain * grain; });
}

}  // namespace

std::vector<std::string> fingerprint_differences(std::string_view ledger, std::string_view now) {
  const Traits then = traits_of(ledger);
  Traits left = traits_of(now);
  const bool by_content = then.contains("content");
  std::vector<std::string> differing;
  for (const auto& [name, value] : then) {
    const auto found = left.find(name);
    const bool names_the_file = name == "dev" || name == "ino";
    bool same = found != left.end() && found->second == value;
    if (by_content && names_the_file) same = true;
    if (by_content && name == "mtime" && found != left.end()) same = same_time(value, found->second);
    if (!same) differing.push_back(name);
    if (found != left.end()) left.erase(found);
  }
  if (!by_content) return differing;
  for (const auto& [name, value] : left) {
    if (name != "dev" && name != "ino") differing.push_back(name);
  }
  return differing;
}

bool same_state(std::string_view ledger, std::string_view now) {
  return fingerprint_differences(ledger, now).empty();
}

}  // namespace sluice
