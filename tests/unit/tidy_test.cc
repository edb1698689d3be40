// The layout of the source tree, as a test. The build catches most wrong arrows, too, but it says "file not
// found"; this one says which arrow is missing.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/directories.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// ---- The rules ----

struct Room {
  std::string_view folder;
  std::vector<std::string_view> sees;  // beside itself and engine/model
};

constexpr std::string_view kEverything = "*";
constexpr std::string_view kModel = "engine/model";

const std::vector<Room> kRooms = {
    {kModel, {}},
    {"engine/plan", {"engine/translate"}},
    {"engine/translate", {}},
    {"engine/load", {}},
    {"engine/run", {"engine/load"}},
    {"engine/app", {kEverything}},
    {"io/wire", {}},
    {"io/sqlite", {}},
    {"io/postgres", {"io/wire", "verify"}},
    {"io/archive", {"io/wire", "io/store", "verify"}},
    {"io/store", {}},
    {"engine/offload", {"io/wire", "io/store", "io/archive"}},
    {"verify", {"io/wire"}},
    {"datasets", {}},  // its files test the engine, so it shares no code with it, not even the model
    {"bench", {kEverything}},
    {"tests", {kEverything}},
};

struct Library {
  std::string_view header;                   // or the beginning of its path
  std::vector<std::string_view> belongs_to;  // the folders that may include it
};

const std::vector<Library> kLibraries = {
    {"sqlite3.h", {"io/sqlite", "datasets", "tests", "bench"}},
    {"libpq-fe.h", {"io/postgres", "tests", "bench"}},
    {"tbb/", {"engine/run"}},
    {"oneapi/", {"engine/run"}},
    {"zstd.h", {"io/archive"}},
    {"xxhash.h", {"verify"}},
    {"openssl/", {"io/store", "bench", "tests"}},
    {"curl/", {"io/store"}},
};

// Quotes around something that is put together have no business outside of engine/model/quote.h, which knows
// what must be doubled. These are no SQL, or hold digits alone.
struct QuotedElsewhere {
  std::string_view file;
  std::string_view part;  // of the line
};

const std::vector<QuotedElsewhere> kQuotedElsewhere = {
    {"engine/plan/mapping.cc", "return string +"},      // a key of TOML
    {"engine/translate/fragment.cc", "hex_of(bytes)"},  // hex digits
    {"io/postgres/local_server.cc", ""},                // words for a shell, libpq and a configuration file
    {"io/wire/reject_record.cc", "rowid"},              // JSON
};

// Written so that this file passes its own test.
const std::regex kMachinePath("/(home|work|root)/");
const std::regex kToDo("//.*\\bTODO\\b");
const std::regex kToDoWithText("\\bTODO(\\([^)]*\\))?: \\S");

// ---- What they say about a file ----

const Room* room_of(std::string_view path) {
  for (const Room& room : kRooms) {
    if (path.starts_with(std::string(room.folder) + "/")) return &room;
  }
  return nullptr;
}

bool contains(const std::vector<std::string_view>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// What is wrong with `line` of a source file; empty when it is no include or a good one.
std::string complaint_about(const std::string& file, const std::string& line) {
  static const std::regex include(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::smatch match;
  if (!std::regex_search(line, match, include)) return {};
  const bool quoted = match[1] == "\"";
  const std::string header = match[2];
  const Room* from = room_of(file);
  if (from == nullptr) return file + " lies in no folder of the layout";

  for (const Library& library : kLibraries) {
    if (header.starts_with(library.header) && !contains(library.belongs_to, from->folder)) {
      return header + " is included in " + std::string(library.belongs_to.front()) + " only";
    }
  }
  if (!quoted) {
    const bool standard = header.find_first_of("./") == std::string::npos;
    return from->folder == kModel && !standard ? "engine/model includes standard C++ headers only" : "";
  }
  const Room* to = room_of(header);
  if (to == nullptr) {
    // Tests also write paths from tests/ on: "support/query.h".
    if (from->folder == "tests" && header.find('/') != std::string::npos) return {};
    return "\"" + header + "\" is not a path from the top";
  }
  if (to == from || contains(from->sees, kEverything) || contains(from->sees, to->folder)) return {};
  if (to->folder == kModel && from->folder != "datasets") return {};
  return "there is no arrow from " + std::string(from->folder) + " to " + std::string(to->folder);
}

// What is wrong with a line that puts quotes around a name or a text by itself; empty when it does not.
std::string complaint_about_quotes(const std::string& file, const std::string& line) {
  static const std::regex by_concatenation(R"rx((\\"|')" \+|\+=? "(\\"|'))rx");
  static const std::regex by_format(
      R"rx(\b(SELECT|FROM|WHERE|TABLE|INDEX|SCHEMA|COLUMN|CONSTRAINT|GRANT|COPY|SET)\b.*(\\"|')\{\}(\\"|'))rx");
  if (file == "engine/model/quote.cc") return {};
  if (!std::regex_search(line, by_concatenation) && !std::regex_search(line, by_format)) return {};
  const bool elsewhere =
      std::any_of(kQuotedElsewhere.begin(), kQuotedElsewhere.end(), [&](const QuotedElsewhere& known) {
        return file == known.file && line.find(known.part) != std::string::npos;
      });
  return elsewhere ? "" : "quote_identifier() and quote_literal() put the quotes";
}

// ---- The source tree ----

const std::set<std::string> kSourceExtensions = {".h", ".cc"};
const std::set<std::string> kTextExtensions = {".h",    ".cc",  ".txt",  ".md", ".json",
                                               ".toml", ".sql", ".html", ""};

// Paths relative to the top.
std::vector<std::string> files_with(const std::set<std::string>& extensions) {
  std::vector<std::string> files;
  const fs::path top = testing::source_directory();
  for (fs::recursive_directory_iterator entry(top, fs::directory_options::skip_permission_denied);
       entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename();
    if (entry->is_directory() && (name == ".git" || name == "build")) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && extensions.contains(entry->path().extension())) {
      files.push_back(entry->path().lexically_relative(top));
    }
  }
  return files;
}

std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream stream(fs::path(testing::source_directory()) / file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(Tidy, EveryIncludeFollowsAnArrow) {
  const std::vector<std::string> files = files_with(kSourceExtensions);
  ASSERT_FALSE(files.empty());
  for (const std::string& file : files) {
    const std::vector<std::string> lines = lines_of(file);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string complaint = complaint_about(file, lines[i]);
      EXPECT_EQ(complaint, "") << file << ":" << i + 1 << ": " << lines[i];
    }
  }
}

TEST(Tidy, NamesTheMissingArrow) {
  const auto about = [](const std::string& file, const std::string& header) {
    return complaint_about(file, "#include " + header);
  };
  EXPECT_EQ(about("io/sqlite/scan.cc", "\"verify/merkle.h\""), "there is no arrow from io/sqlite to verify");
  EXPECT_EQ(about("engine/load/x.cc", "\"engine/run/y.h\""),
            "there is no arrow from engine/load to engine/run");
  EXPECT_EQ(about("datasets/x.cc", "\"engine/model/cell.h\""),
            "there is no arrow from datasets to engine/model");
  EXPECT_EQ(about("verify/x.cc", "<sqlite3.h>"), "sqlite3.h is included in io/sqlite only");
  EXPECT_EQ(about("engine/app/x.cc", "<tbb/tbb.h>"), "tbb/tbb.h is included in engine/run only");
  EXPECT_EQ(about("engine/model/x.h", "<fmt/core.h>"), "engine/model includes standard C++ headers only");
  EXPECT_EQ(about("engine/run/x.h", "\"y.h\""), "\"y.h\" is not a path from the top");
  EXPECT_EQ(about("io/postgres/x.cc", "\"verify/merkle.h\""), "");
  EXPECT_EQ(about("engine/run/x.cc", "\"engine/load/y.h\""), "");
  EXPECT_EQ(about("tests/pg/x.cc", "\"support/query.h\""), "");
  EXPECT_EQ(about("engine/model/x.h", "<vector>"), "");
}

TEST(Tidy, EveryNameGoesThroughOneQuoting) {
  for (const std::string& file : files_with(kSourceExtensions)) {
    const Room* room = room_of(file);
    // Where SQL is made. Consoles and tests speak other languages.
    if (room == nullptr || contains(room->sees, kEverything) || room->folder == "datasets") continue;
    const std::vector<std::string> lines = lines_of(file);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      EXPECT_EQ(complaint_about_quotes(file, lines[i]), "") << file << ":" << i + 1 << ": " << lines[i];
    }
  }
}

TEST(Tidy, SeesWhereSomebodyQuotesByHand) {
  for (const char* line :
       {R"(execute("DROP TABLE \"" + name + "\""))", R"(sql += " WHERE relname = '" + name + "'";)",
        R"(sql += "'";)", R"(fmt::format("SELECT 1 FROM pg_class WHERE relname = '{}'", name))",
        R"(fmt::format("GRANT SELECT ON \"{}\"", name))"}) {
    EXPECT_NE(complaint_about_quotes("io/postgres/x.cc", line), "") << line;
  }
  for (const char* line : {R"(execute("DROP TABLE " + quote_identifier(name)))",
                           R"("WHERE contype = 'f' AND conrelid = " + oid)",
                           R"(fmt::format("--schema cannot be '{}'", schema))"}) {
    EXPECT_EQ(complaint_about_quotes("io/postgres/x.cc", line), "") << line;
  }
}

TEST(Tidy, EveryHeaderIsIncludedOnce) {
  for (const std::string& file : files_with({".h"})) {
    const std::vector<std::string> lines = lines_of(file);
    EXPECT_NE(std::find(lines.begin(), lines.end(), "#pragma once"), lines.end()) << file;
  }
}

TEST(Tidy, NoFileKnowsTheMachineItWasWrittenOn) {
  for (const std::string& file : files_with(kTextExtensions)) {
    if (file.starts_with("datasets/")) continue;  // its values include the paths of imaginary servers
    if (file == ".git") continue;                 // git's own, a file in a linked worktree
    const std::vector<std::string> lines = lines_of(file);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      EXPECT_FALSE(std::regex_search(lines[i], kMachinePath)) << file << ":" << i + 1 << ": " << lines[i];
    }
  }
}

TEST(Tidy, WhatIsLeftToDoIsSaid) {
  for (const std::string& file : files_with(kSourceExtensions)) {
    const std::vector<std::string> lines = lines_of(file);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      EXPECT_TRUE(!std::regex_search(lines[i], kToDo) || std::regex_search(lines[i], kToDoWithText))
          << file << ":" << i + 1 << ": " << lines[i];
    }
  }
}

}  // namespace
}  // namespace sluice
