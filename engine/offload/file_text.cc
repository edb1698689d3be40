#include "engine/offload/file_text.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "engine/model/quote.h"

namespace sluice {
namespace {

// Text and bytes of it stay in the second-level cache between decoding and hashing. A multiple of four.
constexpr std::size_t kCharactersAtOnce = std::size_t{256} << 10;

constexpr std::size_t kMediaTypeBytesMax = 255;

bool is_line_break(char c) { return c == '\r' || c == '\n'; }

}  // namespace

std::optional<FileOfText> FileOfText::find(TextPieces& text, const FileText& how) {
  // Which alphabet it is shows only where the two differ.
  for (const bool url_alphabet : {false, true}) {
    if (url_alphabet && !how.url_alphabet) break;
    FileOfText file(text, how, url_alphabet);
    if (file.examine()) return file;
  }
  return std::nullopt;
}

FileOfText::FileOfText(TextPieces& text, const FileText& how, bool url_alphabet)
    : text_(&text), how_(how), url_alphabet_(url_alphabet) {}

bool FileOfText::examine() {
  Sha256Hasher hasher;
  std::size_t steps = 0;
  rewind();
  for (std::span<const std::byte> bytes = decode_more(); !bytes.empty(); bytes = decode_more()) {
    hasher.add(bytes);
    size_ += bytes.size();
    ++steps;
  }
  if (wrong_) return false;
  sha256_ = hasher.finish();
  whole_ = steps == 1;
  return true;
}

void FileOfText::rewind() {
  given_ = false;
  if (whole_) return;
  text_->rewind();
  piece_ = {};
  first_ = true;
  exhausted_ = padded_ = wrong_ = false;
  characters_.clear();
}

std::span<const std::byte> FileOfText::next() {
  if (!whole_) return decode_more();
  if (given_) return {};
  given_ = true;
  return bytes_.span();
}

bool FileOfText::has_piece() {
  if (!piece_.empty()) return true;
  if (exhausted_) return false;
  piece_ = text_->next();
  if (first_) {
    first_ = false;
    if (how_.data_uri && !take_head()) {
      wrong_ = true;
      return false;
    }
    // A head with nothing behind it in the same piece.
    if (piece_.empty()) piece_ = text_->next();
  }
  exhausted_ = piece_.empty();
  return !exhausted_;
}

bool FileOfText::take_head() {
  const std::optional<std::string_view> media_type = take_data_uri(piece_);
  if (!media_type || media_type->size() > kMediaTypeBytesMax) return false;
  // It becomes the value of another column, and what is no media type has no business there.
  const bool printable =
      std::all_of(media_type->begin(), media_type->end(), [](char c) { return c > ' ' && c < '\x7f'; });
  media_type_ = *media_type;
  return printable;
}

std::span<const std::byte> FileOfText::decode_more() {
  while (!wrong_ && has_piece()) {
    // Straight from the text where whole groups of it lie together.
    if (characters_.empty() && !how_.line_breaks && piece_.size() >= 4) {
      const std::size_t count = std::min(piece_.size() / 4 * 4, kCharactersAtOnce);
      const std::string_view groups = piece_.substr(0, count);
      piece_.remove_prefix(count);
      return decode(groups, false);
    }
    // Line breaks are taken out; a group that two pieces share is put together, and the rest of the second
    // one can be taken as it lies.
    const std::size_t wanted = how_.line_breaks ? kCharactersAtOnce : 4;
    while (characters_.size() < wanted && has_piece()) {
      const std::string_view some = piece_.substr(0, wanted - characters_.size());
      piece_.remove_prefix(some.size());
      std::copy_if(some.begin(), some.end(), std::back_inserter(characters_),
                   [&](char c) { return !how_.line_breaks || !is_line_break(c); });
    }
    const std::size_t count = characters_.size() / 4 * 4;
    if (count == 0) continue;
    const std::span<const std::byte> bytes = decode(std::string_view(characters_).substr(0, count), false);
    characters_.erase(0, count);
    return bytes;
  }
  if (wrong_ || characters_.empty()) return {};
  // A group without its padding.
  const std::string last = std::exchange(characters_, {});
  return decode(last, true);
}

std::span<const std::byte> FileOfText::decode(std::string_view characters, bool end) {
  bytes_.clear();
  Base64Options options;
  options.url_alphabet = url_alphabet_;
  options.missing_padding = end && how_.missing_padding;
  const std::size_t room = base64_bytes_max(characters.size());
  const Base64Decoded decoded = decode_base64(characters, std::span(bytes_.ensure(room), room), options);
  if (decoded.wrong_at || padded_) {
    wrong_ = true;
    return {};
  }
  padded_ = decoded.bytes < characters.size() / 4 * 3 || end;
  bytes_.commit(decoded.bytes);
  return bytes_.span();
}

bool is_compressible(std::string_view media_type) {
  const std::string_view type = media_type.substr(0, media_type.find(';'));
  const std::string name = fold_ascii(type);
  constexpr std::array<std::string_view, 14> kTypes = {"application/json",
                                                       "application/xml",
                                                       "application/javascript",
                                                       "application/sql",
                                                       "application/x-ndjson",
                                                       "application/rtf",
                                                       "application/postscript",
                                                       "application/x-tar",
                                                       "application/yaml",
                                                       "application/toml",
                                                       "application/x-sh",
                                                       "image/svg+xml",
                                                       "image/bmp",
                                                       "application/wasm"};
  return name.starts_with("text/") || name.ends_with("+json") || name.ends_with("+xml") ||
         std::find(kTypes.begin(), kTypes.end(), name) != kTypes.end();
}

}  // namespace sluice
