#pragma once

namespace sluice {

// The whole program: parses, runs the command, prints what went wrong as one line, returns the exit status
// of design section 2.2 in engine/DESIGN.md. Never throws. Passwords in `argv`, the process's own, are
// overwritten there: every user of the machine can list them.
int run_program(int argc, char** argv) noexcept;

}  // namespace sluice
