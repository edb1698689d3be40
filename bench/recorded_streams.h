#pragma once
// Ready-made binary COPY streams and their replay: what the server and the socket cost when nobody has to
// read, encode or hash anything. The floor under every load.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/floor_session.h"

namespace sluice::bench {

struct StreamCut {
  std::string table;
  std::size_t pieces = 1;
};

// no: the server takes the rows apart, and throws them away (COPY ... WHERE false).
enum class Stored : std::uint8_t { no, yes };

class RecordedStreams {
 public:
  // Takes the tables out of `schema`, each in so many runs of blocks. The streams live in memory files, not
  // in our address space: a program started later would count that as its own peak memory, since Linux
  // carries ru_maxrss over fork and exec.
  RecordedStreams(const std::string& conninfo, const std::string& schema, const std::vector<StreamCut>& cuts);
  ~RecordedStreams();
  RecordedStreams(const RecordedStreams&) = delete;
  RecordedStreams& operator=(const RecordedStreams&) = delete;

  // Sends all streams into the tables of the same names, in the order of the cuts, over `connections`
  // connections. Each is a thread that takes the next stream and wraps it into a transaction of its own.
  // Throws std::runtime_error with what the server said, or when it counted other rows than were recorded.
  [[nodiscard]] FloorTime replay(const std::string& conninfo, const std::string& schema,
                                 std::size_t connections, Stored stored = Stored::yes) const;

  [[nodiscard]] std::size_t count() const { return streams_.size(); }
  [[nodiscard]] std::uint64_t bytes() const;

 private:
  struct Stream;
  std::vector<std::unique_ptr<Stream>> streams_;
};

}  // namespace sluice::bench
