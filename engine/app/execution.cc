#include "engine/app/execution.h"

#include <algorithm>
#include <atomic>
#include <map>

#include "engine/app/verification.h"
#include "engine/run/job_graph.h"
#include "engine/run/load_jobs.h"
#include "io/postgres/step_budget.h"
#include "io/postgres/target.h"

namespace sluice {
namespace {

// The kinds of jobs, each with a limit of its own.
enum Kind : std::size_t { kLoad, kIndex, kConstraint, kValidate, kFinish, kView, kVerify };

// What a job costs beside loading a byte, as measured on the 2.2 M rows of datasets/three_tables.cc: only
// their order matters, and only for what is begun first.
constexpr double kIndexCost = 0.35;
constexpr double kValidateCost = 0.2;
constexpr double kVerifyCost = 0.5;
constexpr double kCatalogCost = 1;

// Below this a new file costs the server more than it saves: TRUNCATE drops the old one, which is looked for
// in all shared buffers and makes the commit synchronous. It is also the default of wal_skip_threshold.
constexpr std::uint64_t kFreezeBytesMin = std::uint64_t{2} << 20;

Kind kind_of(StepPhase phase) {
  switch (phase) {
    case StepPhase::index:
      return kIndex;
    case StepPhase::constraint:
      return kConstraint;
    case StepPhase::validate:
      return kValidate;
    case StepPhase::finish:
      return kFinish;
    case StepPhase::view:
      return kView;
  }
  return kFinish;
}

class Execution {
 public:
  Execution(const ExecutionWork& work, Console& console, const StopRequest& stop, Executed& executed)
      : work_(work),
        plan_(*work.plan),
        console_(console),
        stop_(stop),
        lanes_of_work_(work.connections.size()),
        executed_(executed),
        graph_({load_limit(), work.index_jobs, 1, work.index_jobs, work.index_jobs, 1, work.jobs}) {
    executed_.tables.resize(plan_.tables.size());
    read_backs_.resize(plan_.tables.size());
  }

  void run() {
    work_.retries->run([&] { budget_.emplace(first()); });
    const std::vector<WorkRecord> ranges =
        work_.retries->run([&] { return list_work(first(), work_.run_id); });
    const std::vector<StepRecord> steps =
        work_.retries->run([&] { return list_steps(first(), work_.run_id); });
    prepare_lanes();
    LoadJobs load(
        lanes_, sources(), load_clock_, *work_.retries,
        [this](const std::optional<RangeSeal>& seal) {
          if (seal) note(*seal);
          work_.metrics->range_done(seal);
          ranges_done_.fetch_add(1, std::memory_order_relaxed);
        },
        [this](const Error& error) { return note_damage(error); });
    const std::vector<JobId> loaded = add_ranges(load, ranges);
    add_steps(steps, loaded);
    steps_before_ = steps.size() - indexes_left_ - steps_left_;
    for (std::size_t table = 0; table < plan_.tables.size(); ++table) add_verification(table, loaded[table]);
    work_.metrics->set_ranges(ranges.size(), ranges.size() - ranges_left_);
    const RunMetrics::Watch watch(*work_.metrics, [this] { return live_numbers(); });
    {
      const Ticker ticker(console_.interval_seconds(), [this] { show_progress(); });
      console_.begin_phase();
      executed_.finished = graph_.run(lanes_of_work_, stop_);
    }
    console_.end_phase();
  }

  void take_times() {
    executed_.load = load_clock_.use();
    executed_.indexes = index_clock_.use();
    executed_.constraints = constraint_clock_.use();
    executed_.verify = verify_clock_.use();
    executed_.verify.rows = verified_.rows();
    executed_.verify.bytes = verified_.bytes();
  }

 private:
  [[nodiscard]] Connection& first() const { return *work_.connections.front(); }

  [[nodiscard]] std::size_t load_limit() const {
    return std::min({work_.jobs, work_.sources.size(), work_.connections.size()});
  }

  std::vector<Source*> sources() {
    return {work_.sources.begin(), work_.sources.begin() + static_cast<std::ptrdiff_t>(load_limit())};
  }

  void prepare_lanes() {
    meters_ = std::vector<LaneMeter>(lanes_of_work_);
    for (std::size_t i = 0; i < lanes_of_work_; ++i) {
      lanes_.push_back(
          {nullptr, make_range_sink(*work_.connections[i], work_.run_id, work_.sink), &meters_[i]});
    }
  }

  // ---- load ----

  // Per table: the job after which every range of it is there.
  std::vector<JobId> add_ranges(LoadJobs& load, const std::vector<WorkRecord>& ranges) {
    std::vector<std::vector<JobId>> jobs(plan_.tables.size());
    for (const WorkRecord& record : ranges) {
      const TablePlan& table = plan_.tables.at(static_cast<std::size_t>(record.table));
      const std::uint64_t estimate = table.bytes / table.extents.size() + 1;
      bytes_estimated_ += estimate;
      if (record.done) {
        bytes_estimated_done_ += estimate;
        before_.rows_before += record.seal.rows_read;
        before_.bytes_before += record.seal.bytes;
        continue;
      }
      RangeTask task{&table, record.number, record.extent};
      task.whole_new_table = table.extents.size() == 1 && table.bytes >= kFreezeBytesMin &&
                             work_.found.at(static_cast<std::size_t>(record.table)) == nullptr;
      ++ranges_left_;
      jobs[static_cast<std::size_t>(record.table)].push_back(
          load.add(graph_, kLoad, task, static_cast<double>(estimate)));
    }
    std::vector<JobId> loaded;
    for (std::vector<JobId>& of_table : jobs) {
      loaded.push_back(graph_.add({nullptr, std::move(of_table)}));
    }
    return loaded;
  }

  // Never two at a time.
  void note(const RangeSeal& seal) {
    const auto table = static_cast<std::size_t>(seal.table);
    const double now = thread_time().wall;
    double& began = first_begin_.try_emplace(table, now).first->second;
    began = std::min(began, now - seal.seconds);
    executed_.tables[table].load_seconds = now - began;
    executed_.tables_frozen += seal.frozen ? 1 : 0;
    load_clock_.add_work(seal.rows_read, seal.bytes);
  }

  // The other ranges of the table are loaded all the same: what can be had of it is worth having.
  bool note_damage(const Error& error) {
    if (!work_.damage->note(error)) return false;
    ranges_done_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  [[nodiscard]] bool damaged(std::size_t table) const {
    return work_.damage->of_table(plan_.tables[table].source);
  }

  [[nodiscard]] std::vector<TableId> damaged_tables() const {
    std::vector<TableId> tables;
    for (const TablePlan& table : plan_.tables) {
      if (damaged(static_cast<std::size_t>(table.id))) tables.push_back(table.id);
    }
    return tables;
  }

  // Keys, indexes and the rest of a table that is not all there could only be made wrong; and who knows what
  // a foreign key refers to.
  [[nodiscard]] bool must_wait_for_repair(const Step& step) const {
    if (step.rebuild || step.phase == StepPhase::view || !work_.damage->any()) return false;
    return damaged(static_cast<std::size_t>(step.table)) || step.object.kind == "foreign_key";
  }

  // ---- schema ----

  void add_steps(const std::vector<StepRecord>& steps, const std::vector<JobId>& loaded) {
    const JobId all_loaded = graph_.add({nullptr, loaded});
    // Each phase of steps begins when the one before it is done; indexes, when their table is.
    JobId before = all_loaded;
    for (const StepPhase phase :
         {StepPhase::index, StepPhase::constraint, StepPhase::validate, StepPhase::finish, StepPhase::view}) {
      std::vector<JobId> of_phase = {before};
      for (const StepRecord& record : steps) {
        const Step& step = plan_.steps.at(record.number);
        if (record.done || step.phase != phase) continue;
        // What is put back may be of any table.
        const bool of_one_table = phase == StepPhase::index && !step.rebuild;
        JobId after = of_one_table ? loaded.at(static_cast<std::size_t>(step.table)) : before;
        // Views build on each other, in their order.
        if (phase == StepPhase::view) after = of_phase.back();
        of_phase.push_back(add_step(record.number, after));
        ++(phase == StepPhase::index ? indexes_left_ : steps_left_);
      }
      before = graph_.add({nullptr, std::move(of_phase)});
    }
  }

  JobId add_step(std::size_t number, JobId after) {
    const Step& step = plan_.steps[number];
    const bool of_table = step.phase != StepPhase::view && !step.rebuild;
    const TablePlan* found = of_table ? work_.found.at(static_cast<std::size_t>(step.table)) : nullptr;
    const double bytes =
        of_table ? static_cast<double>(plan_.tables.at(static_cast<std::size_t>(step.table)).bytes) : 0;
    Job job;
    job.kind = kind_of(step.phase);
    job.cost = kCatalogCost;
    if (step.phase == StepPhase::index) job.cost += bytes * kIndexCost;
    if (step.phase == StepPhase::validate) job.cost += bytes * kValidateCost;
    job.after = {after};
    job.body = [this, number, found, first = Claim::skip_locked](std::size_t lane) mutable {
      const Claim claim = std::exchange(first, Claim::wait);
      return work_.retries->run([&](std::size_t attempt) {
        return run_step_job(lane, number, found, attempt == 1 ? claim : Claim::wait);
      });
    };
    return graph_.add(std::move(job));
  }

  JobEnd run_step_job(std::size_t lane, std::size_t number, const TablePlan* found, Claim claim) {
    const Step& step = plan_.steps[number];
    if (must_wait_for_repair(step)) return JobEnd::done;
    const bool index = step.phase == StepPhase::index;
    const PhaseClock::Share share(index ? index_clock_ : constraint_clock_);
    const StepBudget::Grant grant(*budget_, graph_.in_use(kind_of(step.phase)));
    const bool leave_out = !work_.analyze && step.gathers_statistics();
    const bool done =
        run_step(*work_.connections[lane], work_.run_id, number, step, found, claim, grant.settings(),
                 damaged_tables(), leave_out ? StepRun::only_record : StepRun::run);
    if (!done && claim == Claim::skip_locked) return JobEnd::postponed;
    (index ? indexes_done_ : steps_done_).fetch_add(1, std::memory_order_relaxed);
    return JobEnd::done;
  }

  // ---- verification ----

  void add_verification(std::size_t table, JobId loaded) {
    Job job;
    job.kind = kVerify;
    job.after = {loaded};
    job.cost = static_cast<double>(plan_.tables[table].bytes) * kVerifyCost;
    job.body = [this, table](std::size_t lane) {
      if (damaged(table)) return JobEnd::done;
      work_.retries->run([&] { take_leaves(*work_.connections[lane], table); });
      if (work_.verify != VerifyMode::none) {
        work_.retries->run([&] { begin_verification(*work_.connections[lane], table); });
      }
      return JobEnd::done;
    };
    graph_.add(std::move(job));
  }

  // The source's side of a comparison, and of the root.
  void take_leaves(Connection& connection, std::size_t number) {
    const TablePlan& plan = plan_.tables[number];
    ExecutedTable& table = executed_.tables[number];
    refuse_lost_ranges(connection, work_.run_id, plan.id);
    table.ranges = list_work(connection, work_.run_id, plan.id);
    table.leaves = leaves_from_ledger(plan, table.range_pointers());
    rows_to_verify_.fetch_add(table.leaves->total().rows, std::memory_order_relaxed);
  }

  void begin_verification(Connection& connection, std::size_t number) {
    const PhaseClock::Share share(verify_clock_);
    const TablePlan& plan = plan_.tables[number];
    const ExecutedTable& table = executed_.tables[number];
    ReadBackOptions options;
    options.mode = work_.verify;
    options.server_sums = std::all_of(table.ranges.begin(), table.ranges.end(),
                                      [](const WorkRecord& range) { return range.server_sums; });
    options.lanes = work_.jobs;
    read_backs_[number] = std::make_unique<TableReadBack>(plan, *table.leaves, options);
    TableReadBack& read_back = *read_backs_[number];
    const std::size_t pieces = read_back.cut(connection);
    std::vector<JobId> read;
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      Job job;
      job.kind = kVerify;
      job.cost = static_cast<double>(plan.bytes) * kVerifyCost / static_cast<double>(pieces);
      job.body = [this, &read_back, piece](std::size_t lane) {
        const PhaseClock::Share share(verify_clock_);
        work_.retries->run([&] { read_back.read(*work_.connections[lane], piece, verified_); });
        return JobEnd::done;
      };
      read.push_back(graph_.add(std::move(job)));
    }
    Job compare;
    compare.kind = kVerify;
    compare.after = std::move(read);
    compare.body = [this, &read_back, number](std::size_t lane) {
      const PhaseClock::Share share(verify_clock_);
      executed_.tables[number].comparison =
          work_.retries->run([&] { return read_back.compare(*work_.connections[lane]); });
      read_backs_[number].reset();
      return JobEnd::done;
    };
    graph_.add(std::move(compare));
  }

  // Any thread, while the lanes are at work.
  [[nodiscard]] RunMetrics::Live live_numbers() const {
    RunMetrics::Live live;
    for (const LaneMeter& meter : meters_) {
      live.rows_sent += meter.rows.load(std::memory_order_relaxed);
      live.bytes_sent += meter.bytes.load(std::memory_order_relaxed);
    }
    live.ranges_in_flight = graph_.running(kLoad);
    const std::size_t done =
        indexes_done_.load(std::memory_order_relaxed) + steps_done_.load(std::memory_order_relaxed);
    live.steps_done = steps_before_ + done;
    live.steps_left = indexes_left_ + steps_left_ - done;
    live.rows_read_back = verified_.rows();
    return live;
  }

  // ---- progress: called by the ticker's thread alone ----

  void show_progress() {
    if (ranges_done_.load(std::memory_order_relaxed) < ranges_left_) {
      Progress progress = before_;
      progress.phase = "load";
      progress.rows = before_.rows_before;
      progress.bytes = before_.bytes_before;
      for (const LaneMeter& meter : meters_) {
        progress.rows += meter.rows.load(std::memory_order_relaxed);
        progress.bytes += meter.bytes.load(std::memory_order_relaxed);
      }
      // Payload and pages are of about the same size; near the end the estimate may overshoot.
      const double taken = static_cast<double>(bytes_estimated_done_ + progress.bytes - before_.bytes_before);
      progress.fraction = std::min(taken / static_cast<double>(bytes_estimated_), 0.99);
      show(progress.phase);
      console_.progress(progress);
      return;
    }
    const std::size_t indexes = indexes_done_.load(std::memory_order_relaxed);
    if (indexes < indexes_left_) {
      show("indexes");
      console_.progress("indexes", indexes, indexes_left_);
      return;
    }
    const std::uint64_t rows = rows_to_verify_.load(std::memory_order_relaxed);
    if (work_.verify != VerifyMode::none && verified_.rows() < rows) {
      show("verify");
      console_.progress(verified_.progress("verify", rows));
      return;
    }
    show("schema");
    console_.progress("schema", steps_done_.load(std::memory_order_relaxed), steps_left_);
  }

  void show(const std::string& phase) {
    if (shown_ == phase) return;
    shown_ = phase;
    work_.metrics->set_phase(phase);
    console_.begin_phase();
  }

  const ExecutionWork& work_;
  const MigrationPlan& plan_;
  Console& console_;
  const StopRequest& stop_;
  const std::size_t lanes_of_work_;
  Executed& executed_;
  std::vector<LaneMeter> meters_;
  std::vector<Lane> lanes_;
  std::vector<std::unique_ptr<TableReadBack>> read_backs_;
  JobGraph graph_;
  std::optional<StepBudget> budget_;  // once the server was asked

  PhaseClock load_clock_;
  PhaseClock index_clock_;
  PhaseClock constraint_clock_;
  PhaseClock verify_clock_;
  RowMeter verified_;
  std::map<std::size_t, double> first_begin_;  // of a table's ranges

  // For the progress line. The plain ones are written before the lanes begin.
  Progress before_;
  std::uint64_t bytes_estimated_ = 0;
  std::uint64_t bytes_estimated_done_ = 0;
  std::size_t ranges_left_ = 0;
  std::size_t indexes_left_ = 0;
  std::size_t steps_left_ = 0;
  std::size_t steps_before_ = 0;  // done by an earlier call
  std::atomic<std::size_t> ranges_done_{0};
  std::atomic<std::size_t> indexes_done_{0};
  std::atomic<std::size_t> steps_done_{0};
  std::atomic<std::uint64_t> rows_to_verify_{0};
  std::string shown_;
};

}  // namespace

void execute(const ExecutionWork& work, Console& console, const StopRequest& stop, Executed& executed) {
  Execution execution(work, console, stop, executed);
  try {
    execution.run();
  } catch (...) {
    execution.take_times();
    throw;
  }
  execution.take_times();
}

std::vector<const WorkRecord*> ExecutedTable::range_pointers() const {
  std::vector<const WorkRecord*> pointers;
  pointers.reserve(ranges.size());
  for (const WorkRecord& range : ranges) pointers.push_back(&range);
  return pointers;
}

std::size_t lanes_wanted(const MigrationPlan& plan, std::size_t jobs, std::size_t index_jobs) {
  const auto steps =
      static_cast<std::size_t>(std::count_if(plan.steps.begin(), plan.steps.end(), [](const Step& step) {
        return step.phase == StepPhase::index || step.phase == StepPhase::validate;
      }));
  return std::max(jobs, std::min(index_jobs, steps));
}

}  // namespace sluice
