#include "bench/chart.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::bench {
namespace {

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '<') {
      safe += "&lt;";
    } else if (c == '&') {
      safe += "&amp;";
    } else {
      safe += c;
    }
  }
  return safe;
}

}  // namespace

std::string bar_chart(const std::string& title, const std::vector<Bar>& bars) {
  constexpr int kWidth = 760;
  constexpr int kNames = 270;
  constexpr int kLabels = 130;
  constexpr int kRow = 26;
  constexpr int kTop = 40;
  double largest = 0;
  for (const Bar& bar : bars) {
    if (!bar.failed) largest = std::max(largest, bar.value);
  }
  const int height = kTop + kRow * static_cast<int>(bars.size()) + 10;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n"
      "<text x=\"10\" y=\"22\" font-weight=\"bold\">{2}</text>\n",
      kWidth, height, escaped(title));
  int y = kTop;
  for (const Bar& bar : bars) {
    const double share = bar.failed || largest <= 0 ? 0 : bar.value / largest;
    const double width = share * (kWidth - kNames - kLabels);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kNames - 8, y + 16,
                       escaped(bar.name));
    svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"18\" fill=\"{}\"/>\n", kNames,
                       y + 2, width, bar.ours ? "#1b6ca8" : "#9aa5b1");
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\">{}</text>\n", kNames + width + 6, y + 16,
                       escaped(bar.label));
    y += kRow;
  }
  return svg + "</svg>\n";
}

}  // namespace sluice::bench
