#pragma once
// A target in memory with transactions, a ledger and a script of where to die. It stands in for
// PostgreSQL where every step must be reached; tests/pg kills the real one.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "engine/model/error.h"
#include "engine/model/load.h"

namespace sluice::testing {

using RangeKey = std::pair<std::uint32_t, std::uint32_t>;  // table, range

// Shared by all sinks of a test; any thread may call.
class FakeServer {
 public:
  // After this many further steps the process dies: that step and every later one fails. Counted are
  // begin, claim, each row written, seal, commit sent, and commit landed but unanswered.
  void die_at(std::uint64_t step);
  // As die_at, but only that one call fails: one connection breaks, the process lives.
  void fail_once_at(std::uint64_t step);
  void heal();
  // True when the script's step has been reached.
  [[nodiscard]] bool died() const;

  // For a test of the tests: commits rows in a transaction of their own, before the ledger row.
  void forget_to_commit_together() { apart_ = true; }

  [[nodiscard]] std::map<RangeKey, std::uint64_t> ledger() const;  // done ranges and their rows
  [[nodiscard]] std::multiset<std::int64_t> rows(std::uint32_t table) const;

  std::unique_ptr<Sink> make_sink();

 private:
  friend class FakeWriter;
  friend class FakeSink;
  void step(Fault fault);

  mutable std::mutex mutex_;
  std::uint64_t steps_ = 0;
  std::uint64_t deadly_step_ = UINT64_MAX;
  bool sticky_ = true;
  bool died_ = false;
  bool apart_ = false;
  std::map<RangeKey, std::uint64_t> ledger_;
  std::set<RangeKey> locked_;
  std::map<std::uint32_t, std::multiset<std::int64_t>> rows_;
};

// Delivers rows whose only cell is their rowid: those of 1 to `rows` that lie in the extent.
class FakeSource final : public Source {
 public:
  explicit FakeSource(std::int64_t rows) : rows_(rows) {}
  std::unique_ptr<Scan> scan(const TablePlan& plan, const Extent& extent) override;

 private:
  std::int64_t rows_;
};

}  // namespace sluice::testing
