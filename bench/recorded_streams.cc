#include "bench/recorded_streams.h"

#include <libpq-fe.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "engine/model/quote.h"
#include "tests/support/query.h"

namespace sluice::bench {
namespace {

// As io/postgres/range_sink.cc has them.
constexpr const char* kBegin =
    "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; "
    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL synchronous_commit = off";
constexpr std::size_t kSendBytes = std::size_t{128} << 10;

// The whole memory file, touched once before the clock starts.
class Mapping {
 public:
  Mapping(int file, std::size_t size) : size_(size) {
    start_ = mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    if (start_ == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  }
  ~Mapping() { munmap(start_, size_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] std::string_view bytes() const { return {static_cast<const char*>(start_), size_}; }

 private:
  void* start_ = nullptr;
  std::size_t size_;
};

}  // namespace

struct RecordedStreams::Stream {
  std::string table;
  int file = -1;
  std::size_t size = 0;
  std::uint64_t rows = 0;

  explicit Stream(std::string name) : table(std::move(name)), file(memfd_create("stream", MFD_CLOEXEC)) {
    if (file < 0) throw std::system_error(errno, std::generic_category(), "memfd_create");
  }
  ~Stream() { ::close(file); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void append(std::string_view bytes) {
    size += bytes.size();
    while (!bytes.empty()) {
      const ssize_t written = ::write(file, bytes.data(), bytes.size());
      if (written < 0) throw std::system_error(errno, std::generic_category(), "no room for the streams");
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  // Everything that `query` gives, header and trailer included.
  void record(pg_conn* session, const std::string& query) {
    begin_copy_out(session, "COPY (" + query + ") TO STDOUT (FORMAT binary)");
    std::string collected;
    char* row = nullptr;
    for (int got = 0; (got = PQgetCopyData(session, &row, 0)) > 0; PQfreemem(row)) {
      collected.append(row, static_cast<std::size_t>(got));
      if (collected.size() < (std::size_t{1} << 20)) continue;
      append(collected);
      collected.clear();
    }
    append(collected);
    rows = copied_rows(session);
  }

  void send(pg_conn* session, const std::string& schema, std::string_view bytes, Stored stored) const {
    command(session, kBegin);
    begin_copy_in(session, "COPY " + quote_qualified(schema, table) + " FROM STDIN (FORMAT binary)" +
                               (stored == Stored::no ? " WHERE false" : ""));
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kSendBytes))) {
      const std::string_view piece = bytes.substr(0, kSendBytes);
      if (PQputCopyData(session, piece.data(), static_cast<int>(piece.size())) != 1) fail(session);
    }
    if (PQputCopyEnd(session, nullptr) != 1) fail(session);
    if (copied_rows(session) != (stored == Stored::no ? 0 : rows))
      throw std::runtime_error("a replayed stream has other rows than recorded");
    command(session, "COMMIT");
  }
};

RecordedStreams::RecordedStreams(const std::string& conninfo, const std::string& schema,
                                 const std::vector<StreamCut>& cuts) {
  const Session session = connect(conninfo);
  for (const StreamCut& cut : cuts) {
    const std::string name = quote_qualified(schema, cut.table);
    const std::uint64_t blocks = std::stoull(
        testing::query_value(conninfo, "SELECT pg_relation_size(" + quote_literal(name) +
                                           "::regclass) / current_setting('block_size')::bigint"));
    const std::uint64_t pieces = std::max<std::uint64_t>(cut.pieces, 1);
    for (std::uint64_t piece = 0; piece < pieces; ++piece) {
      const auto block = [&](std::uint64_t number) {
        return "'(" + std::to_string(number * blocks / pieces) + ",0)'";
      };
      auto stream = std::make_unique<Stream>(cut.table);
      stream->record(session.get(), "SELECT * FROM " + name + " WHERE ctid >= " + block(piece) +
                                        (piece + 1 < pieces ? " AND ctid < " + block(piece + 1) : ""));
      streams_.push_back(std::move(stream));
    }
  }
}

RecordedStreams::~RecordedStreams() = default;

std::uint64_t RecordedStreams::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& stream : streams_) sum += stream->size;
  return sum;
}

FloorTime RecordedStreams::replay(const std::string& conninfo, const std::string& schema,
                                  std::size_t connections, Stored stored) const {
  std::vector<std::unique_ptr<Mapping>> mappings;
  for (const auto& stream : streams_)
    mappings.push_back(std::make_unique<Mapping>(stream->file, stream->size));
  return run_over_sessions(conninfo, connections, streams_.size(), [&](pg_conn* session, std::size_t at) {
    streams_[at]->send(session, schema, mappings[at]->bytes(), stored);
  });
}

}  // namespace sluice::bench
