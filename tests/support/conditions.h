#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace sluice::testing {

bool contains(const std::string& text, const std::string& part);

// Asks every 5 ms until the answer is yes; false when it has not come in half a minute. For what another
// process does: no test waits for a fixed time.
bool wait_until(const std::function<bool()>& condition);

// Until so many ranges of a run are done, so that what follows comes in the middle of the load however busy
// the machine is. As wait_until() otherwise.
bool wait_for_ranges(const std::string& conninfo, int ranges = 3);

// Whether that process is stopped, as by SIGSTOP.
bool is_stopped(pid_t process);

}  // namespace sluice::testing
