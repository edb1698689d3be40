#include "io/postgres/replica.h"

#include <chrono>
#include <optional>
#include <thread>

#include "engine/model/error.h"

namespace sluice {
namespace {

// Nothing when the role may not ask.
std::optional<std::string> system_identifier(Connection& connection) {
  try {
    const ReadScope scope(connection);
    return connection.execute("SELECT system_identifier FROM pg_control_system()").text(0, 0);
  } catch (const Error& error) {
    if (error.sqlstate() != "42501") throw;
    return std::nullopt;
  }
}

}  // namespace

std::string flushed_position(Connection& primary) {
  const ReadScope scope(primary);
  return primary.execute("SELECT pg_current_wal_flush_lsn()").text(0, 0);
}

void wait_for_replay(Connection& standby, Connection& primary, const std::string& position,
                     std::uint32_t seconds) {
  {
    const ReadScope scope(standby);
    if (!standby.execute("SELECT pg_is_in_recovery()").boolean(0, 0)) {
      throw Error(Fault::usage, "a server of --target is no standby",
                  "TARGET is the primary, --target names standbys of it");
    }
  }
  const std::optional<std::string> own = system_identifier(standby);
  const std::optional<std::string> expected = system_identifier(primary);
  if ((own && expected && *own != *expected) || standby.database() != primary.database()) {
    throw Error(Fault::usage, "a server of --target is a standby of another cluster or another database",
                "TARGET is the primary, --target names standbys of it");
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (;;) {
    {
      const ReadScope scope(standby);
      if (standby.execute("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", {position}).boolean(0, 0)) return;
    }
    if (std::chrono::steady_clock::now() >= until) {
      throw Error(Fault::target_unavailable,
                  "a standby has not replayed " + position + " within " + std::to_string(seconds) + " s",
                  "wait until it has caught up (pg_stat_replication), or give it more with --replica-wait")
          .set_may_pass(false);  // that was the time for it
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace sluice
