#pragma once
// Whether a store still has a file as it was put.

#include <cstdint>
#include <optional>
#include <string>

#include "io/store/file_store.h"

namespace sluice {

struct ReferredFile {
  FileName name;
  std::optional<std::uint64_t> size;  // of the content, where somebody has written it down
};

// Reads all of it and compares size and SHA-256 with what its name and its row say. Empty when it is as it
// should be, else what is wrong. `bytes` are those that were read. Any number of threads. Throws Error
// (store) when the store cannot be asked.
std::string why_broken(FileStore& store, const ReferredFile& file, std::uint64_t& bytes);

}  // namespace sluice
