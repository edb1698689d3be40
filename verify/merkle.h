#pragma once
// The Merkle tree over leaves of row sums, and over tables. Binary; an odd node at the end of a level is
// promoted unchanged; every node's hash covers a level byte, so a node never passes for one of another
// level. The format is in verify/DIGEST.md.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/digest.h"

namespace sluice {

// The root over leaves in order. Without leaves, the hash of nothing at level 0.
Digest merkle_root(std::span<const RowSum> leaves);

// The root over whole tables, by name: the order of the vector does not matter.
Digest database_root(std::vector<std::pair<std::string, Digest>> tables);

}  // namespace sluice
