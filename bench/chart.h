#pragma once
// A bar chart as SVG, for documents: no script, no font of its own, readable on light and dark pages.

#include <string>
#include <vector>

namespace sluice::bench {

struct Bar {
  std::string name;
  double value = 0;
  std::string label;  // behind the bar
  bool ours = false;
  bool failed = false;  // no bar, only the label
};

std::string bar_chart(const std::string& title, const std::vector<Bar>& bars);

}  // namespace sluice::bench
