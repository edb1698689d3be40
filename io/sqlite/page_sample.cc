#include "io/sqlite/page_sample.h"

#include <cstdio>
#include <set>
#include <vector>

#include "io/sqlite/pages.h"

namespace sluice {
namespace {

constexpr std::uint64_t kPagesSpread = 16;
// Where the header has the number of the first page of the list of free ones.
constexpr std::size_t kFreeListOffset = 32;

class Fnv1a {
 public:
  void add(std::byte byte) { hash_ = (hash_ ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3U; }
  void add(Bytes bytes) {
    for (const std::byte byte : bytes) add(byte);
  }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

}  // namespace

std::string page_sample(const DatabaseFile& file, const DatabaseHeader& header) {
  const std::uint64_t pages = header.page_bytes == 0 ? 0 : file.bytes() / header.page_bytes;
  std::vector<std::byte> page(header.page_bytes);
  if (pages == 0 || !file.read(0, page)) return "none";
  std::set<std::uint64_t> numbers;  // from 0
  numbers.insert(0);
  // The header counts pages from 1, and has 0 for none.
  const std::uint64_t free = big_endian(Bytes(page).subspan(kFreeListOffset, 4));
  if (free > 0 && free <= pages) numbers.insert(free - 1);
  for (std::uint64_t i = 1; i <= kPagesSpread; ++i) numbers.insert((pages - 1) * i / kPagesSpread);
  Fnv1a hash;
  for (const std::uint64_t number : numbers) {
    // A page that cannot be read is for the scan to report.
    if (file.read(number * header.page_bytes, page)) hash.add(page);
  }
  std::string text(16, '0');
  std::snprintf(text.data(), text.size() + 1, "%016llx", static_cast<unsigned long long>(hash.hash()));
  return text;
}

}  // namespace sluice
