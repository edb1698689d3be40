#pragma once
// A RangeWriter that keeps nothing but the digest: for whoever looks at rows that were encoded before.

#include <cstdint>
#include <functional>
#include <optional>

#include "engine/model/load.h"
#include "verify/leaves.h"
#include "verify/server_hash.h"

namespace sluice {

struct DigestingWriterOptions {
  bool server_hashes = false;  // the server's hashes, too, where the types allow
  // Called for each row with its whole tuple, borrowed for the call. May be empty; with it, or with
  // server_hashes, a large row is in memory at once.
  std::function<void(std::span<const std::byte> tuple, const Digest& row)> each{};
  // Called for each rejected row with its record. May be empty.
  std::function<void(std::string_view record)> each_reject{};
};

class DigestingWriter final : public RangeWriter {
 public:
  // Both are borrowed.
  DigestingWriter(const TablePlan& plan, const DigestingWriterOptions& options);

  void write(Row row) override;  // not for cells: throws Error (internal)
  void write_tuple(std::span<const std::byte> tuple) override;
  void write_tuple(TuplePieces& tuple) override;
  void write_reject(std::uint64_t row, std::string_view record) override;
  void expect(const RangeExpectation& expected) override { expected_ = expected; }
  [[nodiscard]] std::uint64_t bytes() const override { return seal_.bytes; }
  RangeSeal seal() override;

 private:
  const TablePlan& plan_;
  const DigestingWriterOptions& options_;
  RangeDigester digester_;
  std::optional<ServerHasher> server_;
  std::optional<RangeExpectation> expected_;
  RangeSeal seal_;
};

}  // namespace sluice
