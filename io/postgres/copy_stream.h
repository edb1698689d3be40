#pragma once
// COPY in both directions, on one connection, in binary.
//
// While a stream lives, nothing else may use its connection. The connection must outlive it. One thread
// at a time.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "io/postgres/connection.h"

namespace sluice {

// A COPY ... FROM STDIN (FORMAT binary) in progress. If it is destroyed before finish(), it makes the
// COPY fail on purpose: an exception on its way up must never turn half a range into a successful load.
class CopyStream {
 public:
  // `statement`: the whole COPY statement. The binary header is sent at once.
  CopyStream(Connection& connection, const std::string& statement);
  ~CopyStream();
  CopyStream(const CopyStream&) = delete;
  CopyStream& operator=(const CopyStream&) = delete;

  // Sends bytes of tuples; a tuple may be cut anywhere. REQUIRES: finish() has not been called.
  void write(std::span<const std::byte> bytes);

  // Ends the COPY and returns the row count as the server saw it. Compare it with your own.
  [[nodiscard]] std::uint64_t finish();

  // Seconds for which the thread was off its core in write() and finish(): the server had not taken what was
  // sent.
  [[nodiscard]] double blocked_seconds() const { return blocked_seconds_; }

 private:
  [[noreturn]] void fail();

  double blocked_seconds_ = 0;
  Connection* connection_;  // null once finished
};

// Runs COPY (query) TO STDOUT (FORMAT binary) and hands over each tuple; the bytes are borrowed for the
// call, and may be overwritten. When `each` throws, the query is cancelled and the connection is usable again
// afterwards.
void copy_out(Connection& connection, const std::string& query,
              const std::function<void(std::span<std::byte>)>& each);

}  // namespace sluice
