#include "io/store/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <span>

#include "engine/model/error.h"
#include "engine/model/hex.h"
#include "io/store/sha256.h"

namespace sluice {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::string digest(32, '\0');
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(digest.data()), &size) == nullptr ||
      size != digest.size()) {
    throw Error(Fault::internal, "OpenSSL refuses to compute an HMAC");
  }
  return digest;
}

std::string sha256_hex(std::string_view text) { return to_hex(sha256_of(std::as_bytes(std::span(text)))); }

std::string lower(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lowered;
}

// Without blanks at the ends, and one for several within.
std::string collapsed(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t';
    if (!blank) {
      result += c;
    } else if (!result.empty() && result.back() != ' ') {
      result += ' ';
    }
  }
  if (result.ends_with(' ')) result.pop_back();
  return result;
}

// By name; the values of one name in the order in which they are sent.
std::map<std::string, std::string> canonical_headers(const NameValues& headers) {
  std::map<std::string, std::string> canonical;
  for (const auto& [name, value] : headers) {
    const auto [entry, is_new] = canonical.try_emplace(lower(name), collapsed(value));
    if (!is_new) entry->second += "," + collapsed(value);
  }
  return canonical;
}

std::string signed_headers(const NameValues& headers) {
  std::string names;
  for (const auto& [name, value] : canonical_headers(headers)) {
    if (!names.empty()) names += ';';
    names += name;
  }
  return names;
}

std::string credential_scope(const SigningScope& scope) {
  return scope.date_time.substr(0, 8) + "/" + scope.region + "/" + scope.service + "/aws4_request";
}

}  // namespace

std::string percent_encode(std::string_view text, Slashes slashes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool unreserved = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved || (c == '/' && slashes == Slashes::stay)) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kDigits[byte >> 4];
      encoded += kDigits[byte & 15];
    }
  }
  return encoded;
}

std::string canonical_query(const NameValues& query) {
  NameValues encoded;
  for (const auto& [name, value] : query) {
    encoded.emplace_back(percent_encode(name, Slashes::encoded), percent_encode(value, Slashes::encoded));
  }
  // After encoding, which may change the order.
  std::sort(encoded.begin(), encoded.end());
  std::string text;
  for (const auto& [name, value] : encoded) {
    if (!text.empty()) text += '&';
    text.append(name).append("=").append(value);
  }
  return text;
}

std::string amz_date(std::chrono::system_clock::time_point moment) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(moment);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return {text.data(), size};
}

std::string canonical_request(const RequestToSign& request) {
  std::string text = request.method + "\n" + request.path + "\n" + canonical_query(request.query) + "\n";
  for (const auto& [name, value] : canonical_headers(request.headers)) {
    text.append(name).append(":").append(value).append("\n");
  }
  return text + "\n" + signed_headers(request.headers) + "\n" + request.payload_sha256;
}

std::string string_to_sign(const RequestToSign& request, const SigningScope& scope) {
  return std::string(kAlgorithm) + "\n" + scope.date_time + "\n" + credential_scope(scope) + "\n" +
         sha256_hex(canonical_request(request));
}

std::string authorization(const RequestToSign& request, const SigningScope& scope,
                          const Credentials& credentials) {
  std::string key = hmac_sha256("AWS4" + credentials.secret_access_key, scope.date_time.substr(0, 8));
  for (const std::string& part : {scope.region, scope.service, std::string("aws4_request")}) {
    key = hmac_sha256(key, part);
  }
  return std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + "/" +
         credential_scope(scope) + ", SignedHeaders=" + signed_headers(request.headers) +
         ", Signature=" + hex_of(hmac_sha256(key, string_to_sign(request, scope)));
}

}  // namespace sluice
