#include "verify/merkle.h"

#include <algorithm>

#include "io/wire/buffer.h"
#include "verify/row_digest.h"

namespace sluice {
namespace {

constexpr std::byte kLeafLevel{0};
// Above any level a tree can reach, so that a table can never be mistaken for a node.
constexpr std::byte kTableLevel{0xff};

void put_digest(Buffer& buffer, const Digest& digest) {
  buffer.put_int64(static_cast<std::int64_t>(digest.high));
  buffer.put_int64(static_cast<std::int64_t>(digest.low));
}

Digest fold(std::vector<Digest> nodes) {
  if (nodes.empty()) return digest_of_bytes(std::span(&kLeafLevel, 1));
  Buffer buffer;
  for (unsigned level = 1; nodes.size() > 1; ++level) {
    std::vector<Digest> parents;
    parents.reserve((nodes.size() + 1) / 2);
    for (std::size_t i = 0; i + 1 < nodes.size(); i += 2) {
      buffer.clear();
      buffer.put_byte(static_cast<std::byte>(level));
      put_digest(buffer, nodes[i]);
      put_digest(buffer, nodes[i + 1]);
      parents.push_back(digest_of_bytes(buffer.span()));
    }
    if (nodes.size() % 2 == 1) parents.push_back(nodes.back());
    nodes = std::move(parents);
  }
  return nodes.front();
}

}  // namespace

Digest merkle_root(std::span<const RowSum> leaves) {
  std::vector<Digest> nodes;
  nodes.reserve(leaves.size());
  Buffer buffer;
  for (const RowSum& leaf : leaves) {
    buffer.clear();
    buffer.put_byte(kLeafLevel);
    buffer.put_int64(static_cast<std::int64_t>(leaf.rows));
    put_digest(buffer, leaf.sum);
    nodes.push_back(digest_of_bytes(buffer.span()));
  }
  return fold(std::move(nodes));
}

Digest database_root(std::vector<std::pair<std::string, Digest>> tables) {
  std::sort(tables.begin(), tables.end(),
            [](const auto& left, const auto& right) { return left.first < right.first; });
  std::vector<Digest> nodes;
  nodes.reserve(tables.size());
  Buffer buffer;
  for (const auto& [name, root] : tables) {
    buffer.clear();
    buffer.put_byte(kTableLevel);
    buffer.put_int32(static_cast<std::int32_t>(name.size()));
    buffer.append(name);
    put_digest(buffer, root);
    nodes.push_back(digest_of_bytes(buffer.span()));
  }
  return fold(std::move(nodes));
}

}  // namespace sluice
