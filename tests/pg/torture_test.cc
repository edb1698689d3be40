// Every case of tests/torture/*.toml: what SQLite lets people do, and how it must arrive. README.md there
// explains the format. Each test is one major version of PostgreSQL.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <toml++/toml.h>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/directories.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// ---- The table ----

struct ExpectedObject {
  bool created = false;
  std::string kind;
  std::string name;      // table, or table.name; empty: any
  std::string fragment;  // of the reason or the proposal
};

struct TortureCase {
  std::string where;  // file:line
  std::string name;
  std::string waits_for;

  // The source.
  std::string sql;
  std::string copy;                     // "wal", "hot-journal": taken while the writer still has it open
  std::optional<std::uint64_t> length;  // cut to
  std::optional<std::string> bytes;     // the whole file
  std::uint64_t overwrite_at = 0;
  bool leaves_tables = false;
  std::string overwrite;

  // The run.
  std::string before;  // SQL run on the target
  std::vector<std::string> flags;
  std::string mapping;

  // What must come of it.
  int status = 0;
  std::map<std::string, std::vector<std::string>> columns;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> rows;  // loaded, rejected
  std::vector<std::pair<std::string, std::vector<std::string>>> selects;
  std::vector<ExpectedObject> objects;
  std::vector<std::string> says;
};

[[noreturn]] void misspelt(const std::string& where, const std::string& what) {
  throw std::runtime_error(where + ": " + what);
}

std::string text_of(const toml::node& node, const std::string& where) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  misspelt(where, "a string is expected");
}

std::int64_t number_of(const toml::node& node, const std::string& where) {
  if (const auto number = node.value_exact<std::int64_t>()) return *number;
  misspelt(where, "an integer is expected");
}

std::vector<std::string> texts_of(const toml::node& node, const std::string& where) {
  const toml::array* array = node.as_array();
  if (array == nullptr) misspelt(where, "an array of strings is expected");
  std::vector<std::string> texts;
  for (const toml::node& element : *array) texts.push_back(text_of(element, where));
  return texts;
}

const toml::table& table_of(const toml::node& node, const std::string& where) {
  if (const toml::table* table = node.as_table()) return *table;
  misspelt(where, "a table is expected");
}

// "53514c" -> "SQL"
std::string bytes_of(const std::string& hex, const std::string& where) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned value = 0;
    const char* end = hex.data() + std::min(i + 2, hex.size());
    if (std::from_chars(hex.data() + i, end, value, 16).ptr != hex.data() + i + 2) misspelt(where, "not hex");
    bytes += static_cast<char>(value);
  }
  return bytes;
}

// "+ index t.t_a_idx", "- view v: ifnull"
ExpectedObject object_of(const std::string& line, const std::string& where) {
  ExpectedObject object;
  std::string_view rest = line;
  if (!rest.starts_with("+ ") && !rest.starts_with("- ")) misspelt(where, "an object begins with + or -");
  object.created = rest.starts_with('+');
  rest.remove_prefix(2);
  if (const auto colon = rest.find(": "); colon != std::string_view::npos) {
    object.fragment = rest.substr(colon + 2);
    rest = rest.substr(0, colon);
  }
  const auto blank = rest.find(' ');
  object.kind = rest.substr(0, blank);
  if (blank != std::string_view::npos) object.name = rest.substr(blank + 1);
  return object;
}

TortureCase case_of(const toml::table& table, const std::string& where) {
  TortureCase result;
  result.where = where;
  for (const auto& [key, node] : table) {
    const std::string_view name = key.str();
    if (name == "name") {
      result.name = text_of(node, where);
    } else if (name == "waits_for") {
      result.waits_for = text_of(node, where);
    } else if (name == "sql") {
      result.sql = text_of(node, where);
    } else if (name == "copy") {
      result.copy = text_of(node, where);
    } else if (name == "length") {
      result.length = static_cast<std::uint64_t>(number_of(node, where));
    } else if (name == "bytes") {
      result.bytes = bytes_of(text_of(node, where), where);
    } else if (name == "leaves_tables") {
      result.leaves_tables = node.value<bool>().value();
    } else if (name == "overwrite_at") {
      result.overwrite_at = static_cast<std::uint64_t>(number_of(node, where));
    } else if (name == "overwrite") {
      result.overwrite = bytes_of(text_of(node, where), where);
    } else if (name == "before") {
      result.before = text_of(node, where);
    } else if (name == "flags") {
      result.flags = texts_of(node, where);
    } else if (name == "mapping") {
      result.mapping = text_of(node, where);
    } else if (name == "status") {
      result.status = static_cast<int>(number_of(node, where));
    } else if (name == "columns") {
      for (const auto& [of, list] : table_of(node, where)) {
        result.columns[std::string(of.str())] = texts_of(list, where);
      }
    } else if (name == "rows") {
      for (const auto& [of, counts] : table_of(node, where)) {
        const toml::array* both = counts.as_array();
        if (both == nullptr || both->size() != 2) misspelt(where, "rows are [loaded, rejected]");
        result.rows[std::string(of.str())] = {static_cast<std::uint64_t>(number_of((*both)[0], where)),
                                              static_cast<std::uint64_t>(number_of((*both)[1], where))};
      }
    } else if (name == "select") {
      for (const auto& [sql, lines] : table_of(node, where)) {
        result.selects.emplace_back(sql.str(), texts_of(lines, where));
      }
    } else if (name == "objects") {
      for (const std::string& line : texts_of(node, where)) result.objects.push_back(object_of(line, where));
    } else if (name == "says") {
      result.says = texts_of(node, where);
    } else {
      misspelt(where, "unknown key " + std::string(name));
    }
  }
  if (result.name.empty()) misspelt(where, "a case needs a name");
  return result;
}

std::vector<TortureCase> read_cases() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(source_directory() + "/tests/torture")) {
    if (entry.path().extension() == ".toml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<TortureCase> cases;
  std::set<std::string> names;
  for (const fs::path& file : files) {
    const std::string short_name = file.filename();
    try {
      const toml::table content = toml::parse_file(file.string());
      const toml::array* list = content["case"].as_array();
      if (list == nullptr || content.size() != 1)
        misspelt(short_name, "[[case]] and nothing else is expected");
      for (const toml::node& node : *list) {
        const std::string where = short_name + ":" + std::to_string(node.source().begin.line);
        cases.push_back(case_of(table_of(node, where), where));
        if (!names.insert(cases.back().name).second) misspelt(where, "two cases of one name");
      }
    } catch (const toml::parse_error& error) {
      std::ostringstream message;
      message << error.source().begin;
      misspelt(short_name, message.str() + ": " + std::string(error.description()));
    }
  }
  return cases;
}

// ---- Sources ----

struct CloseDatabase {
  void operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// "@1..3(c# INTEGER)" -> "c1 INTEGER, c2 INTEGER, c3 INTEGER"
std::string with_lists_written_out(const std::string& sql, const std::string& where) {
  std::string result;
  for (std::size_t i = 0; i < sql.size(); ++i) {
    if (sql[i] != '@') {
      result += sql[i];
      continue;
    }
    const std::size_t dots = sql.find("..", i);
    const std::size_t open = sql.find('(', i);
    const std::size_t close = sql.find(")@", i);
    if (dots > open || close == std::string::npos) misspelt(where, "a list is @1..9(text)@");
    const int first = std::stoi(sql.substr(i + 1, dots - i - 1));
    const int last = std::stoi(sql.substr(dots + 2, open - dots - 2));
    for (int n = first; n <= last; ++n) {
      if (n > first) result += ", ";
      for (const char c : sql.substr(open + 1, close - open - 1)) {
        if (c == '#') {
          result += std::to_string(n);
        } else {
          result += c;
        }
      }
    }
    i = close + 1;
  }
  return result;
}

// What applications bring along: schemas may name them, sluice does not have them.
void add_application(sqlite3* database) {
  const auto function = [](sqlite3_context* context, int, sqlite3_value**) {
    sqlite3_result_int(context, 1);
  };
  sqlite3_create_function(database, "app_function", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr, function,
                          nullptr, nullptr);
  const auto collation = [](void*, int left_length, const void* left, int right_length, const void* right) {
    const std::string_view one(static_cast<const char*>(left), static_cast<std::size_t>(left_length));
    const std::string_view two(static_cast<const char*>(right), static_cast<std::size_t>(right_length));
    return two.compare(one);  // backwards: unlike any order that we know
  };
  sqlite3_create_collation(database, "unicase", SQLITE_UTF8, nullptr, collation);
}

void make_source(const TortureCase& torture, const fs::path& path) {
  if (torture.bytes) {
    std::ofstream(path, std::ios::binary) << *torture.bytes;
    return;
  }
  if (torture.sql.empty()) return;  // no file at all
  const bool copied = !torture.copy.empty();
  const fs::path made = copied ? path.parent_path() / "open.sqlite" : path;
  {
    sqlite3* raw = nullptr;
    const int opened = sqlite3_open(made.c_str(), &raw);
    const Database database(raw);
    if (opened != SQLITE_OK) misspelt(torture.where, "cannot make a database");
    add_application(raw);
    char* message = nullptr;
    const std::string sql = with_lists_written_out(torture.sql, torture.where);
    if (sqlite3_exec(raw, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
      const std::string text = message == nullptr ? "?" : message;
      sqlite3_free(message);
      misspelt(torture.where, "the case's own SQL fails: " + text);
    }
    if (copied) {
      const std::string suffix = torture.copy == "wal" ? "-wal" : "-journal";
      fs::copy_file(made, path);
      fs::copy_file(made.string() + suffix, path.string() + suffix);
    }
  }
  if (!torture.overwrite.empty()) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(torture.overwrite_at));
    file << torture.overwrite;
  }
  if (torture.length) fs::resize_file(path, *torture.length);
}

// ---- Running ----

std::string joined(const QueryRow& row) {
  std::string line;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i > 0) line += '|';
    line += row[i] ? *row[i] : "NULL";
  }
  return line;
}

std::string listed(const std::vector<std::string>& lines) {
  std::string result;
  for (const std::string& line : lines) result += "\n      " + line;
  return lines.empty() ? " nothing" : result;
}

// Everything that the last case left.
constexpr const char* kReset =
    "SET client_min_messages = error;"
    "DO $$ DECLARE name text; BEGIN FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND "
    "nspname <> 'information_schema' LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP; END $$;"
    "CREATE SCHEMA public;";

constexpr const char* kColumns =
    "SELECT c.relname, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid "
    "WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'sluice' AND n.nspname !~ '^pg_' AND "
    "n.nspname <> 'information_schema' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum";

// What differs from what was expected, in lines. Never a gtest assertion: several threads are at it.
class Findings {
 public:
  void add(const std::string& line) { lines_.push_back(line); }
  void expect(const std::string& what, const std::string& expected, const std::string& found) {
    if (expected != found) add(what + ": expected " + expected + ", found " + found);
  }
  [[nodiscard]] bool none() const { return lines_.empty(); }
  [[nodiscard]] std::string text() const {
    std::string text;
    for (const std::string& line : lines_) text += "    " + line + "\n";
    return text;
  }

 private:
  std::vector<std::string> lines_;
};

std::string text_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string last_lines(const std::string& text) {
  return text.size() < 1500 ? text : "..." + text.substr(text.size() - 1500);
}

void compare_report(const TortureCase& torture, const Json& report, Findings& findings) {
  for (const Json& table : report["tables"]) {
    const std::uint64_t source = table["rows_source"];
    const std::uint64_t loaded = table["rows_loaded"];
    const std::uint64_t rejected = table["rows_rejected"];
    findings.expect("rows of " + table["source"].get<std::string>() + " accounted for",
                    std::to_string(source), std::to_string(loaded + rejected));
  }
  for (const auto& [name, counts] : torture.rows) {
    std::string found = "no such table";
    for (const Json& table : report["tables"]) {
      if (table["source"] != name) continue;
      found = std::to_string(table["rows_loaded"].get<std::uint64_t>()) + " loaded, " +
              std::to_string(table["rows_rejected"].get<std::uint64_t>()) + " rejected";
    }
    findings.expect("rows of " + name,
                    std::to_string(counts.first) + " loaded, " + std::to_string(counts.second) + " rejected",
                    found);
  }
  for (const ExpectedObject& object : torture.objects) {
    bool found = false;
    std::string nearest;
    for (const Json& outcome : report["objects"]) {
      const std::string table = outcome["table"];
      const std::string name = outcome["name"];
      if (outcome["kind"] != object.kind) continue;
      if (!object.name.empty() && object.name != table && object.name != table + "." + name &&
          object.name != name) {
        continue;
      }
      nearest += "\n      " + outcome.dump();
      const std::string words =
          outcome["reason"].get<std::string>() + "\n" + outcome["proposal"].get<std::string>();
      if (outcome["status"] == (object.created ? "created" : "not_created") &&
          contains(words, object.fragment)) {
        found = true;
      }
    }
    if (!found) {
      std::string line = object.created ? "expected created " : "expected not created ";
      line += object.kind + " " + object.name;
      if (!object.fragment.empty()) line += " because of \"" + object.fragment + "\"";
      findings.add(line + ", found" + (nearest.empty() ? " nothing" : nearest));
    }
  }
}

void compare_target(const TortureCase& torture, const std::string& target, Findings& findings) {
  if (!torture.columns.empty()) {
    std::map<std::string, std::vector<std::string>> columns;
    for (const QueryRow& row : query(target, kColumns)) columns[*row[0]].push_back(*row[1]);
    for (const auto& [table, expected] : torture.columns) {
      findings.expect("columns of " + table, listed(expected), listed(columns[table]));
    }
  }
  for (const auto& [sql, expected] : torture.selects) {
    std::vector<std::string> lines;
    try {
      for (const QueryRow& row : query(target, "SET TimeZone = 'UTC'; " + sql)) lines.push_back(joined(row));
    } catch (const std::runtime_error& error) {
      lines.emplace_back(error.what());
    }
    findings.expect(sql, listed(expected), listed(lines));
  }
}

// The commands that read a source without a target.
struct Abilities {
  bool inspect = false;
  bool plan = false;
};

Abilities abilities() {
  const std::string help = run_command({sluice_program(), "--help"}).out;
  return {.inspect = contains(help, "inspect"), .plan = contains(help, "plan ")};
}

// They end in status 0 wherever the source can be read: a finding is something to report.
void read_only_commands(const TortureCase& torture, const Abilities& can, const std::string& source,
                        const std::string& mapping, Findings& findings) {
  const int expected = torture.status == 10 ? 10 : 0;
  if (can.inspect) {
    for (const bool json : {false, true}) {
      std::vector<std::string> argv = {sluice_program(), "inspect", source};
      if (json) argv.emplace_back("--json");
      const CommandResult result = run_command(argv);
      if (result.exit_status != expected) {
        findings.add("inspect ends with " + std::to_string(result.exit_status) + ": " +
                     last_lines(result.err));
      } else if (json && expected == 0 && !Json::accept(result.out)) {
        findings.add("inspect --json prints no JSON");
      }
    }
  }
  if (can.plan) {
    std::vector<std::string> argv = {sluice_program(), "plan", source};
    if (!mapping.empty()) argv.insert(argv.end(), {"--config", mapping});
    for (const std::string& flag : torture.flags) argv.push_back(flag);
    const CommandResult result = run_command(argv);
    const bool refused = torture.status == 2 && result.exit_status == 2;
    if (result.exit_status != expected && !refused) {
      findings.add("plan ends with " + std::to_string(result.exit_status) + ": " + last_lines(result.err));
    }
  }
}

Findings run_case(const TortureCase& torture, const std::string& target, const Abilities& can) {
  Findings findings;
  const TemporaryDirectory folder("sluice-torture");
  const std::string source = folder / "source.sqlite";
  make_source(torture, source);
  execute(target, kReset + torture.before);
  std::string mapping;
  std::vector<std::string> argv = {sluice_program(), "migrate",  source,
                                   target,           "--report", folder / "report"};
  if (!torture.mapping.empty()) {
    mapping = folder / "mapping.toml";
    std::ofstream(mapping) << torture.mapping;
    argv.insert(argv.end(), {"--config", mapping});
  }
  argv.insert(argv.end(), torture.flags.begin(), torture.flags.end());
  // Before the run: it may leave files beside the source.
  read_only_commands(torture, can, source, mapping, findings);
  CommandOptions options;
  options.directory = folder.path();
  const CommandResult result = run_command(argv, options);

  findings.expect("exit status", std::to_string(torture.status), std::to_string(result.exit_status));
  if (result.exit_status != torture.status) findings.add("it said: " + last_lines(result.err));
  for (const std::string& fragment : torture.says) {
    if (!contains(result.err + result.out, fragment)) {
      findings.add("expected it to say \"" + fragment + "\", but: " + last_lines(result.err));
    }
  }
  const std::string report = text_file(folder / "report" / "report.json");
  if (result.exit_status == 0 || result.exit_status == 3) {
    if (report.empty()) {
      findings.add("there is no report.json");
    } else {
      compare_report(torture, Json::parse(report), findings);
      const std::string found = Json::parse(report)["status"];
      findings.expect("status in the report", torture.status == 0 ? "verified" : "rejected", found);
    }
    compare_target(torture, target, findings);
  } else if (torture.before.empty() && !torture.leaves_tables &&
             (torture.status == 2 || torture.status == 10)) {
    // Stopped before the first row: and before the first table.
    std::set<std::string> left;
    for (const QueryRow& row : query(target, kColumns)) left.insert(*row[0]);
    for (const std::string& table : left) findings.add("left in the target: " + table);
  }
  return findings;
}

// ---- The tests ----

// SLUICE_TORTURE_CASE limits the run to cases whose name or place contains it.
void run_table(const fs::path& binaries, const Abilities& can) {
  std::vector<TortureCase> cases = read_cases();
  const char* const only = std::getenv("SLUICE_TORTURE_CASE");
  if (only != nullptr) {
    std::erase_if(cases, [&](const TortureCase& torture) {
      return !contains(torture.name, only) && !contains(torture.where, only);
    });
  }
  TestServer server({.settings = {{"autovacuum", "off"}}, .binaries = binaries});

  std::atomic<std::size_t> next = 0;
  std::mutex one_at_a_time;
  std::size_t waiting = 0;
  std::vector<std::string> failures;
  const auto work = [&](int lane) {
    const std::string target = server.create_database("lane" + std::to_string(lane));
    for (std::size_t i = next++; i < cases.size(); i = next++) {
      const TortureCase& torture = cases[i];
      Findings findings;
      try {
        findings = run_case(torture, target, can);
      } catch (const std::exception& error) {
        findings.add(error.what());
      }
      const std::lock_guard lock(one_at_a_time);
      if (!torture.waits_for.empty()) {
        ++waiting;
        std::cout << "waits for " << torture.waits_for << (findings.none() ? " (which is there): " : ": ")
                  << torture.where << " " << torture.name << "\n";
        if (only != nullptr) std::cout << findings.text();
      } else if (!findings.none()) {
        failures.push_back(torture.where + ": " + torture.name + "\n" + findings.text());
      }
    }
  };
  std::vector<std::thread> threads;
  for (int lane = 0; lane < 4; ++lane) threads.emplace_back(work, lane);
  for (std::thread& thread : threads) thread.join();

  std::sort(failures.begin(), failures.end());
  for (const std::string& failure : failures) ADD_FAILURE() << failure;
  std::cout << cases.size() << " cases, " << failures.size() << " failed, " << waiting << " wait\n";
}

TEST(Torture, EveryCaseEndsAsItsTableSaysOnPostgreSQL15) { run_table({}, abilities()); }

// inspect and plan without a target do not know the server's version: once is enough.
TEST(Torture, EveryCaseEndsAsItsTableSaysOnPostgreSQL17) {
  const std::optional<fs::path> binaries = binaries_of(17);
  if (!binaries) GTEST_SKIP() << how_to_get(17);
  run_table(*binaries, {});
}

TEST(TortureTable, HoldsEverySectionOfTheCatalogOfQuirks) {
  std::set<std::string> sections;
  const std::vector<TortureCase> cases = read_cases();
  for (const TortureCase& torture : cases) sections.insert(torture.where.substr(0, 2));
  EXPECT_GE(cases.size(), 120U);
  EXPECT_EQ(sections.size(), 14U);
}

}  // namespace
}  // namespace sluice::testing
