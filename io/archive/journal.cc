#include "io/archive/journal.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "engine/model/error.h"
#include "engine/model/failpoint.h"
#include "io/archive/shallow_json.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kWhat = "unfinished sluice export";
constexpr std::uint64_t kJournalBytesMax = kManifestBytesMax;

void refuse_foreign(const ArchiveFolder& folder) {
  const std::string path = folder.path().string();
  bool journal = false;
  bool any = false;
  for (const std::string& name : folder.list()) {
    if (name == kManifestFile) {
      throw Error(Fault::usage, path + " holds a finished archive",
                  "choose another folder, or remove that one first");
    }
    if (!is_archive_file(name)) {
      throw Error(Fault::usage, path + " holds " + name + ", which no export has written",
                  "choose a new or an empty folder");
    }
    journal |= name == kJournalFile;
    any = true;
  }
  if (any && !journal) {
    throw Error(Fault::usage, path + " holds parts of an archive and no " + std::string(kJournalFile),
                "choose a new or an empty folder");
  }
}

}  // namespace

ExportJournal::ExportJournal(ArchiveFolder& folder) : folder_(folder) {
  refuse_foreign(folder_);
  take();
  // It may have come to its end while we waited to look.
  if (folder_.size_of(kManifestFile)) refuse_foreign(folder_);
  read();
}

ExportJournal::~ExportJournal() {
  try {
    // Beside parts of an archive it is what says that they are ours.
    if (folder_.size_of(kJournalFile) != 0 || folder_.list().size() > 1) return;
    folder_.remove(kJournalFile);
    folder_.unmake();
  } catch (const Error&) {
    // An empty one harms nobody.
  }
}

void ExportJournal::take() {
  struct stat status {};
  do {
    file_ = folder_.append_to(kJournalFile);
    // Some file systems have no locks; then nobody can tell.
    if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw Error(Fault::usage, "another export is writing to " + folder_.path().string(),
                  "let it finish, or choose another folder");
    }
    // It may have been removed by the one who had it before us.
  } while (::fstat(file_.get(), &status) == 0 && status.st_nlink == 0);
}

void ExportJournal::read() {
  const std::string text = folder_.read_small(kJournalFile, kJournalBytesMax);
  std::string_view rest = text;
  // What follows the last line break was being written when the process died.
  for (std::size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    try {
      const Json json = parse_shallow_json<Json>(line);
      if (!head_) {
        if (json.at("what") != kWhat || json.at("format") != kArchiveFormat) return;
        head_ =
            JournalHead{json.at("fingerprint").get<std::string>(), json.at("plan_hash").get<std::string>()};
        continue;
      }
      lines_.push_back({json.at("table").get<std::size_t>(), json.at("range").get<std::size_t>(),
                        json.at("entry").dump()});
    } catch (const Json::exception&) {
      // Half a line, behind which a later process went on. Without a head there is nothing to go on from.
      if (!head_) return;
    }
  }
  // Further lines must not join it.
  if (head_ && !rest.empty()) folder_.append(file_, kJournalFile, "\n");
}

void ExportJournal::begin(const JournalHead& head) {
  head_.reset();
  lines_.clear();
  // The journal stays, emptied, because it is what says that all of this is ours.
  for (const std::string& name : folder_.list()) {
    if (name != kJournalFile && !name.ends_with('/')) folder_.remove(name);
  }
  folder_.truncate(file_, kJournalFile);
  const Json json = {{"what", kWhat},
                     {"format", kArchiveFormat},
                     {"fingerprint", head.fingerprint},
                     {"plan_hash", head.plan_hash}};
  folder_.append(file_, kJournalFile, json.dump() + "\n");
  head_ = head;
}

std::vector<std::optional<RangeEntry>> ExportJournal::done(const TablePlan& table) const {
  std::vector<std::optional<RangeEntry>> entries(table.extents.size());
  const auto number = static_cast<std::size_t>(table.id);
  for (const Line& line : lines_) {
    if (line.table != number || line.range >= entries.size()) continue;
    try {
      const RangeEntry entry = read_range(line.entry, number, table.source, line.range);
      const auto is_there = [&](const std::string& name, const StoredPart& part) {
        return folder_.size_of(name) == part.bytes;
      };
      if (!is_there(stream_file(number, table.source, line.range), entry.stream)) continue;
      if (entry.has_rejects() && !is_there(rejects_file(number, table.source, line.range), entry.rejects))
        continue;
      entries[line.range] = entry;
    } catch (const Error&) {
      // Then it is written again.
    }
  }
  return entries;
}

void ExportJournal::note(const TablePlan& table, std::size_t number, const RangeEntry& entry) {
  const auto table_number = static_cast<std::size_t>(table.id);
  const std::string line = "{\"table\":" + std::to_string(table_number) +
                           ",\"range\":" + std::to_string(number) +
                           ",\"entry\":" + range_text(entry, table_number, table.source, number) + "}\n";
  const std::lock_guard lock(mutex_);
  folder_.append(file_, kJournalFile, line);
  failpoint("after part");
}

void ExportJournal::end() { folder_.remove(kJournalFile); }

}  // namespace sluice
