#include "fault/fake_server.h"

#include <algorithm>
#include <thread>

namespace sluice::testing {

void FakeServer::die_at(std::uint64_t step) {
  const std::lock_guard lock(mutex_);
  deadly_step_ = steps_ + step;
  sticky_ = true;
  died_ = false;
}

void FakeServer::fail_once_at(std::uint64_t step) {
  die_at(step);
  const std::lock_guard lock(mutex_);
  sticky_ = false;
}

void FakeServer::heal() {
  const std::lock_guard lock(mutex_);
  deadly_step_ = UINT64_MAX;
  // The sessions of a dead process go, and their locks with them.
  locked_.clear();
}

bool FakeServer::died() const {
  const std::lock_guard lock(mutex_);
  return died_;
}

std::map<RangeKey, std::uint64_t> FakeServer::ledger() const {
  const std::lock_guard lock(mutex_);
  return ledger_;
}

std::multiset<std::int64_t> FakeServer::rows(std::uint32_t table) const {
  const std::lock_guard lock(mutex_);
  const auto found = rows_.find(table);
  return found == rows_.end() ? std::multiset<std::int64_t>{} : found->second;
}

// REQUIRES: mutex_ is held.
void FakeServer::step(Fault fault) {
  const std::uint64_t now = steps_++;
  if (sticky_ ? now < deadly_step_ : now != deadly_step_) return;
  died_ = true;
  throw Error(fault, "the script says so");
}

class FakeWriter final : public RangeWriter {
 public:
  FakeWriter(FakeServer& server, const RangeTask& task, RangeKey key) : server_(server), key_(key) {
    seal_.table = task.plan->id;
    seal_.number = task.number;
  }

  ~FakeWriter() override {
    const std::lock_guard lock(server_.mutex_);
    server_.locked_.erase(key_);
  }

  void write(Row row) override {
    const std::lock_guard lock(server_.mutex_);
    server_.step(Fault::connection_lost);
    rows_.push_back(row[0].integer());
  }

  [[nodiscard]] std::uint64_t bytes() const override { return rows_.size() * 8; }

  RangeSeal seal() override {
    const std::lock_guard lock(server_.mutex_);
    server_.step(Fault::connection_lost);
    auto& table = server_.rows_[key_.first];
    if (server_.apart_) {
      table.insert(rows_.begin(), rows_.end());
      server_.step(Fault::in_doubt);
      server_.ledger_[key_] = rows_.size();
    } else {
      server_.step(Fault::in_doubt);  // COMMIT sent, never arrived
      table.insert(rows_.begin(), rows_.end());
      server_.ledger_[key_] = rows_.size();
      server_.step(Fault::in_doubt);  // COMMIT landed, the answer got lost
    }
    seal_.rows_read = seal_.rows_loaded = rows_.size();
    seal_.bytes = bytes();
    return seal_;
  }

 private:
  FakeServer& server_;
  RangeKey key_;
  RangeSeal seal_;
  std::vector<std::int64_t> rows_;
};

class FakeSink final : public Sink {
 public:
  explicit FakeSink(FakeServer& server) : server_(server) {}

  std::unique_ptr<RangeWriter> begin(const RangeTask& task, Claim claim) override {
    const RangeKey key{static_cast<std::uint32_t>(task.plan->id), static_cast<std::uint32_t>(task.number)};
    for (;;) {
      {
        const std::lock_guard lock(server_.mutex_);
        server_.step(Fault::connection_lost);  // BEGIN
        if (server_.ledger_.contains(key)) return nullptr;
        const bool free = !server_.locked_.contains(key);
        if (!free && claim == Claim::skip_locked) return nullptr;
        if (free) {
          server_.step(Fault::connection_lost);  // the claim
          server_.locked_.insert(key);
          return std::make_unique<FakeWriter>(server_, task, key);
        }
      }
      std::this_thread::yield();  // Claim::wait
    }
  }

 private:
  FakeServer& server_;
};

std::unique_ptr<Sink> FakeServer::make_sink() { return std::make_unique<FakeSink>(*this); }

namespace {

class FakeScan final : public Scan {
 public:
  FakeScan(std::int64_t first, std::int64_t last) : next_(first), last_(last) {}

  std::optional<Row> next() override {
    if (next_ > last_) return std::nullopt;
    cell_ = Cell::of_integer(next_++);
    return Row(&cell_, 1);
  }

 private:
  std::int64_t next_;
  std::int64_t last_;
  Cell cell_;
};

}  // namespace

std::unique_ptr<Scan> FakeSource::scan(const TablePlan&, const Extent& extent) {
  RowidRange range;
  if (const auto* rowids = std::get_if<RowidRange>(&extent)) range = *rowids;
  return std::make_unique<FakeScan>(std::max<std::int64_t>(range.first, 1), std::min(range.last, rows_));
}

}  // namespace sluice::testing
