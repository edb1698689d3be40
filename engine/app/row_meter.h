#pragma once
// Rows and bytes of all lanes, for the progress line.

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "engine/app/console.h"

namespace sluice {

// Any thread.
class RowMeter {
 public:
  // One lane's share. Tells the meter now and then, and the rest when it goes.
  class Share {
   public:
    explicit Share(RowMeter& meter) : meter_(meter) {}
    ~Share() { tell(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    void add(std::uint64_t bytes) {
      bytes_ += bytes;
      if (++rows_ >= kRowsPerReport) tell();
    }
    void add_rows(std::uint64_t rows) { rows_ += rows; }

   private:
    static constexpr std::uint64_t kRowsPerReport = 4096;

    void tell() {
      meter_.rows_.fetch_add(std::exchange(rows_, 0), std::memory_order_relaxed);
      meter_.bytes_.fetch_add(std::exchange(bytes_, 0), std::memory_order_relaxed);
    }
    RowMeter& meter_;
    std::uint64_t rows_ = 0;
    std::uint64_t bytes_ = 0;
  };

  [[nodiscard]] Progress progress(const std::string& phase, std::uint64_t rows_expected) const {
    Progress progress;
    progress.phase = phase;
    progress.rows = rows();
    progress.bytes = bytes();
    progress.fraction =
        rows_expected == 0 ? 0 : static_cast<double>(progress.rows) / static_cast<double>(rows_expected);
    return progress;
  }
  [[nodiscard]] std::uint64_t rows() const { return rows_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> rows_{0};
  std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace sluice
