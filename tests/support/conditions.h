#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace sluice::testing {

bool contains(const std::string& text, const std::string& part);

// Asks every 5 ms until the answer is yes; false when it has not come in half a minute. For what another
// process does: no test waits for a fixed time.
bool wait_until(const std::function<bool()>& condition);

// Whether that process is stopped, as by SIGSTOP.
bool is_stopped(pid_t process);

}  // namespace sluice::testing
