// Base64 to bytes, in bytes of text per second: as it is done here, byte by byte, and by OpenSSL.

#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <random>
#include <string>
#include <vector>

#include "io/wire/base64.h"

namespace sluice::bench {
namespace {

// `characters` of Base64, in lines of `width` where that is not 0.
std::string text_of(std::int64_t characters, std::size_t width) {
  std::mt19937_64 random(1);
  std::vector<std::byte> bytes(static_cast<std::size_t>(characters) / 4 * 3);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  const std::string whole = encode_base64(bytes);
  if (width == 0) return whole;
  std::string lines;
  for (std::size_t at = 0; at < whole.size(); at += width) lines += whole.substr(at, width) + "\r\n";
  return lines;
}

template <auto kDecode>
void decode(benchmark::State& state, std::size_t width) {
  const std::string text = text_of(state.range(0), width);
  const Base64Options options{.url_alphabet = false, .line_breaks = width > 0, .missing_padding = false};
  std::vector<std::byte> bytes(base64_bytes_max(text.size()));
  for (auto _ : state) {
    if (kDecode(text, bytes, options).wrong_at) return state.SkipWithError("refused");
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

void base64_avx2(benchmark::State& state) {
  if (!base64_has_avx2()) return state.SkipWithError("no AVX2 here");
  decode<decode_base64>(state, 0);
}
void base64_avx2_lines(benchmark::State& state) {
  if (!base64_has_avx2()) return state.SkipWithError("no AVX2 here");
  decode<decode_base64>(state, 76);
}
void base64_scalar(benchmark::State& state) { decode<decode_base64_scalar>(state, 0); }
void base64_scalar_lines(benchmark::State& state) { decode<decode_base64_scalar>(state, 76); }

// It takes no line breaks between its lines, and says nothing of where it failed.
void base64_openssl(benchmark::State& state) {
  const std::string text = text_of(state.range(0), 0);
  std::vector<unsigned char> bytes(text.size());
  for (auto _ : state) {
    const int count = EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()));
    if (count < 0) return state.SkipWithError("refused");
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

// A token, a thumbnail, a photograph.
void sizes(benchmark::internal::Benchmark* benchmark) { benchmark->Arg(64)->Arg(4096)->Arg(1 << 20); }
BENCHMARK(base64_avx2)->Apply(sizes);
BENCHMARK(base64_avx2_lines)->Apply(sizes);
BENCHMARK(base64_scalar)->Apply(sizes);
BENCHMARK(base64_scalar_lines)->Apply(sizes);
BENCHMARK(base64_openssl)->Apply(sizes);

}  // namespace
}  // namespace sluice::bench
