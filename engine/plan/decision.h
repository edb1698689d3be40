#pragma once
// What a column becomes: declared type is intent, what the look at the values found is fact, and what the
// mapping says goes before both. Pure.

#include <set>
#include <string>
#include <vector>

#include "engine/model/catalog.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "engine/plan/mapping.h"

namespace sluice {

struct ColumnDecision {
  PgType type = PgType::text;
  TypeModifier modifier;
  Conversion conversion;
  // Why, where it is not obvious.
  std::string remark;
  // Values that no type holds, where the policy does not say what is to become of them.
  std::vector<Finding> findings;
  // Facts alone cannot tell whether every value fits: a type of the user's or a conversion. The encoder must
  // look at each value before the run begins.
  bool judge = false;
  // The modifier is the declaration's (Mapping::keep_lengths), and only the encoder can tell whether every
  // value fits it.
  bool judge_length = false;
};

// `facts` may be null: then the intent alone decides. `apart`: the values are the key of rows that a type
// with several spellings of one value would make equal, so they must stay as they are written.
ColumnDecision decide_column(const SourceTable& table, std::size_t place, const ColumnFacts* facts,
                             const Mapping& mapping, bool apart);

// Without the modifier: a value does not fit it. REQUIRES: decision.judge_length.
void give_up_length(const SourceColumn& column, ColumnDecision& decision);

}  // namespace sluice
