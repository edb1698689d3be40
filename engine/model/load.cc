#include "engine/model/load.h"

#include <algorithm>

#include "engine/model/error.h"

namespace sluice {
namespace {

// Few enough that a progress line is never far behind.
constexpr std::uint64_t kRowsPerDelivery = 1024;

[[noreturn]] void refuse() { throw Error(Fault::internal, "this writer takes rows of cells alone"); }

}  // namespace

bool Scan::deliver(RangeWriter& writer, std::uint64_t& rows) {
  for (std::uint64_t left = kRowsPerDelivery; left > 0; --left) {
    const std::optional<Row> row = next();
    if (!row) return false;
    writer.write(*row);
    ++rows;
  }
  return true;
}

void RangeWriter::write_tuple(std::span<const std::byte> /*tuple*/) { refuse(); }
void RangeWriter::write_tuple(TuplePieces& /*tuple*/) { refuse(); }
void RangeWriter::write_reject(std::uint64_t /*row*/, std::string_view /*record*/) { refuse(); }
void RangeWriter::expect(const RangeExpectation& /*expected*/) { refuse(); }

std::string why_unexpected(const RangeSeal& seal, const RangeExpectation& expected) {
  const auto counts = [](std::uint64_t found, const char* what, std::uint64_t wanted) {
    return "it holds " + std::to_string(found) + " " + what + " and not " + std::to_string(wanted);
  };
  if (seal.rows_loaded != expected.rows_loaded) return counts(seal.rows_loaded, "rows", expected.rows_loaded);
  if (seal.rows_rejected != expected.rows_rejected) {
    return counts(seal.rows_rejected, "rejected rows", expected.rows_rejected);
  }
  const auto same = [](const LeafPart& left, const LeafPart& right) {
    return left.tag == right.tag && left.open == right.open && left.rows == right.rows;
  };
  const RangeDigest& found = seal.digest;
  const RangeDigest& wanted = *expected.digest;
  const bool equal =
      found.total == wanted.total &&
      std::equal(found.leaves.begin(), found.leaves.end(), wanted.leaves.begin(), wanted.leaves.end(), same);
  return equal ? "" : "its rows have another digest than they were written with";
}

}  // namespace sluice
