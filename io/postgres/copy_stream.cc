#include "io/postgres/copy_stream.h"

#include <libpq-fe.h>

#include <array>
#include <cstring>
#include <new>
#include <utility>

#include "engine/model/failpoint.h"
#include "engine/model/thread_time.h"
#include "io/wire/row_encoder.h"

namespace sluice {
namespace {

// libpq frames each call as one message, and its buffer grows to hold it and stays; rows may be cut anywhere.
constexpr std::size_t kMessageBytesMax = std::size_t{1} << 18;

void drain(pg_conn* connection) {
  for (;;) {
    const ResultHandle result(PQgetResult(connection));
    if (!result) return;
    // A COPY that refuses to end would otherwise be handed out for ever.
    if (PQstatus(connection) == CONNECTION_BAD) return;
  }
}

}  // namespace

CopyStream::CopyStream(Connection& connection, const std::string& statement) : connection_(&connection) {
  connection.execute(statement);
  failpoint("after COPY start");
  write(copy_header());
  failpoint("after header");
}

CopyStream::~CopyStream() {
  if (connection_ == nullptr || !connection_->alive()) return;
  PQputCopyEnd(connection_->handle(), "sluice gave this range up");
  drain(connection_->handle());
}

void CopyStream::fail() {
  // The reason the server stopped listening is in the result, when there still is one.
  pg_conn* handle = std::exchange(connection_, nullptr)->handle();
  const bool was_listening =
      PQstatus(handle) != CONNECTION_BAD && PQputCopyEnd(handle, "sluice gave this range up") == 1;
  const ResultHandle result(PQgetResult(handle));
  Error error = error_of(result.get(), handle);
  if (PQstatus(handle) != CONNECTION_BAD) drain(handle);
  // The COPY was in order until we ended it: libpq itself had no room for the rows.
  if (was_listening && error.sqlstate() == "57014") throw std::bad_alloc();
  throw error;
}

void CopyStream::write(std::span<const std::byte> bytes) {
  connection_->cancel_switch()->refuse_cancelled();
  const AddOffCore blocked(blocked_seconds_);
  while (!bytes.empty()) {
    const std::span<const std::byte> piece = bytes.first(std::min(bytes.size(), kMessageBytesMax));
    const int sent = PQputCopyData(connection_->handle(), reinterpret_cast<const char*>(piece.data()),
                                   static_cast<int>(piece.size()));
    if (sent != 1) fail();
    failpoint("after piece");
    bytes = bytes.subspan(piece.size());
  }
}

std::uint64_t CopyStream::finish() {
  write(copy_trailer());
  failpoint("before CopyDone");
  const AddOffCore blocked(blocked_seconds_);
  pg_conn* handle = connection_->handle();
  if (PQputCopyEnd(handle, nullptr) != 1) fail();
  failpoint("after CopyDone");
  connection_ = nullptr;
  ResultHandle result(PQgetResult(handle));
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
    Error error = error_of(result.get(), handle);
    drain(handle);
    throw error;
  }
  failpoint("after COPY reply");
  const std::uint64_t rows = Result(std::move(result)).affected();
  drain(handle);
  return rows;
}

namespace {

struct FreeMemory {
  void operator()(char* memory) const noexcept { PQfreemem(memory); }
};

void cancel(pg_conn* connection) noexcept {
  std::array<char, 256> message;
  PGcancel* request = PQgetCancel(connection);
  if (request == nullptr) return;
  PQcancel(request, message.data(), static_cast<int>(message.size()));
  PQfreeCancel(request);
}

// The tuples of one message. The server puts the header before the first tuple, in the same message.
std::span<std::byte> without_header(std::span<std::byte> message) {
  if (message.size() < 19 || std::memcmp(message.data(), copy_header().data(), 11) != 0) {
    throw Error(Fault::internal, "COPY TO did not begin with the binary signature");
  }
  std::uint32_t extension = 0;
  std::memcpy(&extension, message.data() + 15, sizeof extension);
  return message.subspan(19 + to_big_endian(extension));
}

}  // namespace

void copy_out(Connection& connection, const std::string& query,
              const std::function<void(std::span<std::byte>)>& each) {
  connection.execute("COPY (" + query + ") TO STDOUT (FORMAT binary)");
  pg_conn* handle = connection.handle();
  bool first = true;
  try {
    for (;;) {
      char* memory = nullptr;
      const int size = PQgetCopyData(handle, &memory, 0);
      const std::unique_ptr<char, FreeMemory> owner(memory);
      if (size < 0) break;
      std::span<std::byte> tuple(reinterpret_cast<std::byte*>(memory), static_cast<std::size_t>(size));
      if (std::exchange(first, false)) tuple = without_header(tuple);
      const bool trailer = tuple.size() == 2 && tuple[0] == std::byte{0xff} && tuple[1] == std::byte{0xff};
      if (tuple.empty() || trailer) continue;
      each(tuple);
    }
  } catch (...) {
    cancel(handle);
    for (char* memory = nullptr; PQgetCopyData(handle, &memory, 0) > 0;) PQfreemem(memory);
    drain(handle);
    throw;
  }
  const ResultHandle result(PQgetResult(handle));
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
    Error error = error_of(result.get(), handle);
    drain(handle);
    throw error;
  }
  drain(handle);
}

}  // namespace sluice
