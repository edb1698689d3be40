#pragma once
// Named steps at which a test ends the process as SIGKILL does, on the spot.
//
// In sluice itself they compile to nothing. The test program sluice_faults is built from the same sources
// with SLUICE_FAILPOINTS defined, and obeys its environment:
//
//   SLUICE_FAILPOINT=after claim:3         SIGKILL to itself at the third claim, over all threads
//   SLUICE_FAILPOINT=after claim:3:stop    SIGSTOP instead: the session and its locks stay
//   SLUICE_FAILPOINT=a:1:stop,b:2          several, with commas between them
//   SLUICE_FAILPOINT_TRACE=FILE            appends the name of every step that is reached
//
// A name is a string literal in the call and has neither colon nor comma. tests/fault/steps_test.cc finds the
// calls by reading the sources, and fails for one that its sweep does not kill at.

#include <string_view>

namespace sluice {

// Two namespaces, because files of both kinds are linked together.
#ifdef SLUICE_FAILPOINTS
inline namespace with_failpoints {
// Any thread.
void failpoint(std::string_view step);
}  // namespace with_failpoints
#else
inline namespace without_failpoints {
constexpr void failpoint(std::string_view) {}
}  // namespace without_failpoints
#endif

}  // namespace sluice
