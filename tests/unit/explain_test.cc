#include "engine/app/explain.h"

#include <gtest/gtest.h>

namespace sluice::testing {
namespace {

PhaseExplanation phase(const std::string& name, double cpu, double for_server, double for_source,
                       double machine) {
  PhaseExplanation phase;
  phase.name = name;
  phase.use.wall = 10;
  phase.use.lanes = 20;
  phase.use.cpu = cpu;
  phase.use.process = cpu;
  phase.use.for_server = for_server;
  phase.use.for_source = for_source;
  phase.use.machine = machine;
  return phase;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Explain, NamesTheCoresWhereTheyAreBusy) {
  const std::string reason = binding_of(phase("load", 8, 12, 0, 19), {2, true});
  EXPECT_TRUE(reason.starts_with("the cores of this machine: 95 % busy, 40 % with sluice")) << reason;
  EXPECT_TRUE(contains(reason, "the server")) << reason;
  EXPECT_FALSE(contains(binding_of(phase("load", 19, 0, 0, 19), {2, false}), "the server"));
}

TEST(Explain, NamesTheServerWhereTheLanesWaitForIt) {
  const std::string reason = binding_of(phase("load", 4, 16, 0, 5), {8, false});
  EXPECT_TRUE(reason.starts_with("the server: the lanes waited 80 %")) << reason;
  EXPECT_TRUE(contains(reason, "--jobs")) << reason;
  EXPECT_TRUE(contains(binding_of(phase("indexes", 0, 20, 0, 5), {8, false}), "--index-jobs"));
}

TEST(Explain, NamesTheDiskWhereTheLanesWaitForTheSource) {
  const std::string reason = binding_of(phase("load", 4, 2, 14, 5), {8, true});
  EXPECT_TRUE(reason.starts_with("the disk with the source")) << reason;
}

TEST(Explain, NamesItselfWhereItComputesAndCoresAreIdle) {
  const std::string reason = binding_of(phase("profile", 18, 1, 1, 18), {8, true});
  EXPECT_TRUE(reason.starts_with("sluice's own computing")) << reason;
  EXPECT_TRUE(contains(reason, "78 % of the cores were idle")) << reason;
}

TEST(Explain, PrintsEveryPhaseAndTheReasonsOfTheLongOnes) {
  Explanation explanation;
  explanation.machine = {2, true};
  explanation.phases = {phase("load", 8, 12, 0, 19), phase("constraints", 0, 0, 0, 0)};
  explanation.phases[0].use.rows = 2'000'000;
  explanation.phases[0].use.bytes = 40'000'000;
  explanation.phases[1].use.wall = 0.1;
  explanation.wal_bytes = 1'000'000;
  explanation.wal_level = "minimal";
  explanation.tables_frozen = 2;
  const std::string text = explanation_text(explanation);
  EXPECT_TRUE(contains(text, "200,000")) << text;
  EXPECT_TRUE(contains(text, "load was bound by the cores")) << text;
  EXPECT_TRUE(contains(text, "constraints")) << text;
  EXPECT_FALSE(contains(text, "constraints was bound")) << text;
  EXPECT_TRUE(contains(text, "2 tables loaded frozen, past the log")) << text;
}

TEST(Explain, HasNoReasonsForMomentsHoweverLargeTheirShare) {
  Explanation explanation;
  explanation.machine = {2, true};
  explanation.phases = {phase("load", 0, 0, 0, 0), phase("verify", 0, 0, 0, 0)};
  explanation.phases[0].use.wall = 0.19;
  explanation.phases[1].use.wall = 0.21;
  const std::string text = explanation_text(explanation);
  EXPECT_TRUE(contains(text, "\nload ")) << text;
  EXPECT_FALSE(contains(text, "load was bound")) << text;
  EXPECT_TRUE(contains(text, "verify was bound")) << text;
}

}  // namespace
}  // namespace sluice::testing
