#include "io/sqlite/wal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>

namespace sluice {
namespace {

std::uint32_t big_endian(const unsigned char* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         std::uint32_t{bytes[3]};
}

// The wal-index header, in native byte order except for the salts, which are copied from the log.
struct IndexHeader {
  std::uint32_t version;
  std::uint32_t unused;
  std::uint32_t change;
  std::uint8_t initialised;
  std::uint8_t big_endian_checksums;
  std::uint16_t page_bytes;
  std::uint32_t frames;
  std::uint32_t pages;
  std::uint32_t frame_checksum[2];
  unsigned char salts[8];
  std::uint32_t checksum[2];
};
static_assert(sizeof(IndexHeader) == 48);

constexpr std::uint32_t kIndexVersion = 3007000;
constexpr int kIndexRegionBytes = 32768;
constexpr int kTornReadsMax = 10000;

constexpr std::size_t kLogHeaderBytes = 32;
constexpr std::size_t kFrameHeaderBytes = 24;

class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& path)
      : number_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  template <std::size_t size>
  bool read(std::array<unsigned char, size>& buffer, std::uint64_t offset) const {
    return number_ >= 0 && pread(number_, buffer.data(), size, static_cast<off_t>(offset)) == ssize_t{size};
  }

 private:
  int number_;
};

}  // namespace

std::string WalTip::text() const {
  if (frames == 0) return "none";
  std::array<char, 64> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%08x.%08x.%u.%08x%08x", salt_1, salt_2, frames, checksum_1,
                checksum_2);
  return buffer.data();
}

std::optional<WalTip> published_tip(sqlite3* database) {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file));
  if (file == nullptr || file->pMethods == nullptr || file->pMethods->iVersion < 2) return std::nullopt;
  void volatile* region = nullptr;
  // 0: do not extend. The connection has mapped the region for itself already, so this only hands it out.
  const int code = file->pMethods->xShmMap(file, 0, kIndexRegionBytes, 0, &region);
  if ((code != SQLITE_OK && code != SQLITE_READONLY) || region == nullptr) return std::nullopt;

  // The header is there twice, and writers write the second copy first: equal copies are whole.
  for (int attempt = 0; attempt < kTornReadsMax; ++attempt) {
    std::array<std::uint32_t, 24> words{};
    const auto* const source = static_cast<const volatile std::uint32_t*>(region);
    for (std::size_t i = 0; i < 12; ++i) words[i] = source[i];
    __sync_synchronize();
    for (std::size_t i = 12; i < 24; ++i) words[i] = source[i];
    if (std::memcmp(words.data(), words.data() + 12, sizeof(IndexHeader)) != 0) continue;
    IndexHeader header{};
    std::memcpy(&header, words.data(), sizeof header);
    if (header.initialised == 0 || header.version != kIndexVersion) return std::nullopt;
    return WalTip{header.change, big_endian(header.salts), big_endian(header.salts + 4),
                  header.frames, header.frame_checksum[0], header.frame_checksum[1]};
  }
  return std::nullopt;
}

WalTip tip_in_log(const std::filesystem::path& log) {
  const Descriptor descriptor(log);
  std::array<unsigned char, kLogHeaderBytes> header{};
  if (!descriptor.read(header, 0)) return {};
  if ((big_endian(header.data()) & 0xfffffffe) != 0x377f0682) return {};
  const std::uint32_t page_bytes = big_endian(header.data() + 8);
  if (page_bytes < 512 || page_bytes > 65536) return {};

  WalTip tip;
  tip.salt_1 = big_endian(header.data() + 16);
  tip.salt_2 = big_endian(header.data() + 20);
  std::array<unsigned char, kFrameHeaderBytes> frame{};
  for (std::uint32_t number = 1;; ++number) {
    const std::uint64_t offset =
        kLogHeaderBytes + std::uint64_t{number - 1} * (kFrameHeaderBytes + page_bytes);
    if (number == UINT32_MAX || !descriptor.read(frame, offset)) break;
    // Another salt: left over from before the log was last restarted.
    if (big_endian(frame.data() + 8) != tip.salt_1 || big_endian(frame.data() + 12) != tip.salt_2) break;
    // Non-zero in the last frame of a commit alone.
    if (big_endian(frame.data() + 4) == 0) continue;
    tip.frames = number;
    tip.checksum_1 = big_endian(frame.data() + 16);
    tip.checksum_2 = big_endian(frame.data() + 20);
  }
  return tip;
}

}  // namespace sluice
