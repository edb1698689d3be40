#include "io/store/sha256.h"

#include <openssl/evp.h>

#include <new>

#include "engine/model/error.h"
#include "engine/model/hex.h"

namespace sluice {
namespace {

void require(bool fine) {
  if (!fine) throw Error(Fault::internal, "OpenSSL refuses to compute SHA-256");
}

}  // namespace

void Sha256Hasher::FreeContext::operator()(evp_md_ctx_st* context) const noexcept {
  EVP_MD_CTX_free(context);
}

Sha256Hasher::Sha256Hasher() : context_(EVP_MD_CTX_new()) {
  if (!context_) throw std::bad_alloc();
  require(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256Hasher::add(std::span<const std::byte> bytes) {
  require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Sha256 Sha256Hasher::finish() {
  Sha256 digest;
  require(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr) == 1);
  require(EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1);
  return digest;
}

Sha256 sha256_of(std::span<const std::byte> bytes) {
  Sha256Hasher hasher;
  hasher.add(bytes);
  return hasher.finish();
}

std::string to_hex(const Sha256& digest) {
  return hex_of({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace sluice
