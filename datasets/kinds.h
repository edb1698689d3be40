#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "datasets/database.h"
#include "datasets/dataset.h"

// The generators behind the table in dataset.cc, and what they share.
namespace sluice::datasets {

void generate_panel(Database& database, const GeneratorOptions& options);
void generate_workspace(Database& database, const GeneratorOptions& options);
void generate_objectstore(Database& database, const GeneratorOptions& options);
void generate_service(Database& database, const GeneratorOptions& options);
void generate_marketplace(Database& database, const GeneratorOptions& options);
void generate_three_tables(Database& database, const GeneratorOptions& options);
void generate_narrow(Database& database, const GeneratorOptions& options);
void generate_wide(Database& database, const GeneratorOptions& options);
void generate_big_values(Database& database, const GeneratorOptions& options);
void generate_skewed_rows(Database& database, const GeneratorOptions& options);
void generate_sparse_keys(Database& database, const GeneratorOptions& options);
void generate_negative_keys(Database& database, const GeneratorOptions& options);
void generate_dense_corner(Database& database, const GeneratorOptions& options);
void generate_text_keys(Database& database, const GeneratorOptions& options);
void generate_no_key(Database& database, const GeneratorOptions& options);
void generate_mixed_classes(Database& database, const GeneratorOptions& options);

// Splits rows over tables by weight. Every table gets at least one; the heaviest takes what rounding
// leaves, so the sum is exactly `rows` unless there are hardly more rows than tables.
template <std::size_t count>
std::array<std::int64_t, count> split_rows(std::uint64_t rows,
                                           const std::array<std::uint64_t, count>& weights) {
  std::uint64_t total_weight = 0;
  for (const std::uint64_t weight : weights) total_weight += weight;
  std::array<std::int64_t, count> result{};
  const auto heaviest =
      static_cast<std::size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  auto left = static_cast<std::int64_t>(rows);
  for (std::size_t index = 0; index < count; ++index) {
    if (index == heaviest) continue;
    result[index] =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(rows * weights[index] / total_weight));
    left -= result[index];
  }
  result[heaviest] = std::max<std::int64_t>(1, left);
  return result;
}

}  // namespace sluice::datasets
