#include "engine/offload/file_stores.h"

#include "engine/offload/zstd_content.h"

namespace sluice {

FileStore& FileStores::add(const std::string& uri, const StoreOptions& options, bool changes) {
  std::unique_ptr<FileStore>& store = stores_[uri];
  if (!store) {
    store = open_store(uri, options);
    if (changes) store->check();
  }
  return *store;
}

FileStore* FileStores::find(const std::string& uri) const {
  const auto found = stores_.find(uri);
  return found == stores_.end() ? nullptr : found->second.get();
}

std::string_view storage_type_of(const std::string& uri) {
  return std::string_view(uri).substr(0, uri.find(':'));
}

void put_file(FileBatch& batch, const FileName& name, FileContent& content) {
  if (!name.zstd) return batch.put(name, content);
  ZstdContent compressed(content);
  batch.put(name, compressed);
}

}  // namespace sluice
