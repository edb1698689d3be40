#include "engine/plan/ranges.h"

#include <algorithm>

namespace sluice {
namespace {

// `count` - 1 of the candidates, evenly spread; they stand for equal runs of bytes.
template <class Candidate>
std::vector<Candidate> spread(const std::vector<Candidate>& candidates, std::size_t count) {
  std::vector<Candidate> chosen;
  for (std::size_t i = 1; i < count; ++i) {
    // The i-th of count - 1 cuts through candidates.size() + 1 runs.
    const std::size_t at = i * (candidates.size() + 1) / count;
    if (at >= 1) chosen.push_back(candidates[at - 1]);
  }
  return chosen;
}

// The same where it is known how much lies before each candidate.
std::vector<std::int64_t> spread_by_bytes(const TableOutline& outline, std::size_t count) {
  std::vector<std::int64_t> chosen;
  std::size_t at = 0;
  for (std::size_t i = 1; i < count; ++i) {
    const double wanted =
        static_cast<double>(outline.bytes) * static_cast<double>(i) / static_cast<double>(count);
    while (at < outline.rowids.size() && static_cast<double>(outline.bytes_before[at]) < wanted) ++at;
    if (at == outline.rowids.size()) break;
    // The one before may be the nearer one.
    const bool before = at > 0 && (chosen.empty() || chosen.back() < outline.rowids[at - 1]) &&
                        wanted - static_cast<double>(outline.bytes_before[at - 1]) <
                            static_cast<double>(outline.bytes_before[at]) - wanted;
    const std::int64_t rowid = outline.rowids[before ? at - 1 : at];
    if (chosen.empty() || chosen.back() < rowid) chosen.push_back(rowid);
  }
  return chosen;
}

}  // namespace

std::vector<Extent> cut_table(const SourceTable& table, const TableOutline& outline,
                              std::uint64_t range_bytes) {
  const std::size_t places = std::max(outline.rowids.size(), outline.key_tuples.size());
  const std::uint64_t wanted = outline.bytes / std::max<std::uint64_t>(range_bytes, 1) + 1;
  const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(wanted, places + 1));
  std::vector<Extent> extents;
  if (count <= 1) return {WholeTable{}};
  if (table.without_rowid) {
    std::vector<KeyValue> from;
    for (std::vector<KeyValue>& until : spread(outline.key_tuples, count)) {
      extents.push_back(PrimaryKeyRange{from, until});
      from = std::move(until);
    }
    extents.push_back(PrimaryKeyRange{std::move(from), {}});
    return extents;
  }
  if (table.rowid_name.empty()) return {WholeTable{}};
  std::int64_t first = INT64_MIN;
  const bool weighed = outline.bytes_before.size() == outline.rowids.size();
  for (const std::int64_t last : weighed ? spread_by_bytes(outline, count) : spread(outline.rowids, count)) {
    if (last < first || last == INT64_MAX) continue;  // candidates repeat in a damaged outline only
    extents.push_back(RowidRange{first, last});
    first = last + 1;
  }
  extents.push_back(RowidRange{first, INT64_MAX});
  return extents;
}

}  // namespace sluice
