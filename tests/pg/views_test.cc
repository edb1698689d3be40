// Views of real databases, and hand-made ones, by what they show: both databases are asked for all rows of
// every view that was created, and the answers are compared as multisets.

#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/corpus.h"
#include "support/query.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + '"';
}

std::string folded(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

// ---- values of both sides, brought to one spelling by the type of the target's column ----

struct Value {
  std::string text;
  bool number = false;  // then compared with a tolerance
  double real = 0;

  bool operator<(const Value& other) const {
    if (number && other.number) return real < other.real;
    return number != other.number ? number : text < other.text;
  }
};

Value number_value(double real) {
  Value value;
  value.number = true;
  value.real = real;
  char room[40];
  std::snprintf(room, sizeof room, "%.12g", real == 0 ? 0.0 : real);
  value.text = room;
  return value;
}

std::string moment_text(std::string text) {
  if (text.size() > 10 && text[10] == 'T') text[10] = ' ';
  if (text.size() == 10) text += " 00:00:00";
  if (text.size() == 16) text += ":00";
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
  }
  return text;
}

Value value_of(const std::string& text, const std::string& type) {
  if (type == "boolean") return number_value(text == "t" || text == "1" ? 1 : 0);
  if (type == "bigint" || type == "integer" || type == "smallint" || type == "numeric" ||
      type == "double precision") {
    return number_value(std::strtod(text.c_str(), nullptr));
  }
  if (type.starts_with("timestamp")) return {moment_text(text)};
  if (type == "json" || type == "jsonb") {
    const Json parsed = Json::parse(text, nullptr, false);
    return {parsed.is_discarded() ? text : parsed.dump()};
  }
  if (type == "uuid") return {folded(text)};
  return {text};
}

using Row = std::vector<Value>;
struct Content {
  std::vector<std::string> columns;
  std::vector<std::string> types;
  std::vector<Row> rows;  // none when there are very many
  std::uint64_t count = 0;
  std::uint64_t sum = 0;  // of hashes of the rows: the order does not matter
};

constexpr std::uint64_t kRowsKept = 50'000;

void take(Content& content, Row row) {
  std::string all;
  for (const Value& value : row) all += value.text + '\x1f';
  ++content.count;
  content.sum += std::hash<std::string>{}(all);
  if (content.count <= kRowsKept) content.rows.push_back(std::move(row));
}

Content target_content(const std::string& conninfo, const std::string& view) {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> connection(PQconnectdb(conninfo.c_str()), PQfinish);
  Content content;
  for (const QueryRow& row :
       query(conninfo, "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = '" +
                           quoted(view) + "'::regclass AND attnum > 0 ORDER BY attnum")) {
    content.columns.push_back(row[0].value());
    content.types.push_back(row[1].value());
  }
  if (PQsendQuery(connection.get(), ("SELECT * FROM " + quoted(view)).c_str()) == 0 ||
      PQsetSingleRowMode(connection.get()) == 0) {
    throw std::runtime_error(PQerrorMessage(connection.get()));
  }
  for (;;) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQgetResult(connection.get()), PQclear);
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK) continue;
    if (status != PGRES_SINGLE_TUPLE) throw std::runtime_error(PQerrorMessage(connection.get()));
    Row row;
    for (int i = 0; i < PQnfields(result.get()); ++i) {
      row.push_back(
          PQgetisnull(result.get(), 0, i) != 0
              ? Value{"\x01null"}
              : value_of(PQgetvalue(result.get(), 0, i), content.types[static_cast<std::size_t>(i)]));
    }
    take(content, std::move(row));
  }
  return content;
}

Content source_content(const fs::path& file, const std::string& view, const std::vector<std::string>& types) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> database(raw, sqlite3_close);
  sqlite3_stmt* made = nullptr;
  if (opened != SQLITE_OK ||
      sqlite3_prepare_v2(raw, ("SELECT * FROM " + quoted(view)).c_str(), -1, &made, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(raw));
  }
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(made, sqlite3_finalize);
  Content content;
  content.types = types;
  for (int i = 0; i < sqlite3_column_count(made); ++i)
    content.columns.emplace_back(sqlite3_column_name(made, i));
  if (content.columns.size() != types.size()) throw std::runtime_error("another number of columns");
  int code = 0;
  while ((code = sqlite3_step(made)) == SQLITE_ROW) {
    Row row;
    for (int i = 0; i < sqlite3_column_count(made); ++i) {
      const std::string& type = types[static_cast<std::size_t>(i)];
      if (sqlite3_column_type(made, i) == SQLITE_NULL) {
        row.push_back({"\x01null"});
      } else if (type == "bytea") {
        std::string hex = "\\x";
        const auto* bytes = static_cast<const unsigned char*>(sqlite3_column_blob(made, i));
        for (int k = 0; k < sqlite3_column_bytes(made, i); ++k) {
          char two[3];
          std::snprintf(two, sizeof two, "%02x", bytes[k]);
          hex += two;
        }
        row.push_back({hex});
      } else if (sqlite3_column_type(made, i) == SQLITE_FLOAT) {
        // Its own text has 15 digits only.
        row.push_back(number_value(sqlite3_column_double(made, i)));
      } else {
        row.push_back(value_of(reinterpret_cast<const char*>(sqlite3_column_text(made, i)), type));
      }
    }
    take(content, std::move(row));
  }
  if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(raw));
  return content;
}

std::string shown(const Row& row) {
  std::string text;
  for (const Value& value : row) text += (text.empty() ? "" : " | ") + value.text;
  return text;
}

bool equal(const Value& left, const Value& right) {
  if (left.number != right.number) return false;
  if (!left.number) return left.text == right.text;
  return std::abs(left.real - right.real) <=
         1e-9 * std::max({1.0, std::abs(left.real), std::abs(right.real)});
}

// Sorted by what is compared exactly first, so that last digits do not move a row.
void sort_rows(std::vector<Row>& rows) {
  std::sort(rows.begin(), rows.end(), [](const Row& left, const Row& right) {
    for (const bool numbers : {false, true}) {
      for (std::size_t i = 0; i < left.size(); ++i) {
        const bool number = left[i].number || right[i].number;
        if (number != numbers) continue;
        if (left[i] < right[i]) return true;
        if (right[i] < left[i]) return false;
      }
    }
    return false;
  });
}

// SQLite 3.40 turns a join in parentheses into a subquery, and then numbers the names that stand in several
// of its tables; what the view says is what its owner meant.
std::vector<std::string> without_numbers(std::vector<std::string> names) {
  for (std::string& name : names) {
    const std::size_t colon = name.rfind(':');
    if (colon != std::string::npos && name.find_first_not_of("0123456789", colon + 1) == std::string::npos) {
      name.erase(colon);
    }
  }
  return names;
}

void expect_equal_content(const fs::path& file, const std::string& conninfo, const std::string& source,
                          const std::string& target) {
  SCOPED_TRACE("view " + source);
  Content theirs = target_content(conninfo, target);
  Content ours;
  ASSERT_NO_THROW(ours = source_content(file, source, theirs.types));
  EXPECT_TRUE(theirs.columns == ours.columns || theirs.columns == without_numbers(ours.columns))
      << ::testing::PrintToString(theirs.columns) << " and in SQLite "
      << ::testing::PrintToString(ours.columns);
  ASSERT_EQ(theirs.count, ours.count);
  if (theirs.count > kRowsKept) {
    EXPECT_EQ(theirs.sum, ours.sum);
    return;
  }
  sort_rows(theirs.rows);
  sort_rows(ours.rows);
  int differences = 0;
  for (std::size_t i = 0; i < ours.rows.size() && differences < 3; ++i) {
    if (std::equal(ours.rows[i].begin(), ours.rows[i].end(), theirs.rows[i].begin(), theirs.rows[i].end(),
                   equal)) {
      continue;
    }
    ++differences;
    ADD_FAILURE() << "SQLite:     " << shown(ours.rows[i]) << "\nPostgreSQL: " << shown(theirs.rows[i]);
  }
}

// ---- migrations ----

class Views : public ::testing::Test {
 protected:
  void migrate_file(const fs::path& file, const std::vector<std::string>& flags = {},
                    int expected_status = 0) {
    file_ = file;
    if (target_.empty()) target_ = shared_test_server().create_database("views_test");
    const std::string report = (folder_ / "report").string();
    std::vector<std::string> argv = {sluice_program(), "migrate", file,         target_,
                                     "--report",       report,    "--progress", "none"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    result_ = run_command(std::move(argv), {.timeout = std::chrono::minutes(5)});
    ASSERT_EQ(result_.exit_status, expected_status) << result_.err << result_.out;
    std::ifstream json(report + "/report.json");
    report_ = Json::parse(json);
  }

  void migrate(const std::string& script, const std::vector<std::string>& flags = {}) {
    const fs::path file = folder_ / "source.sqlite";
    fs::remove(file);
    CommandOptions options;
    options.input = script;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", file}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
    migrate_file(file, flags);
  }

  // Every view that was created shows the same; says how many there are, and how many were.
  void compare_views(std::size_t& created, std::size_t& all) {
    created = all = 0;
    for (const Json& object : report_["objects"]) {
      if (object["kind"] != "view") continue;
      ++all;
      if (object["status"] != "created") {
        EXPECT_FALSE(object["reason"].get<std::string>().empty()) << object;
        EXPECT_FALSE(object["sql"].get<std::string>().empty()) << object;
        continue;
      }
      ++created;
      expect_equal_content(file_, target_, object["name"], object["name"]);
    }
  }

  Json view(const std::string& name) const {
    for (const Json& object : report_["objects"]) {
      if (object["kind"] == "view" && object["name"] == name) return object;
    }
    ADD_FAILURE() << "view " << name << " is not in the report";
    return {};
  }

  void expect_refused(const std::string& name, const std::string& part) const {
    const Json object = view(name);
    EXPECT_EQ(object["status"], "not_created") << object;
    EXPECT_NE(object["reason"].get<std::string>().find(part), std::string::npos) << object;
  }
  void expect_created(const std::string& name, const std::string& remark = "") {
    const Json object = view(name);
    EXPECT_EQ(object["status"], "created") << object;
    EXPECT_NE(object["reason"].get<std::string>().find(remark), std::string::npos) << object;
    if (object["status"] == "created") expect_equal_content(file_, target_, name, name);
  }

  TemporaryDirectory folder_;
  fs::path file_;
  std::string target_;
  CommandResult result_;
  Json report_;
};

struct CorpusCase {
  const char* name;
  std::size_t views;
  std::size_t created;
};

class CorpusViews : public Views, public ::testing::WithParamInterface<CorpusCase> {};

TEST_P(CorpusViews, ShowTheSameInBothDatabases) {
  const std::optional<fs::path> file = corpus_file(GetParam().name);
  if (!file) GTEST_SKIP() << "no corpus file " << GetParam().name;
  migrate_file(*file, {"--on-misfit", "widen"});
  std::size_t created = 0;
  std::size_t all = 0;
  compare_views(created, all);
  EXPECT_EQ(all, GetParam().views);
  EXPECT_GE(created, GetParam().created);
}

INSTANTIATE_TEST_SUITE_P(Corpus, CorpusViews,
                         ::testing::Values(CorpusCase{"sakila", 5, 5}, CorpusCase{"chinook", 0, 0},
                                           CorpusCase{"northwind_efcore", 16, 16},
                                           CorpusCase{"northwind_big", 17, 17},
                                           CorpusCase{"pocketbase_data", 3, 3},
                                           CorpusCase{"datasette_fixtures", 4, 4},
                                           CorpusCase{"fdw_common", 7, 3}, CorpusCase{"fdw_core", 1, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sluice::testing
