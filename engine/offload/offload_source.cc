#include "engine/offload/offload_source.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "engine/offload/file_text.h"

namespace sluice {
namespace {

constexpr std::size_t kNowhere = SIZE_MAX;

// The columns of the source behind the plan's, and what is made of them.
struct Layout {
  TablePlan plan;  // what is read
  std::vector<std::size_t>
      cell_of;  // per column of the outer plan: its cell of the source's row, or kNowhere
  struct Roles {
    std::size_t content = kNowhere;  // cell of the source's row
    // Columns of the outer plan.
    std::size_t kept = kNowhere;  // where the content arrives, if it does
    std::size_t path = kNowhere;
    std::size_t storage_type = kNowhere;
    std::size_t size = kNowhere;
    std::size_t sha256 = kNowhere;
    std::size_t media_type = kNowhere;
  };
  std::vector<Roles> roles;  // per offload
};

std::size_t* place_of(Layout::Roles& roles, OffloadRole role) {
  switch (role) {
    case OffloadRole::content:
      return &roles.kept;
    case OffloadRole::path:
      return &roles.path;
    case OffloadRole::storage_type:
      return &roles.storage_type;
    case OffloadRole::size:
      return &roles.size;
    case OffloadRole::sha256:
      return &roles.sha256;
    case OffloadRole::media_type:
      return &roles.media_type;
    case OffloadRole::none:
      break;
  }
  return nullptr;
}

// Part of a plan may be scanned, too: of an offload without any of its columns there, nothing is read.
Layout layout_of(const TablePlan& plan) {
  Layout layout;
  layout.plan = plan;
  layout.plan.columns.clear();
  layout.cell_of.assign(plan.columns.size(), kNowhere);
  layout.roles.resize(plan.offloads.size());
  std::vector<bool> wanted(plan.offloads.size());
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    const ColumnPlan& column = plan.columns[i];
    if (std::size_t* place = column.role == OffloadRole::none
                                 ? nullptr
                                 : place_of(layout.roles.at(column.offload), column.role)) {
      *place = i;
      wanted[column.offload] = true;
    }
    if (column.added) continue;
    layout.cell_of[i] = layout.plan.columns.size();
    layout.plan.columns.push_back(column);
  }
  for (std::size_t number = 0; number < plan.offloads.size(); ++number) {
    Layout::Roles& roles = layout.roles[number];
    if (!wanted[number]) continue;
    if (roles.kept != kNowhere) {
      roles.content = layout.cell_of[roles.kept];
      continue;
    }
    // Dropped, or not among the columns of this scan.
    roles.content = layout.plan.columns.size();
    ColumnPlan dropped;
    dropped.source = plan.offloads[number].column;
    dropped.place = plan.offloads[number].place;
    layout.plan.columns.push_back(std::move(dropped));
  }
  for (std::size_t& column : layout.plan.key_columns) column = layout.cell_of.at(column);
  return layout;
}

class OffloadScan final : public Scan {
 public:
  OffloadScan(Source& source, FileStores& stores, const TablePlan& plan, const Extent& extent)
      : outer_(plan), stores_(stores), layout_(layout_of(plan)), scan_(source.scan(layout_.plan, extent)) {
    cells_.resize(cells_per_row(plan));
    texts_.resize(plan.offloads.size());
    batches_.resize(plan.offloads.size());
  }

  std::optional<Row> next() override {
    const std::optional<Row> row = scan_->next();
    if (!row) {
      settle();
      return std::nullopt;
    }
    for (std::size_t i = 0; i < layout_.cell_of.size(); ++i) {
      cells_[i] = layout_.cell_of[i] == kNowhere ? Cell() : (*row)[layout_.cell_of[i]];
    }
    if (outer_.row_key == RowKey::rowid) cells_.back() = row->back();
    for (std::size_t number = 0; number < outer_.offloads.size(); ++number) offload(number, *row);
    return Row(cells_);
  }

 private:
  struct Texts {
    std::string path;
    std::string sha256;
    std::string media_type;
  };

  void offload(std::size_t number, Row row) {
    const Layout::Roles& roles = layout_.roles[number];
    if (roles.content == kNowhere) return;
    const Cell& content = row[roles.content];
    if (content.storage() != StorageClass::text && content.storage() != StorageClass::blob) return;
    if (has_file(roles)) return;
    const OffloadPlan& plan = outer_.offloads[number];
    const std::span<const std::byte> bytes = content.bytes();
    WholeText text({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    std::optional<FileOfText> file = FileOfText::find(text, plan.text);
    if (!file) return;
    FileName name;
    name.sha256 = file->sha256();
    name.zstd = plan.compress && is_compressible(media_type_of(roles, *file));
    put(number, name, *file);

    Texts& texts = texts_[number];
    texts.path = name.text();
    texts.sha256 = to_hex(name.sha256);
    texts.media_type = file->media_type();
    set(roles.path, Cell::of_text(texts.path));
    set(roles.storage_type, Cell::of_text(storage_type_of(plan.store)));
    set(roles.size, Cell::of_integer(static_cast<std::int64_t>(file->size())));
    set(roles.sha256, Cell::of_text(texts.sha256));
    if (!texts.media_type.empty()) set(roles.media_type, Cell::of_text(texts.media_type));
    if (plan.afterwards == OffloadedColumn::null) set(roles.kept, Cell());
  }

  void set(std::size_t column, const Cell& cell) {
    if (column != kNowhere) cells_[column] = cell;
  }

  [[nodiscard]] bool has_file(const Layout::Roles& roles) const {
    if (roles.path == kNowhere) return false;
    return names_file(cells_[roles.path]);
  }

  // The data: URI's, or else what the row says already.
  [[nodiscard]] std::string_view media_type_of(const Layout::Roles& roles, const FileOfText& file) const {
    if (!file.media_type().empty() || roles.media_type == kNowhere) return file.media_type();
    const Cell& cell = cells_[roles.media_type];
    return cell.storage() == StorageClass::text ? cell.text() : std::string_view();
  }

  void put(std::size_t number, const FileName& name, FileOfText& file) {
    FileStore* store = stores_.find(outer_.offloads[number].store);
    if (store == nullptr) return;
    try {
      if (!batches_[number]) batches_[number] = store->begin_batch();
      put_file(*batches_[number], name, file);
    } catch (Error& error) {
      error.where().column = outer_.offloads[number].column;
      throw;
    }
  }

  void settle() {
    for (std::unique_ptr<FileBatch>& batch : batches_) {
      if (!batch) continue;
      batch->settle();
      stores_.note(*batch);
      batch.reset();
    }
  }

  const TablePlan& outer_;
  FileStores& stores_;
  const Layout layout_;
  const std::unique_ptr<Scan> scan_;  // of layout_'s plan
  std::vector<Cell> cells_;
  std::vector<Texts> texts_;                         // per offload
  std::vector<std::unique_ptr<FileBatch>> batches_;  // per offload
};

}  // namespace

bool names_file(const Cell& path) {
  return !path.is_null() && !(path.storage() == StorageClass::text && path.text().empty());
}

std::unique_ptr<Scan> OffloadSource::scan(const TablePlan& plan, const Extent& extent) {
  const bool any = std::any_of(plan.columns.begin(), plan.columns.end(),
                               [](const ColumnPlan& column) { return column.role != OffloadRole::none; });
  if (!any) return source_.scan(plan, extent);
  return std::make_unique<OffloadScan>(source_, stores_, plan, extent);
}

}  // namespace sluice
