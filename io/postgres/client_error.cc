#include "io/postgres/client_error.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace sluice {
namespace {

// libpq is not translated here: nobody calls setlocale().

struct ClientError {
  std::string_view part;  // of the message
  const char* advice;
};

constexpr const char* kCheckIdentity =
    "nothing was sent; check the host name in TARGET, sslmode and sslrootcert (the file of the CA that "
    "signed the "
    "server's certificate)";
constexpr const char* kCheckEncryption =
    "let the server offer TLS, or lower sslmode or channel_binding in TARGET if the network is safe";

// Retrying helps none of these. "SSL SYSCALL error" is not among them: that is a connection that broke.
constexpr std::array kIdentity = {
    ClientError{"certificate", kCheckIdentity},
    ClientError{"SSL error: ", kCheckIdentity},
    ClientError{"server does not support SSL", kCheckEncryption},
    ClientError{"channel binding", kCheckEncryption},
    ClientError{"GSSAPI encryption required", kCheckEncryption},
    ClientError{"private key", "check sslkey in TARGET, and that the file is readable by you alone"},
};

constexpr std::array kUsage = {
    ClientError{"definition of service ",
                "name one that is in the file of PGSERVICEFILE or ~/.pg_service.conf"},
    ClientError{"service file ", "check the file of PGSERVICEFILE or ~/.pg_service.conf"},
    ClientError{"invalid ", "check the values of TARGET and of libpq's environment (PGSSLMODE ...)"},
    ClientError{"could not match ", "give as many ports and addresses as hosts"},
};

const ClientError* find_in(const auto& errors, std::string_view message) {
  const auto found = std::find_if(errors.begin(), errors.end(), [&](const ClientError& error) {
    return message.find(error.part) != std::string_view::npos;
  });
  return found == errors.end() ? nullptr : &*found;
}

// What follows a colon or stands in quotes was taken from the target.
std::string without_values(std::string_view message) {
  return std::string(message.substr(0, message.find_first_of(":\"")));
}

}  // namespace

std::optional<Error> error_of_client(const std::string& message) {
  if (message.starts_with("connection to server ")) {
    const ClientError* error = find_in(kIdentity, message);
    if (error == nullptr) return std::nullopt;
    return Error(Fault::target_refused, message, error->advice);
  }
  const ClientError* error = find_in(kUsage, message);
  if (error == nullptr) return std::nullopt;
  const bool names_no_value = message.find("service") != std::string::npos;
  return Error(Fault::usage, "libpq cannot connect: " + (names_no_value ? message : without_values(message)),
               error->advice);
}

}  // namespace sluice
