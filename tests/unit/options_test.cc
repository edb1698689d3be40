#include "engine/app/options.h"

#include <gtest/gtest.h>
#include <stdlib.h>  // setenv

#include <filesystem>
#include <fstream>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "engine/model/error.h"
#include "golden/golden.h"
#include "support/conditions.h"
#include "support/temporary_directory.h"

namespace sluice {
namespace {

using testing::expect_golden;
using testing::TemporaryDirectory;

Command parsed(const std::vector<std::string>& words) {
  std::vector<const char*> argv = {"sluice"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return parse_command_line(static_cast<int>(argv.size()), argv.data());
}

MigrateOptions migrate_options(std::vector<std::string> words) {
  words.insert(words.begin(), {"migrate", "app.db"});
  return std::get<MigrateOptions>(parsed(words));
}

// The usage error that the words must end in.
std::string refusal(const std::vector<std::string>& words) {
  try {
    static_cast<void>(parsed(words));
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage) << error.describe();
    EXPECT_EQ(error.describe().find('\n'), std::string::npos) << error.describe();
    return error.describe();
  }
  ADD_FAILURE() << "accepted: " << words.back();
  return {};
}

using testing::contains;

class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Environment() { unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

class OptionsTest : public ::testing::Test {
 protected:
  std::string config(const std::string& text) {
    const std::filesystem::path path = folder_ / "sluice.toml";
    std::ofstream(path) << text;
    return path;
  }

  TemporaryDirectory folder_;
};

// The default of --jobs follows the machine's cores.
std::string help_of(const std::vector<std::string>& words) {
  static const std::regex jobs(R"(at the same time \[\d+\])");
  return std::regex_replace(std::get<PrintAndExit>(parsed(words)).text, jobs, "at the same time [N]",
                            std::regex_constants::format_first_only);
}

TEST_F(OptionsTest, HelpIsAsInTheGoldenFiles) {
  expect_golden("help.txt", help_of({"--help"}));
  expect_golden("help_migrate.txt", help_of({"migrate", "--help"}));
  expect_golden("help_inspect.txt", help_of({"inspect", "--help"}));
  expect_golden("help_plan.txt", help_of({"plan", "--help"}));
  expect_golden("help_verify.txt", help_of({"verify", "--help"}));
  expect_golden("help_export.txt", help_of({"export", "--help"}));
  expect_golden("help_offload.txt", help_of({"offload", "--help"}));
  expect_golden("help_restore.txt", help_of({"restore", "--help"}));
  expect_golden("help_status.txt", help_of({"status", "--help"}));
}

TEST_F(OptionsTest, NothingAtAllIsARequestForHelp) {
  EXPECT_EQ(std::get<PrintAndExit>(parsed({})).text, std::get<PrintAndExit>(parsed({"--help"})).text);
}

TEST_F(OptionsTest, HelpLinesFitATerminal) {
  for (const auto& words : {std::vector<std::string>{"--help"},
                            {"migrate", "--help"},
                            {"inspect", "--help"},
                            {"plan", "--help"},
                            {"verify", "--help"},
                            {"export", "--help"},
                            {"restore", "--help"},
                            {"status", "--help"}}) {
    std::istringstream help(help_of(words));
    for (std::string line; std::getline(help, line);) EXPECT_LE(line.size(), 110u) << line;
  }
}

TEST_F(OptionsTest, VersionIsOneLine) {
  const std::string text = std::get<PrintAndExit>(parsed({"--version"})).text;
  EXPECT_TRUE(std::regex_match(text, std::regex(R"(sluice \d+\.\d+\.\d+\n)"))) << text;
}

TEST_F(OptionsTest, DefaultsAreTheDocumentedOnes) {
  const MigrateOptions options = migrate_options({});
  EXPECT_EQ(options.source, "app.db");
  EXPECT_EQ(options.target, "");
  EXPECT_GE(options.jobs, 2u);
  EXPECT_LE(options.jobs, 8u);
  EXPECT_EQ(options.index_jobs, 4u);
  EXPECT_EQ(options.range_bytes, 0u);
  EXPECT_TRUE(options.include.empty());
  EXPECT_TRUE(options.exclude.empty());
  EXPECT_EQ(options.schema, "public");
  EXPECT_EQ(options.table_handling, ExistingTables::fail);
  EXPECT_EQ(options.verify, VerifyMode::full);
  EXPECT_FALSE(options.dry_run);
  EXPECT_FALSE(options.restart);
  EXPECT_EQ(options.progress, ProgressMode::automatic);
  EXPECT_EQ(options.report_directory, "");
  EXPECT_EQ(options.mapping.json, JsonTarget::automatic);
  EXPECT_EQ(options.mapping.bad_text, BadTextPolicy::stop);
  EXPECT_EQ(options.mapping.identifiers, Identifiers::preserve);
  EXPECT_FALSE(options.mapping.narrow_integers);
  EXPECT_FALSE(options.mapping.keep_lengths);
  EXPECT_FALSE(options.mapping.keep_rowid);
  EXPECT_FALSE(options.data_only);
  EXPECT_FALSE(options.schema_only);
}

TEST_F(OptionsTest, EveryWordOfTheMappingsFlagsIsTaken) {
  const auto mapping = [](const std::string& flag, const std::string& word) {
    return migrate_options({flag, word}).mapping;
  };
  EXPECT_EQ(mapping("--on-misfit", "widen").on_misfit, MisfitPolicy::widen);
  EXPECT_EQ(mapping("--on-misfit", "reject").on_misfit, MisfitPolicy::reject);
  EXPECT_EQ(mapping("--on-misfit", "fail").on_misfit, MisfitPolicy::fail);
  EXPECT_EQ(mapping("--json-type", "auto").json, JsonTarget::automatic);
  EXPECT_EQ(mapping("--json-type", "json").json, JsonTarget::json);
  EXPECT_EQ(mapping("--json-type", "jsonb").json, JsonTarget::jsonb);
  EXPECT_EQ(mapping("--json-type", "text").json, JsonTarget::text);
  EXPECT_EQ(mapping("--bad-text", "stop").bad_text, BadTextPolicy::stop);
  EXPECT_EQ(mapping("--bad-text", "reject").bad_text, BadTextPolicy::reject);
  EXPECT_EQ(mapping("--bad-text", "replace").bad_text, BadTextPolicy::replace);
  EXPECT_EQ(mapping("--bad-text", "strip").bad_text, BadTextPolicy::strip);
  EXPECT_EQ(mapping("--bad-text", "bytea").bad_text, BadTextPolicy::bytea);
  EXPECT_EQ(mapping("--identifiers", "preserve").identifiers, Identifiers::preserve);
  EXPECT_EQ(mapping("--identifiers", "lower").identifiers, Identifiers::lower);
  EXPECT_EQ(mapping("--identifiers", "snake").identifiers, Identifiers::snake);
}

TEST_F(OptionsTest, MappingFlagsReachTheirFieldsAndAreKeysToo) {
  const auto expect_all = [](const MigrateOptions& options) {
    EXPECT_TRUE(options.mapping.narrow_integers);
    EXPECT_TRUE(options.mapping.keep_lengths);
    EXPECT_TRUE(options.mapping.keep_rowid);
    EXPECT_TRUE(options.data_only);
  };
  expect_all(migrate_options({"--narrow-ints", "--keep-lengths", "--keep-rowid", "--data-only"}));
  expect_all(migrate_options(
      {"--config",
       config("narrow-ints = true\nkeep-lengths = true\nkeep-rowid = true\ndata-only = true\n")}));
  EXPECT_TRUE(migrate_options({"--schema-only"}).schema_only);
  EXPECT_EQ(migrate_options({"--config", config("on-misfit = \"fail\"\n")}).mapping.on_misfit,
            MisfitPolicy::fail);
}

TEST_F(OptionsTest, FlagsThatContradictEachOtherAreRefused) {
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--data-only", "--schema-only"}), "--schema-only"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--data-only", "--table-handling", "drop"}), "truncate"));
}

TEST_F(OptionsTest, EveryFlagReachesItsField) {
  const MigrateOptions options = migrate_options({"host=/tmp", "-j",
                                                  "7",         "--index-jobs",
                                                  "3",         "--range-size",
                                                  "64MiB",     "--include",
                                                  "a*,b?",     "--include",
                                                  "c",         "--exclude",
                                                  "tmp_*",     "--schema",
                                                  "app",       "--table-handling",
                                                  "drop",      "--verify",
                                                  "count",     "--dry-run",
                                                  "--restart", "--progress",
                                                  "none",      "--report",
                                                  "out",       "--metrics-file",
                                                  "a.prom",    "--log-format",
                                                  "json"});
  EXPECT_EQ(options.target, "host=/tmp");
  EXPECT_EQ(options.jobs, 7u);
  EXPECT_EQ(options.index_jobs, 3u);
  EXPECT_EQ(options.range_bytes, 64u << 20);
  EXPECT_EQ(options.include, (std::vector<std::string>{"a*", "b?", "c"}));
  EXPECT_EQ(options.exclude, (std::vector<std::string>{"tmp_*"}));
  EXPECT_EQ(options.schema, "app");
  EXPECT_EQ(options.table_handling, ExistingTables::drop);
  EXPECT_EQ(options.verify, VerifyMode::count);
  EXPECT_TRUE(options.dry_run);
  EXPECT_TRUE(options.restart);
  EXPECT_EQ(options.progress, ProgressMode::none);
  EXPECT_EQ(options.report_directory, "out");
  EXPECT_EQ(options.metrics_file, "a.prom");
  EXPECT_EQ(options.log_format, LogFormat::json);
  EXPECT_FALSE(options.memory.limited());
  EXPECT_EQ(std::get<StatusOptions>(parsed({"status", "dbname=x"})).target, "dbname=x");
}

TEST_F(OptionsTest, AMemoryLimitLeavesAsManyJobsAsFit) {
  EXPECT_EQ(migrate_options({"-j", "8", "--memory-limit", "30MiB"}).jobs, 2u);
  EXPECT_EQ(migrate_options({"-j", "8", "--memory-limit", "30MiB"}).jobs_wanted, 8u);
  EXPECT_EQ(migrate_options({"-j", "1", "--memory-limit", "30MiB"}).jobs, 1u);
  for (const char* command : {"verify", "plan", "inspect"}) {
    std::vector<std::string> words = {command, "a.db"};
    if (std::string_view(command) == "verify") words.emplace_back("dbname=x");
    words.insert(words.end(), {"-j", "8", "--memory-limit", "24MiB"});
    std::visit(
        [](const auto& options) {
          if constexpr (std::is_base_of_v<PlanningOptions, std::decay_t<decltype(options)>>) {
            EXPECT_EQ(options.jobs, 1u);
            EXPECT_EQ(options.memory.limit_bytes, 24u << 20);
          }
        },
        parsed(words));
  }
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--memory-limit", "1MB"}), "24MiB"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--memory-limit", "much"}), "not a size"));
  const Environment limit("SLUICE_MEMORY_LIMIT", "30MiB");
  EXPECT_EQ(migrate_options({"--config", config("jobs = 8\nmemory-limit = \"1GB\"\n")}).jobs, 2u);
}

TEST_F(OptionsTest, AMemoryLimitIsAKeyOfTheConfigurationFile) {
  EXPECT_EQ(migrate_options({"--config", config("jobs = 8\nmemory-limit = \"30MiB\"\n")}).jobs, 2u);
}

TEST_F(OptionsTest, EveryFlagIsAnEnvironmentVariable) {
  const Environment jobs("SLUICE_JOBS", "5");
  const Environment index_jobs("SLUICE_INDEX_JOBS", "6");
  const Environment size("SLUICE_RANGE_SIZE", "1k");
  const Environment include("SLUICE_INCLUDE", "x,y");
  const Environment exclude("SLUICE_EXCLUDE", "z");
  const Environment schema("SLUICE_SCHEMA", "from_environment");
  const Environment handling("SLUICE_TABLE_HANDLING", "truncate");
  const Environment verify("SLUICE_VERIFY", "none");
  const Environment dry_run("SLUICE_DRY_RUN", "true");
  const Environment restart("SLUICE_RESTART", "false");
  const Environment progress("SLUICE_PROGRESS", "plain");
  const Environment report("SLUICE_REPORT", "there");
  const Environment metrics("SLUICE_METRICS_FILE", "b.prom");
  const Environment log("SLUICE_LOG_FORMAT", "json");
  const MigrateOptions options = migrate_options({});
  EXPECT_EQ(options.jobs, 5u);
  EXPECT_EQ(options.index_jobs, 6u);
  EXPECT_EQ(options.range_bytes, 1024u);
  EXPECT_EQ(options.include, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(options.exclude, (std::vector<std::string>{"z"}));
  EXPECT_EQ(options.schema, "from_environment");
  EXPECT_EQ(options.table_handling, ExistingTables::truncate);
  EXPECT_EQ(options.verify, VerifyMode::none);
  EXPECT_TRUE(options.dry_run);
  EXPECT_FALSE(options.restart);
  EXPECT_EQ(options.progress, ProgressMode::plain);
  EXPECT_EQ(options.report_directory, "there");
  EXPECT_EQ(options.metrics_file, "b.prom");
  EXPECT_EQ(options.log_format, LogFormat::json);
}

TEST_F(OptionsTest, EveryFlagIsAKeyOfTheConfigurationFile) {
  const MigrateOptions options = migrate_options({"--config", config(R"(
jobs = 5
index-jobs = 6
range-size = "1k"
include = ["x", "y"]
exclude = "z"
schema = "from file"
table-handling = "truncate"
verify = "none"
dry-run = true
restart = false
progress = "plain"
report = "there"
metrics-file = "b.prom"
log-format = "json"
)")});
  EXPECT_EQ(options.jobs, 5u);
  EXPECT_EQ(options.index_jobs, 6u);
  EXPECT_EQ(options.range_bytes, 1024u);
  EXPECT_EQ(options.include, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(options.exclude, (std::vector<std::string>{"z"}));
  EXPECT_EQ(options.schema, "from file");
  EXPECT_EQ(options.table_handling, ExistingTables::truncate);
  EXPECT_EQ(options.verify, VerifyMode::none);
  EXPECT_TRUE(options.dry_run);
  EXPECT_FALSE(options.restart);
  EXPECT_EQ(options.progress, ProgressMode::plain);
  EXPECT_EQ(options.report_directory, "there");
  EXPECT_EQ(options.metrics_file, "b.prom");
  EXPECT_EQ(options.log_format, LogFormat::json);
}

TEST_F(OptionsTest, TheFormatOfTheLogIsKnownBeforeTheRestIsUnderstood) {
  const auto early = [](std::vector<const char*> words) {
    words.insert(words.begin(), "sluice");
    return early_log_format(static_cast<int>(words.size()), words.data());
  };
  EXPECT_EQ(early({}), LogFormat::text);
  EXPECT_EQ(early({"bogus", "--log-format", "json"}), LogFormat::json);
  EXPECT_EQ(early({"--log-format=json", "--bogus"}), LogFormat::json);
  EXPECT_EQ(early({"migrate", "--log-format"}), LogFormat::text);
  EXPECT_EQ(early({"migrate", "--log-format", "yaml"}), LogFormat::text);
  EXPECT_EQ(early({"migrate", "--log-formats=json"}), LogFormat::text);
  const Environment log("SLUICE_LOG_FORMAT", "json");
  EXPECT_EQ(early({"migrate"}), LogFormat::json);
  EXPECT_EQ(early({"migrate", "--log-format", "text"}), LogFormat::text);
  EXPECT_EQ(std::get<StatusOptions>(parsed({"status", "dbname=x"})).log_format, LogFormat::json);
}

TEST_F(OptionsTest, CommandLineWinsOverEnvironmentWinsOverFile) {
  const std::string file = config("jobs = 3\nschema = \"file\"\nverify = \"none\"\ninclude = [\"f\"]\n");
  const Environment jobs("SLUICE_JOBS", "4");
  const Environment schema("SLUICE_SCHEMA", "environment");
  const Environment include("SLUICE_INCLUDE", "e");
  const MigrateOptions options = migrate_options({"--config", file, "--jobs", "5", "--include", "c"});
  EXPECT_EQ(options.jobs, 5u);
  EXPECT_EQ(options.schema, "environment");
  EXPECT_EQ(options.verify, VerifyMode::none);
  EXPECT_EQ(options.include, (std::vector<std::string>{"c"}));
}

TEST_F(OptionsTest, TheEnvironmentCanNameTheFile) {
  const Environment file("SLUICE_CONFIG", config("jobs = 3\n"));
  EXPECT_EQ(migrate_options({}).jobs, 3u);
}

TEST_F(OptionsTest, WrongWordsAreRefusedWithTheRightOnes) {
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--verify", "maybe"}), "count, full, none"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--table-handling", "cascade"}), "drop, fail, truncate"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--progress", "loud"}), "auto, none, plain"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--on-misfit", "guess"}), "fail, reject, widen"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--json-type", "yes"}), "auto, json, jsonb, text"));
  EXPECT_TRUE(
      contains(refusal({"migrate", "a.db", "--bad-text", "x"}), "bytea, reject, replace, stop, strip"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--identifiers", "x"}), "lower, preserve, snake"));
}

TEST_F(OptionsTest, WhatIsNotUnderstoodIsNamed) {
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--jbos", "4"}), "--jbos"));
  EXPECT_TRUE(contains(refusal({"migrat", "a.db"}), "migrat"));
  EXPECT_TRUE(contains(refusal({"migrate"}), "SOURCE"));
  EXPECT_TRUE(contains(refusal({"status"}), "TARGET"));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--jobs"}), "--jobs"));
  for (const char* number : {"0", "65", "-1", "abc", "1.5", "", "99999999999999999999"}) {
    EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--jobs", number}), "jobs")) << number;
  }
}

TEST_F(OptionsTest, AnExportTakesWhatDecidesThePlanAndARestoreWhatDecidesTheRun) {
  const std::string file =
      config("level = 7\nindex-jobs = 3\nschema = \"app\"\nretry-for = \"0\"\njobs = 5\n");
  const auto exported =
      std::get<ExportOptions>(parsed({"export", "a.db", "dir", "--config", file, "--on-misfit", "reject"}));
  EXPECT_EQ(exported.source, "a.db");
  EXPECT_EQ(exported.archive, "dir");
  EXPECT_EQ(exported.level, 7);
  EXPECT_EQ(exported.schema, "app");
  EXPECT_EQ(exported.jobs, 5u);
  EXPECT_EQ(exported.mapping.on_misfit, MisfitPolicy::reject);
  const auto restored = std::get<RestoreOptions>(parsed({"restore", "dir", "dbname=x", "--config", file}));
  EXPECT_EQ(restored.source, "dir");
  EXPECT_EQ(restored.target, "dbname=x");
  EXPECT_EQ(restored.index_jobs, 3u);
  EXPECT_EQ(restored.retry_for.count(), 0);
  EXPECT_EQ(restored.jobs, 5u);
  {
    const Environment level("SLUICE_LEVEL", "3");
    EXPECT_EQ(std::get<ExportOptions>(parsed({"export", "a.db", "dir"})).level, 3);
  }
  EXPECT_EQ(std::get<ExportOptions>(parsed({"export", "a.db", "dir"})).level, 1);
  for (const char* level : {"0", "20", "-1", "x"}) {
    EXPECT_TRUE(contains(refusal({"export", "a.db", "dir", "--level", level}), "level")) << level;
  }
  EXPECT_TRUE(contains(refusal({"export", "a.db"}), "ARCHIVE"));
  EXPECT_TRUE(contains(refusal({"restore", "dir"}), "TARGET"));
  EXPECT_TRUE(contains(refusal({"restore", "dir", ""}), "TARGET is empty"));
  EXPECT_TRUE(contains(refusal({"export", "a.db", "dir", "--data-only"}), "--data-only"));
  EXPECT_TRUE(contains(refusal({"restore", "dir", "dbname=x", "--on-misfit", "reject"}), "--on-misfit"));
  EXPECT_TRUE(contains(refusal({"export", "a.db", "dir", "--memory-limit", "30MB"}), "one lane takes 37MiB"));
}

TEST_F(OptionsTest, ASampleIsANumberOfPercent) {
  for (const char* number : {"nan", "-nan", "0", "101", "inf", "some"}) {
    EXPECT_TRUE(contains(refusal({"verify", "a.db", "dbname=x", "--sample", number}), "sample")) << number;
  }
}

TEST_F(OptionsTest, ABadVariableIsNamed) {
  const Environment jobs("SLUICE_JOBS", "many");
  EXPECT_TRUE(contains(refusal({"migrate", "a.db"}), "jobs"));
}

TEST_F(OptionsTest, AConfigurationFileThatCannotBeReadIsNamed) {
  const std::string missing = folder_ / "missing.toml";
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--config", missing}), missing));
  EXPECT_TRUE(contains(refusal({"migrate", "a.db", "--config", folder_.path()}), folder_.path()));
}

TEST_F(OptionsTest, AFaultInTheConfigurationFileIsNamedWithItsLine) {
  const auto expect = [&](const std::string& text, const std::string& line, const std::string& part) {
    const std::string file = config(text);
    const std::string message = refusal({"migrate", "a.db", "--config", file});
    EXPECT_TRUE(contains(message, file + ":" + line + ":")) << message;
    EXPECT_TRUE(contains(message, part)) << message;
  };
  expect("jobs = 4\nschema = \n", "2", "");
  expect("jobs = 4\njobs = 5\n", "2", "");
  expect("\n\nspeed = 4\n", "3", "unknown key speed");
  expect("config = \"other.toml\"\n", "1", "unknown key config");
  expect("help = true\n", "1", "unknown key help");
  expect("source = \"a.db\"\n", "1", "unknown key source");
  expect("jobs = 0\n", "1", "");
  expect("jobs = 4.5\n", "1", "");
  expect("verify = \"maybe\"\n", "1", "count, full, none");
  expect("schema = { name = \"x\" }\n", "1", "expected");
  expect("dry-run = \"perhaps\"\n", "1", "");
}

TEST_F(OptionsTest, AMistypedKeyIsToldTheRightOne) {
  EXPECT_TRUE(
      contains(refusal({"migrate", "a.db", "--config", config("table = {}\n")}), "did you mean tables?"));
  EXPECT_TRUE(
      contains(refusal({"migrate", "a.db", "--config", config("on_misfit = \"fail\"\n")}), "on-misfit?"));
}

TEST_F(OptionsTest, TheFileOfConfigHoldsTheMapping) {
  const std::string file = config(
      "plan = 1\non-misfit = \"fail\"\nschema = \"there\"\nformat = \"sql\"\n"
      "[tables.t.columns]\nc = { type = \"text\" }\n");
  const auto expect_mapping = [&](const PlanningOptions& options) {
    EXPECT_EQ(options.mapping.on_misfit, MisfitPolicy::reject);
    EXPECT_EQ(options.schema, "there");
    EXPECT_TRUE(options.mapping.complete);
    EXPECT_EQ(options.mapping.origin, file + ":1");
    ASSERT_EQ(options.mapping.tables.size(), 1u);
    EXPECT_EQ(options.mapping.tables[0].origin, file + ":5");
    ASSERT_EQ(options.mapping.tables[0].columns.size(), 1u);
    EXPECT_EQ(options.mapping.tables[0].columns[0].type->type, PgType::text);
  };
  // The command line wins over settings; the columns stay.
  expect_mapping(migrate_options({"--config", file, "--on-misfit", "reject"}));
  const auto plan =
      std::get<PlanFileOptions>(parsed({"plan", "a.db", "--config", file, "--on-misfit", "reject"}));
  expect_mapping(plan);
  EXPECT_EQ(plan.format, PlanFormat::sql);
  EXPECT_EQ(std::get<StatusOptions>(parsed({"status", "dbname=x", "--config", file})).target, "dbname=x");
  EXPECT_TRUE(
      contains(refusal({"plan", "a.db", "--config", config("[tables.t]\nx = 1\n")}), ":2: unknown key x"));
}

TEST_F(OptionsTest, PlanTakesItsFlags) {
  const auto plan = std::get<PlanFileOptions>(parsed(
      {"plan", "a.db", "dbname=x", "--data-only", "--format", "sql", "-o", "plan.sql", "--jobs", "3"}));
  EXPECT_EQ(plan.source, "a.db");
  EXPECT_EQ(plan.target, "dbname=x");
  EXPECT_TRUE(plan.data_only);
  EXPECT_EQ(plan.format, PlanFormat::sql);
  EXPECT_EQ(plan.output, "plan.sql");
  EXPECT_EQ(plan.jobs, 3u);
  EXPECT_EQ(std::get<PlanFileOptions>(parsed({"plan", "a.db"})).format, PlanFormat::toml);
  EXPECT_TRUE(contains(refusal({"plan", "a.db", "--format", "json"}), "sql, toml"));
  EXPECT_TRUE(contains(refusal({"plan", "a.db", "--schema", "sluice"}), "ledger"));
  EXPECT_TRUE(contains(refusal({"plan"}), "SOURCE"));
}

TEST_F(OptionsTest, ABadSizeInTheConfigurationFileIsNamedWithItsLine) {
  const std::string file = config("jobs = 2\nrange-size = \"many\"\n");
  const std::string message = refusal({"migrate", "a.db", "--config", file});
  EXPECT_TRUE(contains(message, file + ":2:")) << message;
}

TEST_F(OptionsTest, APasswordOnTheCommandLineIsNotRepeated) {
  const std::string target = "postgresql://me:hunter2@host/database";
  EXPECT_FALSE(contains(refusal({"migrate", "a.db", "b.db", target}), "hunter2"));
  EXPECT_FALSE(contains(refusal({target}), "hunter2"));
}

TEST_F(OptionsTest, SizesHaveBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_size("5000000"), 5000000u);
  EXPECT_EQ(parse_size("1"), 1u);
  EXPECT_EQ(parse_size("7b"), 7u);
  EXPECT_EQ(parse_size("1k"), 1024u);
  EXPECT_EQ(parse_size("1kB"), 1000u);
  EXPECT_EQ(parse_size("1KiB"), 1024u);
  EXPECT_EQ(parse_size("64MB"), 64000000u);
  EXPECT_EQ(parse_size("32 MiB"), 33554432u);
  EXPECT_EQ(parse_size("1g"), 1073741824u);
  EXPECT_EQ(parse_size("3GB"), 3000000000u);
  EXPECT_EQ(parse_size("2TiB"), 2199023255552u);
  EXPECT_EQ(parse_size("18446744073709551615"), UINT64_MAX);
}

TEST_F(OptionsTest, WhatIsNoSizeIsRefused) {
  for (const char* text : {"", "MB", "-1", "-1MB", "0", "0MB", "1.5MB", "1XB", "MB1", "1 M B x", "0x10", "+5",
                           "18446744073709551616", "99999999999TB"}) {
    EXPECT_THROW(static_cast<void>(parse_size(text)), Error) << text;
  }
}

}  // namespace
}  // namespace sluice
