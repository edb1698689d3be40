#include "fault/job.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "fault/invariants.h"
#include "support/conditions.h"
#include "support/directories.h"
#include "support/query.h"
#include "support/seed.h"
#include "unit/sqlite_fixture.h"

namespace sluice::testing {
namespace {

// The largest first. A composite key, a table without rowids, one whose rows have no key at all.
constexpr const char* kSchema =
    "CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);"
    "CREATE TABLE book (id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES author (id), title TEXT,"
    " price REAL, pages INTEGER);"
    "CREATE INDEX book_title ON book (title);"
    "CREATE UNIQUE INDEX book_author ON book (author, id);"
    "CREATE TABLE label (book INTEGER, word TEXT, PRIMARY KEY (book, word)) WITHOUT ROWID;"
    "CREATE VIEW cheap AS SELECT id, title FROM book WHERE price < 10;";

constexpr const char* kRows =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
    "INSERT INTO author SELECT i, printf('author %040d', i) FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
    "INSERT INTO book SELECT i, i % 300 + 1, printf('title %060d', i), i / 4.0, i * 7 FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    "INSERT INTO label SELECT i % 100, printf('word %040d', i) FROM n;";

// Integers that are none, in every range.
constexpr const char* kMisfits = "UPDATE book SET pages = 'many of them' WHERE id % 20 = 0;";

// Beyond the size from which a table of one range is frozen.
constexpr const char* kLargeTable =
    "CREATE TABLE large (id INTEGER PRIMARY KEY, text TEXT);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)"
    "INSERT INTO large SELECT i, printf('%0600d', i) FROM n;";

// Tables as another tool would have made them, with what --rebuild takes out of the way.
constexpr const char* kExistingTables =
    "CREATE TABLE author (id bigint PRIMARY KEY, name text NOT NULL);"
    "CREATE TABLE book (id bigint PRIMARY KEY, author bigint NOT NULL REFERENCES author, title text,"
    " price double precision CHECK (price >= 0), pages bigint);"
    "CREATE INDEX book_title ON book (title);"
    "CREATE TABLE label (book bigint, word text, PRIMARY KEY (book, word));"
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not now''; END';"
    "CREATE TRIGGER no_books BEFORE INSERT ON book FOR EACH ROW EXECUTE FUNCTION refuse();";

constexpr const char* kDamage =
    "DELETE FROM book WHERE id % 7 = 0; UPDATE book SET title = 'another' WHERE id % 11 = 0;"
    "INSERT INTO book SELECT 100000 + id, author, title FROM book WHERE id % 5 = 0;"
    "UPDATE author SET name = 'nobody' WHERE id % 3 = 0;"
    "DELETE FROM label WHERE book % 4 = 0; INSERT INTO label SELECT 5000, word FROM label LIMIT 30";

std::string template_of(const std::string& database) { return database + "_template"; }

}  // namespace

std::size_t shots(std::size_t standard) {
  const char* asked = std::getenv("SLUICE_FAULTS");
  if (asked == nullptr) return standard;
  return standard * (std::string_view(asked) == "nightly" ? 10 : std::stoul(asked));
}

std::mt19937_64 random_of_shot(std::string_view family, std::size_t shot) {
  const std::uint64_t seed = test_seed();
  std::vector<std::uint32_t> parts = {static_cast<std::uint32_t>(seed),
                                      static_cast<std::uint32_t>(seed >> 32),
                                      static_cast<std::uint32_t>(shot)};
  parts.insert(parts.end(), family.begin(), family.end());
  std::seed_seq sequence(parts.begin(), parts.end());
  return std::mt19937_64(sequence);
}

Job::Job(TestServer& server, JobKind kind) : server_(server), kind_(kind), folder_("sluice-fault") {
  source_ = folder_ / (std::string(name_of(kind)) + ".sqlite");
  tables_ = kind == JobKind::frozen ? std::vector<std::string>{"large"}
                                    : std::vector<std::string>{"book", "label", "author"};
  if (kind == JobKind::rejects) exit_status_ = 3;
  make_source();
  prepare_target();
  reset();
  const CommandResult undisturbed = run_command(command(sluice_program()), options());
  moments_ = Moments(undisturbed.seconds);
  root_ = root_in(undisturbed);
  picture_ = picture_of(target_);
  EXPECT_EQ(root_.size(), 32U) << undisturbed.out;
  expect_complete(undisturbed);
}

void Job::make_source() {
  const Writer writer(source_);
  if (kind_ == JobKind::frozen) {
    writer.run(kLargeTable);
    return;
  }
  writer.run(std::string("BEGIN;") + kSchema + kRows + (kind_ == JobKind::rejects ? kMisfits : "") +
             "COMMIT");
}

void Job::prepare_target() {
  const std::string database = "fault_" + std::string(name_of(kind_));
  target_ = server_.create_database(database);
  if (kind_ != JobKind::repair) return;
  // Loading and damaging it each time would take longer than copying it.
  const std::string damaged = server_.create_database(template_of(database));
  const CommandResult loaded =
      run_command({sluice_program(), "migrate", source_, damaged, "--progress", "none"});
  EXPECT_EQ(loaded.exit_status, 0) << loaded.err;
  execute(damaged, kDamage);
  for (const std::string& table : tables_) {
    rows_before_.push_back(query_value(damaged, "SELECT count(*) FROM " + table));
  }
}

void Job::reset() {
  const std::string database = "fault_" + std::string(name_of(kind_));
  if (kind_ == JobKind::repair) {
    execute(server_.conninfo(), "DROP DATABASE IF EXISTS " + database + " WITH (FORCE)");
    execute(server_.conninfo(), "CREATE DATABASE " + database + " TEMPLATE " + template_of(database));
    return;
  }
  execute(target_,
          "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() "
          "AND pid <> pg_backend_pid()");
  execute(target_, "DROP SCHEMA IF EXISTS sluice CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  if (kind_ == JobKind::rebuild) execute(target_, kExistingTables);
}

std::vector<std::string> Job::command(const std::string& program, unsigned lanes,
                                      const std::string& report) const {
  if (kind_ == JobKind::repair)
    return {program, "verify", source_, target_, "--progress", "none", "--repair"};
  std::vector<std::string> words = {program, "migrate",  source_,          target_,  "--progress",
                                    "none",  "--report", folder_ / report, "--jobs", std::to_string(lanes)};
  const auto add = [&](std::initializer_list<const char*> more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  if (kind_ != JobKind::frozen) add({"--range-size", "8k"});
  if (kind_ == JobKind::rejects) add({"--on-misfit", "reject"});
  if (kind_ == JobKind::rebuild) add({"--data-only", "--rebuild"});
  return words;
}

CommandOptions Job::options() const {
  CommandOptions options;
  options.environment = {{"SLUICE_RETRY_FOR", "0"}};
  return options;
}

std::vector<std::string> Job::repair_violations() const {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const std::string off = query_value(
        target_,
        "SELECT count(*) - " + rows_before_[i] +
            " - (SELECT coalesce(sum(rows_inserted - rows_deleted), 0) FROM sluice.repair WHERE target "
            "= '" +
            tables_[i] + "') FROM " + tables_[i]);
    if (off != "0") lines.push_back(tables_[i] + ": the repairs' records are off by " + off);
  }
  return lines;
}

std::vector<std::string> Job::violations_now() const {
  if (kind_ == JobKind::frozen) {
    // Frozen rows are seen by snapshots that are older than their commit, as their ledger row is not.
    EXPECT_TRUE(wait_until([&] {
      return query_value(server_.conninfo(),
                         "SELECT count(*) FROM pg_stat_activity WHERE datname = 'fault_frozen'") == "0";
    }));
  }
  if (kind_ == JobKind::repair) return repair_violations();
  if (kind_ == JobKind::rebuild && query_value(target_, "SELECT to_regclass('sluice.work') IS NULL") == "t") {
    // Tables without a ledger, which is as it should be here while they are empty.
    std::vector<std::string> filled;
    for (const std::string& table : tables_) {
      if (query_value(target_, "SELECT count(*) FROM " + table) != "0") filled.push_back(table + " has rows");
    }
    return filled;
  }
  return violations(target_);
}

void Job::expect_sound() const {
  for (const std::string& violation : violations_now()) ADD_FAILURE() << violation;
}

void Job::expect_complete(const CommandResult& end) const {
  EXPECT_EQ(end.exit_status, exit_status_) << end.out << end.err;
  EXPECT_EQ(root_in(end), root_) << end.out << end.err;
  expect_sound();
  EXPECT_EQ(picture_of(target_), picture_);
  if (kind_ == JobKind::repair) return;
  // "report: <path>", the last lines but for those of an embedded server.
  const std::string before = "\nreport: ";
  const std::size_t at = end.out.find(before);
  ASSERT_NE(at, std::string::npos) << end.out;
  const std::size_t path = at + before.size();
  std::ifstream file(end.out.substr(path, end.out.find('\n', path) - path));
  const auto report = nlohmann::json::parse(file, nullptr, false);
  EXPECT_EQ(report.value("root", ""), root_);
}

void Job::go_on(unsigned lanes) const {
  expect_complete(run_command(command(sluice_program(), lanes), options()));
}

Job& shared_job(JobKind kind) {
  // The server must outlive them.
  TestServer& server = shared_test_server();
  static std::array<std::unique_ptr<Job>, 5> jobs;
  std::unique_ptr<Job>& job = jobs.at(static_cast<std::size_t>(kind));
  if (!job) job = std::make_unique<Job>(server, kind);
  return *job;
}

}  // namespace sluice::testing
