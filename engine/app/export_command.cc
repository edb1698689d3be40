#include "engine/app/export_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "engine/app/archive_plan.h"
#include "engine/app/console.h"
#include "engine/app/plan_record.h"
#include "engine/app/planning.h"
#include "engine/app/printable.h"
#include "engine/app/report.h"
#include "engine/app/stores.h"
#include "engine/app/version.h"
#include "engine/load/load_range.h"
#include "engine/model/error.h"
#include "engine/model/fingerprint.h"
#include "engine/plan/ddl.h"
#include "io/archive/archive_sink.h"
#include "io/archive/journal.h"
#include "io/store/sha256.h"
#include "verify/leaves.h"
#include "verify/merkle.h"

namespace sluice {
namespace {

constexpr auto kStorePatience = std::chrono::minutes(5);

class Export {
 public:
  Export(const ExportOptions& options, const StopRequest& stop)
      : options_(options), stop_(stop), console_(options.progress) {}

  int run() {
    // Before the source is read for minutes.
    folder_.emplace(ArchiveFolder::create(options_.archive));
    journal_.emplace(*folder_);
    planned_ = plan_source(options_, nullptr, console_, stop_);
    refuse_findings(plan(), {}, console_);
    say_remarks(plan(), console_);
    // Files that leave their rows are no part of the archive, and must be where its rows will look for them.
    open_stores(plan().tables, store_options(stop_, kStorePatience), *planned_.stores);
    begin();
    write_ranges();
    check_source();
    write_manifest();
    return conclude();
  }

 private:
  [[nodiscard]] MigrationPlan& plan() { return planned_.plan; }

  // An export that was interrupted goes on, with the ranges that it cut.
  void begin() {
    const JournalHead head = {planned_.snapshot->fingerprint(), hash_of_plan(plan())};
    const std::optional<JournalHead>& found = journal_->found();
    const bool same =
        found && found->plan_hash == head.plan_hash && same_state(found->fingerprint, head.fingerprint);
    if (options_.restart || !same || !take_cuts()) {
      if (found && !options_.restart) {
        console_.say(!same
                         ? "the unfinished export there is of another source, another state of it or another "
                           "plan; beginning anew"
                         : "the plan of the unfinished export there cannot be read; beginning anew");
      }
      journal_->begin(head);
      write_plan();
    }
    for (const TablePlan& table : plan().tables) entries_.push_back(journal_->done(table));
    std::size_t done = 0;
    std::size_t all = 0;
    for (const auto& ranges : entries_) {
      all += ranges.size();
      done += static_cast<std::size_t>(
          std::count_if(ranges.begin(), ranges.end(), [](const auto& entry) { return entry.has_value(); }));
    }
    if (done > 0)
      console_.say(fmt::format("going on with an unfinished export: {} of {} ranges are done", done, all));
  }

  void write_plan() {
    const std::string text = archive_plan_text(plan());
    // What a restore will read must be what is meant, or nobody would know until then.
    if (hash_of_plan(read_archive_plan(text)) != hash_of_plan(plan())) {
      throw Error(Fault::internal, "the plan does not come back from its own text");
    }
    folder_->write_small(kPlanFile, text);
  }

  // False when the plan that was written then is not there, or is another one.
  bool take_cuts() {
    if (!folder_->size_of(kPlanFile)) return false;
    try {
      const MigrationPlan written = read_archive_plan(folder_->read_small(kPlanFile, kPlanBytesMax));
      if (hash_of_plan(written) != hash_of_plan(plan())) return false;
      for (std::size_t i = 0; i < plan().tables.size(); ++i) {
        plan().tables[i].extents = written.tables[i].extents;
      }
      return true;
    } catch (const Error& error) {
      if (error.fault() == Fault::source_unreadable) return false;
      throw;
    }
  }

  void write_ranges() {
    struct Task {
      std::size_t table = 0;
      std::size_t range = 0;
    };
    std::vector<Task> tasks;
    std::uint64_t bytes_expected = 0;
    std::uint64_t bytes_before = 0;
    for (std::size_t table = 0; table < entries_.size(); ++table) {
      const TablePlan& plan_of_table = plan().tables[table];
      for (std::size_t range = 0; range < entries_[table].size(); ++range) {
        const std::uint64_t estimate = plan_of_table.bytes / entries_[table].size() + 1;
        bytes_expected += estimate;
        if (entries_[table][range]) {
          bytes_before += estimate;
        } else {
          tasks.push_back({table, range});
        }
      }
    }
    const std::size_t lanes_wanted = std::min(options_.jobs, planned_.snapshot->readers());
    std::vector<LaneMeter> meters(lanes_wanted);
    std::vector<Lane> lanes;
    for (std::size_t lane = 0; lane < lanes_wanted; ++lane) {
      // Each range is written by one lane, into a place of its own.
      const auto on_range = [this](const RangeTask& task, RangeEntry entry) {
        const auto number = static_cast<std::size_t>(task.number);
        journal_->note(*task.plan, number, entry);
        entries_[static_cast<std::size_t>(task.plan->id)][number] = std::move(entry);
      };
      lanes.push_back({&planned_.snapshot->reader(lane),
                       make_archive_sink(*folder_, options_.level, on_range), &meters[lane]});
    }
    PipelineWork work;
    work.lanes = lanes.size();
    work.tasks = tasks.size();
    work.body = [&](std::size_t lane, std::size_t number) {
      const TablePlan& table = plan().tables[tasks[number].table];
      const RangeTask task = {&table, static_cast<RangeNumber>(tasks[number].range),
                              table.extents[tasks[number].range]};
      load_range(lanes[lane], task, Claim::wait);
    };
    console_.begin_phase();
    {
      const Ticker ticker(console_.interval_seconds(), [&] {
        Progress progress;
        progress.phase = "export";
        for (const LaneMeter& meter : meters) {
          progress.rows += meter.rows.load(std::memory_order_relaxed);
          progress.bytes += meter.bytes.load(std::memory_order_relaxed);
        }
        progress.fraction =
            std::min(0.99, static_cast<double>(bytes_before + progress.bytes) /
                               static_cast<double>(std::max<std::uint64_t>(bytes_expected, 1)));
        console_.progress(progress);
      });
      if (!run_pipeline(work, stop_)) {
        throw Error(Fault::interrupted, "stopped before the end", "run the same command again to go on");
      }
    }
    console_.end_phase();
  }

  void check_source() {
    if (!planned_.snapshot->unchanged()) {
      throw Error(Fault::source_changed,
                  "the source was overwritten while it was read, by something that ignores locks",
                  "export it again with --restart --snapshot copy, which is sooner done with the source");
    }
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      std::uint64_t rows = 0;
      for (const auto& entry : entries_[i]) rows += entry->rows_loaded + entry->rows_rejected;
      const std::string& source = plan().tables[i].source;
      const std::uint64_t profiled = planned_.facts.at(source).rows;
      if (rows == profiled) continue;
      throw Error(Fault::source_unreadable,
                  fmt::format("table {} is corrupt: {} were found by ranges of its key, and it has {}",
                              source, counted(rows, "row"), human_count(profiled)),
                  "PRAGMA integrity_check tells more, and sqlite3 FILE .recover can save what is left");
    }
  }

  StoredPart part_of(const char* name) {
    const std::string text = folder_->read_small(name, kPlanBytesMax);
    return {text.size(), sha256_of(std::as_bytes(std::span(text)))};
  }

  void write_manifest() {
    folder_->write_small(kSchemaFile, script_of(plan()));
    manifest_.version = kVersion;
    manifest_.source_path = planned_.snapshot->path().string();
    manifest_.source_bytes = planned_.snapshot->file_bytes();
    manifest_.source_fingerprint = planned_.snapshot->fingerprint();
    manifest_.schema = plan().schema;
    manifest_.plan = part_of(kPlanFile);
    manifest_.ddl = part_of(kSchemaFile);
    std::vector<std::pair<std::string, Digest>> roots;
    std::vector<std::string> folders = {"tables"};
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const TablePlan& table = plan().tables[i];
      TableEntry& entry = manifest_.tables.emplace_back();
      entry.source = table.source;
      entry.schema = table.schema;
      entry.target = table.target;
      for (const ColumnPlan& column : table.columns) entry.columns.push_back(column.target);
      entry.generated_columns = table.columns.size() - sent_columns(table);
      std::vector<RangeDigest> digests;
      for (std::optional<RangeEntry>& range : entries_[i]) {
        digests.push_back(range->digest);
        entry.ranges.push_back(std::move(*range));
      }
      entry.root = TableLeaves(table, digests).root();
      roots.emplace_back(entry.source, entry.root);
      folders.push_back(folder_of_table(i, entry.source));
    }
    manifest_.root = database_root(std::move(roots));
    if (manifest_.tables.empty()) folders.clear();
    const std::string text = manifest_text(manifest_);
    if (text.size() > kManifestBytesMax) {
      throw Error(Fault::usage, "the archive has more ranges than its manifest can hold",
                  "export it with --restart and a larger --range-size");
    }
    folder_->write_small(kChecksumFile, checksum_text(sha256_of(std::as_bytes(std::span(text)))));
    folder_->settle(folders);
    folder_->write_small(kManifestFile, text);
    folder_->settle({});
    journal_->end();
  }

  int conclude() {
    std::uint64_t rows = 0;
    std::uint64_t rejected = 0;
    std::uint64_t content = 0;
    std::uint64_t stored = 0;
    std::size_t ranges = 0;
    for (const TableEntry& table : manifest_.tables) {
      std::uint64_t rejected_of_table = 0;
      for (const RangeEntry& range : table.ranges) {
        rows += range.rows_loaded;
        rejected_of_table += range.rows_rejected;
        content += range.content_bytes();
        stored += range.stream.bytes + range.rejects.bytes;
      }
      ranges += table.ranges.size();
      rejected += rejected_of_table;
      if (rejected_of_table > 0) {
        std::cout << fmt::format("rejected: {} of {}\n", counted(rejected_of_table, "row"),
                                 printable(table.source));
      }
    }
    for (const ObjectOutcome& object : plan().left_out) {
      if (!object.created) std::cout << "not in it: " << printable(describe(object)) << "\n";
    }
    if (planned_.snapshot->replaced()) {
      console_.note(
          {.level = LogLevel::warning,
           .message = "the source was replaced or removed while it was read; what was exported is the file "
                      "that was there when the export began"});
    }
    std::cout << fmt::format(
        "exported {} of {} in {}: {} of COPY in {} ({:.1f} times smaller), {}, peak memory {}\nroot "
        "{}\narchive {}\n",
        counted(rows, "row"), counted(manifest_.tables.size(), "table"), counted(ranges, "range"),
        human_bytes(content), human_bytes(stored),
        static_cast<double>(content) / static_cast<double>(std::max<std::uint64_t>(stored, 1)),
        human_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count()),
        human_bytes(peak_memory_bytes()), to_hex(manifest_.root), folder_->path().string());
    std::cout.flush();
    return rejected > 0 ? 3 : 0;
  }

  const ExportOptions& options_;
  const StopRequest& stop_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  Console console_;
  std::optional<ArchiveFolder> folder_;
  std::optional<ExportJournal> journal_;
  PlannedSource planned_;
  std::vector<std::vector<std::optional<RangeEntry>>> entries_;  // per table and range: those that are done
  Manifest manifest_;
};

}  // namespace

int export_archive(const ExportOptions& options, const StopRequest& stop) {
  return Export(options, stop).run();
}

}  // namespace sluice
