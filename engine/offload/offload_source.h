#pragma once
// Rows whose files leave them: what stands between the reader of a source and everybody who takes its rows.
//
//   a row of the source                          the row that arrives
//   id=7, data='iVBORw0...'                      id=7, data=NULL, filePath='3f/3fa1...', storageType='file'
//   id=8, data='no Base64'                       as it is; the columns that an offload adds are NULL
//   id=9, data='...', filePath='old/one.png'     as it is: it has a file already
//
// The row depends on the source alone, also without a store: the name of a file is its SHA-256, so the digest
// of the row covers the file.

#include <memory>

#include "engine/model/load.h"
#include "engine/offload/file_stores.h"

namespace sluice {

// Whether the value of the path column names a file already: then the row stays as it is.
bool names_file(const Cell& path);

// Both are borrowed. Stores that are open get the files, and everything that the rows of a scan refer to is
// durable there when next() has returned nothing: before that a row must not be committed. Without, files are
// only looked at. One thread and one scan at a time, as the source itself.
class OffloadSource final : public Source {
 public:
  OffloadSource(Source& source, FileStores& stores) : source_(source), stores_(stores) {}

  // A plan without offloads is the source's own scan.
  std::unique_ptr<Scan> scan(const TablePlan& plan, const Extent& extent) override;

 private:
  Source& source_;
  FileStores& stores_;
};

}  // namespace sluice
