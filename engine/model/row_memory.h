#pragma once
// Room for large rows, of which all lanes together may hold so much at a time.
//
// Whoever is about to hold a large row of the source borrows first: only the reader of the file knows a row's
// size before it takes the memory. A thread holds one loan at a time, and gives it back when the row is done.

#include <cstddef>
#include <cstdint>
#include <utility>

namespace sluice {

// Rows from this size on borrow; smaller ones are part of what a lane costs. It is also what one message of
// COPY may have, so that nothing on the way grows beyond it.
inline constexpr std::size_t kLargeRowBytes = std::size_t{256} << 10;

class RowMemory {
 public:
  virtual ~RowMemory() = default;

  // Any number of threads. Blocks until there is room; a row that is larger than all of it is let in alone.
  // Returns what to give back. REQUIRES: the calling thread holds no loan.
  [[nodiscard]] virtual std::uint64_t take(std::uint64_t bytes) = 0;
  virtual void give_back(std::uint64_t bytes) noexcept = 0;
};

// One row's share. Borrows the RowMemory.
class RowLoan {
 public:
  RowLoan() = default;
  RowLoan(RowMemory& memory, std::uint64_t bytes) : memory_(&memory), bytes_(memory.take(bytes)) {}
  RowLoan(RowLoan&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  RowLoan& operator=(RowLoan&& other) noexcept {
    end();
    memory_ = std::exchange(other.memory_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~RowLoan() { end(); }

  // Whether there is something to give back.
  [[nodiscard]] bool open() const { return memory_ != nullptr; }
  void end() noexcept {
    if (memory_ != nullptr) std::exchange(memory_, nullptr)->give_back(bytes_);
  }

 private:
  RowMemory* memory_ = nullptr;
  std::uint64_t bytes_ = 0;
};

}  // namespace sluice
