#include "engine/app/metrics.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "engine/app/metrics_text.h"
#include "engine/app/report.h"
#include "engine/app/version.h"

namespace sluice {
namespace {

constexpr double kIntervalSeconds = 5;

double now_seconds() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count()) / 1000;
}

// Two names that are written alike would be one series twice, which makes the whole file void.
std::string unused_label(std::string name, std::set<std::string>& used) {
  while (!used.insert(escaped_label(name)).second) name += '_';
  return name;
}

}  // namespace

RunMetrics::Watch::Watch(RunMetrics& metrics, std::function<Live()> live) : metrics_(metrics) {
  const std::lock_guard lock(metrics_.mutex_);
  metrics_.live_ = std::move(live);
}

RunMetrics::Watch::~Watch() {
  const std::lock_guard lock(metrics_.mutex_);
  metrics_.take_live();
  metrics_.live_ = nullptr;
  metrics_.last_live_.ranges_in_flight = 0;
}

RunMetrics::RunMetrics() : last_progress_(now_seconds()) {
  // Those that a load may well meet are there from the start, so that their rates are, too.
  for (const char* family : {"08", "40", "53", "55", "57"}) retries_[family] = 0;
}

void RunMetrics::set_run(const std::string& run_id, const std::filesystem::path& source) {
  const std::lock_guard lock(mutex_);
  run_id_ = run_id;
  source_ = source;
}

void RunMetrics::set_tables(const MigrationPlan& plan) {
  const std::lock_guard lock(mutex_);
  const std::size_t tables = plan.tables.size();
  const bool shared = tables > kTableSeriesMax;
  series_count_ = std::min(tables, kTableSeriesMax);
  series_ = std::make_unique<Series[]>(series_count_);
  series_of_table_.resize(tables);
  std::set<std::string> used;
  for (std::size_t i = 0; i < tables; ++i) {
    series_of_table_[i] = std::min(i, series_count_ - 1);
    if (shared && i + 1 >= series_count_) continue;
    series_[i].label = unused_label(plan.tables[i].source, used);
  }
  if (shared) series_[series_count_ - 1].label = unused_label("other", used);
}

void RunMetrics::set_ranges(std::size_t all, std::size_t done) {
  ranges_all_ = all;
  ranges_done_ = done;
}

void RunMetrics::range_done(const std::optional<RangeSeal>& seal) {
  ranges_done_.fetch_add(1, std::memory_order_relaxed);
  note_progress();
  if (!seal) return;
  Series& series = series_[series_of_table_.at(static_cast<std::size_t>(seal->table))];
  series.rows.fetch_add(seal->rows_loaded, std::memory_order_relaxed);
  series.rejected.fetch_add(seal->rows_rejected, std::memory_order_relaxed);
  bytes_.fetch_add(seal->bytes, std::memory_order_relaxed);
  const auto bucket = std::lower_bound(kDurationBounds.begin(), kDurationBounds.end(), seal->seconds);
  durations_[static_cast<std::size_t>(bucket - kDurationBounds.begin())].fetch_add(1,
                                                                                   std::memory_order_relaxed);
  duration_sum_.fetch_add(seal->seconds, std::memory_order_relaxed);
}

void RunMetrics::copy_retried(std::string_view sqlstate) {
  const std::lock_guard lock(mutex_);
  ++retries_[std::string(sqlstate.empty() ? "08" : sqlstate.substr(0, 2))];
}

void RunMetrics::set_mismatched_ranges(std::size_t ranges) {
  const std::lock_guard lock(mutex_);
  mismatched_ranges_ = ranges;
}

void RunMetrics::set_phase(const std::string& phase) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
  note_progress();
}

void RunMetrics::set_exit_status(int exit_status) {
  const std::lock_guard lock(mutex_);
  exit_status_ = exit_status;
  phase_.clear();
}

void RunMetrics::note_progress() { last_progress_.store(now_seconds(), std::memory_order_relaxed); }

// REQUIRES: mutex_ is held.
void RunMetrics::take_live() {
  if (!live_) return;
  const Live now = live_();
  const auto moved = [](const Live& live) {
    return std::tuple(live.rows_sent, live.bytes_sent, live.steps_done, live.rows_read_back);
  };
  if (moved(now) != moved(last_live_)) note_progress();
  last_live_ = now;
}

std::string RunMetrics::text() {
  const std::lock_guard lock(mutex_);
  take_live();
  MetricsText text;
  const auto number = [](auto value) { return static_cast<double>(value); };

  text.begin("sluice_rows_copied_total", MetricType::counter, "Rows committed by this process.");
  for (std::size_t i = 0; i < series_count_; ++i) {
    text.sample({{"table", series_[i].label}}, number(series_[i].rows.load(std::memory_order_relaxed)));
  }
  text.begin("sluice_rejected_rows_total", MetricType::counter,
             "Rows left out by this process because their table cannot hold them.");
  for (std::size_t i = 0; i < series_count_; ++i) {
    text.sample({{"table", series_[i].label}}, number(series_[i].rejected.load(std::memory_order_relaxed)));
  }
  text.begin("sluice_bytes_copied_total", MetricType::counter, "COPY payload committed by this process.");
  text.sample({}, number(bytes_.load(std::memory_order_relaxed)));
  text.begin("sluice_rows_sent_total", MetricType::counter,
             "Rows read and sent by this process, committed or not.");
  text.sample({}, number(last_live_.rows_sent));
  text.begin("sluice_bytes_sent_total", MetricType::counter,
             "COPY payload sent by this process, committed or not.");
  text.sample({}, number(last_live_.bytes_sent));

  const std::size_t all = ranges_all_.load(std::memory_order_relaxed);
  const std::size_t done = std::min(ranges_done_.load(std::memory_order_relaxed), all);
  const std::size_t in_flight = std::min(last_live_.ranges_in_flight, all - done);
  text.begin("sluice_ranges", MetricType::gauge, "Ranges of the run, whichever process did them.");
  text.sample({{"state", "done"}}, number(done));
  text.sample({{"state", "in_flight"}}, number(in_flight));
  text.sample({{"state", "pending"}}, number(all - done - in_flight));

  text.begin("sluice_range_duration_seconds", MetricType::histogram,
             "From a range's claim to its commit, by this process.");
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < durations_.size(); ++i) {
    count += durations_[i].load(std::memory_order_relaxed);
    const double bound =
        i < kDurationBounds.size() ? kDurationBounds[i] : std::numeric_limits<double>::infinity();
    text.sample("_bucket", {{"le", metric_number(bound)}}, number(count));
  }
  text.sample("_sum", {}, duration_sum_.load(std::memory_order_relaxed));
  text.sample("_count", {}, number(count));

  text.begin("sluice_copy_retries_total", MetricType::counter,
             "Ranges that failed and were tried again, by class of SQLSTATE.");
  for (const auto& [family, retries] : retries_) text.sample({{"sqlstate_class", family}}, number(retries));
  text.begin("sluice_steps", MetricType::gauge, "Indexes, constraints and the like, after the load.");
  text.sample({{"state", "done"}}, number(last_live_.steps_done));
  text.sample({{"state", "pending"}}, number(last_live_.steps_left));
  text.begin("sluice_read_back_rows_total", MetricType::counter, "Rows read back to compare them.");
  text.sample({}, number(last_live_.rows_read_back));
  if (mismatched_ranges_) {
    text.begin("sluice_verify_mismatched_ranges", MetricType::gauge,
               "Ranges that have a part in a leaf that differs from what was loaded.");
    text.sample({}, number(*mismatched_ranges_));
  }
  text.begin("sluice_phase", MetricType::gauge, "1 for what is under way.");
  for (const std::string_view phase : kPhaseNames) text.sample({{"phase", phase}}, phase == phase_ ? 1 : 0);
  if (!source_.empty()) {
    std::error_code missing;
    const std::uintmax_t bytes = std::filesystem::file_size(source_.string() + "-wal", missing);
    text.begin("sluice_source_wal_bytes", MetricType::gauge,
               "Size of the source's write-ahead log, which cannot be reset while it is read.");
    text.sample({}, missing ? 0 : number(bytes));
  }
  text.begin("sluice_last_progress_timestamp_seconds", MetricType::gauge,
             "When a row, a range or a step was last seen to move.");
  text.sample({}, last_progress_.load(std::memory_order_relaxed));
  if (!run_id_.empty()) {
    text.begin("sluice_run_info", MetricType::gauge, "The run of this process.");
    text.sample({{"run_id", run_id_}, {"version", kVersion}, {"source", source_.native()}}, 1);
  }
  if (exit_status_) {
    text.begin("sluice_exit_status", MetricType::gauge, "How the process ended; not there while it runs.");
    text.sample({}, number(*exit_status_));
  }
  return text.text();
}

MetricsFile::MetricsFile(std::filesystem::path path, RunMetrics& metrics, Console& console)
    : path_(std::move(path)), metrics_(metrics), console_(console) {
  write_file(path_, metrics_.text());
  ticker_.emplace(kIntervalSeconds, [this] { write_again(); });
}

void MetricsFile::end(int exit_status) {
  ticker_.reset();
  metrics_.set_exit_status(exit_status);
  write_again();
}

void MetricsFile::write_again() {
  try {
    write_file(path_, metrics_.text());
  } catch (const Error& error) {
    if (!std::exchange(complained_, true)) console_.note(event_of(LogLevel::warning, error));
  }
}

}  // namespace sluice
