#pragma once
// A relay between a client and a test server that fails on purpose, at a byte of one's choice.
//
// The client connects by TCP, the only transport that can be reset or fall silent; the server is reached
// through its Unix socket. One thread of the relay's own moves the bytes; every member function may be called
// from any thread.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace sluice::testing {

enum class Direction : std::uint8_t { to_server, to_client };

// What becomes of a connection.
enum class Break : std::uint8_t {
  reset,       // RST: the peer's machine says that there is no such connection
  finish,      // FIN: the peer has ended it in order
  black_hole,  // nothing: no byte passes, and none is acknowledged, as when a cable is cut
};

struct Trigger {
  Direction direction = Direction::to_server;

  // So many bytes of that direction still pass, over all connections, counted from arm(). The connection that
  // brings the next one breaks.
  std::uint64_t after_bytes = 0;

  // Not empty: counting begins only where this text has passed to the server, and on that connection alone.
  std::string after_text{};
  int occurrence = 1;  // which time, 1 the first

  Break how = Break::reset;
  bool all_connections = false;  // every connection there is breaks, not only the one

  // How often. Counting begins anew each time.
  int times = 1;

  // A black hole is closed after this long, towards the server, too: as its own keep-alives would do. Until
  // then its backend lives on with the locks it has.
  std::chrono::milliseconds hold{2000};
};

// What has passed since the last arm() or disarm().
struct Traffic {
  std::uint64_t to_server = 0;
  std::uint64_t to_client = 0;
  int connections = 0;
  // Counts of that direction at which a connection changed from listening to speaking: where statements
  // begin, or their answers.
  std::vector<std::uint64_t> turns_to_server{};
  std::vector<std::uint64_t> turns_to_client{};
};

class FaultProxy {
 public:
  // `server_socket`: such as /tmp/x/.s.PGSQL.5432. Listens when the constructor returns.
  explicit FaultProxy(std::filesystem::path server_socket);
  ~FaultProxy();  // ends all connections
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  // For libpq: the other end of this relay. `more`: further keywords.
  [[nodiscard]] std::string conninfo(const std::string& database, const std::string& more = {}) const;

  void arm(const Trigger& trigger);
  void disarm();  // black holes stay until their time is over

  // How many connections have been broken on purpose since the last arm().
  [[nodiscard]] int broken() const;
  [[nodiscard]] Traffic traffic() const;

 private:
  struct Stream;
  struct Pair;
  using Clock = std::chrono::steady_clock;

  void run();
  void accept_one();
  void receive(Pair& pair, Direction direction);
  void send(Pair& pair, Direction direction);
  // How many of these bytes may pass.
  std::size_t admit(Pair& pair, Direction direction, std::string_view bytes);
  void count(Pair& pair, Direction direction, std::size_t bytes);
  void break_now(Pair& pair);

  const std::filesystem::path server_socket_;
  int listener_ = -1;
  int port_ = 0;
  int wake_ = -1;
  std::vector<std::unique_ptr<Pair>> pairs_;  // the thread's own

  mutable std::mutex mutex_;  // guards what follows
  std::optional<Trigger> trigger_;
  std::uint64_t counted_ = 0;
  int times_ = 0;
  int broken_ = 0;
  int seen_ = 0;
  Traffic traffic_;

  std::atomic<bool> stop_{false};
  std::thread thread_;  // last, so that everything else is there when it begins
};

}  // namespace sluice::testing
