#include "io/archive/archive_sink.h"

#include <chrono>
#include <optional>
#include <utility>

#include "engine/model/error.h"
#include "io/archive/zstd_frame.h"
#include "io/store/sha256.h"
#include "io/wire/reject_record.h"
#include "io/wire/row_encoder.h"
#include "verify/leaves.h"
#include "verify/row_digester.h"

namespace sluice {
namespace {

constexpr std::size_t kRejectBytesKept = std::size_t{1} << 20;

// What a lane needs for one range after the other, so that only the first one pays for it.
struct Workspace {
  explicit Workspace(int level) : compressor(level) {}
  ZstdCompressor compressor;
  Buffer frame{kFrameBytes};
  std::vector<std::byte> stored;
};

// A file whose SHA-256 is taken on the way.
class HashedFile {
 public:
  explicit HashedFile(FileWriter file) : file_(std::move(file)) {}

  void write(std::span<const std::byte> bytes) {
    hasher_.add(bytes);
    file_.write(bytes);
  }
  StoredPart finish() {
    file_.finish();
    return {file_.bytes(), hasher_.finish()};
  }

 private:
  FileWriter file_;
  Sha256Hasher hasher_;
};

class ArchiveWriter final : public RangeWriter {
 public:
  ArchiveWriter(ArchiveFolder& folder, Workspace& workspace, const OnArchivedRange& on_range,
                const RangeTask& task)
      : folder_(folder),
        workspace_(workspace),
        on_range_(on_range),
        task_(task),
        row_(*task.plan),
        digester_(*task.plan),
        file_(folder.write(name_of(stream_file))) {
    workspace_.frame.clear();
    seal_.table = task.plan->id;
    seal_.number = task.number;
    append(copy_header());
  }

  void write(Row row) override {
    ++seal_.rows_read;
    if (!row_.take(row)) [[unlikely]]
      return reject(row);
    digester_.add(row_.key_tuple(), row_.digest());
    ++seal_.rows_loaded;
    for (const std::span<const std::byte> piece : row_.pieces()) append(piece);
  }

  [[nodiscard]] std::uint64_t bytes() const override { return seal_.bytes; }

  RangeSeal seal() override {
    append(copy_trailer());
    if (!workspace_.frame.empty()) store_frame();
    if (rejects_file_) {
      store_rejects();
      entry_.rejects = rejects_file_->finish();
    }
    entry_.stream = file_.finish();
    seal_.digest = digester_.finish();
    entry_.digest = seal_.digest;
    entry_.rows_loaded = seal_.rows_loaded;
    entry_.rows_rejected = seal_.rows_rejected;
    seal_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    on_range_(task_, std::move(entry_));
    return std::move(seal_);
  }

 private:
  [[nodiscard]] std::string name_of(std::string (*file)(std::size_t, std::string_view, std::size_t)) const {
    return file(static_cast<std::size_t>(task_.plan->id), task_.plan->source,
                static_cast<std::size_t>(task_.number));
  }

  void append(std::span<const std::byte> bytes) {
    Buffer& frame = workspace_.frame;
    seal_.bytes += bytes.size();
    while (!bytes.empty()) {
      const std::size_t room = kFrameBytes - frame.size();
      frame.append(bytes.first(std::min(room, bytes.size())));
      bytes = bytes.subspan(std::min(room, bytes.size()));
      if (frame.size() == kFrameBytes) store_frame();
    }
  }

  void store_frame() {
    workspace_.stored.clear();
    workspace_.compressor.compress(workspace_.frame.span(), workspace_.stored);
    file_.write(workspace_.stored);
    entry_.frames.push_back({workspace_.stored.size(), workspace_.frame.size()});
    workspace_.frame.clear();
  }

  void reject(Row row) {
    const std::string record = reject_record(*task_.plan, row, row_.reject());
    rejects_ += "{\"row\": " + std::to_string(seal_.rows_read) + ", " + record.substr(1) + "\n";
    ++seal_.rows_rejected;
    if (!rejects_file_) rejects_file_.emplace(folder_.write(name_of(rejects_file)));
    if (rejects_.size() >= kRejectBytesKept) store_rejects();
  }

  void store_rejects() {
    rejects_file_->write(std::as_bytes(std::span(rejects_)));
    rejects_.clear();
  }

  ArchiveFolder& folder_;
  Workspace& workspace_;
  const OnArchivedRange& on_range_;
  const RangeTask task_;
  RowDigester row_;
  RangeDigester digester_;
  HashedFile file_;
  std::optional<HashedFile> rejects_file_;
  std::string rejects_;
  RangeEntry entry_;
  RangeSeal seal_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

class ArchiveSink final : public Sink {
 public:
  ArchiveSink(ArchiveFolder& folder, int level, OnArchivedRange on_range)
      : folder_(folder), on_range_(std::move(on_range)), workspace_(level) {}

  std::unique_ptr<RangeWriter> begin(const RangeTask& task, Claim /*claim*/) override {
    return std::make_unique<ArchiveWriter>(folder_, workspace_, on_range_, task);
  }

 private:
  ArchiveFolder& folder_;
  const OnArchivedRange on_range_;
  Workspace workspace_;
};

}  // namespace

std::unique_ptr<Sink> make_archive_sink(ArchiveFolder& folder, int zstd_level, OnArchivedRange on_range) {
  return std::make_unique<ArchiveSink>(folder, zstd_level, std::move(on_range));
}

}  // namespace sluice
