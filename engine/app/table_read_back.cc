#include "engine/app/table_read_back.h"

#include <algorithm>
#include <array>
#include <random>

#include "engine/model/failpoint.h"
#include "verify/server_hash.h"

namespace sluice {
namespace {

// A query that answers with one row fills no pipe, so there is one for each lane, unless that makes them
// small; but not longer than a moment either, since keys of the same table may wait for them, and others
// behind the keys.
constexpr std::uint64_t kBlocksPerSumMin = 1024;
constexpr std::uint64_t kBlocksPerSumMax = 32768;

}  // namespace

std::string_view name_of(Level level) {
  constexpr std::array<std::string_view, 4> kNames = {"full", "server", "sample", "count"};
  return kNames[static_cast<std::size_t>(level)];
}

TableReadBack::TableReadBack(const TablePlan& plan, const TableLeaves& source, const ReadBackOptions& options)
    : plan_(plan), source_(source), options_(options), target_(source.emptied()) {
  comparison_.rows_source = source.total().rows;
  comparison_.root_source = source.root();
  comparison_.leaves = comparison_.leaves_read = source.leaves().size();
}

std::size_t TableReadBack::cut(Connection& connection) {
  failpoint("before verification");
  naming_table(plan_, [&] {
    if (options_.mode == VerifyMode::count) {
      comparison_.level = Level::count;
      pieces_.emplace_back();
      return;
    }
    if (options_.mode == VerifyMode::server) {
      comparison_.note = why_not_server(connection);
      if (comparison_.note.empty()) comparison_.level = Level::server;
    }
    if (options_.sample_percent < 100) {
      if (!source_.ordered() || !finds_by_key(connection, plan_)) {
        comparison_.note = "read whole: no index finds its rows by an integer key";
      } else {
        comparison_.level = Level::sample;
        sample_leaves();
        return;
      }
    }
    const std::uint64_t blocks = count_blocks(connection, plan_);
    const std::uint64_t step =
        comparison_.level == Level::server
            ? std::clamp(blocks / options_.lanes + 1, kBlocksPerSumMin, kBlocksPerSumMax)
            : kBlocksPerPiece;
    for (std::uint64_t begin = 0; begin == 0 || begin < blocks; begin += step) {
      // The last one is open-ended: whatever was appended meanwhile is seen too.
      const bool last = begin + step >= blocks;
      pieces_.push_back({{begin, last ? UINT64_MAX : begin + step}, std::nullopt});
    }
  });
  return pieces_.size();
}

std::string TableReadBack::why_not_server(Connection& connection) const {
  if (const std::string why = why_no_server_hash(plan_); !why.empty()) return "read back whole: " + why;
  if (!options_.server_sums) {
    return "read back whole: the ledger has no sums of the server's hashes (migrate --verify server "
           "makes them, --scan takes them from the source)";
  }
  const std::string column = nondeterministic_column(connection, plan_);
  return column.empty() ? std::string()
                        : "read back whole: the collation of column " + column + " is not deterministic";
}

void TableReadBack::sample_leaves() {
  std::vector<std::size_t> leaves(comparison_.leaves);
  for (std::size_t i = 0; i < leaves.size(); ++i) leaves[i] = i;
  std::mt19937_64 random(options_.sample_seed);
  std::shuffle(leaves.begin(), leaves.end(), random);
  const auto wanted =
      static_cast<std::size_t>(static_cast<double>(leaves.size()) * options_.sample_percent / 100 + 0.9999);
  leaves.resize(std::clamp<std::size_t>(wanted, 1, leaves.size()));
  std::sort(leaves.begin(), leaves.end());
  comparison_.leaves_read = leaves.size();
  for (const std::size_t leaf : leaves) pieces_.push_back({{}, leaf});
  // What is not read counts as equal, and the level says so.
  for (std::size_t i = 0; i < comparison_.leaves; ++i) {
    if (!std::binary_search(leaves.begin(), leaves.end(), i)) target_.add(i, source_.leaves()[i]);
  }
}

void TableReadBack::read(Connection& connection, std::size_t piece_number, RowMeter& meter) {
  const Piece& piece = pieces_[piece_number];
  failpoint("before read back");
  naming_table(plan_, [&] {
    TableLeaves leaves = source_.emptied();
    RowMeter::Share share(meter);
    const auto add = [&](const TargetRow& row) {
      leaves.add(row.tuple, row.digest);
      share.add(row.tuple.size());
    };
    switch (comparison_.level) {
      case Level::count:
        comparison_.rows_target = count_rows(connection, plan_);  // a piece of its own
        return;
      case Level::server:
        sum_blocks(connection, plan_, piece.blocks, false, leaves);
        share.add_rows(leaves.total().rows);
        break;
      case Level::sample:
        read_placed(connection, plan_, source_.keys_of(*piece.leaf), add);
        break;
      case Level::full:
        read_blocks(connection, plan_, piece.blocks, add);
        break;
    }
    failpoint("after read back");
    const std::lock_guard lock(mutex_);
    target_.merge(leaves);
  });
}

TableComparison TableReadBack::compare(Connection& connection) {
  if (comparison_.level == Level::count) {
    comparison_.equal = comparison_.rows_target == comparison_.rows_source;
    return std::move(comparison_);
  }
  comparison_.rows_target = target_.total().rows;
  // Before anything of the answer is written: it may be asked again.
  comparison_.differing = comparison_.level == Level::server ? differing_by_server(connection)
                                                             : differing_leaves(source_, target_);
  comparison_.equal = comparison_.differing.empty();
  for (const std::size_t leaf : comparison_.differing) {
    const bool known = comparison_.level != Level::server || source_.ordered();
    comparison_.differing_rows.push_back(known ? target_.leaves()[leaf].rows.rows
                                               : comparison_.rows_target / comparison_.differing.size() + 1);
  }
  if (comparison_.level == Level::full) comparison_.root_target = target_.root();
  return std::move(comparison_);
}

// One sum of the whole table says whether; only where it differs does the server sum leaf by leaf.
std::vector<std::size_t> TableReadBack::differing_by_server(Connection& connection) {
  if (same_server_sum(source_, target_)) return {};
  if (!source_.ordered()) {
    std::vector<std::size_t> all(source_.leaves().size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
  }
  TableLeaves by_leaf = source_.emptied();
  naming_table(plan_, [&] { sum_blocks(connection, plan_, {}, true, by_leaf); });
  target_ = std::move(by_leaf);
  return differing_server_leaves(source_, target_);
}

}  // namespace sluice
