#pragma once
// Files as applications write them into a column: Base64, perhaps behind a data: URI's head.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/model/offload.h"
#include "io/store/file_store.h"
#include "io/store/sha256.h"
#include "io/wire/base64.h"
#include "io/wire/buffer.h"

namespace sluice {

// A value of a column, piece by piece, as often as it is asked for: a large one need not be in memory at
// once.
class TextPieces {
 public:
  virtual ~TextPieces() = default;
  // Begins again.
  virtual void rewind() = 0;
  // The next piece, borrowed until the next call; empty at the end. The head of a data: URI is looked for in
  // the first one.
  virtual std::string_view next() = 0;
};

// One that is in memory. Borrows the text.
class WholeText final : public TextPieces {
 public:
  explicit WholeText(std::string_view text) : text_(text) {}
  void rewind() override { given_ = false; }
  std::string_view next() override {
    if (given_) return {};
    given_ = true;
    return text_;
  }

 private:
  std::string_view text_;
  bool given_ = false;
};

// The file that a value holds. One thread at a time. Decodes as it goes, some hundred kilobytes at a time.
class FileOfText final : public FileContent {
 public:
  // Reads all of the text once. Nothing when it is no file, written as `how` allows. Borrows the pieces.
  // Throws what they throw.
  static std::optional<FileOfText> find(TextPieces& text, const FileText& how);

  [[nodiscard]] const Sha256& sha256() const { return sha256_; }
  // Of the data: URI; empty without one. Printable ASCII, at most 255 bytes.
  [[nodiscard]] const std::string& media_type() const { return media_type_; }

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  void rewind() override;
  std::span<const std::byte> next() override;

 private:
  FileOfText(TextPieces& text, const FileText& how, bool url_alphabet);

  bool examine();
  // Some more of the file; empty at its end, and where it is wrong.
  std::span<const std::byte> decode_more();
  // Makes sure that something of the text is in piece_; false at its end.
  bool has_piece();
  bool take_head();
  std::span<const std::byte> decode(std::string_view characters, bool end);

  TextPieces* text_;
  FileText how_;
  bool url_alphabet_;
  std::string media_type_;
  Sha256 sha256_{};
  std::uint64_t size_ = 0;

  std::string_view piece_;  // what is left of it
  bool first_ = true;       // no piece was taken yet
  bool exhausted_ = false;  // there is none left
  bool padded_ = false;     // padding was seen: nothing may follow
  bool wrong_ = false;
  bool whole_ = false;      // all of the file is in bytes_: it need not be decoded again
  bool given_ = false;      // and was handed over since the last rewind()
  std::string characters_;  // what is decoded together but does not lie together
  Buffer bytes_;
};

// Whether zstd makes files of this type smaller, as a rule: texts and their like, but no pictures, films or
// archives, which are compressed already.
bool is_compressible(std::string_view media_type);

}  // namespace sluice
