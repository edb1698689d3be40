#pragma once
// Who we are to an S3 server and where it is: from the variables and files that the AWS tools use. Each of
// them is looked at in this order, and the first that says something decides:
//
//   credentials  AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN; else the profile
//                (AWS_PROFILE, else "default") in AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials
//   region       AWS_REGION, AWS_DEFAULT_REGION, the profile in AWS_CONFIG_FILE or ~/.aws/config; else
//   us-east-1 endpoint     AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, endpoint_url of the profile; else that of
//   Amazon
//
// Nobody is asked over the network: roles of machines and single sign-on are not known here.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// The value of an environment variable; nothing when it is not set.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;

// Never part of a message.
struct Credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // empty: none

  bool operator==(const Credentials&) const = default;
};

// Throws Error (Fault::usage) when there are none, or half of them, or a file that cannot be read.
[[nodiscard]] Credentials find_credentials(const EnvironmentLookup& environment);

[[nodiscard]] std::string find_region(const EnvironmentLookup& environment);

// Nothing: Amazon's.
[[nodiscard]] std::optional<std::string> find_endpoint(const EnvironmentLookup& environment);

// An INI file as the AWS tools write it: by section and key, spaces around either gone. Lines that say
// nothing, and those indented below a key, are passed over.
using IniFile = std::map<std::string, std::map<std::string, std::string, std::less<>>, std::less<>>;
[[nodiscard]] IniFile parse_ini(std::string_view text);

}  // namespace sluice
