#pragma once
// Refused connections of which libpq, not the server, is the author: there is no SQLSTATE for them.

#include <optional>
#include <string>

#include "engine/model/error.h"

namespace sluice {

// `message`: what PQerrorMessage() says, its first line. An Error (usage) for a target that cannot be meant,
// (target_refused) for a server that does not prove to be the one that was asked for; nothing for the rest,
// such as a server that is not there. Words of the target that the message quotes are left out.
std::optional<Error> error_of_client(const std::string& message);

}  // namespace sluice
