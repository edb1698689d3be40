#include "engine/app/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "io/postgres/read_back.h"
#include "io/wire/reject_record.h"
#include "io/wire/row_encoder.h"
#include "verify/row_digest.h"
#include "verify/row_digester.h"
#include "verify/server_hash.h"

namespace sluice {
TableLeaves leaves_from_ledger(const TablePlan& plan, const std::vector<const WorkRecord*>& ranges) {
  std::vector<RangeDigest> digests;
  digests.reserve(ranges.size());
  for (const WorkRecord* range : ranges) digests.push_back(range->seal.digest);
  return TableLeaves(plan, digests);
}

std::optional<ScannedSource> scan_source(Snapshot& snapshot, const std::vector<TablePlan>& tables,
                                         bool server_hashes, std::size_t unfit_rows_max, Console& console,
                                         const StopRequest& stop) {
  struct Task {
    std::size_t table = 0;
    std::size_t extent = 0;
  };
  std::vector<Task> tasks;
  std::vector<std::vector<RangeDigest>> digests(tables.size());
  std::uint64_t bytes_expected = 0;
  for (std::size_t table = 0; table < tables.size(); ++table) {
    digests[table].resize(tables[table].extents.size());
    bytes_expected += tables[table].bytes;
    for (std::size_t extent = 0; extent < tables[table].extents.size(); ++extent)
      tasks.push_back({table, extent});
  }
  ScannedSource scanned;
  scanned.unfit.resize(tables.size());
  std::vector<std::uint64_t> unfit(tasks.size());
  std::vector<std::vector<UnfitRow>> unfit_rows(tasks.size());
  RowMeter meter;
  PipelineWork pipeline;
  pipeline.lanes = snapshot.readers();
  pipeline.tasks = tasks.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    const Task& task = tasks[number];
    const TablePlan& plan = tables[task.table];
    RowMeter::Share share(meter);
    naming_table(plan, [&] {
      RowDigester row_digester(plan);
      RangeDigester range(plan);
      std::optional<ServerHasher> server;
      if (server_hashes && why_no_server_hash(plan).empty()) server.emplace(plan);
      const std::unique_ptr<Scan> scan = snapshot.reader(lane).scan(plan, plan.extents[task.extent]);
      while (const std::optional<Row> row = scan->next()) {
        if (!row_digester.take(*row)) [[unlikely]] {
          if (++unfit[number] <= unfit_rows_max) {
            const CellReject& reject = row_digester.reject();
            unfit_rows[number].push_back({task.table, key_of_row(plan, *row),
                                          plan.columns[reject.column].source,
                                          std::string(name_of(reject.reason))});
          }
          continue;
        }
        range.add(row_digester.key_tuple(), row_digester.digest(),
                  server ? server->hash(row_digester.pieces()) : 0);
        share.add(row_digester.key_tuple().size());
      }
      digests[task.table][task.extent] = range.finish();
    });
  };
  {
    const Ticker ticker(console.interval_seconds(), [&] {
      Progress progress = meter.progress("source", 0);
      progress.fraction =
          bytes_expected == 0
              ? 0
              : std::min(0.99, static_cast<double>(progress.bytes) / static_cast<double>(bytes_expected));
      console.progress(progress);
    });
    if (!run_pipeline(pipeline, stop)) return std::nullopt;
  }
  for (std::size_t number = 0; number < tasks.size(); ++number) {
    scanned.unfit[tasks[number].table] += unfit[number];
    for (UnfitRow& row : unfit_rows[number]) {
      if (scanned.unfit_rows.size() < unfit_rows_max) scanned.unfit_rows.push_back(std::move(row));
    }
  }
  for (std::size_t table = 0; table < tables.size(); ++table) {
    scanned.leaves.emplace_back(tables[table], digests[table]);
    // A damaged table must not look as if it had fewer rows: those of the target would be called too many.
    snapshot.expect_rows(tables[table], scanned.leaves.back().total().rows + scanned.unfit[table]);
  }
  return scanned;
}

namespace {

class TargetReader {
 public:
  TargetReader(const ComparisonWork& work, Console& console, const StopRequest& stop)
      : work_(work), console_(console), stop_(stop) {}

  std::vector<TableComparison> run() {
    ReadBackOptions options;
    options.mode = work_.mode;
    options.sample_percent = work_.sample_percent;
    options.lanes = work_.connections.size();
    std::vector<std::pair<TableReadBack*, std::size_t>> pieces;
    std::uint64_t rows_expected = 0;
    for (std::size_t i = 0; i < work_.tables->size(); ++i) {
      options.server_sums = !work_.server_sums.empty() && work_.server_sums[i];
      options.sample_seed = work_.sample_seed + i;
      const TableLeaves& source = (*work_.source)[i];
      std::unique_ptr<TableReadBack>& table = tables_.emplace_back();
      const std::size_t count = work_.retries->run([&] {
        table = std::make_unique<TableReadBack>((*work_.tables)[i], source, options);
        return table->cut(*work_.connections.front());
      });
      for (std::size_t piece = 0; piece < count; ++piece) pieces.emplace_back(table.get(), piece);
      rows_expected += source.total().rows;
    }
    RowMeter meter;
    PipelineWork pipeline;
    pipeline.lanes = work_.connections.size();
    pipeline.tasks = pieces.size();
    pipeline.body = [&](std::size_t lane, std::size_t number) {
      TableReadBack* const table =
          pieces[number].first;  // clang 14 takes no structured binding into a lambda
      const std::size_t piece = pieces[number].second;
      work_.retries->run([&](std::size_t attempt) {
        if (attempt > 1 && work_.before_reading_again) work_.before_reading_again(lane);
        table->read(*work_.connections[lane], piece, meter);
      });
    };
    {
      const Ticker ticker(console_.interval_seconds(),
                          [&] { console_.progress(meter.progress("verify", rows_expected)); });
      if (!run_pipeline(pipeline, stop_)) return {};
    }
    std::vector<TableComparison> comparisons;
    for (const auto& table : tables_) {
      comparisons.push_back(work_.retries->run([&] { return table->compare(*work_.connections.front()); }));
    }
    return comparisons;
  }

 private:
  const ComparisonWork& work_;
  Console& console_;
  const StopRequest& stop_;
  std::vector<std::unique_ptr<TableReadBack>> tables_;
};

}  // namespace

std::vector<TableComparison> compare_target(const ComparisonWork& work, Console& console,
                                            const StopRequest& stop) {
  return TargetReader(work, console, stop).run();
}

std::optional<LeavesLeft> compare_leaves(const std::vector<Connection*>& connections, const TablePlan& plan,
                                         const TableLeaves& source, const std::vector<std::size_t>& leaves,
                                         Retries& retries, const StopRequest& stop) {
  TableLeaves target = source;
  for (const std::size_t leaf : leaves) target.clear(leaf);
  const bool by_key =
      source.ordered() && retries.run([&] { return finds_by_key(*connections.front(), plan); });
  const std::uint64_t blocks =
      by_key ? 0 : retries.run([&] { return count_blocks(*connections.front(), plan); });
  std::vector<std::optional<TableLeaves>> parts(
      by_key ? leaves.size() : std::max<std::uint64_t>(1, (blocks + kBlocksPerPiece - 1) / kBlocksPerPiece));
  PipelineWork pipeline;
  pipeline.lanes = connections.size();
  pipeline.tasks = parts.size();
  const auto read = [&](std::size_t lane, std::size_t number) {
    TableLeaves& part = parts[number].emplace(source.emptied());
    const auto add = [&](const TargetRow& row) {
      const std::size_t leaf = part.leaf_of(row.tuple, row.digest);
      if (std::binary_search(leaves.begin(), leaves.end(), leaf))
        part.add(leaf, {INT64_MAX, RowSum{row.digest, 1}, {}});
    };
    naming_table(plan, [&] {
      if (by_key) {
        read_placed(*connections[lane], plan, source.keys_of(leaves[number]), add);
      } else {
        const bool last = number + 1 == parts.size();
        read_blocks(*connections[lane], plan,
                    {number * kBlocksPerPiece, last ? UINT64_MAX : (number + 1) * kBlocksPerPiece}, add);
      }
    });
  };
  pipeline.body = [&](std::size_t lane, std::size_t number) { retries.run([&] { read(lane, number); }); };
  pipeline.record = [&](std::size_t number) {
    target.merge(*parts[number]);
    parts[number].reset();
  };
  if (!run_pipeline(pipeline, stop)) return std::nullopt;
  LeavesLeft left{differing_leaves(source, target), {}};
  for (const std::size_t leaf : left.differing) left.rows.push_back(target.leaves()[leaf].rows.rows);
  return left;
}

namespace {

std::string list_of(const std::set<std::uint32_t>& ranges) {
  constexpr std::size_t kListed = 10;
  std::string list;
  std::size_t count = 0;
  for (const std::uint32_t range : ranges) {
    if (++count > kListed) {
      list += fmt::format(" and {} more", ranges.size() - kListed);
      break;
    }
    list += (list.empty() ? "" : ", ") + std::to_string(range);
  }
  return list;
}

// Ranges whose transaction has left another number of rows than it loaded. An UPDATE gives a row another
// transaction, so changed rows count as well as missing ones.
std::set<std::uint32_t> ranges_by_transaction(Connection& connection, const TablePlan& plan,
                                              const std::vector<const WorkRecord*>& ranges) {
  const std::map<std::uint32_t, std::uint64_t> found = rows_by_transaction(connection, plan);
  std::set<std::uint32_t> differing;
  for (const WorkRecord* range : ranges) {
    const auto rows = found.find(range->transaction);
    if ((rows == found.end() ? 0 : rows->second) != range->seal.rows_loaded) {
      differing.insert(static_cast<std::uint32_t>(range->number));
    }
  }
  return differing;
}

}  // namespace

DescribedDifference describe_difference(Connection& connection, const TablePlan& plan,
                                        const std::vector<const WorkRecord*>& ranges,
                                        const TableLeaves& source, const TableComparison& comparison) {
  if (comparison.level == Level::count) {
    return {fmt::format("table {}: {} rows loaded, {} rows found", plan.source, comparison.rows_source,
                        comparison.rows_target)};
  }
  std::set<std::uint32_t> named;
  if (source.ordered()) {
    for (const std::size_t leaf : comparison.differing) {
      for (const RangeNumber range : ranges_of_leaf(plan, source, leaf)) {
        named.insert(static_cast<std::uint32_t>(range));
      }
    }
  } else {
    named = ranges_by_transaction(connection, plan, ranges);
  }
  return {
      fmt::format(
          "table {}, {}: {} rows loaded, {} rows found, {} of {} leaves differ", plan.source,
          named.empty() ? std::string("rows that no range loaded") : fmt::format("range {}", list_of(named)),
          comparison.rows_source, comparison.rows_target, comparison.differing.size(), comparison.leaves),
      std::max<std::size_t>(named.size(), 1)};
}

}  // namespace sluice
