#pragma once
// SHA-256 (FIPS 180-4), by OpenSSL, which uses the processor's own instructions where it has them.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "io/store/file_store.h"

struct evp_md_ctx_st;

namespace sluice {

// One thread at a time. May be used again after finish().
class Sha256Hasher {
 public:
  Sha256Hasher();
  void add(std::span<const std::byte> bytes);
  // The digest of all that was added since the last call.
  [[nodiscard]] Sha256 finish();

 private:
  struct FreeContext {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, FreeContext> context_;
};

[[nodiscard]] Sha256 sha256_of(std::span<const std::byte> bytes);

// 64 lower-case digits.
[[nodiscard]] std::string to_hex(const Sha256& digest);

}  // namespace sluice
