#pragma once
// Generated columns: which of them the server can compute itself.

#include <string>

#include "engine/model/catalog.h"
#include "engine/model/plan.h"

namespace sluice {

struct Generation {
  std::string
      sql;  // for GENERATED ALWAYS AS (...) STORED; empty where the column has to arrive as a plain one
  std::string reason;  // why it has; one line
  // What the expression means in PostgreSQL, where it is only near: an error or a last digit away. For a
  // proposal. Empty without a translation.
  std::string nearly;
};

// Of a column that is generated in the source. One failing row would fail its whole COPY, and a value that
// differs would fail the verification: so only what is translated exactly, depends on its row alone and has a
// value for every row. References to other generated columns are replaced by their expressions.
Generation generation_of(const SourceTable& source, const TablePlan& plan, const ColumnPlan& column);

// Its sql alone; for a column that is not generated, nothing.
std::string generated_expression(const SourceTable& source, const TablePlan& plan, const ColumnPlan& column);

}  // namespace sluice
