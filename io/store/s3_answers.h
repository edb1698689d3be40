#pragma once
// What an S3 server says, read: lists, errors, times. Pure. The server may be anybody: every function ends
// for every text, in time and memory that grow with its length alone.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// Elements, by their names from the top down ("ListBucketResult/Contents/Key", without namespaces), each at
// its end and with the text that stands directly in it. Attributes, comments and processing instructions are
// passed over. False for what is no XML, for a document type, and for what is nested more than 32 deep: then
// some elements may have been handed over.
bool for_each_element(std::string_view xml,
                      const std::function<void(std::string_view path, const std::string& text)>& each);

struct S3Problem {
  std::string code;     // "NoSuchBucket", letters, digits and dots alone; empty when there is none
  std::string message;  // what can be printed of it, a line's worth
  std::string region;   // where the bucket is instead
};
[[nodiscard]] S3Problem parse_problem(std::string_view xml);

struct S3ListPage {
  struct Object {
    std::string key;
    std::uint64_t bytes = 0;
    std::chrono::system_clock::time_point modified;
  };
  std::vector<Object> objects;
  bool truncated = false;
  std::string next_token;   // of the second version of the call
  std::string next_marker;  // of the first
};
// Nothing for what is not such a list, or not all of it.
[[nodiscard]] std::optional<S3ListPage> parse_list(std::string_view xml);

struct S3UploadPage {
  struct Upload {
    std::string key;
    std::string id;
    std::chrono::system_clock::time_point begun;
  };
  std::vector<Upload> uploads;
  bool truncated = false;
  std::string next_key;
  std::string next_id;
};
[[nodiscard]] std::optional<S3UploadPage> parse_uploads(std::string_view xml);

// Of the answer to the begin of an upload.
[[nodiscard]] std::optional<std::string> parse_upload_id(std::string_view xml);

// "2009-10-12T17:50:30.000Z"
[[nodiscard]] std::optional<std::chrono::system_clock::time_point> parse_iso_time(std::string_view text);
// "Mon, 12 Oct 2009 17:50:30 GMT"
[[nodiscard]] std::optional<std::chrono::system_clock::time_point> parse_http_time(std::string_view text);

// Digits alone.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

// The MD5 that an ETag is, in lower-case digits, without its quotes; nothing where it is something else, such
// as that of an upload in parts.
[[nodiscard]] std::optional<std::string> md5_of_etag(std::string_view etag);

}  // namespace sluice
