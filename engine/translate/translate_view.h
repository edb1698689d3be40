#pragma once
// SQLite's views in PostgreSQL's SQL: the same rows, or a reason why not. The rules of translate.h hold, with
// the leave of Purpose::view (translator.h): where a last digit or a midnight may differ there is a remark.
//
// Refused beyond what expressions are: columns that are neither grouped nor aggregated, grouping and DISTINCT
// by JSON, by text under a collation and by text of unsure content, recursive WITH, table-valued functions,
// frames and named windows, tables that do not arrive and views that are not created.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/plan.h"

namespace sluice {

struct ViewTranslation {
  std::string select;                // without CREATE VIEW; empty when refused
  std::vector<std::string> columns;  // the names that the view gives to what the select yields
  std::string reason;                // one line; empty when translated
  std::vector<std::string> remarks;

  [[nodiscard]] bool translated() const { return !select.empty(); }
};

// Translates views one after the other, each after those that it reads from: what was added is what it may
// read. One thread at a time.
class ViewTranslator {
 public:
  ViewTranslator();
  ~ViewTranslator();
  ViewTranslator(ViewTranslator&&) noexcept;
  ViewTranslator& operator=(ViewTranslator&&) noexcept;

  void add_table(const SourceTable& source, const TablePlan& plan);
  // A name that cannot be read from, and why.
  void add_missing(std::string_view name, std::string reason);

  // Where it is translated, later views may read it under `quoted_target`, an SQL name; otherwise they are
  // refused for its sake. `name_column` gives each column the name it has in the target.
  using NameColumn = std::function<std::string(const std::string&)>;
  ViewTranslation translate(const SourceObject& view, const std::string& quoted_target,
                            const NameColumn& name_column);

 private:
  struct Known;
  std::unique_ptr<Known> known_;
};

// The order in which views must be made: each after those that it reads from. Indexes into `views`; those
// of a circle come last, in the order in which they were.
std::vector<std::size_t> order_of_views(const std::vector<const SourceObject*>& views);

}  // namespace sluice
