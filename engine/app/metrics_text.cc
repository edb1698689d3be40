#include "engine/app/metrics_text.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/app/printable.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

std::string_view name_of(MetricType type) {
  switch (type) {
    case MetricType::counter:
      return "counter";
    case MetricType::gauge:
      return "gauge";
    case MetricType::histogram:
      break;
  }
  return "histogram";
}

// 2^53: up to there every whole number is a double.
constexpr double kWholeMax = 9007199254740992.0;

}  // namespace

std::string metric_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::trunc(value) == value && std::abs(value) <= kWholeMax) return fmt::format("{:.0f}", value);
  return fmt::format("{}", value);
}

std::string escaped_label(std::string_view value) {
  std::string text;
  for (const char c : valid_utf8(value) ? std::string(value) : printable(value)) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text;
}

void MetricsText::begin(std::string_view name, MetricType type, std::string_view help) {
  family_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, name_of(type));
}

void MetricsText::sample(std::string_view suffix, const Labels& labels, double value) {
  text_.append(family_).append(suffix);
  const char* separator = "{";
  for (const auto& [name, label] : labels) {
    text_ += fmt::format("{}{}=\"{}\"", separator, name, escaped_label(label));
    separator = ",";
  }
  if (!labels.empty()) text_ += "}";
  text_ += " " + metric_number(value) + "\n";
}

}  // namespace sluice
