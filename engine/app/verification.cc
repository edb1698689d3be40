#include "engine/app/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <set>

#include "io/postgres/target.h"

namespace sluice {
namespace {

// 32 MB of heap at the usual block size: enough tasks to keep the lanes level, few enough that starting a
// COPY does not count.
constexpr std::uint64_t kBlocksPerTask = 4096;

struct ReadTask {
  std::size_t table = 0;
  std::uint64_t first = 0;
  std::uint64_t last = UINT64_MAX;
};

std::vector<ReadTask> cut_read_back(const VerificationWork& work) {
  std::vector<ReadTask> tasks;
  for (std::size_t table = 0; table < work.plan->tables.size(); ++table) {
    const std::uint64_t blocks = count_blocks(*work.connections->front(), work.plan->tables[table]);
    for (std::uint64_t first = 0; first == 0 || first < blocks; first += kBlocksPerTask) {
      // The last task is open-ended: whatever was appended meanwhile is seen too.
      const bool last = first + kBlocksPerTask >= blocks;
      tasks.push_back({table, first, last ? UINT64_MAX : first + kBlocksPerTask});
    }
  }
  return tasks;
}

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

void explain(TableVerdict& verdict, Connection& connection, const TablePlan& plan,
             const std::vector<const WorkRecord*>& ranges, const TableLeaves& source,
             const TableLeaves& target, const std::vector<std::size_t>& differing) {
  std::set<std::uint32_t> named;
  if (source.ordered()) {
    for (const std::size_t leaf : differing) {
      for (const RangeNumber range : ranges_of_leaf(plan, source, leaf)) {
        named.insert(static_cast<std::uint32_t>(range));
      }
    }
  } else {
    named = ranges_by_transaction(connection, plan, ranges);
  }
  verdict.differences.push_back(fmt::format(
      "table {}, {}: {} rows loaded, {} rows found, {} of {} leaves differ", plan.source,
      named.empty() ? std::string("rows that no range loaded") : fmt::format("range {}", list_of(named)),
      source.total().rows, target.total().rows, differing.size(), source.leaves().size()));
}

}  // namespace

TableLeaves leaves_from_ledger(const TablePlan& plan, const std::vector<const WorkRecord*>& ranges) {
  std::vector<RangeDigest> digests;
  digests.reserve(ranges.size());
  for (const WorkRecord* range : ranges) digests.push_back(range->seal.digest);
  return TableLeaves(plan, digests);
}

std::vector<TableVerdict> verify_full(const VerificationWork& work, Console& console,
                                      const StopRequest& stop) {
  const std::vector<ReadTask> tasks = cut_read_back(work);
  std::vector<TableLeaves> target;
  std::uint64_t rows_expected = 0;
  for (const TableLeaves& source : *work.source) {
    target.push_back(source.emptied());
    rows_expected += source.total().rows;
  }
  std::vector<std::optional<TableLeaves>> parts(tasks.size());
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> bytes{0};

  PipelineWork pipeline;
  pipeline.lanes = work.connections->size();
  pipeline.tasks = tasks.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    const ReadTask& task = tasks[number];
    TableLeaves leaves = (*work.source)[task.table].emptied();
    std::uint64_t task_rows = 0;
    std::uint64_t task_bytes = 0;
    try {
      read_blocks(*(*work.connections)[lane], work.plan->tables[task.table], task.first, task.last,
                  [&](std::span<const std::byte> tuple) {
                    leaves.add(tuple);
                    task_bytes += tuple.size();
                    if (++task_rows % 4096 == 0) {
                      rows.fetch_add(4096, std::memory_order_relaxed);
                      bytes.fetch_add(std::exchange(task_bytes, 0), std::memory_order_relaxed);
                    }
                  });
    } catch (Error& error) {
      if (error.where().table.empty()) error.where().table = work.plan->tables[task.table].source;
      throw;
    }
    rows.fetch_add(task_rows % 4096, std::memory_order_relaxed);
    bytes.fetch_add(task_bytes, std::memory_order_relaxed);
    parts[number] = std::move(leaves);
  };
  pipeline.record = [&](std::size_t number) {
    target[tasks[number].table].merge(*parts[number]);
    parts[number].reset();
  };
  {
    const Ticker ticker(console.interval_seconds(), [&] {
      Progress progress;
      progress.phase = "verify";
      progress.rows = rows.load(std::memory_order_relaxed);
      progress.bytes = bytes.load(std::memory_order_relaxed);
      progress.fraction =
          rows_expected == 0 ? 0 : static_cast<double>(progress.rows) / static_cast<double>(rows_expected);
      console.progress(progress);
    });
    if (!run_pipeline(pipeline, stop)) return {};
  }

  std::vector<TableVerdict> verdicts(target.size());
  for (std::size_t table = 0; table < target.size(); ++table) {
    const TableLeaves& source = (*work.source)[table];
    verdicts[table].rows_target = target[table].total().rows;
    const std::vector<std::size_t> differing = differing_leaves(source, target[table]);
    verdicts[table].equal = differing.empty() && source.root() == target[table].root();
    if (!verdicts[table].equal) {
      explain(verdicts[table], *work.connections->front(), work.plan->tables[table], work.ranges[table],
              source, target[table], differing);
    }
  }
  return verdicts;
}

std::vector<TableVerdict> verify_counts(const VerificationWork& work, const StopRequest& stop) {
  std::vector<TableVerdict> verdicts(work.plan->tables.size());
  PipelineWork pipeline;
  pipeline.lanes = work.connections->size();
  pipeline.tasks = verdicts.size();
  pipeline.body = [&](std::size_t lane, std::size_t table) {
    const TablePlan& plan = work.plan->tables[table];
    TableVerdict& verdict = verdicts[table];
    const std::uint64_t expected = (*work.source)[table].total().rows;
    verdict.rows_target = count_rows(*(*work.connections)[lane], plan);
    verdict.equal = verdict.rows_target == expected;
    if (!verdict.equal) {
      verdict.differences.push_back(
          fmt::format("table {}: {} rows loaded, {} rows found", plan.source, expected, verdict.rows_target));
    }
  };
  if (!run_pipeline(pipeline, stop)) return {};
  return verdicts;
}

}  // namespace sluice
