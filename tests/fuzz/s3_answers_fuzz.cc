// Answers of S3 servers: whatever comes, it is read in bounds, and what a list holds has all its parts.

#include "io/store/s3_answers.h"

#include "fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  const auto [way, rest] = fuzz::choose(data, size, 6);
  std::size_t text_bytes = 0;
  for_each_element(rest, [&](std::string_view path, const std::string& text) {
    fuzz::expect(!path.empty() && path.front() != '/', "every element has a name");
    text_bytes += text.size();
  });
  fuzz::expect(text_bytes <= rest.size(), "no text comes from nothing");
  switch (way) {
    case 0:
      if (const auto page = parse_list(rest)) {
        for (const S3ListPage::Object& object : page->objects)
          fuzz::expect(!object.key.empty(), "each has a key");
      }
      break;
    case 1:
      if (const auto page = parse_uploads(rest)) {
        for (const S3UploadPage::Upload& upload : page->uploads) {
          fuzz::expect(!upload.key.empty() && !upload.id.empty(), "each has a key and an id");
        }
      }
      break;
    case 2: {
      const S3Problem problem = parse_problem(rest);
      for (const char c : problem.code + problem.message + problem.region) {
        fuzz::expect(c >= ' ' && c <= '~', "it can be printed");
      }
      break;
    }
    case 3:
      static_cast<void>(parse_iso_time(rest));
      break;
    case 4:
      static_cast<void>(parse_http_time(rest));
      break;
    default:
      static_cast<void>(md5_of_etag(rest));
      static_cast<void>(parse_upload_id(rest));
  }
  return 0;
}
