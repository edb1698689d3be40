#pragma once
// Prometheus' text exposition format, version 0.0.4:
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
//
// A family begins with its HELP and TYPE lines, and its samples follow at once. Label values may be any
// UTF-8, with \, " and line breaks escaped; bytes that are not UTF-8 are written as people see them
// elsewhere: \xff.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice {

enum class MetricType : std::uint8_t { counter, gauge, histogram };

class MetricsText {
 public:
  using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

  // `name` is whole: a counter's ends with _total. `help` is one line.
  void begin(std::string_view name, MetricType type, std::string_view help);
  // Of the family begun last. REQUIRES: no two samples of it have the same labels.
  void sample(const Labels& labels, double value) { sample("", labels, value); }
  // `suffix`: _bucket, _sum or _count of a histogram.
  void sample(std::string_view suffix, const Labels& labels, double value);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string family_;
  std::string text_;
};

// A value of a label, as it may stand between the quotes.
std::string escaped_label(std::string_view value);

// As Prometheus reads numbers: whole ones without a point, "+Inf".
std::string metric_number(double value);

}  // namespace sluice
