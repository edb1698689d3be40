// The folder of an archive: nothing but plain files of ours, and what a dead export leaves in it.

#include "io/archive/folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "engine/model/error.h"
#include "io/archive/journal.h"
#include "io/store/sha256.h"
#include "support/conditions.h"
#include "support/temporary_directory.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::contains;
using testing::TemporaryDirectory;

std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

template <class Body>
std::string refusal(Fault fault, const Body& body) {
  try {
    body();
    return {};
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), fault) << error.describe();
    return error.describe();
  }
}

std::string refusal_of_reading(const ArchiveFolder& folder, const char* name) {
  return refusal(Fault::source_unreadable, [&] { static_cast<void>(folder.read_small(name, 100)); });
}

TEST(ArchiveFolder, AFileIsThereWhenItIsWholeAndNotBefore) {
  const TemporaryDirectory place;
  ArchiveFolder folder = ArchiveFolder::create(place / "new" / "archive");
  {
    FileWriter file = folder.write("tables/0-a/range-0.copy.zst");
    file.write(std::as_bytes(std::span("half", 4)));
    EXPECT_EQ(folder.size_of("tables/0-a/range-0.copy.zst"), std::nullopt);
  }
  EXPECT_EQ(folder.list(), std::vector<std::string>{"tables/0-a/"}) << "what was given up is gone";
  FileWriter file = folder.write("tables/0-a/range-0.copy.zst");
  file.write(std::as_bytes(std::span("whole", 5)));
  EXPECT_EQ(file.bytes(), 5u);
  file.finish();
  folder.settle({"tables", "tables/0-a"});
  EXPECT_EQ(folder.size_of("tables/0-a/range-0.copy.zst"), 5u);
  EXPECT_EQ(folder.read_small("tables/0-a/range-0.copy.zst", 5), "whole");
  EXPECT_TRUE(
      contains(refusal(Fault::source_unreadable,
                       [&] { static_cast<void>(folder.read_small("tables/0-a/range-0.copy.zst", 4)); }),
               "larger than the 4 bytes"));
  folder.remove("tables/0-a/range-0.copy.zst");
  folder.remove("tables/0-a/range-0.copy.zst");
  EXPECT_EQ(folder.size_of("tables/0-a/range-0.copy.zst"), std::nullopt);
}

TEST(ArchiveFolder, LinksAndPipesAreNotFollowed) {
  const TemporaryDirectory place;
  put(place / "secret", "secret");
  put(place / "elsewhere" / "range-0.copy.zst", "secret");
  ArchiveFolder folder = ArchiveFolder::create(place / "archive");
  fs::create_directories(place / "archive" / "tables");
  fs::create_symlink(place / "secret", place / "archive" / "plan.json");
  fs::create_symlink(place / "elsewhere", place / "archive" / "tables" / "0-a");
  ASSERT_EQ(::mkfifo((place / "archive" / "schema.sql").c_str(), 0600), 0);
  for (const char* name : {"plan.json", "tables/0-a/range-0.copy.zst", "schema.sql"}) {
    EXPECT_EQ(folder.size_of(name), std::nullopt) << name;
    EXPECT_TRUE(contains(refusal_of_reading(folder, name), name)) << refusal_of_reading(folder, name);
  }
  EXPECT_NE(refusal(Fault::output, [&] { static_cast<void>(folder.write("tables/0-a/range-1.copy.zst")); }),
            "");
  EXPECT_EQ(content_of(place / "elsewhere" / "range-1.copy.zst"), "");
  // A link where the half of a file would go is removed, not written through.
  fs::create_symlink(place / "secret", place / "archive" / "manifest.json.part");
  folder.write_small("manifest.json", "mine");
  EXPECT_EQ(content_of(place / "secret"), "secret");
  EXPECT_EQ(folder.read_small("manifest.json", 100), "mine");
}

TEST(ArchiveFolder, ThatIsNotThereIsAnErrorWithItsName) {
  const TemporaryDirectory place;
  EXPECT_TRUE(
      contains(refusal(Fault::source_unreadable, [&] { ArchiveFolder::open(place / "none"); }), "none"));
  put(place / "file", "");
  EXPECT_NE(refusal(Fault::source_unreadable, [&] { ArchiveFolder::open(place / "file"); }), "");
  EXPECT_NE(refusal(Fault::output, [&] { ArchiveFolder::create(place / "file"); }), "");
}

// ---- the journal ----

TablePlan plan_of_two_ranges() {
  TablePlan plan;
  plan.source = "a";
  plan.extents = {RowidRange{INT64_MIN, 0}, RowidRange{1, INT64_MAX}};
  return plan;
}

RangeEntry empty_entry(std::uint64_t bytes) {
  RangeEntry entry;
  entry.stream = {bytes, sha256_of({})};
  entry.frames = {{bytes, 21}};
  return entry;
}

TEST(ExportJournal, KnowsTheRangesThatAreDone) {
  const TemporaryDirectory place;
  const TablePlan plan = plan_of_two_ranges();
  {
    ArchiveFolder folder = ArchiveFolder::create(place / "archive");
    ExportJournal journal(folder);
    EXPECT_FALSE(journal.found());
    journal.begin({"size=1", "hash"});
    folder.write_small(stream_file(0, "a", 1), "12345");
    journal.note(plan, 1, empty_entry(5));
    EXPECT_TRUE(contains(refusal(Fault::usage, [&] { ExportJournal other(folder); }), "another export"));
  }
  ArchiveFolder folder = ArchiveFolder::create(place / "archive");
  {
    ExportJournal journal(folder);
    ASSERT_TRUE(journal.found());
    EXPECT_EQ(journal.found()->fingerprint, "size=1");
    EXPECT_EQ(journal.found()->plan_hash, "hash");
    const auto done = journal.done(plan);
    EXPECT_FALSE(done.at(0));
    ASSERT_TRUE(done.at(1));
    EXPECT_EQ(*done[1], empty_entry(5));
    put(place / "archive" / stream_file(0, "a", 1), "another length");
    EXPECT_FALSE(journal.done(plan).at(1)) << "the file is not the one that was noted";
    put(place / "archive" / stream_file(0, "a", 1), "12345");
  }
  {
    ExportJournal journal(folder);
    journal.begin({"size=2", "hash"});
    EXPECT_EQ(folder.list(), (std::vector<std::string>{"tables/0-a/", "unfinished.jsonl"})) << "begun anew";
    journal.end();
  }
  EXPECT_EQ(folder.list(), std::vector<std::string>{"tables/0-a/"});
}

TEST(ExportJournal, OfAnExportThatNeverBeganLeavesNothing) {
  const TemporaryDirectory place;
  {
    ArchiveFolder folder = ArchiveFolder::create(place / "archive");
    const ExportJournal journal(folder);
    EXPECT_TRUE(fs::exists(place / "archive" / "unfinished.jsonl"));
  }
  EXPECT_FALSE(fs::exists(place / "archive"));

  fs::create_directories(place / "mine" / "tables" / "0-a");
  {
    ArchiveFolder folder = ArchiveFolder::create(place / "mine");
    put(place / "mine" / "unfinished.jsonl", "");
    const ExportJournal journal(folder);
  }
  EXPECT_TRUE(fs::exists(place / "mine" / "unfinished.jsonl")) << "it says that the folders are ours";
  fs::remove_all(place / "mine" / "tables");
  {
    ArchiveFolder folder = ArchiveFolder::create(place / "mine");
    const ExportJournal journal(folder);
  }
  EXPECT_TRUE(fs::is_empty(place / "mine")) << "a folder that was there stays";
}

TEST(ExportJournal, CutAnywhereIsReadAsFarAsItGoes) {
  const TemporaryDirectory place;
  const TablePlan plan = plan_of_two_ranges();
  ArchiveFolder folder = ArchiveFolder::create(place / "archive");
  {
    ExportJournal journal(folder);
    journal.begin({"size=1", "hash"});
    for (const std::size_t range : {0, 1}) {
      folder.write_small(stream_file(0, "a", range), "12345");
      journal.note(plan, range, empty_entry(5));
    }
  }
  const fs::path file = place / "archive" / "unfinished.jsonl";
  const std::string whole = content_of(file);
  std::size_t before = 2;
  for (std::size_t length = whole.size(); length > 7; length -= 7) {
    put(file, whole.substr(0, length));
    ExportJournal journal(folder);
    std::size_t done = 0;
    if (journal.found()) {
      for (const auto& entry : journal.done(plan)) done += entry ? 1 : 0;
    }
    EXPECT_LE(done, before);
    before = done;
  }
  EXPECT_EQ(before, 0u);
  put(file, whole.substr(0, whole.size() - 10));
  {
    ExportJournal journal(folder);
    EXPECT_FALSE(journal.done(plan).at(1));
    journal.note(plan, 1, empty_entry(5));
  }
  ExportJournal journal(folder);
  EXPECT_TRUE(journal.done(plan).at(1)) << "what was added after a half line counts";
}

TEST(ExportJournal, TakesNoFolderThatHoldsAnythingElse) {
  const TemporaryDirectory place;
  const auto refusal_with = [&](const std::string& name) {
    fs::remove_all(place / "archive");
    put(place / "archive" / name, "x");
    ArchiveFolder folder = ArchiveFolder::create(place / "archive");
    const std::string what = refusal(Fault::usage, [&] { ExportJournal journal(folder); });
    EXPECT_EQ(content_of(place / "archive" / name), "x") << "nothing was touched";
    return what;
  };
  EXPECT_TRUE(contains(refusal_with("notes.txt"), "notes.txt"));
  EXPECT_TRUE(contains(refusal_with("tables/0-a/notes.txt"), "notes.txt"));
  EXPECT_TRUE(contains(refusal_with("manifest.json"), "finished archive"));
  EXPECT_TRUE(contains(refusal_with("plan.json"), "no unfinished.jsonl"));
}

}  // namespace
}  // namespace sluice
