#pragma once
// Passwords on the command line.

#include <span>

namespace sluice {

// Overwrites with x what is, or may be, a password in an argument that libpq takes for a target: what stands
// between the colon and the last @ of a URI's user, and the values of password and sslpassword in URIs and in
// key=value strings. Rather too much than too little: nobody reads the argument afterwards. The length stays.
void blot_passwords(std::span<char> argument);

}  // namespace sluice
