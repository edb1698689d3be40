#include "engine/app/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "io/postgres/read_back.h"
#include "io/postgres/reject_record.h"
#include "io/wire/row_encoder.h"
#include "verify/row_digest.h"
#include "verify/row_digester.h"
#include "verify/server_hash.h"

namespace sluice {
namespace {

// 32 MB of heap at the usual block size: enough tasks to keep the lanes level, few enough that starting a
// COPY does not count.
constexpr std::uint64_t kBlocksPerTask = 4096;
// A query that answers with one row fills no pipe, so there is one for each lane, unless that makes them
// small.
constexpr std::uint64_t kBlocksPerSum = 1024;

// How often a lane tells the progress line what it has done.
constexpr std::uint64_t kRowsPerReport = 4096;

// Rows and bytes of all lanes, for the progress line.
class Meter {
 public:
  // One lane's share. Tells the meter now and then, and the rest when it goes.
  class Share {
   public:
    explicit Share(Meter& meter) : meter_(meter) {}
    ~Share() { tell(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    void add(std::uint64_t bytes) {
      bytes_ += bytes;
      if (++rows_ == kRowsPerReport) tell();
    }
    void add_rows(std::uint64_t rows) { rows_ += rows; }

   private:
    void tell() {
      meter_.rows_.fetch_add(std::exchange(rows_, 0), std::memory_order_relaxed);
      meter_.bytes_.fetch_add(std::exchange(bytes_, 0), std::memory_order_relaxed);
    }
    Meter& meter_;
    std::uint64_t rows_ = 0;
    std::uint64_t bytes_ = 0;
  };

  [[nodiscard]] Progress progress(const std::string& phase, std::uint64_t rows_expected) const {
    Progress progress;
    progress.phase = phase;
    progress.rows = rows_.load(std::memory_order_relaxed);
    progress.bytes = bytes_.load(std::memory_order_relaxed);
    progress.fraction =
        rows_expected == 0 ? 0 : static_cast<double>(progress.rows) / static_cast<double>(rows_expected);
    return progress;
  }

 private:
  std::atomic<std::uint64_t> rows_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

template <class Body>
void naming_table(const TablePlan& plan, const Body& body) {
  try {
    body();
  } catch (Error& error) {
    if (error.where().table.empty()) error.where().table = plan.source;
    throw;
  }
}

}  // namespace

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
  Meter meter;
  PipelineWork pipeline;
  pipeline.lanes = snapshot.readers();
  pipeline.tasks = tasks.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
    const Task& task = tasks[number];
    const TablePlan& plan = tables[task.table];
    Meter::Share share(meter);
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
  }
  return scanned;
}

std::string_view name_of(Level level) {
  constexpr std::array<std::string_view, 4> kNames = {"full", "server", "sample", "count"};
  return kNames[static_cast<std::size_t>(level)];
}

namespace {

struct ReadTask {
  std::size_t table = 0;
  BlockRange blocks;
  std::optional<std::size_t> leaf;  // with Level::sample: read by its keys
};

class TargetReader {
 public:
  TargetReader(const ComparisonWork& work, Console& console, const StopRequest& stop)
      : work_(work), console_(console), stop_(stop) {}

  std::vector<TableComparison> run() {
    for (std::size_t table = 0; table < work_.tables->size(); ++table) {
      naming_table(plan(table), [&] { plan_table(table); });
    }
    if (!read()) return {};
    for (std::size_t table = 0; table < comparisons_.size(); ++table) compare(table);
    return std::move(comparisons_);
  }

 private:
  [[nodiscard]] const TablePlan& plan(std::size_t table) const { return (*work_.tables)[table]; }
  [[nodiscard]] const TableLeaves& source(std::size_t table) const { return (*work_.source)[table]; }
  [[nodiscard]] Connection& first() const { return *work_.connections.front(); }

  // Which level the table gets, and the tasks that look at it.
  void plan_table(std::size_t table) {
    TableComparison& comparison = comparisons_.emplace_back();
    target_.push_back(source(table).emptied());
    comparison.rows_source = source(table).total().rows;
    comparison.root_source = source(table).root();
    comparison.leaves = comparison.leaves_read = source(table).leaves().size();
    if (work_.mode == VerifyMode::count) {
      comparison.level = Level::count;
      tasks_.push_back({table, {}, std::nullopt});
      return;
    }
    if (work_.mode == VerifyMode::server) {
      comparison.note = why_not_server(table);
      if (comparison.note.empty()) comparison.level = Level::server;
    }
    if (work_.sample_percent < 100) {
      if (!source(table).ordered() || !finds_by_key(first(), plan(table))) {
        comparison.note = "read whole: no index finds its rows by an integer key";
      } else {
        comparison.level = Level::sample;
        sample_leaves(table);
        return;
      }
    }
    const std::uint64_t blocks = count_blocks(first(), plan(table));
    const std::uint64_t step = comparison.level == Level::server
                                   ? std::max(kBlocksPerSum, blocks / work_.connections.size() + 1)
                                   : kBlocksPerTask;
    for (std::uint64_t begin = 0; begin == 0 || begin < blocks; begin += step) {
      // The last task is open-ended: whatever was appended meanwhile is seen too.
      const bool last = begin + step >= blocks;
      tasks_.push_back({table, {begin, last ? UINT64_MAX : begin + step}, std::nullopt});
    }
  }

  [[nodiscard]] std::string why_not_server(std::size_t table) const {
    if (work_.server_sums.empty() || !work_.server_sums[table]) {
      const std::string why = why_no_server_hash(plan(table));
      return why.empty()
                 ? "read back whole: the ledger has no sums of the server's hashes (migrate --verify server "
                   "makes them, --scan takes them from the source)"
                 : "read back whole: " + why;
    }
    if (const std::string why = why_no_server_hash(plan(table)); !why.empty())
      return "read back whole: " + why;
    const std::string column = nondeterministic_column(first(), plan(table));
    return column.empty() ? std::string()
                          : "read back whole: the collation of column " + column + " is not deterministic";
  }

  void sample_leaves(std::size_t table) {
    TableComparison& comparison = comparisons_[table];
    std::vector<std::size_t> leaves(comparison.leaves);
    for (std::size_t i = 0; i < leaves.size(); ++i) leaves[i] = i;
    std::mt19937_64 random(work_.sample_seed + table);
    std::shuffle(leaves.begin(), leaves.end(), random);
    const auto wanted =
        static_cast<std::size_t>(static_cast<double>(leaves.size()) * work_.sample_percent / 100 + 0.9999);
    leaves.resize(std::clamp<std::size_t>(wanted, 1, leaves.size()));
    std::sort(leaves.begin(), leaves.end());
    comparison.leaves_read = leaves.size();
    for (const std::size_t leaf : leaves) tasks_.push_back({table, {}, leaf});
    // What is not read counts as equal, and the level says so.
    for (std::size_t i = 0; i < comparison.leaves; ++i) {
      if (!std::binary_search(leaves.begin(), leaves.end(), i))
        target_[table].add(i, source(table).leaves()[i]);
    }
  }

  bool read() {
    std::vector<std::optional<TableLeaves>> parts(tasks_.size());
    Meter meter;
    std::uint64_t rows_expected = 0;
    for (const TableComparison& comparison : comparisons_) rows_expected += comparison.rows_source;
    PipelineWork pipeline;
    pipeline.lanes = work_.connections.size();
    pipeline.tasks = tasks_.size();
    pipeline.body = [&](std::size_t lane, std::size_t number) {
      const ReadTask& task = tasks_[number];
      naming_table(plan(task.table),
                   [&] { parts[number] = read_task(*work_.connections[lane], task, meter); });
    };
    pipeline.record = [&](std::size_t number) {
      const std::size_t table = tasks_[number].table;
      if (comparisons_[table].level != Level::count) target_[table].merge(*parts[number]);
      parts[number].reset();
    };
    const Ticker ticker(console_.interval_seconds(),
                        [&] { console_.progress(meter.progress("verify", rows_expected)); });
    return run_pipeline(pipeline, stop_);
  }

  TableLeaves read_task(Connection& connection, const ReadTask& task, Meter& meter) {
    const TablePlan& table = plan(task.table);
    TableLeaves leaves = source(task.table).emptied();
    Meter::Share share(meter);
    const auto add = [&](const TargetRow& row) {
      leaves.add(row.tuple, row.digest);
      share.add(row.tuple.size());
    };
    switch (comparisons_[task.table].level) {
      case Level::count:
        // One task a table, so nobody else writes here.
        comparisons_[task.table].rows_target = count_rows(connection, table);
        break;
      case Level::server:
        sum_blocks(connection, table, task.blocks, false, leaves);
        share.add_rows(leaves.total().rows);
        break;
      case Level::sample:
        read_placed(connection, table, source(task.table).keys_of(*task.leaf), add);
        break;
      case Level::full:
        read_blocks(connection, table, task.blocks, add);
        break;
    }
    return leaves;
  }

  void compare(std::size_t table) {
    TableComparison& comparison = comparisons_[table];
    if (comparison.level == Level::count) {
      comparison.equal = comparison.rows_target == comparison.rows_source;
      return;
    }
    comparison.rows_target = target_[table].total().rows;
    if (comparison.level == Level::server) {
      comparison.differing = differing_by_server(table);
    } else {
      comparison.differing = differing_leaves(source(table), target_[table]);
    }
    comparison.equal = comparison.differing.empty();
    for (const std::size_t leaf : comparison.differing) {
      const bool known = comparison.level != Level::server || source(table).ordered();
      comparison.differing_rows.push_back(known ? target_[table].leaves()[leaf].rows.rows
                                                : comparison.rows_target / comparison.differing.size() + 1);
    }
    if (comparison.level == Level::full) comparison.root_target = target_[table].root();
  }

  // One sum of the whole table says whether; only where it differs does the server sum leaf by leaf.
  std::vector<std::size_t> differing_by_server(std::size_t table) {
    if (same_server_sum(source(table), target_[table])) return {};
    if (!source(table).ordered()) {
      std::vector<std::size_t> all(source(table).leaves().size());
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
      return all;
    }
    target_[table] = source(table).emptied();
    naming_table(plan(table), [&] { sum_blocks(first(), plan(table), {}, true, target_[table]); });
    return differing_server_leaves(source(table), target_[table]);
  }

  const ComparisonWork& work_;
  Console& console_;
  const StopRequest& stop_;
  std::vector<TableComparison> comparisons_;
  std::vector<TableLeaves> target_;
  std::vector<ReadTask> tasks_;
};

}  // namespace

std::vector<TableComparison> compare_target(const ComparisonWork& work, Console& console,
                                            const StopRequest& stop) {
  return TargetReader(work, console, stop).run();
}

std::optional<LeavesLeft> compare_leaves(const std::vector<Connection*>& connections, const TablePlan& plan,
                                         const TableLeaves& source, const std::vector<std::size_t>& leaves,
                                         const StopRequest& stop) {
  TableLeaves target = source;
  for (const std::size_t leaf : leaves) target.clear(leaf);
  const bool by_key = source.ordered() && finds_by_key(*connections.front(), plan);
  const std::uint64_t blocks = by_key ? 0 : count_blocks(*connections.front(), plan);
  std::vector<std::optional<TableLeaves>> parts(
      by_key ? leaves.size() : std::max<std::uint64_t>(1, (blocks + kBlocksPerTask - 1) / kBlocksPerTask));
  PipelineWork pipeline;
  pipeline.lanes = connections.size();
  pipeline.tasks = parts.size();
  pipeline.body = [&](std::size_t lane, std::size_t number) {
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
                    {number * kBlocksPerTask, last ? UINT64_MAX : (number + 1) * kBlocksPerTask}, add);
      }
    });
  };
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

std::string describe_difference(Connection& connection, const TablePlan& plan,
                                const std::vector<const WorkRecord*>& ranges, const TableLeaves& source,
                                const TableComparison& comparison) {
  if (comparison.level == Level::count) {
    return fmt::format("table {}: {} rows loaded, {} rows found", plan.source, comparison.rows_source,
                       comparison.rows_target);
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
  return fmt::format(
      "table {}, {}: {} rows loaded, {} rows found, {} of {} leaves differ", plan.source,
      named.empty() ? std::string("rows that no range loaded") : fmt::format("range {}", list_of(named)),
      comparison.rows_source, comparison.rows_target, comparison.differing.size(), comparison.leaves);
}

}  // namespace sluice
