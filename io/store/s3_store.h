#pragma once
// A store in a bucket of Amazon S3, or of a server that speaks its language.
//
// What arrived is what was sent: the server is told MD5 and SHA-256 of every body, and its answers are
// compared with the MD5 where they hold it. An object appears when all of it is there, so no name leads to
// half a file.
//
// S3 has no way to make an object young again but to put it once more. So an object that is there counts as
// put when it is younger than half of `removable_after`, and is put again when it is older: nothing that
// removes what is older than `removable_after` takes it away from under us.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "io/store/file_store.h"
#include "io/store/s3_calls.h"

namespace sluice {

struct S3Options {
  S3CallOptions calls{};
  std::chrono::seconds removable_after = std::chrono::hours(24);

  // Larger files go in parts of `part_bytes`, or of more where there would be more than 10,000.
  std::uint64_t single_put_max = std::uint64_t{16} << 20;
  std::uint64_t part_bytes = std::uint64_t{8} << 20;  // S3 takes no less than 5 MiB

  // What a batch has in memory, for it must be able to send it again; one file or one part at least.
  std::uint64_t bytes_under_way = std::uint64_t{32} << 20;
  std::size_t puts_under_way = 8;
  std::size_t parts_under_way = 4;
};

class S3Store : public FileStore {
 public:
  // `prefix` without a slash at either end; empty: the whole bucket.
  S3Store(const std::string& bucket, const std::string& prefix, S3Options options);
  ~S3Store() override;

  [[nodiscard]] const std::string& uri() const override { return uri_; }
  [[nodiscard]] std::string_view kind() const override { return "s3"; }

  // Tells a missing bucket, a wrong secret and a right that is missing apart.
  void check() override;

  // put() returns before the file is sent: its failure may be thrown by a later put() or by settle(), and
  // then by all that follow. The batch must not outlive the store.
  [[nodiscard]] std::unique_ptr<FileBatch> begin_batch() override;

  [[nodiscard]] std::optional<std::uint64_t> size_of(const FileName& name) override;
  // A transfer that is cut goes on where it was.
  bool read(const FileName& name, const std::function<void(std::span<const std::byte>)>& piece) override;
  void list(const std::function<void(const StoredFile&)>& each) override;
  bool remove(const FileName& name) override;
  // Uploads in parts of names of ours.
  std::size_t abandon_unfinished(std::chrono::seconds age) override;

 private:
  friend class S3Batch;

  // Calls are one thread's at a time; those that are not in use keep their connections.
  class Loan;
  std::unique_ptr<S3Calls> take_calls();
  void give_back(std::unique_ptr<S3Calls> calls);

  [[nodiscard]] std::string key_of(const std::string& name) const { return key_prefix_ + name; }

  std::string uri_;
  std::string key_prefix_;  // "prefix/", or empty
  S3Options options_;
  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<S3Calls>> idle_;
};

}  // namespace sluice
