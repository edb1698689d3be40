#include "engine/app/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/app/console.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr const char* kRun = "0f8fad5b-d9cb-469f-a165-70867728950e";

std::string line_of(const LogEvent& event, const std::string& run_id = {}) {
  // date -ud @1709210096
  return json_line(event, system_clock::time_point(milliseconds(1'709'210'096'789)), run_id);
}

// What the body writes to stderr.
template <class Body>
std::string stderr_of(const Body& body) {
  ::testing::internal::CaptureStderr();
  body();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, WritesWhatIsKnownAndLeavesOutTheRest) {
  EXPECT_EQ(line_of({.message = "going on"}),
            R"({"ts":"2024-02-29T12:34:56.789Z","level":"info","msg":"going on"})");
  EXPECT_EQ(
      line_of({.level = LogLevel::warning,
               .message = "trying again",
               .table = "orders",
               .range = RangeNumber{41},
               .attempt = 2,
               .sqlstate = "40001",
               .duration_s = 0.5,
               .rows = 0,
               .bytes = 7,
               .phase = "load",
               .exit_status = 5},
              kRun),
      std::string(R"({"ts":"2024-02-29T12:34:56.789Z","level":"warning","msg":"trying again","run_id":")") +
          kRun +
          R"(","table":"orders","range":41,"attempt":2,"sqlstate":"40001","duration_s":0.5,"rows":0,)"
          R"("bytes":7,"phase":"load","exit_status":5})");
}

TEST(Log, TellsTheTimeAtBothEndsOfADay) {
  const auto at = [](std::int64_t ms) {
    return nlohmann::json::parse(json_line({}, system_clock::time_point(milliseconds(ms)), "")).at("ts");
  };
  EXPECT_EQ(at(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(at(1'767'225'599'999), "2025-12-31T23:59:59.999Z");
  EXPECT_EQ(at(1'767'225'600'007), "2026-01-01T00:00:00.007Z");
}

TEST(Log, StaysJsonWhateverATableIsCalled) {
  // As the log has it; empty: as it is.
  const std::vector<std::pair<std::string, std::string>> names = {{"plain", ""},
                                                                  {"a \"quoted\" one", ""},
                                                                  {"back\\slash", ""},
                                                                  {"two\nlines", ""},
                                                                  {"\x1b[2J", ""},
                                                                  {"\u202egnp.exe", ""},
                                                                  {"\u00fc\u4e2d\U0001f600", ""},
                                                                  {"\u2028", ""},
                                                                  {"\xff\xfe", "\\xff\\xfe"},
                                                                  {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
                                                                  {"caf\xc3", "caf\\xc3"}};
  for (const auto& [name, seen] : names) {
    const std::string line = line_of({.message = "table " + name, .table = name});
    for (const char c : line) EXPECT_TRUE(c >= ' ' && c <= '~') << line;
    EXPECT_EQ(nlohmann::json::parse(line).at("table"), seen.empty() ? name : seen) << line;
  }
}

TEST(Log, AnErrorBringsItsPlaceAndItsState) {
  Error error(Fault::target_refused, "numeric field overflow", "mend it");
  error.set_sqlstate("22003");
  error.where().table = "orders";
  error.where().range = RangeNumber{7};
  const nlohmann::json read = nlohmann::json::parse(line_of(event_of(LogLevel::error, error)));
  EXPECT_EQ(read.at("msg"), error.describe());
  EXPECT_EQ(read.at("table"), "orders");
  EXPECT_EQ(read.at("range"), 7);
  EXPECT_EQ(read.at("sqlstate"), "22003");
  EXPECT_EQ(read.at("level"), "error");
}

TEST(Log, TextHasTheNameOfTheProgramBeforeWhatIsWrong) {
  EXPECT_EQ(stderr_of([] { write_log({.message = "as it is\n"}); }), "as it is\\x0a\n");
  EXPECT_EQ(stderr_of([] { write_log({.level = LogLevel::warning, .message = "x", .table = "t"}); }),
            "sluice: x\n");
  EXPECT_EQ(stderr_of([] { write_log_in_signal_handler(LogLevel::error, "stopped"); }),
            "\nsluice: stopped\n");
}

// The format and the run belong to the process, so this comes last and puts the format back.
TEST(Log, JsonIsOneObjectALineFromAllWhoWrite) {
  set_log_format(LogFormat::json);
  const std::string before = stderr_of([] { write_log_in_signal_handler(LogLevel::warning, "stopping"); });
  EXPECT_FALSE(nlohmann::json::parse(before).contains("run_id")) << before;
  set_log_run("not a uuid");
  set_log_run(kRun);
  const std::string lines = stderr_of([] {
    Console console(ProgressMode::automatic);
    console.say("one");
    console.record({.message = "two", .phase = "load"});
    write_log_in_signal_handler(LogLevel::warning, "three");
  });
  set_log_format(LogFormat::text);
  std::size_t count = 0;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = lines.find('\n', at);
    ASSERT_NE(end, std::string::npos) << lines;
    const nlohmann::json read = nlohmann::json::parse(lines.substr(at, end - at));
    EXPECT_EQ(read.at("run_id"), kRun);
    EXPECT_EQ(read.at("ts").get<std::string>().size(), 24U);
    at = end + 1;
    ++count;
  }
  EXPECT_EQ(count, 3U) << lines;
  EXPECT_EQ(stderr_of([] { Console(ProgressMode::none).record({.message = "for the log alone"}); }), "");
}

}  // namespace
}  // namespace sluice
