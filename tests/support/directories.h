#pragma once
// Where the sources and the built programs are. Functions and not macros: only one file is compiled anew when
// the checkout moves, and a compiler cache serves every checkout.

#include <string>

namespace sluice::testing {

std::string source_directory();
std::string binary_directory();

}  // namespace sluice::testing
