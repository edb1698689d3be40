#include "bench/drain.h"

#include <libpq-fe.h>

#include <atomic>

#include "engine/model/quote.h"
#include "tests/support/query.h"

namespace sluice::bench {
namespace {

// As engine/app/verification.cc has it.
constexpr std::uint64_t kBlocksPerTask = 4096;

std::vector<std::string> cut(const std::string& conninfo, const std::vector<std::string>& tables) {
  std::vector<std::string> copies;
  for (const std::string& table : tables) {
    const std::string name = quote_identifier(table);
    const std::uint64_t blocks = std::stoull(
        testing::query_value(conninfo, "SELECT pg_relation_size(" + quote_literal(name) +
                                           "::regclass) / current_setting('block_size')::bigint"));
    for (std::uint64_t begin = 0; begin == 0 || begin < blocks; begin += kBlocksPerTask) {
      const auto block = [](std::uint64_t number) { return "'(" + std::to_string(number) + ",0)'"; };
      const std::uint64_t end = begin + kBlocksPerTask;
      copies.push_back("COPY (SELECT * FROM " + name + " WHERE ctid >= " + block(begin) +
                       (end < blocks ? " AND ctid < " + block(end) : "") + ") TO STDOUT (FORMAT binary)");
    }
  }
  return copies;
}

}  // namespace

Drained drain(const std::string& conninfo, const std::vector<std::string>& tables, std::size_t connections) {
  const std::vector<std::string> copies = cut(conninfo, tables);
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> bytes{0};
  Drained drained;
  drained.time =
      run_over_sessions(conninfo, connections, copies.size(), [&](pg_conn* session, std::size_t task) {
        begin_copy_out(session, copies[task]);
        std::uint64_t task_bytes = 0;
        char* row = nullptr;
        for (int got = 0; (got = PQgetCopyData(session, &row, 0)) > 0; PQfreemem(row)) {
          task_bytes += static_cast<std::uint64_t>(got);
        }
        rows += copied_rows(session);
        bytes += task_bytes;
      });
  drained.tasks = copies.size();
  drained.rows = rows;
  drained.bytes = bytes;
  return drained;
}

}  // namespace sluice::bench
