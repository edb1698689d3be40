#pragma once
// A reader of Prometheus' text format that forgives nothing, for tests of what sluice writes.
// https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::testing {

struct PrometheusSample {
  std::vector<std::pair<std::string, std::string>> labels;  // in order of their names, unescaped
  double value = 0;
};

class PrometheusText {
 public:
  // Throws std::runtime_error with the number of the line for whatever the format does not allow, and for
  // what it only advises against: a sample without HELP and TYPE before it, a family in two places, a counter
  // whose name does not end in _total, histograms that do not add up.
  explicit PrometheusText(std::string_view text);

  [[nodiscard]] bool has(const std::string& name) const { return samples_.contains(name); }
  // Throws when there is not exactly one sample of this name that has these labels.
  [[nodiscard]] double value(const std::string& name,
                             const std::vector<std::pair<std::string, std::string>>& labels = {}) const;
  // Of all samples of the name.
  [[nodiscard]] double sum(const std::string& name) const;
  [[nodiscard]] const std::vector<PrometheusSample>& samples(const std::string& name) const {
    return samples_.at(name);
  }

 private:
  void check_histogram(const std::string& family) const;

  std::map<std::string, std::vector<PrometheusSample>> samples_;  // by name
};

}  // namespace sluice::testing
