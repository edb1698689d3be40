#pragma once
// One exception type for the whole program. Whoever throws says what it knows; each layer on the way up
// adds what only it knows (table, range, row); main turns the fault into an exit status.
//
//   target: numeric field overflow [22003] in public.orders, range 41, row 9120, column total
//
// Messages never contain cell values, passwords or connection strings.

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "engine/model/range.h"

namespace sluice {

enum class Fault : std::uint8_t {
  usage,               // 2: flags, configuration
  source_unreadable,   // 10: missing, not SQLite, encrypted, corrupt
  source_changed,      // 11: not the file the run began with
  target_refused,      // 20: authentication, privilege, schema in the way
  target_unavailable,  // 21: unreachable, full, shutting down: try later
  connection_lost,     // 5: the same command goes on
  in_doubt,            // 5: lost while COMMIT was under way; the ledger knows
  commits_lost,        // 5: a crash of the server took back what it had confirmed; load it again
  interrupted,         // 5: the user asked to stop
  output,              // 2: the report folder or another file of ours cannot be written
  store,               // 40: the file store refused a file, is full or cannot be reached
  internal,            // 70: a bug in sluice
};

int exit_status_of(Fault fault);
std::string_view name_of(Fault fault);

struct Where {
  std::string table;
  std::optional<RangeNumber> range;
  std::optional<std::uint64_t> row;
  std::string column;
};

class Error : public std::exception {
 public:
  // `what`: what failed and why, one line. `advice`: what to do next, empty when there is nothing to say.
  Error(Fault fault, std::string what, std::string advice = {});

  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] const std::string& advice() const { return advice_; }
  [[nodiscard]] const std::string& sqlstate() const { return sqlstate_; }
  Error& set_sqlstate(std::string_view sqlstate);

  // The same may well succeed a moment later, so that trying again is worth it. At first the fault decides.
  [[nodiscard]] bool may_pass() const { return may_pass_; }
  Error& set_may_pass(bool may_pass);

  // What else is known of it: "what; more".
  void append(const std::string& more);

  Where& where() { return where_; }
  [[nodiscard]] const Where& where() const { return where_; }

  // The whole message on one line: what [sqlstate] in table, range, row, column: advice
  [[nodiscard]] std::string describe() const;
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  Fault fault_;
  std::string what_;
  std::string advice_;
  std::string sqlstate_;
  bool may_pass_;
  Where where_;
};

}  // namespace sluice
