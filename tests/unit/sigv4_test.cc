// Signatures against those that AWS has published: the suite for Signature Version 4, and the examples in the
// documentation of S3.

#include "io/store/sigv4.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "io/store/sha256.h"

namespace sluice {
namespace {

const Credentials kSuite{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
const SigningScope kSuiteScope{"20150830T123600Z", "us-east-1", "service"};
const std::string kEmptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string signature_of(const std::string& authorization) {
  return authorization.substr(authorization.find("Signature=") + 10);
}

RequestToSign suite_request(const std::string& method, const std::string& path,
                            const NameValues& query = {}) {
  return {method,
          path,
          query,
          {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", kSuiteScope.date_time}},
          kEmptySha256};
}

TEST(SigV4, GetVanillaStepByStep) {
  const RequestToSign request = suite_request("GET", "/");
  EXPECT_EQ(canonical_request(request),
            "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n" +
                kEmptySha256);
  EXPECT_EQ(string_to_sign(request, kSuiteScope),
            "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n"
            "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63");
  EXPECT_EQ(authorization(request, kSuiteScope, kSuite),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(SigV4, TheSuitesOfAws) {
  const auto sign = [](const RequestToSign& request) {
    return signature_of(authorization(request, kSuiteScope, kSuite));
  };
  // get-vanilla-query-order-key-case
  EXPECT_EQ(sign(suite_request("GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}})),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
  // get-vanilla-empty-query-key
  EXPECT_EQ(sign(suite_request("GET", "/", {{"Param1", "value1"}})),
            "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb");
  // post-vanilla
  EXPECT_EQ(sign(suite_request("POST", "/")),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
  // get-utf8
  EXPECT_EQ(sign(suite_request("GET", percent_encode("/\xe1\x88\xb4", Slashes::stay))),
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
}

// The documentation of S3: "Signature Calculations for the Authorization Header".
TEST(SigV4, TheExamplesOfS3) {
  const Credentials credentials{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
  const SigningScope scope{"20130524T000000Z", "us-east-1", "s3"};
  const auto sign = [&](RequestToSign request) {
    request.headers.emplace_back("Host", "examplebucket.s3.amazonaws.com");
    request.headers.emplace_back("x-amz-content-sha256", request.payload_sha256);
    request.headers.emplace_back("x-amz-date", scope.date_time);
    return signature_of(authorization(request, scope, credentials));
  };
  EXPECT_EQ(sign({"GET", "/test.txt", {}, {{"Range", "bytes=0-9"}}, kEmptySha256}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  const std::string welcome = "Welcome to Amazon S3.";
  const std::string welcome_sha256 = to_hex(sha256_of(std::as_bytes(std::span(welcome))));
  EXPECT_EQ(sign({"PUT",
                  percent_encode("/test$file.text", Slashes::stay),
                  {},
                  {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                  welcome_sha256}),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(sign({"GET", "/", {{"lifecycle", ""}}, {}, kEmptySha256}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(sign({"GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, kEmptySha256}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, HeadersAreSortedTrimmedAndJoined) {
  RequestToSign request;
  request.headers = {
      {"My-Header2", "  b   c\t d "}, {"HOST", "h"}, {"my-header1", "  "}, {"My-Header2", "e"}};
  request.payload_sha256 = "p";
  EXPECT_EQ(canonical_request(request),
            "GET\n/\n\nhost:h\nmy-header1:\nmy-header2:b c d,e\n\nhost;my-header1;my-header2\np");
}

TEST(SigV4, TheQueryIsSortedAfterItIsEncoded) {
  EXPECT_EQ(canonical_query({}), "");
  EXPECT_EQ(canonical_query({{"uploads", ""}}), "uploads=");
  EXPECT_EQ(
      canonical_query({{"b", "2"}, {"a", "2"}, {"a", "1"}, {"B", "x y/z+&="}, {"a-b", ""}, {"a.", "~"}}),
      "B=x%20y%2Fz%2B%26%3D&a=1&a=2&a-b=&a.=~&b=2");
  // '%' comes before letters, and 'ä' does not.
  EXPECT_EQ(canonical_query({{"z", "1"}, {"\xc3\xa4", "1"}}), "%C3%A4=1&z=1");
}

TEST(SigV4, EncodesOnceAndEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string encoded = percent_encode(all, Slashes::encoded);
  EXPECT_EQ(encoded.size(), 66U + 3U * 190U);
  EXPECT_EQ(percent_encode("a/b c", Slashes::stay), "a/b%20c");
  EXPECT_EQ(percent_encode("a/b", Slashes::encoded), "a%2Fb");
  EXPECT_EQ(percent_encode("%2F", Slashes::stay), "%252F");
  EXPECT_EQ(percent_encode("\xff\n", Slashes::stay), "%FF%0A");
}

TEST(SigV4, EveryPartOfARequestIsSigned) {
  RequestToSign request{
      "PUT", "/a", {{"partNumber", "1"}}, {{"host", "h"}, {"x-amz-security-token", "token"}}, kEmptySha256};
  const Credentials credentials{"id", "secret", "token"};
  const SigningScope scope{"20150830T123600Z", "eu-west-1", "s3"};
  const std::string good = authorization(request, scope, credentials);
  EXPECT_NE(good.find("SignedHeaders=host;x-amz-security-token,"), std::string::npos);
  EXPECT_EQ(good.find("secret"), std::string::npos);
  const auto differs = [&](const RequestToSign& other, const SigningScope& there, const Credentials& who) {
    return signature_of(authorization(other, there, who)) != signature_of(good);
  };
  RequestToSign other = request;
  other.method = "GET";
  EXPECT_TRUE(differs(other, scope, credentials));
  other = request;
  other.path = "/b";
  EXPECT_TRUE(differs(other, scope, credentials));
  other = request;
  other.query[0].second = "2";
  EXPECT_TRUE(differs(other, scope, credentials));
  other = request;
  other.headers[1].second = "other";
  EXPECT_TRUE(differs(other, scope, credentials));
  other = request;
  other.payload_sha256 = std::string(64, '0');
  EXPECT_TRUE(differs(other, scope, credentials));
  EXPECT_TRUE(differs(request, {"20150830T123601Z", "eu-west-1", "s3"}, credentials));
  EXPECT_TRUE(differs(request, {"20150830T123600Z", "eu-west-2", "s3"}, credentials));
  EXPECT_TRUE(differs(request, scope, {"id", "secret2", "token"}));
  EXPECT_FALSE(differs(request, scope, credentials));
}

TEST(SigV4, DatesAreInUtc) {
  EXPECT_EQ(amz_date(std::chrono::system_clock::time_point(std::chrono::seconds(1369353600))),
            "20130524T000000Z");
  EXPECT_EQ(amz_date({}), "19700101T000000Z");
}

}  // namespace
}  // namespace sluice
