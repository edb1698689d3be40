#pragma once

namespace sluice {

// The whole program: parses, runs the command, prints what went wrong as one line, returns the exit status
// of design section 2.2 in engine/DESIGN.md. Never throws.
int run_program(int argc, const char* const* argv) noexcept;

}  // namespace sluice
