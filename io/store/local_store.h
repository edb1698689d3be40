#pragma once
// A store that is a folder: file:///var/files.
//
// A file is written under a temporary name beside its place, made durable, and renamed. So whatever has the
// name of a file is all of it, whenever the machine stops. Files are made with the permissions that the umask
// leaves.
//
// Nothing in the folder leads out of it (io/store/beneath.h): a symbolic link in the place of a folder or of
// a file is an error, even one that somebody with a right to write there has put there on purpose.

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "io/store/beneath.h"
#include "io/store/file_store.h"

namespace sluice {

class LocalStore : public FileStore {
 public:
  // An absolute path of a folder that exists. Throws Error (Fault::store) when it does not.
  explicit LocalStore(const std::string& folder);

  [[nodiscard]] const std::string& uri() const override { return uri_; }
  [[nodiscard]] std::string_view kind() const override { return "file"; }

  void check() override;

  // A batch has at most kOpenFiles files open. The longer a batch is before it is settled, the fewer times
  // the disk is waited for; a few threads of its own wait together then. It must not outlive the store.
  [[nodiscard]] std::unique_ptr<FileBatch> begin_batch() override;
  static constexpr std::size_t kOpenFiles = 64;

  [[nodiscard]] std::optional<std::uint64_t> size_of(const FileName& name) override;
  bool read(const FileName& name, const std::function<void(std::span<const std::byte>)>& piece) override;
  // Without temporary names. Folders of other people that we may not read are left out.
  void list(const std::function<void(const StoredFile&)>& each) override;
  bool remove(const FileName& name) override;
  std::size_t abandon_unfinished(std::chrono::seconds age) override;

 private:
  friend class LocalBatch;

  // The folder "ab", or none where there is none and it is not to be made.
  enum class Make : std::uint8_t { no, yes };
  Descriptor open_fan_out(const std::string& part, Make make);
  [[noreturn]] void fail(const std::string& what, int error) const;  // "cannot write ab/abc"

  std::string uri_;
  Descriptor root_;
  // Folders whose entry in the root is on the disk, as far as this process has seen to it.
  std::array<std::atomic<bool>, 256> fan_out_durable_{};
};

}  // namespace sluice
