#include "support/prometheus_text.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>

namespace sluice::testing {
namespace {

const std::regex kMetricName("[a-zA-Z_:][a-zA-Z0-9_:]*");
const std::regex kLabelName("[a-zA-Z_][a-zA-Z0-9_]*");
const std::regex kNumber(R"([+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf)|NaN)");

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error(why); }

// Neither overlong forms nor surrogates, nor bytes that begin nothing.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (size == 0 || first > 0xf4 || i + size > text.size()) return false;
    unsigned long code = size == 1 ? first : first & (0xffU >> (size + 1));
    for (std::size_t k = 1; k < size; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3fU);
    }
    const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
    if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    i += size;
  }
  return true;
}

double number_of(const std::string& text) {
  if (!std::regex_match(text, kNumber)) refuse("not a number: " + text);
  if (text.ends_with("Inf")) return text[0] == '-' ? -INFINITY : INFINITY;
  return std::strtod(text.c_str(), nullptr);
}

// Takes what is between the quotes, and the closing one, from the front.
std::string take_label_value(std::string_view& rest) {
  std::string value;
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return value;
    }
    if (rest[i] != '\\') {
      value += rest[i];
      continue;
    }
    if (++i == rest.size()) break;
    if (rest[i] != '\\' && rest[i] != '"' && rest[i] != 'n') refuse("an unknown escape in a label");
    value += rest[i] == 'n' ? '\n' : rest[i];
  }
  refuse("a label without its closing quote");
}

std::string take_until(std::string_view& rest, std::string_view ends) {
  const std::string word(rest.substr(0, rest.find_first_of(ends)));
  rest.remove_prefix(word.size());
  return word;
}

// The family that a sample of this name belongs to, when the current one is a histogram.
std::string family_of(const std::string& name, const std::string& type) {
  if (type != "histogram") return name;
  for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - suffix.size());
  }
  refuse("a histogram's sample is a _bucket, its _sum or its _count: " + name);
}

}  // namespace

PrometheusText::PrometheusText(std::string_view text) {
  if (!text.empty() && text.back() != '\n') refuse("the last line has no end");
  if (!is_utf8(text)) refuse("not UTF-8");
  std::set<std::string> families;
  std::string family;
  std::optional<std::string> type;  // nothing between HELP and TYPE
  std::set<std::string> histograms;
  std::size_t number = 0;
  try {
    while (!text.empty()) {
      ++number;
      std::string_view rest = text.substr(0, text.find('\n'));
      text.remove_prefix(rest.size() + 1);
      if (rest.starts_with("# HELP ")) {
        rest.remove_prefix(7);
        family = take_until(rest, " ");
        if (!std::regex_match(family, kMetricName)) refuse("not a name of a metric: " + family);
        if (!families.insert(family).second) refuse("a family in two places: " + family);
        if (rest.size() < 2) refuse("HELP without a text");
        if (rest.find('\\') != rest.npos) refuse("an escape in HELP, which nothing here needs");
        type.reset();
      } else if (rest.starts_with("# TYPE ")) {
        rest.remove_prefix(7);
        if (take_until(rest, " ") != family || type) refuse("TYPE must follow the HELP of its family");
        type = rest.substr(std::min<std::size_t>(rest.size(), 1));
        if (type != "counter" && type != "gauge" && type != "histogram") refuse("an unknown type");
        if ((type == "counter") != family.ends_with("_total")) refuse("_total is for counters: " + family);
        if (type == "histogram") histograms.insert(family);
      } else {
        if (!type) refuse("a line that is neither HELP nor TYPE nor a sample of a family");
        const std::string name = take_until(rest, "{ ");
        if (!std::regex_match(name, kMetricName)) refuse("not a name of a metric: " + name);
        if (family_of(name, *type) != family) refuse(name + " among the samples of " + family);
        PrometheusSample sample;
        if (rest.starts_with('{')) {
          do {
            rest.remove_prefix(1);
            const std::string label = take_until(rest, "=");
            if (!std::regex_match(label, kLabelName)) refuse("not a name of a label: " + label);
            if (!rest.starts_with("=\"")) refuse("a label without a value");
            rest.remove_prefix(2);
            sample.labels.emplace_back(label, take_label_value(rest));
          } while (rest.starts_with(','));
          if (!rest.starts_with('}')) refuse("labels without an end");
          rest.remove_prefix(1);
        }
        if (!rest.starts_with(' ')) refuse("no value");
        sample.value = number_of(std::string(rest.substr(1)));
        if (*type != "gauge" && !(sample.value >= 0)) refuse("a negative count");
        std::sort(sample.labels.begin(), sample.labels.end());
        std::vector<PrometheusSample>& known = samples_[name];
        for (const PrometheusSample& other : known) {
          if (other.labels == sample.labels) refuse("the same sample twice: " + name);
        }
        known.push_back(std::move(sample));
      }
    }
    for (const std::string& histogram : histograms) check_histogram(histogram);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("line " + std::to_string(number) + ": " + error.what());
  }
}

void PrometheusText::check_histogram(const std::string& family) const {
  double bound_before = -std::numeric_limits<double>::infinity();
  double count_before = 0;
  for (const PrometheusSample& bucket : samples_.at(family + "_bucket")) {
    if (bucket.labels.size() != 1 || bucket.labels[0].first != "le") refuse("a bucket without le");
    const double bound = number_of(bucket.labels[0].second);
    if (bound <= bound_before || bucket.value < count_before) refuse("buckets must ascend: " + family);
    bound_before = bound;
    count_before = bucket.value;
  }
  if (bound_before != INFINITY) refuse("no bucket for the rest: " + family);
  if (value(family + "_count") != count_before) refuse("_count is not the last bucket: " + family);
  static_cast<void>(value(family + "_sum"));
}

double PrometheusText::value(const std::string& name,
                             const std::vector<std::pair<std::string, std::string>>& labels) const {
  const PrometheusSample* found = nullptr;
  if (const auto known = samples_.find(name); known != samples_.end()) {
    for (const PrometheusSample& sample : known->second) {
      const bool fits = std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
        return std::find(sample.labels.begin(), sample.labels.end(), label) != sample.labels.end();
      });
      if (!fits) continue;
      if (found != nullptr) refuse("several samples of " + name);
      found = &sample;
    }
  }
  if (found == nullptr) refuse("no such sample of " + name);
  return found->value;
}

double PrometheusText::sum(const std::string& name) const {
  double sum = 0;
  for (const PrometheusSample& sample : samples_.at(name)) sum += sample.value;
  return sum;
}

}  // namespace sluice::testing
