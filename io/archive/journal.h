#pragma once
// What of an export is done, in its folder (unfinished.jsonl): a line that says whose export it is, and then
// one for each range whose files are whole. It goes when the manifest is there.
//
// Only one process at a time: the journal is locked (flock) as long as it is open.

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/plan.h"
#include "io/archive/folder.h"
#include "io/archive/manifest.h"

namespace sluice {

// Which export it is: of this state of the source, by this plan.
struct JournalHead {
  std::string fingerprint;  // of the source
  std::string plan_hash;
};

class ExportJournal {
 public:
  // Takes the folder. Throws Error (usage) when it holds a finished archive, something that no export has
  // written, or an export that another process is at.
  explicit ExportJournal(ArchiveFolder& folder);
  ExportJournal(const ExportJournal&) = delete;
  ExportJournal& operator=(const ExportJournal&) = delete;
  // Leaves no trace of an export that never began, as of a source that is not there.
  ~ExportJournal();

  // Whose export was found; nothing when the folder was empty, or what is there is of no use.
  [[nodiscard]] const std::optional<JournalHead>& found() const { return head_; }

  // Begins anew: removes whatever there is of another export.
  void begin(const JournalHead& head);

  // The ranges of a table that are done, by their number; entries of a journal that was cut are left out.
  // REQUIRES: the plan is that of the export.
  [[nodiscard]] std::vector<std::optional<RangeEntry>> done(const TablePlan& table) const;

  // Any thread. The files of the range must be on the disk.
  void note(const TablePlan& table, std::size_t number, const RangeEntry& entry);

  // The manifest is there.
  void end();

 private:
  void take();
  void read();

  ArchiveFolder& folder_;
  FileHandle file_;
  std::optional<JournalHead> head_;
  struct Line {
    std::size_t table = 0;
    std::size_t range = 0;
    std::string entry;
  };
  std::vector<Line> lines_;
  std::mutex mutex_;  // of the file, while ranges are noted
};

}  // namespace sluice
