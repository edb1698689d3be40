#pragma once
// JSON of a file that somebody else may have written: nested no deeper than ours ever is. What prints a
// value, or compares two, goes down by recursion, and a stack is soon at its end.

#include <string_view>

namespace sluice {

// Json: an instance of nlohmann::basic_json. Throws its exception for what is no JSON, or deeper than that.
template <class Json>
Json parse_shallow_json(std::string_view text) {
  constexpr int kDepthMax = 64;
  return Json::parse(text, [](int depth, typename Json::parse_event_t, const Json&) {
    if (depth > kDepthMax) throw Json::other_error::create(501, "it is nested too deep", nullptr);
    return true;
  });
}

}  // namespace sluice
