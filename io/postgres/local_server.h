#pragma once
// The embedded PostgreSQL behind a target of the form local:DIR.
//
//   DIR/data          the database cluster, made by initdb
//   DIR/.s.PGSQL.5432 the Unix socket, the only way in: it never listens on the network
//   DIR/server.log    what the server says
//
// It is an ordinary server with the user's data in it: fsync is on, it outlives this program, and pg_ctl and
// psql work on it. DIR is 0700 and authentication is `trust`: whoever may enter DIR may read the data anyway.
//
// PostgreSQL refuses to run as root. Then the server runs as the owner of DIR, or, when root owns DIR or it
// does not exist yet, as `postgres` (else `nobody`), to whom DIR is given.
//
// All failures are Errors: usage (this cannot be a server's directory), target_refused (not allowed to),
// target_unavailable (no server installed, it does not start, the disk is full).

#include <filesystem>
#include <string>

namespace sluice {

struct LocalServer {
  std::string conninfo;      // for libpq; superuser and database are both `postgres`
  std::string psql_command;  // shell lines that work when the same user pastes them
  std::string stop_command;
  bool created = false;  // by this call: initdb has run
  bool started = false;  // by this call: it was not running before
};

// Returns when the server of `directory` takes connections; makes and starts it where needed. Safe to call
// from several processes at once. May be interrupted anywhere: the next call finishes the work.
//
// The server programs are those of SLUICE_POSTGRES_BIN if set, else of `pg_config --bindir`,
// /usr/lib/postgresql/*/bin (newest first) or PATH; for an existing cluster, the first of its major version.
//
// Forks: child processes are waited for, none is left but the server itself. Any thread may call.
LocalServer ensure_local_server(const std::filesystem::path& directory);

// Shuts the server down (fast: open transactions are rolled back) and waits until it has ended. Does nothing
// when it is not running.
void stop_local_server(const std::filesystem::path& directory);

}  // namespace sluice
