#pragma once
// AWS Signature Version 4, as S3 wants it: what goes into the header Authorization.
//
// Pure: no clock, no network. A request is signed as it is sent, so whoever sends it must send exactly these
// spellings: percent_encode() for the path, canonical_query() for the query.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/store/credentials.h"

namespace sluice {

using NameValues = std::vector<std::pair<std::string, std::string>>;

struct RequestToSign {
  std::string method = "GET";
  std::string path = "/";        // encoded already, once: S3 is the one service that does not encode it again
  NameValues query{};            // as they are meant, not encoded, in any order
  NameValues headers{};          // all that are signed, "host" among them, in any order and case
  std::string payload_sha256{};  // 64 digits, or what x-amz-content-sha256 says instead
};

struct SigningScope {
  std::string date_time;  // of amz_date()
  std::string region;
  std::string service = "s3";
};

// Unreserved characters (letters, digits, - . _ ~) stay; everything else is %XX of its bytes. Slashes stay
// where they are parts of a path.
enum class Slashes : std::uint8_t { stay, encoded };
[[nodiscard]] std::string percent_encode(std::string_view text, Slashes slashes);

// "a=1&b=": sorted and encoded.
[[nodiscard]] std::string canonical_query(const NameValues& query);

// "20130524T000000Z"
[[nodiscard]] std::string amz_date(std::chrono::system_clock::time_point moment);

[[nodiscard]] std::string canonical_request(const RequestToSign& request);
[[nodiscard]] std::string string_to_sign(const RequestToSign& request, const SigningScope& scope);

// The value of Authorization.
[[nodiscard]] std::string authorization(const RequestToSign& request, const SigningScope& scope,
                                        const Credentials& credentials);

}  // namespace sluice
