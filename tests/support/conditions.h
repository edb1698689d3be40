#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "support/command.h"

namespace sluice::testing {

bool contains(const std::string& text, const std::string& part);

// Asks every 5 ms until the answer is yes; false when it has not come in three minutes, which a machine that
// is busy with other tests may take for what takes a second. For what another process does: no test waits for
// a fixed time.
bool wait_until(const std::function<bool()>& condition);

// Until so many ranges of a run are done. As wait_until() otherwise. The run goes on meanwhile: where what
// follows must come before its end, begin_until() makes sure.
bool wait_for_ranges(const std::string& conninfo, int ranges = 3);

// Until no other client has a session in that database: one whose client was killed stays to the end of its
// statement, with its locks. As wait_until() otherwise.
bool wait_for_sessions_to_end(const std::string& conninfo);

// Whether that process is stopped, as by SIGSTOP.
bool is_stopped(pid_t process);

// Begins the command, and returns when it has stopped itself there: SIGCONT lets it go on. `failpoints`:
// "after range:3:stop" and more (engine/model/failpoint.h), which sluice obeys as sluice_faults. Throws where
// it does not come to the first of them.
RunningCommand begin_until(std::vector<std::string> command, const std::string& failpoints,
                           CommandOptions options = {});

}  // namespace sluice::testing
