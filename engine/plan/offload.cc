#include "engine/plan/offload.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "engine/model/quote.h"
#include "engine/plan/names.h"
#include "engine/plan/row_key.h"

namespace sluice {
namespace {

struct RoleName {
  OffloadRole role;
  PgType type;
  const std::string* name;  // null: not asked for
  bool by_default;          // the name is ours, and follows the style of the others
};

class OffloadPlanner {
 public:
  OffloadPlanner(TablePlan& plan, const SourceTable& source, const TableMapping& wishes,
                 const Mapping& mapping, const ExistingTable* existing, MigrationPlan& migration)
      : plan_(plan),
        source_(source),
        wishes_(wishes),
        mapping_(mapping),
        existing_(existing),
        migration_(migration) {}

  void add(const OffloadMapping& wish) {
    wish_ = &wish;
    ColumnPlan* content = find_column(plan_, wish.column);
    const SourceColumn* column = find_column(source_, wish.column);
    if (column == nullptr) return;  // check_mapping() has said so
    if (!may_be_offloaded(*column)) return;
    if (content != nullptr && content->role != OffloadRole::none) {
      return find("it has a part in another offload", "give it one");
    }
    OffloadPlan offload;
    offload.column = column->name;
    offload.place = static_cast<std::size_t>(column - source_.columns.data());
    offload.store = wish.store;
    offload.afterwards = wish.source;
    offload.text = wish.text;
    offload.compress = wish.compress;
    const std::size_t number = plan_.offloads.size();
    plan_.offloads.push_back(offload);
    if (wish.source == OffloadedColumn::drop) {
      remove(*column);
    } else if (content == nullptr) {
      return find("it does not arrive, so nothing of it can be kept", "source = \"drop\"");
    } else {
      content->role = OffloadRole::content;
      content->offload = number;
      if (wish.source == OffloadedColumn::null) let_be_null(*content);
    }
    const OffloadMapping defaults;
    for (const RoleName& role :
         {RoleName{OffloadRole::path, PgType::text, &wish.path, wish.path == defaults.path},
          RoleName{OffloadRole::storage_type, PgType::text, &wish.storage_type,
                   wish.storage_type == defaults.storage_type},
          RoleName{OffloadRole::size, PgType::int8, pointer_to(wish.size), false},
          RoleName{OffloadRole::sha256, PgType::text, pointer_to(wish.sha256), false},
          RoleName{OffloadRole::media_type, PgType::text, pointer_to(wish.media_type), false}}) {
      if (role.name != nullptr) assign(role, number);
    }
    list(wish, offload);
  }

 private:
  static const std::string* pointer_to(const std::optional<std::string>& name) {
    return name ? &*name : nullptr;
  }

  void find(std::string what, std::string resolve) {
    migration_.findings.push_back(
        {source_.name, wish_->column, std::move(what), std::move(resolve), wish_->origin});
  }

  bool may_be_offloaded(const SourceColumn& column) {
    const auto refuse = [&](const char* what) {
      find(std::string("its files cannot leave it: ") + what, "take the section offload away");
      return false;
    };
    if (!source_.module.empty()) return refuse("the table is a virtual one");
    if (column.generated != Generated::no) return refuse("it is generated");
    if (column.key_position > 0) return refuse("it is part of the primary key");
    const ColumnPlan* planned = find_column(plan_, column.name);
    if (planned != nullptr && planned->conversion.any()) return refuse("the mapping converts it, too");
    return true;
  }

  // What the source asks of the column goes with it; indexes and the like find that it does not arrive.
  void remove(const SourceColumn& column) {
    const auto gone = [&](const ColumnPlan& planned) { return planned.source == column.name; };
    std::erase_if(plan_.columns, gone);
    if (existing_ == nullptr) set_row_key(plan_, source_);
  }

  void let_be_null(ColumnPlan& content) {
    if (!content.not_null) return;
    if (existing_ != nullptr) {
      return find("its files become NULL, and the target's column is NOT NULL",
                  "ALTER TABLE " + quoted_name(plan_) + " ALTER COLUMN " + quote_identifier(content.target) +
                      " DROP NOT NULL, or source = \"keep\"");
    }
    content.not_null = false;
    ObjectOutcome object;
    object.kind = "not_null";
    object.table = source_.name;
    object.name = content.source;
    object.sql = "NOT NULL";
    object.reason = "its files go to a store, and NULL stays in their place";
    migration_.left_out.push_back(std::move(object));
  }

  void assign(const RoleName& role, std::size_t number) {
    const std::string& name = *role.name;
    ColumnPlan* column = find_column(plan_, name);
    if (column == nullptr) {
      const auto named = [&](const ColumnPlan& planned) { return planned.target == name; };
      const auto found = std::find_if(plan_.columns.begin(), plan_.columns.end(), named);
      if (found != plan_.columns.end()) column = &*found;
    }
    if (column == nullptr) return add_column(role, number);
    const auto refuse = [&](const std::string& what) {
      find("column " + quote_identifier(name) + " cannot take what it is to hold: " + what,
           "name another one: path, storage-type, size, sha256, media-type");
    };
    if (column->role != OffloadRole::none || holds_files(*column)) {
      return refuse("it has a part in an offload already");
    }
    if (!column->generated_as.empty() || source_of(*column).generated != Generated::no) {
      return refuse("it is generated");
    }
    const auto place = static_cast<std::size_t>(column - plan_.columns.data());
    if (is_key_column(plan_, place)) return refuse("it is part of the key");
    if (column->conversion.any()) return refuse("the mapping converts it");
    const bool fits = role.type == PgType::text
                          ? is_text(column->type) && !column->modifier.any() && column->type_name.empty()
                          : column->type == PgType::int8;
    if (!fits)
      return refuse(std::string("it is ") + type_of(*column) + ", and not " +
                    std::string(name_of(role.type).sql));
    column->role = role.role;
    column->offload = number;
  }

  // Also of one that comes later.
  [[nodiscard]] bool holds_files(const ColumnPlan& column) const {
    return std::any_of(wishes_.offloads.begin(), wishes_.offloads.end(), [&](const OffloadMapping& offload) {
      return !column.added && same_name(offload.column, column.source);
    });
  }

  [[nodiscard]] const SourceColumn& source_of(const ColumnPlan& column) const {
    static const SourceColumn none;
    return column.place < source_.columns.size() ? source_.columns[column.place] : none;
  }

  void add_column(const RoleName& role, std::size_t number) {
    ColumnPlan column;
    column.added = true;
    column.role = role.role;
    column.offload = number;
    column.type = role.type;
    // Behind all that the source has, the rowid as a column included.
    column.place = source_.columns.size() + 1 + added_++;
    if (existing_ == nullptr) {
      NameSpace names;
      for (const ColumnPlan& other : plan_.columns) names.claim(other.target);
      column.target =
          names.claim_column(role.by_default ? identifier_in(mapping_.identifiers, *role.name) : *role.name);
    } else {
      const auto named = [&](const ExistingColumn& there) { return there.name == *role.name; };
      const auto there = std::find_if(existing_->columns.begin(), existing_->columns.end(), named);
      if (there == existing_->columns.end()) {
        return find("the target's table has no column " + quote_identifier(*role.name) + " for its files",
                    "ALTER TABLE " + quoted_name(plan_) + " ADD COLUMN " + quote_identifier(*role.name) +
                        " " + std::string(name_of(role.type).sql));
      }
      column.target = there->name;
      column.type = there->type;
      column.modifier = there->modifier;
      column.type_name = there->type_name;
      column.compared_as_text = !there->supported;
      const bool fits = there->supported && !there->modifier.any() &&
                        (role.type == PgType::text ? is_text(there->type) : there->type == PgType::int8);
      if (!fits) {
        return find("column " + quote_identifier(*role.name) + " of the target is " + type_of(column) +
                        ", and not " + std::string(name_of(role.type).sql),
                    "name another one, or change its type");
      }
      // Rows without a file have nothing for it.
      if (there->not_null) {
        return find("column " + quote_identifier(*role.name) +
                        " of the target is NOT NULL, and not every row has a file",
                    "ALTER TABLE " + quoted_name(plan_) + " ALTER COLUMN " + quote_identifier(*role.name) +
                        " DROP NOT NULL");
      }
    }
    plan_.columns.push_back(std::move(column));
  }

  void list(const OffloadMapping& wish, const OffloadPlan& offload) {
    ObjectOutcome object;
    object.kind = "column";
    object.table = source_.name;
    object.name = offload.column;
    object.created = offload.afterwards != OffloadedColumn::drop;
    object.reason = "its files go to " + offload.store;
    switch (offload.afterwards) {
      case OffloadedColumn::null:
        object.reason += ", and NULL stays in their place";
        break;
      case OffloadedColumn::drop:
        object.reason += ", and the column does not arrive";
        break;
      case OffloadedColumn::keep:
        object.reason += ", and stay here as well";
        break;
    }
    if (!object.created) object.proposal = "source = \"null\" in " + wish.origin + " keeps the column";
    migration_.left_out.push_back(std::move(object));
  }

  TablePlan& plan_;
  const SourceTable& source_;
  const TableMapping& wishes_;
  const Mapping& mapping_;
  const ExistingTable* existing_;
  MigrationPlan& migration_;
  const OffloadMapping* wish_ = nullptr;
  std::size_t added_ = 0;
};

}  // namespace

void plan_offloads(TablePlan& plan, const SourceTable& source, const TableMapping& wishes,
                   const Mapping& mapping, const ExistingTable* existing, MigrationPlan& migration) {
  OffloadPlanner planner(plan, source, wishes, mapping, existing, migration);
  for (const OffloadMapping& wish : wishes.offloads) planner.add(wish);
}

bool is_dropped_by_offload(const TableMapping* wishes, const std::string& column) {
  return wishes != nullptr &&
         std::any_of(wishes->offloads.begin(), wishes->offloads.end(), [&](const OffloadMapping& offload) {
           return offload.source == OffloadedColumn::drop && same_name(offload.column, column);
         });
}

}  // namespace sluice
