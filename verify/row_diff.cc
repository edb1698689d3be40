#include "verify/row_diff.h"

#include <algorithm>
#include <cassert>
#include <tuple>

namespace sluice {
namespace {

auto order_of(const RowMark& mark) {
  return std::tuple(mark.identity.high, mark.identity.low, mark.row.high, mark.row.low, mark.place);
}

bool same_row(const RowMark& left, const RowMark& right) {
  return left.identity == right.identity && left.row == right.row;
}

bool identity_before(const RowMark& left, const RowMark& right) {
  return std::tuple(left.identity.high, left.identity.low) <
         std::tuple(right.identity.high, right.identity.low);
}

}  // namespace

void RowDiff::add_source(const RowMark& row) {
  assert(!sorted_);
  source_.push_back({row, false});
}

void RowDiff::sort_source() {
  if (sorted_) return;
  std::sort(source_.begin(), source_.end(),
            [](const Entry& left, const Entry& right) { return order_of(left.mark) < order_of(right.mark); });
  sorted_ = true;
}

void RowDiff::add_target(const RowMark& row) {
  sort_source();
  RowMark wanted = row;
  wanted.place = 0;
  auto entry = std::lower_bound(
      source_.begin(), source_.end(), wanted,
      [](const Entry& at, const RowMark& mark) { return order_of(at.mark) < order_of(mark); });
  // Rows that are double: each meets one.
  const auto taken = [&] { return entry->met || entry->mark.is_unfit(); };
  while (entry != source_.end() && same_row(entry->mark, row) && taken()) ++entry;
  if (entry != source_.end() && same_row(entry->mark, row)) {
    entry->met = true;
  } else {
    target_.push_back(row);
  }
}

std::vector<RowPair> RowDiff::finish() {
  sort_source();
  std::sort(target_.begin(), target_.end(),
            [](const RowMark& left, const RowMark& right) { return order_of(left) < order_of(right); });
  std::vector<RowPair> pairs;
  auto target = target_.begin();
  for (const Entry& entry : source_) {
    if (entry.met) continue;
    for (; target != target_.end() && identity_before(*target, entry.mark); ++target) {
      pairs.push_back({std::nullopt, *target});
    }
    const bool same_key = target != target_.end() && target->identity == entry.mark.identity;
    pairs.push_back({entry.mark, same_key ? std::optional(*target++) : std::nullopt});
  }
  for (; target != target_.end(); ++target) pairs.push_back({std::nullopt, *target});
  source_.clear();
  target_.clear();
  sorted_ = false;
  return pairs;
}

}  // namespace sluice
