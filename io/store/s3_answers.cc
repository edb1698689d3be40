#include "io/store/s3_answers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <utility>

#include "engine/model/hex.h"

namespace sluice {
namespace {

using TimePoint = std::chrono::system_clock::time_point;

constexpr std::size_t kDepth = 32;
constexpr std::size_t kNameBytes = 256;
constexpr std::string_view kSpace = " \t\r\n";

void append_utf8(std::string& text, std::uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | (code >> 12));
    text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | (code >> 18));
    text += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// `entity` without its ampersand and semicolon.
bool append_entity(std::string& text, std::string_view entity) {
  struct Named {
    std::string_view name;
    char c;
  };
  constexpr std::array<Named, 5> kNamed = {
      {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}}};
  for (const Named& named : kNamed) {
    if (entity == named.name) {
      text += named.c;
      return true;
    }
  }
  if (!entity.starts_with('#')) return false;
  const bool hex = entity.size() > 1 && entity[1] == 'x';
  const std::string_view digits = entity.substr(hex ? 2 : 1);
  std::uint32_t code = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
  if (error != std::errc() || end != digits.data() + digits.size() || code > 0x10FFFF) return false;
  append_utf8(text, code);
  return true;
}

bool append_text(std::string& text, std::string_view raw) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '&') {
      text += raw[i];
      continue;
    }
    const std::size_t end = raw.substr(i, 16).find(';');
    if (end == std::string_view::npos || !append_entity(text, raw.substr(i + 1, end - 1))) return false;
    i += end;
  }
  return true;
}

// Where the tag that begins at `begin` ends, past quoted attributes.
std::size_t end_of_tag(std::string_view xml, std::size_t begin) {
  char quote = 0;
  for (std::size_t i = begin; i < xml.size(); ++i) {
    if (quote != 0) {
      if (xml[i] == quote) quote = 0;
    } else if (xml[i] == '"' || xml[i] == '\'') {
      quote = xml[i];
    } else if (xml[i] == '>') {
      return i;
    }
  }
  return std::string_view::npos;
}

std::string_view local_name(std::string_view tag) {
  std::string_view name = tag.substr(0, tag.find_first_of(" \t\r\n/"));
  const std::size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

std::optional<std::string> decode_percent(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      const std::optional<std::string> byte = bytes_of_hex(text.substr(i + 1, 2));
      if (!byte || byte->size() != 1) return std::nullopt;
      decoded += *byte;
      i += 2;
    }
  }
  return decoded;
}

// "EncodingType" stands before or after the keys that it is about.
bool decode_keys(const std::string& encoding, const std::vector<std::string*>& keys) {
  if (encoding.empty()) return true;
  if (encoding != "url") return false;
  for (std::string* key : keys) {
    const std::optional<std::string> decoded = decode_percent(*key);
    if (!decoded) return false;
    *key = *decoded;
  }
  return true;
}

std::optional<int> digits_at(std::string_view text, std::size_t at, std::size_t count) {
  if (text.size() < at + count) return std::nullopt;
  const std::optional<std::uint64_t> number = parse_number(text.substr(at, count));
  return number ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

std::optional<TimePoint> moment(std::optional<int> year, std::optional<int> month, std::optional<int> day,
                                std::optional<int> hour, std::optional<int> minute,
                                std::optional<int> second) {
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  // A clock of nanoseconds ends in 2262.
  if (*year < 1970 || *year > 2200 || *month < 1 || *month > 12 || *day < 1 || *day > 31 || *hour > 23 ||
      *minute > 59 || *second > 60) {
    return std::nullopt;
  }
  std::tm parts{};
  parts.tm_year = *year - 1900;
  parts.tm_mon = *month - 1;
  parts.tm_mday = *day;
  parts.tm_hour = *hour;
  parts.tm_min = *minute;
  parts.tm_sec = *second;
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

}  // namespace

bool for_each_element(std::string_view xml,
                      const std::function<void(std::string_view path, const std::string& text)>& each) {
  struct Open {
    std::size_t path_size = 0;  // of the path above
    std::string text{};
  };
  std::vector<Open> open;
  std::string path;
  bool complete = false;  // the outermost element has ended
  const auto close = [&] {
    each(path, open.back().text);
    path.resize(open.back().path_size);
    open.pop_back();
    complete = open.empty();
  };
  if (xml.starts_with("\xEF\xBB\xBF")) xml.remove_prefix(3);
  std::size_t at = 0;
  while (at < xml.size()) {
    const std::size_t tag = std::min(xml.find('<', at), xml.size());
    const std::string_view text = xml.substr(at, tag - at);
    if (open.empty()) {
      if (text.find_first_not_of(kSpace) != std::string_view::npos) return false;
    } else if (!append_text(open.back().text, text)) {
      return false;
    }
    if (tag == xml.size()) break;
    const std::string_view rest = xml.substr(tag);
    const auto pass = [&](std::string_view begin, std::string_view end) {
      const std::size_t found = rest.find(end, begin.size());
      at = found == std::string_view::npos ? std::string_view::npos : tag + found + end.size();
      return at != std::string_view::npos;
    };
    if (rest.starts_with("<?")) {
      if (!pass("<?", "?>")) return false;
      continue;
    }
    if (rest.starts_with("<!--")) {
      if (!pass("<!--", "-->")) return false;
      continue;
    }
    if (rest.starts_with("<![CDATA[")) {
      if (open.empty() || !pass("<![CDATA[", "]]>")) return false;
      open.back().text += rest.substr(9, at - tag - 12);
      continue;
    }
    if (rest.starts_with("<!")) return false;
    const std::size_t end = end_of_tag(xml, tag + 1);
    if (end == std::string_view::npos || complete) return false;
    at = end + 1;
    const bool closes = rest.starts_with("</");
    const std::string_view inner = xml.substr(tag + (closes ? 2 : 1), end - tag - (closes ? 2 : 1));
    const std::string_view name = local_name(inner);
    if (name.empty() || name.size() > kNameBytes) return false;
    if (closes) {
      if (open.empty()) return false;
      const std::size_t above = open.back().path_size;
      if (std::string_view(path).substr(above == 0 ? 0 : above + 1) != name) return false;
      close();
      continue;
    }
    if (open.size() == kDepth) return false;
    open.push_back({path.size()});
    if (!path.empty()) path += '/';
    path += name;
    if (inner.ends_with('/')) close();
  }
  return complete;
}

S3Problem parse_problem(std::string_view xml) {
  S3Problem problem;
  for_each_element(xml, [&](std::string_view path, const std::string& text) {
    if (path == "Error/Code") {
      for (const char c : text.substr(0, 64)) {
        const bool fine =
            (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
        if (!fine) return;
      }
      problem.code = text.substr(0, 64);
    } else if (path == "Error/Message") {
      problem.message.clear();
      for (const char c : text.substr(0, 200)) problem.message += c >= ' ' && c <= '~' ? c : ' ';
    } else if (path == "Error/Region") {
      if (text.size() <= 64 &&
          text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos) {
        problem.region = text;
      }
    }
  });
  return problem;
}

std::optional<S3ListPage> parse_list(std::string_view xml) {
  S3ListPage page;
  S3ListPage::Object object;
  std::optional<std::uint64_t> bytes;
  std::optional<TimePoint> modified;
  std::string encoding;
  bool fine = true;
  bool is_list = false;
  const bool whole = for_each_element(xml, [&](std::string_view path, const std::string& text) {
    if (path == "ListBucketResult") is_list = true;
    if (path == "ListBucketResult/Contents/Key") object.key = text;
    if (path == "ListBucketResult/Contents/Size") bytes = parse_number(text);
    if (path == "ListBucketResult/Contents/LastModified") modified = parse_iso_time(text);
    if (path == "ListBucketResult/Contents") {
      fine = fine && bytes && modified && !object.key.empty();
      if (fine) {
        object.bytes = *bytes;
        object.modified = *modified;
        page.objects.push_back(std::move(object));
      }
      object = {};
      bytes.reset();
      modified.reset();
    }
    if (path == "ListBucketResult/IsTruncated") page.truncated = text == "true";
    if (path == "ListBucketResult/NextContinuationToken") page.next_token = text;
    if (path == "ListBucketResult/NextMarker") page.next_marker = text;
    if (path == "ListBucketResult/EncodingType") encoding = text;
  });
  std::vector<std::string*> keys{&page.next_marker};
  for (S3ListPage::Object& each : page.objects) keys.push_back(&each.key);
  if (!whole || !is_list || !fine || !decode_keys(encoding, keys)) return std::nullopt;
  return page;
}

std::optional<S3UploadPage> parse_uploads(std::string_view xml) {
  S3UploadPage page;
  S3UploadPage::Upload upload;
  std::optional<TimePoint> begun;
  std::string encoding;
  bool fine = true;
  bool is_list = false;
  const bool whole = for_each_element(xml, [&](std::string_view path, const std::string& text) {
    if (path == "ListMultipartUploadsResult") is_list = true;
    if (path == "ListMultipartUploadsResult/Upload/Key") upload.key = text;
    if (path == "ListMultipartUploadsResult/Upload/UploadId") upload.id = text;
    if (path == "ListMultipartUploadsResult/Upload/Initiated") begun = parse_iso_time(text);
    if (path == "ListMultipartUploadsResult/Upload") {
      fine = fine && begun && !upload.key.empty() && !upload.id.empty();
      if (fine) {
        upload.begun = *begun;
        page.uploads.push_back(std::move(upload));
      }
      upload = {};
      begun.reset();
    }
    if (path == "ListMultipartUploadsResult/IsTruncated") page.truncated = text == "true";
    if (path == "ListMultipartUploadsResult/NextKeyMarker") page.next_key = text;
    if (path == "ListMultipartUploadsResult/NextUploadIdMarker") page.next_id = text;
    if (path == "ListMultipartUploadsResult/EncodingType") encoding = text;
  });
  std::vector<std::string*> keys{&page.next_key};
  for (S3UploadPage::Upload& each : page.uploads) keys.push_back(&each.key);
  if (!whole || !is_list || !fine || !decode_keys(encoding, keys)) return std::nullopt;
  return page;
}

std::optional<std::string> parse_upload_id(std::string_view xml) {
  std::string id;
  const bool whole = for_each_element(xml, [&](std::string_view path, const std::string& text) {
    if (path == "InitiateMultipartUploadResult/UploadId") id = text;
  });
  if (!whole || id.empty() || id.size() > 4096) return std::nullopt;
  return id;
}

std::optional<TimePoint> parse_iso_time(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':') {
    return std::nullopt;
  }
  // Fractions of a second do not matter here.
  std::string_view rest = text.substr(19);
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    rest.remove_prefix(std::min(rest.find_first_not_of("0123456789"), rest.size()));
  }
  if (rest != "Z") return std::nullopt;
  return moment(digits_at(text, 0, 4), digits_at(text, 5, 2), digits_at(text, 8, 2), digits_at(text, 11, 2),
                digits_at(text, 14, 2), digits_at(text, 17, 2));
}

std::optional<TimePoint> parse_http_time(std::string_view text) {
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != 29 || !text.ends_with(" GMT") || text[3] != ',' || text[4] != ' ' || text[7] != ' ' ||
      text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':') {
    return std::nullopt;
  }
  const std::size_t month = kMonths.find(text.substr(8, 3));
  if (month == std::string_view::npos || month % 3 != 0) return std::nullopt;
  return moment(digits_at(text, 12, 4), static_cast<int>(month / 3) + 1, digits_at(text, 5, 2),
                digits_at(text, 17, 2), digits_at(text, 20, 2), digits_at(text, 23, 2));
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::string> md5_of_etag(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  if (etag.size() != 32) return std::nullopt;
  const std::optional<std::string> bytes = bytes_of_hex(etag);
  if (!bytes) return std::nullopt;
  return hex_of(*bytes);
}

}  // namespace sluice
