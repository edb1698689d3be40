#pragma once
// One table of the target, read back in pieces and compared with the leaves of its source.

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/app/options.h"
#include "engine/app/row_meter.h"
#include "engine/model/error.h"
#include "engine/model/plan.h"
#include "io/postgres/connection.h"
#include "io/postgres/read_back.h"
#include "verify/leaves.h"

namespace sluice {

// Pieces of a read-back: 32 MB of heap at the usual block size. Enough of them to keep the lanes level, few
// enough that starting a COPY does not count.
inline constexpr std::uint64_t kBlocksPerPiece = 4096;

// Errors of the body say which table it was about.
template <class Body>
void naming_table(const TablePlan& plan, const Body& body) {
  try {
    body();
  } catch (Error& error) {
    if (error.where().table.empty()) error.where().table = plan.source;
    throw;
  }
}

// How much of a table was looked at.
enum class Level : std::uint8_t { full, server, sample, count };
std::string_view name_of(Level level);

struct TableComparison {
  Level level = Level::full;
  std::string note;  // why not the level that was asked for
  bool equal = false;
  std::uint64_t rows_source = 0;
  std::uint64_t rows_target = 0;  // of the leaves read, with Level::sample
  std::size_t leaves = 0;
  std::size_t leaves_read = 0;
  // Leaves; with Level::server of a table without ordered keys: all of them.
  std::vector<std::size_t> differing;
  std::vector<std::uint64_t> differing_rows;  // the target's in each of these; then about as many
  Digest root_source;
  std::optional<Digest> root_target;  // of a full read-back

  // Equal, and the values were looked at.
  [[nodiscard]] bool verified() const { return level != Level::count && equal; }
};

struct ReadBackOptions {
  VerifyMode mode = VerifyMode::full;  // not none
  bool server_sums = false;            // the source's leaves have them
  double sample_percent = 100;
  std::uint64_t sample_seed = 0;
  std::size_t lanes = 1;  // how many will read at the same time
};

// First cut(), then read() for every piece, in any order and by several threads at a time, then compare().
// What failed may be called again, cut() on a new object.
class TableReadBack {
 public:
  // Both are borrowed.
  TableReadBack(const TablePlan& plan, const TableLeaves& source, const ReadBackOptions& options);

  // Decides how the table is looked at, and returns the number of pieces.
  std::size_t cut(Connection& connection);
  void read(Connection& connection, std::size_t piece, RowMeter& meter);
  TableComparison compare(Connection& connection);

  [[nodiscard]] const TablePlan& plan() const { return plan_; }

 private:
  struct Piece {
    BlockRange blocks;
    std::optional<std::size_t> leaf;  // with Level::sample: read by its keys
  };

  [[nodiscard]] std::string why_not_server(Connection& connection) const;
  void sample_leaves();
  std::vector<std::size_t> differing_by_server(Connection& connection);

  const TablePlan& plan_;
  const TableLeaves& source_;
  const ReadBackOptions options_;
  TableComparison comparison_;
  std::vector<Piece> pieces_;
  std::mutex mutex_;  // of what follows, while pieces are read
  TableLeaves target_;
};

}  // namespace sluice
