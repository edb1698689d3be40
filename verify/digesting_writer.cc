#include "verify/digesting_writer.h"

#include "engine/model/error.h"
#include "io/wire/buffer.h"
#include "verify/row_digest.h"
#include "verify/tuple_digester.h"

namespace sluice {

DigestingWriter::DigestingWriter(const TablePlan& plan, const DigestingWriterOptions& options)
    : plan_(plan), options_(options), digester_(plan) {
  if (options.server_hashes && why_no_server_hash(plan).empty()) server_.emplace(plan);
}

void DigestingWriter::write(Row /*row*/) {
  throw Error(Fault::internal, "rows of cells are not what this writer digests");
}

void DigestingWriter::write_tuple(std::span<const std::byte> tuple) {
  ++seal_.rows_read;
  ++seal_.rows_loaded;
  seal_.bytes += tuple.size();
  const Digest row = digest_of_row(tuple);
  digester_.add(tuple, row, server_ ? server_->hash(tuple) : 0);
  if (options_.each) options_.each(tuple, row);
}

void DigestingWriter::write_tuple(TuplePieces& tuple) {
  if (server_ || options_.each) {
    Buffer whole;
    for (auto piece = tuple.next(); !piece.empty(); piece = tuple.next()) whole.append(piece);
    return write_tuple(whole.span());
  }
  TupleDigester row(plan_);
  for (auto piece = tuple.next(); !piece.empty(); piece = tuple.next()) {
    row.add(piece);
    seal_.bytes += piece.size();
  }
  ++seal_.rows_read;
  ++seal_.rows_loaded;
  digester_.add(row.key_tuple(), row.digest());
}

void DigestingWriter::write_reject(std::uint64_t /*row*/, std::string_view record) {
  ++seal_.rows_read;
  ++seal_.rows_rejected;
  if (options_.each_reject) options_.each_reject(record);
}

RangeSeal DigestingWriter::seal() {
  seal_.digest = digester_.finish();
  if (expected_) {
    const std::string wrong = why_unexpected(seal_, *expected_);
    if (!wrong.empty()) throw Error(Fault::source_unreadable, std::string(expected_->name) + ": " + wrong);
  }
  return std::move(seal_);
}

}  // namespace sluice
