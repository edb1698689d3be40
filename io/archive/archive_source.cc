#include "io/archive/archive_source.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "engine/model/error.h"
#include "io/archive/zstd_frame.h"
#include "io/store/sha256.h"
#include "io/wire/row_encoder.h"
#include "io/wire/tuple_walker.h"

namespace sluice {
namespace {

constexpr const char* kAdvice = "take another copy of the archive, or export the source again";

// A row that is not complete within so many bytes is handed over in pieces.
constexpr std::size_t kTupleBytesKept = std::size_t{1} << 20;

constexpr std::size_t kRejectStep = std::size_t{64} << 10;
// The server takes no larger field.
constexpr std::size_t kRejectBytesMax = kFieldBytesMax;

[[noreturn]] void refuse(const std::string& what) { throw Error(Fault::source_unreadable, what, kAdvice); }

// What a lane needs for one range after the other. Memory that nothing was put into costs nothing.
struct Workspace {
  ZstdDecompressor decompressor;
  std::unique_ptr<std::byte[]> stored = std::make_unique_for_overwrite<std::byte[]>(kStoredFrameBytesMax);
  std::unique_ptr<std::byte[]> content =
      std::make_unique_for_overwrite<std::byte[]>(kTupleBytesKept + kFrameBytesMax);
};

class ArchiveScan final : public Scan {
 public:
  ArchiveScan(const Archive& archive, Workspace& workspace, const TablePlan& plan, std::size_t number)
      : folder_(archive.folder()),
        workspace_(workspace),
        fields_(plan.columns.size()),
        entry_(archive.manifest().tables.at(static_cast<std::size_t>(plan.id)).ranges.at(number)),
        name_(stream_file(static_cast<std::size_t>(plan.id), plan.source, number)),
        rejects_name_(rejects_file(static_cast<std::size_t>(plan.id), plan.source, number)),
        file_(folder_.read(name_)) {}

  std::optional<Row> next() override { throw Error(Fault::internal, "an archive has no cells"); }

  bool deliver(RangeWriter& writer, std::uint64_t& rows) override {
    try {
      if (!std::exchange(expecting_, true)) {
        writer.expect({entry_.rows_loaded, entry_.rows_rejected, &entry_.digest, name_});
      }
      if (frame_ == entry_.frames.size()) {
        finish();
        deliver_rejects(writer, rows);
        return false;
      }
      read_frame();
      deliver_tuples(writer, rows);
      return true;
    } catch (const Error& error) {
      if (error.fault() != Fault::source_unreadable) throw;
      const std::string what = error.what();
      if (what.starts_with(name_) || what.starts_with(rejects_name_)) throw;
      refuse(place() + what);
    }
  }

 private:
  class Pieces;

  [[nodiscard]] std::string place() const {
    return frame_ == 0 || finished_ ? name_ + ": "
                                    : name_ + ", frame " + std::to_string(frame_) + " of " +
                                          std::to_string(entry_.frames.size()) + ": ";
  }

  [[nodiscard]] std::span<const std::byte> rest() const {
    return {workspace_.content.get() + at_, end_ - at_};
  }

  // REQUIRES: there is another one.
  void read_frame() {
    const FrameEntry& frame = entry_.frames[frame_++];
    std::memmove(workspace_.content.get(), workspace_.content.get() + at_, end_ - at_);
    end_ -= std::exchange(at_, 0);
    const std::span<std::byte> stored(workspace_.stored.get(), frame.bytes);
    if (file_.read(stored) != stored.size()) refuse("the file ends in it");
    hasher_.add(stored);
    workspace_.decompressor.decompress(stored, std::span(workspace_.content.get() + end_, frame.content));
    end_ += frame.content;
  }

  // As far as there are whole ones.
  void deliver_tuples(RangeWriter& writer, std::uint64_t& rows) {
    if (!header_seen_) {
      if (rest().size() < copy_header().size()) return;
      if (std::memcmp(rest().data(), copy_header().data(), copy_header().size()) != 0) {
        refuse("it does not begin as binary COPY does");
      }
      at_ += copy_header().size();
      header_seen_ = true;
    }
    while (!rest().empty()) {
      if (trailer_seen_) refuse("something follows the trailer of COPY");
      if (begins_with_trailer(rest())) {
        trailer_seen_ = true;
        at_ += copy_trailer().size();
        continue;
      }
      if (const std::optional<std::size_t> size = size_of_tuple(rest(), fields_)) {
        writer.write_tuple(rest().first(*size));
        at_ += *size;
      } else if (rest().size() < kTupleBytesKept || frame_ == entry_.frames.size()) {
        return;
      } else {
        deliver_large(writer);
      }
      ++rows;
    }
  }

  void deliver_large(RangeWriter& writer);

  void finish() {
    finished_ = true;
    if (!rest().empty()) refuse("it ends in the middle of a row");
    if (!trailer_seen_) refuse("it ends without the trailer of COPY");
    std::byte more{};
    if (file_.read(std::span(&more, 1)) != 0) refuse("it is longer than the manifest says");
    if (hasher_.finish() != entry_.stream.sha256) refuse("its SHA-256 is not the one in the manifest");
  }

  // The records are looked at twice: none of them goes anywhere before the file is known to be the right one.
  void deliver_rejects(RangeWriter& writer, std::uint64_t& rows) const {
    if (!entry_.has_rejects()) return;
    FileReader file = folder_.read(rejects_name_);
    std::vector<std::byte> step(kRejectStep);
    Sha256Hasher hasher;
    while (const std::size_t count = file.read(step)) hasher.add(std::span(step).first(count));
    if (hasher.finish() != entry_.rejects.sha256) {
      refuse(rejects_name_ + ": its SHA-256 is not the one in the manifest");
    }
    file = folder_.read(rejects_name_);
    std::string line;
    while (const std::size_t count = file.read(step)) {
      std::string_view text(reinterpret_cast<const char*>(step.data()), count);
      while (!text.empty()) {
        const std::size_t end = text.find('\n');
        line += text.substr(0, end);
        if (line.size() > kRejectBytesMax) refuse(rejects_name_ + ": a record is larger than records are");
        if (end == text.npos) break;
        text.remove_prefix(end + 1);
        deliver_reject(writer, line);
        ++rows;
        line.clear();
      }
    }
    if (!line.empty()) refuse(rejects_name_ + ": it ends in the middle of a record");
  }

  void deliver_reject(RangeWriter& writer, std::string& line) const {
    constexpr std::string_view kBegin = "{\"row\": ";
    std::uint64_t row = 0;
    const char* const end = line.data() + line.size();
    const bool begins = line.starts_with(kBegin);
    const auto number = std::from_chars(line.data() + (begins ? kBegin.size() : line.size()), end, row);
    const std::string_view after(number.ptr, static_cast<std::size_t>(end - number.ptr));
    if (number.ec != std::errc{} || !after.starts_with(", ") || row == 0 || row > INT64_MAX) {
      refuse(rejects_name_ + ": a record does not begin with the number of its row");
    }
    // The record is what follows, with its brace before it.
    const std::size_t start = line.size() - after.size() + 1;
    line[start] = '{';
    writer.write_reject(row, std::string_view(line).substr(start));
  }

  const ArchiveFolder& folder_;
  Workspace& workspace_;
  const std::size_t fields_;
  const RangeEntry& entry_;
  const std::string name_;
  const std::string rejects_name_;
  FileReader file_;
  Sha256Hasher hasher_;
  std::size_t frame_ = 0;  // so many have been read
  // Of the content in the workspace, what has not been delivered.
  std::size_t at_ = 0;
  std::size_t end_ = 0;
  bool expecting_ = false;
  bool header_seen_ = false;
  bool trailer_seen_ = false;
  bool finished_ = false;
};

// The tuple that begins in what is there and ends in a later frame.
class ArchiveScan::Pieces final : public TuplePieces {
 public:
  explicit Pieces(ArchiveScan& scan) : scan_(scan), walker_(scan.fields_) {}

  std::span<const std::byte> next() override {
    if (walker_.done()) return {};
    if (scan_.rest().empty()) {
      if (scan_.frame_ == scan_.entry_.frames.size()) refuse("the file ends in the middle of a row");
      scan_.read_frame();
    }
    const std::span<const std::byte> piece = scan_.rest().first(walker_.take(scan_.rest()));
    scan_.at_ += piece.size();
    return piece;
  }

 private:
  ArchiveScan& scan_;
  TupleWalker walker_;
};

void ArchiveScan::deliver_large(RangeWriter& writer) {
  Pieces pieces(*this);
  writer.write_tuple(pieces);
}

class ArchiveSource final : public Source {
 public:
  explicit ArchiveSource(const Archive& archive) : archive_(archive) {}

  std::unique_ptr<Scan> scan(const TablePlan& plan, const Extent& extent) override {
    return std::make_unique<ArchiveScan>(archive_, workspace_, plan, archive_.range_of(plan, extent));
  }

 private:
  const Archive& archive_;
  Workspace workspace_;
};

}  // namespace

Archive::Archive(ArchiveFolder folder, Manifest manifest, const std::vector<TablePlan>& tables)
    : folder_(std::move(folder)), manifest_(std::move(manifest)) {
  check_against_plan(manifest_, tables);
  std::vector<std::string> wrong;
  const auto look = [&](const std::string& name, const StoredPart& part) {
    const std::optional<std::uint64_t> bytes = folder_.size_of(name);
    if (bytes == part.bytes) return;
    wrong.push_back(!bytes ? name + " is missing or no plain file"
                           : name + " has " + std::to_string(*bytes) + " bytes of " +
                                 std::to_string(part.bytes));
  };
  for (std::size_t number = 0; number < tables.size(); ++number) {
    const TableEntry& table = manifest_.tables[number];
    for (std::size_t range = 0; range < table.ranges.size(); ++range) {
      const RangeEntry& entry = table.ranges[range];
      look(stream_file(number, table.source, range), entry.stream);
      if (entry.has_rejects()) look(rejects_file(number, table.source, range), entry.rejects);
    }
    std::map<std::string, std::size_t>& ranges = ranges_.emplace_back();
    for (const Extent& extent : tables[number].extents) ranges.emplace(format_extent(extent), ranges.size());
  }
  if (wrong.empty()) return;
  constexpr std::size_t kNamed = 20;
  std::string list;
  for (std::size_t i = 0; i < std::min(wrong.size(), kNamed); ++i) list += (i == 0 ? "" : "; ") + wrong[i];
  if (wrong.size() > kNamed) list += "; and " + std::to_string(wrong.size() - kNamed) + " more";
  refuse(list);
}

std::size_t Archive::range_of(const TablePlan& plan, const Extent& extent) const {
  return ranges_.at(static_cast<std::size_t>(plan.id)).at(format_extent(extent));
}

std::unique_ptr<Source> make_archive_source(const Archive& archive) {
  return std::make_unique<ArchiveSource>(archive);
}

}  // namespace sluice
