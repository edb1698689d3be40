// Files from Base64 into a store that is a folder, as an offload puts them (decoded, hashed, looked for,
// written, made durable), against a loop that writes the decoded files and syncs each, as a careful cp would:
// the same disk, the same files, in one run. README.md says how to read it.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "bench/figures.h"
#include "engine/model/error.h"
#include "engine/offload/file_stores.h"
#include "engine/offload/file_text.h"
#include "io/store/local_store.h"
#include "io/store/sha256.h"
#include "io/wire/base64.h"
#include "tests/support/temporary_directory.h"

namespace sluice::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = std::size_t{128} << 10;

struct Options {
  std::uint64_t megabytes = 2048;
  std::uint64_t size_min = 8 << 10;
  std::uint64_t size_max = 10 << 20;
  std::uint64_t batch_megabytes = 64;
  std::size_t threads = 2;
  std::string directory;  // empty: a temporary one
  std::size_t repetitions = 5;
  double ratio_max = 1.3;
};

// A part of one large buffer, and of its Base64: so many bytes from there. Both are multiples of three.
struct File {
  std::string name;  // for the loop; the store has its own
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
};

// How far the beginnings of files lie apart, so that no two are alike.
constexpr std::uint64_t kBegins = std::uint64_t{1} << 20;

// From small to large, as many bytes in each power of two.
std::vector<File> make_files(const Options& options) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(std::log(static_cast<double>(options.size_min)),
                                                  std::log(static_cast<double>(options.size_max)));
  std::vector<File> files;
  for (std::uint64_t bytes = 0; bytes < options.megabytes << 20;) {
    File file;
    file.name = FileName{sha256_of(std::as_bytes(std::span(&bytes, 1)))}.text();
    file.begin = random() % (kBegins / 3) * 3;
    file.size = static_cast<std::uint64_t>(std::exp(exponent(random))) / 3 * 3;
    bytes += file.size;
    files.push_back(file);
  }
  return files;
}

void require(bool fine, const fs::path& path) {
  if (!fine) throw std::system_error(errno, std::generic_category(), path.string());
}

// The floor: neither temporary names nor folders that are synced.
void copy(const File& file, std::span<const std::byte> content, const fs::path& folder) {
  const fs::path path = folder / file.name;
  fs::create_directory(path.parent_path());
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  require(descriptor >= 0, path);
  for (std::size_t at = 0; at < content.size(); at += kPieceBytes) {
    const auto piece = content.subspan(at, std::min(kPieceBytes, content.size() - at));
    require(::write(descriptor, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), path);
  }
  require(::fsync(descriptor) == 0, path);
  ::close(descriptor);
}

// Every thread takes its share of the files.
void in_threads(std::size_t threads, const std::function<void(std::size_t)>& work) {
  std::vector<std::thread> running;
  for (std::size_t thread = 0; thread < threads; ++thread) running.emplace_back(work, thread);
  for (std::thread& thread : running) thread.join();
}

bool run(const Options& options) {
  std::optional<testing::TemporaryDirectory> temporary;
  fs::path folder = options.directory;
  if (options.directory.empty()) folder = temporary.emplace("sluice-bench").path();
  std::mt19937_64 random(2);
  std::vector<std::byte> pool((options.size_max + kBegins) / 24 * 24);
  for (std::size_t i = 0; i + sizeof(std::uint64_t) <= pool.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(pool.data() + i, &word, sizeof word);
  }
  const std::string text = encode_base64(pool);
  const std::vector<File> files = make_files(options);
  fmt::print(
      "{} files, {} MB, of {} to {} bytes, {} threads, a batch of {} MB, {} pairs; load average {:.1f}\n",
      files.size(), options.megabytes, options.size_min, options.size_max, options.threads,
      options.batch_megabytes, options.repetitions, load_average());

  // Nobody pays for what the other one has left to be written or removed.
  const auto timed = [&](const std::function<void(const fs::path&)>& work) {
    const fs::path below = folder / "files";
    fs::remove_all(below);
    fs::create_directory(below);
    ::sync();
    const auto began = std::chrono::steady_clock::now();
    work(below);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    fs::remove_all(below);
    return seconds;
  };
  const auto copy_all = [&](const fs::path& below) {
    in_threads(options.threads, [&](std::size_t thread) {
      for (std::size_t i = thread; i < files.size(); i += options.threads) {
        copy(files[i], std::span<const std::byte>(pool).subspan(files[i].begin, files[i].size), below);
      }
    });
  };
  const auto put_all = [&](const fs::path& below) {
    LocalStore store(below);
    in_threads(options.threads, [&](std::size_t thread) {
      auto batch = store.begin_batch();
      std::uint64_t bytes = 0;
      for (std::size_t i = thread; i < files.size(); i += options.threads) {
        WholeText value(std::string_view(text).substr(files[i].begin / 3 * 4, files[i].size / 3 * 4));
        std::optional<FileOfText> file = FileOfText::find(value, {});
        if (!file) throw std::logic_error("Base64 of our own is not taken for it");
        put_file(*batch, {file->sha256(), false}, *file);
        bytes += files[i].size;
        if (bytes < options.batch_megabytes << 20) continue;
        batch->settle();
        batch = store.begin_batch();
        bytes = 0;
      }
      batch->settle();
    });
  };

  std::vector<double> copies;
  std::vector<double> puts;
  std::vector<double> ratios;
  for (std::size_t pair = 0; pair < options.repetitions; ++pair) {
    double of_copy = 0;
    if (pair % 2 == 0) of_copy = timed(copy_all);
    const double of_put = timed(put_all);
    if (pair % 2 == 1) of_copy = timed(copy_all);
    copies.push_back(of_copy);
    puts.push_back(of_put);
    ratios.push_back(of_put / of_copy);
    fmt::print("pair {}: copy {:.2f} s, offload {:.2f} s, ratio {:.2f}\n", pair + 1, of_copy, of_put,
               ratios.back());
  }
  const double ratio = median(ratios);
  fmt::print("median: copy {:.2f} s, offload {:.2f} s, {:.0f} MB/s; load average {:.1f}\n", median(copies),
             median(puts), static_cast<double>(options.megabytes) / median(puts), load_average());
  const bool held = ratio <= options.ratio_max;
  fmt::print("{}  ratio: {:.2f}, bound {:.2f}\n", held ? "held  " : "MISSED", ratio, options.ratio_max);
  return held;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  sluice::bench::Options options;
  CLI::App app(
      "Measures an offload of Base64 to a folder against a loop that writes and syncs the decoded files");
  app.add_option("--megabytes", options.megabytes, "All files together")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--size-min", options.size_min, "Bytes of the smallest file")
      ->check(CLI::Range(4096, 1 << 30))
      ->capture_default_str();
  app.add_option("--size-max", options.size_max, "Bytes of the largest file")
      ->check(CLI::Range(4096, 1 << 30))
      ->capture_default_str();
  app.add_option("--batch-megabytes", options.batch_megabytes, "Settled after so much")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Threads of either")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--directory", options.directory,
                 "Where the files go; on the disk to be measured [temporary]");
  app.add_option("--repetitions", options.repetitions, "Pairs of runs")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--ratio-max", options.ratio_max, "Bound on offload time over copy time")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return sluice::bench::run(options) ? 0 : 1;
  } catch (const sluice::Error& error) {
    std::cerr << "offload_versus_copy: " << error.describe() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "offload_versus_copy: " << error.what() << "\n";
  }
  return 1;
}
