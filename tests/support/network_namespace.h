#pragma once
// A network of this test's own, whose cable can be pulled.

namespace sluice::testing {

// This process, and what it starts from then on, gets a network namespace with nothing but a loopback device;
// Unix sockets work as before. Call it before the first thread. False where that is not allowed, which takes
// root: skip, visibly.
bool enter_network_namespace();

// Up or down: what is down carries nothing, and tells neither end.
void set_loopback(bool up);

}  // namespace sluice::testing
