#include "engine/app/words.h"

#include <algorithm>
#include <numeric>

#include "engine/model/quote.h"

namespace sluice {
namespace {

// Longer ones are no slips, and the distance of hostile names would cost time.
constexpr std::size_t kWordBytesMax = 100;

// Levenshtein's distance, with one row of its table.
std::size_t distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t replaced = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > kWordBytesMax) return {};
  const std::string folded = fold_ascii(word);
  std::string best;
  // Two slips in seven letters; three would turn one word into another.
  std::size_t best_distance = std::max<std::size_t>(word.size() / 3 + 1, 2);
  for (const std::string& candidate : known) {
    if (candidate.size() > kWordBytesMax) continue;
    const std::size_t found = distance(folded, fold_ascii(candidate));
    if (found >= best_distance || found >= std::min(word.size(), candidate.size())) continue;
    best = candidate;
    best_distance = found;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::string found = nearest(word, known);
  return found.empty() ? std::string() : std::string(", did you mean ").append(found).append("?");
}

}  // namespace sluice
