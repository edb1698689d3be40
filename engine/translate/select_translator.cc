#include "engine/translate/select_translator.h"

#include <algorithm>
#include <utility>

#include "engine/model/quote.h"

namespace sluice {

const Scope SelectTranslator::nothing_{};

namespace {

constexpr std::size_t kNameBytesMax = 63;

bool is_rowid_name(const std::string& folded) {
  return folded == "rowid" || folded == "_rowid_" || folded == "oid";
}

bool is_aggregate_call(const Expression& expression) {
  if (expression.kind != ExpressionKind::call || expression.window != nullptr) return false;
  const std::string& name = expression.text;
  if (name == "min" || name == "max") return expression.children.size() == 1;
  return name == "count" || name == "sum" || name == "total" || name == "avg" || name == "group_concat" ||
         name == "string_agg" || name == "json_group_array" || name == "json_group_object";
}

// Not looking into subqueries: their aggregates are their own.
bool holds_aggregate(const Expression& expression) {
  if (is_aggregate_call(expression)) return true;
  return std::any_of(expression.children.begin(), expression.children.end(),
                     [](const ExpressionPtr& child) { return holds_aggregate(*child); });
}

// SQLite's way to tell equal names of columns apart: a, a:1, a:2.
std::string unlike(std::string name, const std::set<std::string>& taken) {
  for (int count = 1; taken.contains(fold_ascii(name)); ++count) {
    std::size_t end = name.size();
    while (end > 1 && name[end - 1] >= '0' && name[end - 1] <= '9') --end;
    const bool numbered = end < name.size() && end > 1 && name[end - 1] == ':';
    name = (numbered ? name.substr(0, end - 1) : name) + ":" + std::to_string(count);
  }
  return name;
}

std::string_view spelled(SetOperator set_operator) {
  switch (set_operator) {
    case SetOperator::union_distinct:
      return "UNION";
    case SetOperator::union_all:
      return "UNION ALL";
    case SetOperator::intersect:
      return "INTERSECT";
    case SetOperator::except:
      return "EXCEPT";
  }
  return "";
}

ExpressionPtr qualified_column(const std::string& name) {
  auto made = std::make_unique<Expression>();
  made->kind = ExpressionKind::column;
  made->text = name;
  return made;
}

// Without what belongs to the expression and not to its value.
Fragment shape_of(const Fragment& fragment) {
  Fragment shape = fragment;
  shape.sql.clear();
  shape.binding = Binding::atom;
  shape.literal = shape.collated = shape.holds_collate = shape.changes = false;
  shape.of_column = fragment.of_column || fragment.collated;
  shape.text.clear();
  shape.digits.clear();
  shape.moment = Moment::none;
  shape.integer = 0;
  shape.real = 0;
  return shape;
}

}  // namespace

// ---- names ----

std::string SelectTranslator::claim_alias(std::string_view wanted) {
  std::string base = wanted.empty() || wanted.size() > kNameBytesMax - 8 ? "t" : std::string(wanted);
  std::string alias = base;
  for (int count = 1; !aliases_.insert(fold_ascii(alias)).second; ++count) {
    alias = base + "_" + std::to_string(count);
  }
  return alias;
}

std::optional<SelectTranslator::Found> SelectTranslator::find_in(const Level& level,
                                                                 const std::string& qualifier,
                                                                 const std::string& name) const {
  std::optional<Found> found;
  for (const Placed& table : level.tables) {
    if (!qualifier.empty() && table.name != qualifier) continue;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (fold_ascii(table.columns[i].source) != name) continue;
      if (qualifier.empty() && table.merged.contains(i)) continue;
      if (found) refuse("the column " + quote_identifier(name) + " is ambiguous");
      found = Found{&table, i};
    }
  }
  if (found || !is_rowid_name(name)) return found;
  for (const Placed& table : level.tables) {
    if (!qualifier.empty() ? table.name != qualifier : level.tables.size() > 1) continue;
    if (!table.rowid_column)
      refuse("the hidden rowid of " + quote_identifier(table.name) + " does not arrive");
    return Found{&table, *table.rowid_column};
  }
  return found;
}

std::optional<SelectTranslator::Found> SelectTranslator::find(const Expression& expression) const {
  const std::string qualifier = fold_ascii(expression.qualifier);
  const std::string name = fold_ascii(expression.text);
  for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
    if (const std::optional<Found> found = find_in(*level, qualifier, name)) return found;
    // An alias of the result comes before the columns of the SELECT around it.
    if (qualifier.empty() && level->results != nullptr && level == levels_.rbegin() &&
        find_result(expression) != nullptr) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

const ResultColumn* SelectTranslator::find_result(const Expression& expression) const {
  if (levels_.empty() || levels_.back().results == nullptr || !expression.qualifier.empty()) return nullptr;
  const std::string name = fold_ascii(expression.text);
  for (const ResultColumn& result : *levels_.back().results) {
    if (!result.alias.empty() && fold_ascii(result.alias) == name) return &result;
  }
  return nullptr;
}

bool SelectTranslator::knows_column(std::string_view name) const {
  Expression expression;
  expression.kind = ExpressionKind::column;
  expression.text = std::string(name);
  return find(expression).has_value() || find_result(expression) != nullptr;
}

Fragment SelectTranslator::fragment_at(const Found& found) const {
  const RelationColumn& column = found.table->columns[found.column];
  Fragment fragment = column.shape;
  fragment.sql = quote_identifier(found.table->alias) + "." + quote_identifier(column.target);
  fragment.binding = Binding::atom;
  if (found.table->nullable) fragment.not_null = false;
  return fragment;
}

Fragment SelectTranslator::column(const Expression& expression) {
  if (const std::optional<Found> found = find(expression)) return fragment_at(*found);
  if (const ResultColumn* result = find_result(expression)) {
    // The aliases do not see each other.
    const std::vector<ResultColumn>* results = std::exchange(levels_.back().results, nullptr);
    Fragment fragment = translate(*result->expression);
    levels_.back().results = results;
    return fragment;
  }
  if (!expression.qualifier.empty()) {
    refuse("there is no column " + quote_identifier(expression.qualifier) + "." +
           quote_identifier(expression.text));
  }
  return no_column(expression);
}

// ---- FROM ----

std::string SelectTranslator::source_sql(const Source& source) {
  if (!source.joins.empty()) {
    if (!source.alias.empty()) refuse("it names a join in parentheses");
    remark("columns of a join in parentheses keep their names, which some versions of SQLite number");
    return "(" + joins_sql(source.joins) + ")";
  }
  Placed placed;
  std::string sql;
  if (source.select != nullptr) {
    // A subquery in FROM does not see the tables beside it.
    std::vector<Level> around;
    std::swap(around, levels_);
    Selected selected = translate_select(*source.select, {});
    std::swap(around, levels_);
    placed.name = fold_ascii(source.alias);
    placed.alias = claim_alias(source.alias.empty() ? "subquery" : source.alias);
    placed.columns = std::move(selected.columns);
    std::vector<std::string> names;
    for (const RelationColumn& column : placed.columns) names.push_back(quote_identifier(column.target));
    sql = "(" + selected.sql + ") AS " + quote_identifier(placed.alias) + " (" + joined(names) + ")";
  } else {
    const std::string name = fold_ascii(source.name);
    const Relation* relation = nullptr;
    if (source.schema.empty()) {
      for (auto tables = common_.rbegin(); tables != common_.rend() && relation == nullptr; ++tables) {
        if (const auto found = tables->find(name); found != tables->end()) relation = &found->second;
      }
    } else if (fold_ascii(source.schema) != "main") {
      refuse("it reads from another database, " + quote_identifier(source.schema));
    }
    if (relation == nullptr) {
      if (const auto found = relations_.find(name); found != relations_.end()) relation = &found->second;
    }
    if (name.starts_with("sqlite_")) refuse("it reads SQLite's own table " + source.name);
    if (relation == nullptr) refuse("there is no table " + quote_identifier(source.name));
    if (!relation->missing.empty()) refuse(relation->missing);
    placed.name = fold_ascii(source.alias.empty() ? source.name : source.alias);
    placed.alias = claim_alias(source.alias.empty() ? source.name : source.alias);
    placed.columns = relation->columns;
    placed.primary_key = relation->primary_key;
    placed.rowid_column = relation->rowid_column;
    sql = relation->sql + " AS " + quote_identifier(placed.alias);
  }
  levels_.back().tables.push_back(std::move(placed));
  return sql;
}

// The condition of a join whose right side begins at `right_begin` of the level's tables.
std::string SelectTranslator::condition_of(const Joined& join, std::size_t left_begin,
                                           std::size_t right_begin) {
  std::vector<Placed>& tables = levels_.back().tables;
  if (join.on != nullptr) {
    Fragment condition = truth(operand(*join.on));
    return condition.sql;
  }
  const auto find_on = [&](std::size_t begin, std::size_t end,
                           const std::string& name) -> std::optional<std::pair<std::size_t, std::size_t>> {
    for (std::size_t t = begin; t < end; ++t) {
      for (std::size_t c = 0; c < tables[t].columns.size(); ++c) {
        if (fold_ascii(tables[t].columns[c].source) == name && !tables[t].merged.contains(c))
          return std::pair{t, c};
      }
    }
    return std::nullopt;
  };
  std::vector<std::string> names;
  for (const std::string& name : join.columns) names.push_back(fold_ascii(name));
  if (join.natural) {
    for (std::size_t t = right_begin; t < tables.size(); ++t) {
      for (const RelationColumn& column : tables[t].columns) {
        const std::string name = fold_ascii(column.source);
        if (column.starred && find_on(left_begin, right_begin, name)) names.push_back(name);
      }
    }
  }
  if (names.empty()) return {};
  if (join.kind == JoinKind::right || join.kind == JoinKind::full) refuse("a RIGHT or FULL JOIN with USING");
  std::string conditions;
  for (const std::string& name : names) {
    const auto left = find_on(left_begin, right_begin, name);
    const auto right = find_on(right_begin, tables.size(), name);
    if (!left || !right) refuse("there is no column " + quote_identifier(name) + " on both sides of a join");
    const Fragment equal = compare("=", false, fragment_at({&tables[left->first], left->second}),
                                   fragment_at({&tables[right->first], right->second}));
    conditions += (conditions.empty() ? "" : " AND ") + bound(equal, Binding::logical_and);
    tables[right->first].merged.insert(right->second);
  }
  return conditions;
}

std::string SelectTranslator::joins_sql(const std::vector<Joined>& joins) {
  const std::size_t left_begin = levels_.back().tables.size();
  std::string sql;
  for (const Joined& join : joins) {
    if (sql.empty()) {
      sql = source_sql(*join.source);
      continue;
    }
    const std::size_t right_begin = levels_.back().tables.size();
    const std::string right = source_sql(*join.source);
    std::string condition = condition_of(join, left_begin, right_begin);
    JoinKind kind = join.kind;
    if (kind == JoinKind::inner && condition.empty()) kind = JoinKind::cross;
    if (kind == JoinKind::cross && !condition.empty()) kind = JoinKind::inner;
    if (condition.empty()) condition = "true";
    std::vector<Placed>& tables = levels_.back().tables;
    switch (kind) {
      case JoinKind::cross:
        sql += " CROSS JOIN " + right;
        break;
      case JoinKind::inner:
        sql += " JOIN " + right + " ON " + condition;
        break;
      case JoinKind::left:
        sql += " LEFT JOIN " + right + " ON " + condition;
        break;
      case JoinKind::right:
        sql += " RIGHT JOIN " + right + " ON " + condition;
        break;
      case JoinKind::full:
        sql += " FULL JOIN " + right + " ON " + condition;
        break;
    }
    const bool left_nullable = kind == JoinKind::right || kind == JoinKind::full;
    const bool right_nullable = kind == JoinKind::left || kind == JoinKind::full;
    for (std::size_t t = left_begin; t < tables.size(); ++t) {
      if (t < right_begin ? left_nullable : right_nullable) tables[t].nullable = true;
    }
  }
  return sql;
}

// ---- the result ----

// What leaves a SELECT: of a type that the SELECT around it and other SELECTs beside it can rely on.
Fragment SelectTranslator::output_value(Fragment fragment) {
  if (fragment.value == ValueClass::real && fragment.type != PgType::float8) {
    const bool literal_null = fragment.not_null;
    fragment = cast_to(fragment, PgType::float8, ValueClass::real);
    fragment.not_null = literal_null;
  }
  // Otherwise the column would compare under "C" in PostgreSQL, and with no other column at all.
  if (fragment.value == ValueClass::text && fragment.sql.find(" COLLATE \"C\"") != std::string::npos) {
    fragment.sql = bound(fragment, Binding::collate) + " COLLATE \"default\"";
    fragment.binding = Binding::collate;
  }
  return fragment;
}

void SelectTranslator::add_outputs(const ResultColumn& column, Core& core) {
  if (column.expression == nullptr) {
    const std::string wanted = fold_ascii(column.table);
    bool any = false;
    for (const Placed& table : levels_.back().tables) {
      if (!wanted.empty() && table.name != wanted) continue;
      any = true;
      for (std::size_t i = 0; i < table.columns.size(); ++i) {
        if (!table.columns[i].starred || (wanted.empty() && table.merged.contains(i))) continue;
        core.outputs.push_back({table.columns[i].source, table.columns[i].target, fragment_at({&table, i})});
      }
    }
    if (!any) refuse("there is no table " + quote_identifier(column.table) + " to take all columns of");
    return;
  }
  Output output;
  output.value = output_value(translate(*column.expression));
  output.source = output.target = column.alias.empty() ? column.written : column.alias;
  if (column.alias.empty() && column.expression->kind == ExpressionKind::column) {
    if (const std::optional<Found> found = find(*column.expression)) {
      output.source = found->table->columns[found->column].source;
      output.target = found->table->columns[found->column].target;
    }
  }
  core.outputs.push_back(std::move(output));
}

Fragment SelectTranslator::group_key(const Expression& expression, const SelectCore& core) {
  Fragment key;
  if (expression.kind == ExpressionKind::integer) {
    const auto place = static_cast<std::size_t>(expression.integer);
    const bool valid = expression.integer >= 1 && place <= core.columns.size() &&
                       std::all_of(core.columns.begin(), core.columns.end(),
                                   [](const ResultColumn& column) { return column.expression != nullptr; });
    if (!valid) refuse("it groups by the number of a column that it does not have");
    key = translate(*core.columns[place - 1].expression);
  } else {
    key = translate(expression);
  }
  if (key.literal || is_null(key)) refuse("it groups by a constant");
  insist_on_equality(key, "it groups by");
  return key;
}

// A column that is neither grouped nor aggregated has the value of any row of the group in SQLite.
void SelectTranslator::check_bare(const Expression& expression, const std::vector<Fragment>& keys) {
  if (is_aggregate_call(expression)) return;
  if (expression.kind == ExpressionKind::column) {
    const std::optional<Found> found = find(expression);
    if (!found) {
      if (const ResultColumn* result = find_result(expression)) check_bare(*result->expression, keys);
      return;
    }
    const bool own = std::any_of(levels_.back().tables.begin(), levels_.back().tables.end(),
                                 [&](const Placed& table) { return &table == found->table; });
    const auto is_key = [&](const Found& column) {
      return std::any_of(keys.begin(), keys.end(),
                         [&](const Fragment& key) { return key.sql == fragment_at(column).sql; });
    };
    if (!own || is_key(*found)) return;
    const std::vector<std::size_t>& primary = found->table->primary_key;
    const bool depends = !primary.empty() && std::all_of(primary.begin(), primary.end(), [&](std::size_t i) {
      return is_key({found->table, i});
    });
    if (!depends) {
      refuse("the column " + quote_identifier(expression.text) +
             " is neither grouped nor aggregated, so SQLite takes it from any row of the group");
    }
    return;
  }
  if (expression.kind != ExpressionKind::subquery && expression.kind != ExpressionKind::exists &&
      expression.kind != ExpressionKind::text && expression.kind != ExpressionKind::integer) {
    const std::string sql = translate(expression).sql;
    if (std::any_of(keys.begin(), keys.end(), [&](const Fragment& key) { return key.sql == sql; })) return;
  }
  for (const ExpressionPtr& child : expression.children) check_bare(*child, keys);
}

void SelectTranslator::refuse_bare_columns(const SelectCore& core, const std::vector<Fragment>& keys,
                                           const std::vector<OrderTerm>* order) {
  for (const ResultColumn& column : core.columns) {
    if (column.expression != nullptr) {
      check_bare(*column.expression, keys);
      continue;
    }
    for (const Placed& table : levels_.back().tables) {
      if (!column.table.empty() && table.name != fold_ascii(column.table)) continue;
      for (const RelationColumn& each : table.columns) {
        const ExpressionPtr made = qualified_column(each.source);
        made->qualifier = table.name;
        if (each.starred) check_bare(*made, keys);
      }
    }
  }
  if (core.having != nullptr) check_bare(*core.having, keys);
  if (order == nullptr) return;
  for (const OrderTerm& term : *order) check_bare(*term.expression, keys);
}

SelectTranslator::Core SelectTranslator::values_of(const SelectCore& written) {
  Core core;
  for (const auto& row : written.values) {
    std::vector<Fragment>& values = core.values.emplace_back();
    for (const ExpressionPtr& expression : row) values.push_back(output_value(translate(*expression)));
    if (values.size() != core.values.front().size()) refuse("its rows of VALUES are of different length");
  }
  for (std::size_t i = 0; i < core.values.front().size(); ++i) {
    std::vector<Fragment> column;
    for (const auto& row : core.values) column.push_back(row[i]);
    const Fragment shape = unify(column);
    for (std::size_t r = 0; r < column.size(); ++r) core.values[r][i] = column[r];
    const std::string name = "column" + std::to_string(i + 1);
    core.outputs.push_back({name, name, shape});
  }
  return core;
}

SelectTranslator::Core SelectTranslator::core_of(const SelectCore& written,
                                                 const std::vector<OrderTerm>* order) {
  if (!written.values.empty()) return values_of(written);
  Core core;
  core.distinct = written.distinct;
  if (!written.from.empty()) core.rest = " FROM " + joins_sql(written.from);
  for (const ResultColumn& column : written.columns) add_outputs(column, core);
  levels_.back().results = &written.columns;
  if (written.where != nullptr) core.rest += " WHERE " + truth(operand(*written.where)).sql;
  std::vector<Fragment> keys;
  std::string groups;
  for (const ExpressionPtr& expression : written.group_by) {
    keys.push_back(group_key(*expression, written));
    groups += (groups.empty() ? " GROUP BY " : ", ") + keys.back().sql;
  }
  core.rest += groups;
  core.grouped = !keys.empty();
  const auto aggregates = [](const ExpressionPtr& expression) {
    return expression != nullptr && holds_aggregate(*expression);
  };
  core.aggregated = aggregates(written.having) ||
                    std::any_of(written.columns.begin(), written.columns.end(),
                                [&](const ResultColumn& column) { return aggregates(column.expression); });
  if (core.grouped || core.aggregated) refuse_bare_columns(written, keys, order);
  if (written.having != nullptr) core.rest += " HAVING " + truth(operand(*written.having)).sql;
  if (core.distinct) {
    for (const Output& output : core.outputs) insist_on_equality(output.value, "DISTINCT compares");
  }
  if (order != nullptr && !order->empty() && !core.distinct) core.order = order_of(*order, written);
  levels_.back().results = nullptr;
  return core;
}

std::string SelectTranslator::core_sql(const Core& core) {
  if (!core.values.empty()) {
    std::vector<std::string> rows;
    for (const auto& row : core.values) {
      std::vector<std::string> values;
      for (const Fragment& value : row) values.push_back(value.sql);
      rows.push_back("(" + joined(values) + ")");
    }
    return "VALUES " + joined(rows);
  }
  std::vector<std::string> values;
  for (const Output& output : core.outputs) values.push_back(output.value.sql);
  return std::string("SELECT ") + (core.distinct ? "DISTINCT " : "") + joined(values) + core.rest +
         core.order;
}

// ---- ORDER BY and LIMIT ----

std::string SelectTranslator::order_term(Fragment value, const OrderTerm& term) {
  if (value.value == ValueClass::json) refuse("it orders by JSON");
  if (value.unsure != Unsure::no) refuse("it orders by " + value.sql + ", which is not surely text");
  if (value.value == ValueClass::text) {
    value = with_collation(value, value.collation);
    value = ordered_by_bytes(value);
  }
  const bool first = term.nulls_written ? term.nulls_first : !term.descending;
  std::string sql = value.sql + (term.descending ? " DESC" : "");
  // PostgreSQL's own place for NULL is the other one.
  if (!value.not_null && first != term.descending) sql += first ? " NULLS FIRST" : " NULLS LAST";
  return sql;
}

std::string SelectTranslator::order_of(const std::vector<OrderTerm>& terms, const SelectCore& core) {
  std::string sql;
  for (const OrderTerm& term : terms) {
    const Expression* expression = term.expression.get();
    // An alias of the result comes before a column, as in PostgreSQL.
    const ResultColumn* result =
        expression->kind == ExpressionKind::column ? find_result(*expression) : nullptr;
    Fragment value;
    if (expression->kind == ExpressionKind::integer) {
      const auto place = static_cast<std::size_t>(expression->integer);
      const bool stars = std::any_of(core.columns.begin(), core.columns.end(),
                                     [](const ResultColumn& column) { return column.expression == nullptr; });
      if (stars || expression->integer < 1 || place > core.columns.size()) {
        refuse("it orders by the number of a column that cannot be told");
      }
      result = &core.columns[place - 1];
    }
    if (result != nullptr) {
      const std::vector<ResultColumn>* results = std::exchange(levels_.back().results, nullptr);
      value = translate(*result->expression);
      levels_.back().results = results;
    } else {
      value = translate(*expression);
    }
    if (value.literal || is_null(value)) continue;  // a constant orders nothing
    sql += (sql.empty() ? " ORDER BY " : ", ") + order_term(std::move(value), term);
  }
  return sql;
}

// The order of a compound SELECT or of DISTINCT, by its outputs alone.
std::string SelectTranslator::order_of_outputs(const std::vector<OrderTerm>& terms, const Select& select,
                                               const std::vector<Output>& outputs, const std::string& alias) {
  std::string sql;
  for (const OrderTerm& term : terms) {
    const Expression& expression = *term.expression;
    std::optional<std::size_t> place;
    if (expression.kind == ExpressionKind::integer) {
      if (expression.integer >= 1 && static_cast<std::size_t>(expression.integer) <= outputs.size()) {
        place = static_cast<std::size_t>(expression.integer) - 1;
      }
    } else {
      const std::string name = fold_ascii(expression.text);
      for (std::size_t i = 0; i < outputs.size() && !place; ++i) {
        if (expression.kind == ExpressionKind::column && fold_ascii(outputs[i].source) == name) place = i;
      }
      // The same expression as in a result.
      for (const SelectCore& core : select.cores) {
        for (std::size_t i = 0; i < core.columns.size() && core.columns.size() == outputs.size() && !place;
             ++i) {
          if (core.columns[i].expression != nullptr &&
              fold_ascii(to_string(*core.columns[i].expression)) == fold_ascii(to_string(expression))) {
            place = i;
          }
        }
      }
    }
    if (!place) refuse("it orders by something that is not in its result");
    Fragment value = shape_of(outputs[*place].value);
    value.sql = quote_identifier(alias) + "." + quote_identifier(outputs[*place].target);
    sql += (sql.empty() ? " ORDER BY " : ", ") + order_term(std::move(value), term);
  }
  return sql;
}

std::string SelectTranslator::limit_of(const Select& select) {
  const auto number = [&](const ExpressionPtr& expression) {
    if (expression->kind != ExpressionKind::integer) refuse("a LIMIT that is not a plain number");
    return expression->integer;
  };
  std::string sql;
  if (select.limit != nullptr) {
    const std::int64_t limit = number(select.limit);
    if (limit >= 0) {
      sql += " LIMIT " + std::to_string(limit);
      if (select.order_by.empty() && limit > 0) remark("LIMIT without an order takes any rows");
    }
  }
  if (select.offset != nullptr) {
    const std::int64_t offset = number(select.offset);
    if (offset > 0) sql += " OFFSET " + std::to_string(offset);
  }
  return sql;
}

// ---- the whole ----

std::string SelectTranslator::common_tables(const Select& select) {
  common_.emplace_back();
  std::string with;
  for (const CommonTable& table : select.with) {
    const std::string name = fold_ascii(table.name);
    const std::vector<std::string> used = tables_in(*table.select);
    if (std::find(used.begin(), used.end(), name) != used.end()) refuse("its WITH is recursive");
    std::vector<Level> around;
    std::swap(around, levels_);
    Selected selected = translate_select(*table.select, table.columns);
    std::swap(around, levels_);
    const std::string alias = claim_alias(table.name);
    std::vector<std::string> columns;
    for (const RelationColumn& column : selected.columns) columns.push_back(quote_identifier(column.target));
    with += (with.empty() ? "WITH " : ", ") + quote_identifier(alias) + " (" + joined(columns) + ") AS (" +
            selected.sql + ")";
    Relation& relation = common_.back()[name];
    relation.sql = quote_identifier(alias);
    relation.columns = std::move(selected.columns);
  }
  return with.empty() ? with : with + " ";
}

void SelectTranslator::unite(const Select& select, std::vector<Core>& cores, std::vector<Output>& outputs) {
  const bool compares = std::any_of(select.operators.begin(), select.operators.end(),
                                    [](SetOperator each) { return each != SetOperator::union_all; });
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::vector<Fragment> values;
    for (const Core& core : cores) values.push_back(core.outputs[i].value);
    const std::vector<Fragment> before = values;
    Fragment shape = unify(values);
    const bool alike = std::all_of(before.begin(), before.end(), [&](const Fragment& value) {
      return value.affinity == before.front().affinity;
    });
    if (alike) shape.affinity = before.front().affinity;
    shape.not_null =
        std::all_of(before.begin(), before.end(), [](const Fragment& value) { return value.not_null; });
    shape.converted = before.front().converted;
    for (std::size_t c = 0; c < cores.size(); ++c) {
      if (compares) {
        insist_on_equality(before[c], std::string(spelled(select.operators.front())) + " compares");
      }
      if (!before[c].collation.empty()) refuse("a compound SELECT of text under a collation");
      if (before[c].converted != shape.converted) {
        refuse("a compound SELECT of values that are converted on their way");
      }
      if (is_null(values[c]) && !is_null(shape)) values[c] = cast_to(values[c], shape.type, shape.value);
      if (!cores[c].values.empty() && values[c].sql != before[c].sql) {
        refuse("VALUES beside a SELECT of another type");
      }
      cores[c].outputs[i].value = values[c];
    }
    outputs[i].value = shape;
  }
}

Selected SelectTranslator::translate_select(const Select& select, const std::vector<std::string>& names) {
  const std::string with = common_tables(select);
  const bool compound = select.cores.size() > 1;
  std::vector<Core> cores;
  for (const SelectCore& written : select.cores) {
    levels_.emplace_back();
    cores.push_back(core_of(written, compound ? nullptr : &select.order_by));
    levels_.pop_back();
    if (cores.back().outputs.size() != cores.front().outputs.size()) {
      refuse("its SELECTs have different numbers of columns");
    }
  }
  std::vector<Output> outputs = cores.front().outputs;
  if (compound) unite(select, cores, outputs);
  if (!names.empty() && names.size() != outputs.size()) {
    refuse("it names another number of columns than it has");
  }
  // A column that was renamed on its way keeps its new name, unless the view names it.
  std::set<std::string> taken;
  std::set<std::string> taken_targets;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    Output& output = outputs[i];
    if (!names.empty()) output.source = output.target = names[i];
    const std::string name = unlike(output.source, taken);
    taken.insert(fold_ascii(name));
    if (name != output.source) output.target = name;
    output.source = name;
    const std::string target = output.target;
    for (int count = 1; !taken_targets.insert(output.target).second; ++count) {
      output.target = target + "_" + std::to_string(count);
    }
  }
  Selected selected;
  selected.sql = core_sql(cores.front());
  for (std::size_t i = 1; i < cores.size(); ++i) {
    // From left to right; in PostgreSQL INTERSECT binds tighter.
    if (i >= 2) selected.sql = "(" + selected.sql + ")";
    selected.sql += " " + std::string(spelled(select.operators[i - 1])) + " " + core_sql(cores[i]);
  }
  const bool of_outputs = compound || cores.front().distinct || !cores.front().values.empty();
  if (!select.order_by.empty() && of_outputs) {
    const std::string alias = claim_alias("result");
    std::vector<std::string> columns;
    std::vector<std::string> all;
    for (const Output& output : outputs) {
      columns.push_back(quote_identifier(output.target));
      all.push_back(quote_identifier(alias) + "." + quote_identifier(output.target));
    }
    const std::string order = order_of_outputs(select.order_by, select, outputs, alias);
    selected.sql = "SELECT " + joined(all) + " FROM (" + selected.sql + ") AS " + quote_identifier(alias) +
                   " (" + joined(columns) + ")" + order;
  }
  selected.sql = with + selected.sql + limit_of(select);
  for (const Output& output : outputs) {
    RelationColumn column;
    column.source = output.source;
    column.target = output.target;
    column.shape = shape_of(output.value);
    selected.columns.push_back(std::move(column));
  }
  selected.one_row = !compound && cores.front().aggregated && !cores.front().grouped;
  common_.pop_back();
  return selected;
}

// ---- subqueries in expressions ----

Fragment SelectTranslator::query(const Expression& expression) {
  if (expression.kind == ExpressionKind::exists) {
    const Selected selected = translate_select(*expression.select, {});
    Fragment exists = boolean_fragment("EXISTS (" + selected.sql + ")", Binding::atom);
    exists.not_null = true;
    return exists;
  }
  Fragment left;
  if (expression.kind == ExpressionKind::in_select) left = translate(*expression.children[0]);
  Selected selected = translate_select(*expression.select, {});
  if (selected.columns.size() != 1) refuse("a subquery of more than one column");
  const RelationColumn& column = selected.columns.front();
  if (expression.kind == ExpressionKind::subquery) {
    Fragment value = column.shape;
    if (value.converted) refuse("a subquery of values that are converted on their way");
    const bool limited = expression.select->limit != nullptr;
    if (!selected.one_row && !limited) remark("of several rows of a subquery, either database takes any");
    value.sql = "(" + selected.sql + (selected.one_row || limited ? ")" : " LIMIT 1)");
    value.not_null = false;
    value.of_column = false;
    value.collation.clear();
    return value;
  }
  if (is_null(left)) return unknown_truth();
  const std::string alias = claim_alias("list");
  Fragment item = column.shape;
  item.sql = quote_identifier(alias) + ".value";
  item.collation.clear();
  if (is_null(item)) refuse("it looks for a value among NULLs");
  const Pair pair = comparable("=", left, item);
  return boolean_fragment(bound(pair.left, Binding::other) +
                              (expression.negated ? " NOT IN (SELECT " : " IN (SELECT ") + pair.right.sql +
                              " FROM (" + selected.sql + ") AS " + quote_identifier(alias) + " (value))",
                          Binding::like);
}

// ---- aggregates ----

Fragment SelectTranslator::aggregate_value(const Expression& expression, std::vector<Fragment>& arguments) {
  const std::string& name = expression.text;
  const std::string distinct = expression.distinct ? "DISTINCT " : "";
  const auto result = [](const std::string& sql, Binding binding, ValueClass value, PgType type) {
    return make_fragment(sql, binding, value, type);
  };
  if (name == "count") {
    if (!expression.negated && arguments.size() > 1) refuse("count of more than one argument");
    const bool all = expression.negated || arguments.empty();
    if (expression.distinct) insist_on_equality(arguments.front(), "DISTINCT compares");
    Fragment count = result("count(" + (all ? "*" : distinct + arguments.front().sql) + ")", Binding::atom,
                            ValueClass::integer, PgType::int8);
    count.not_null = true;
    return count;
  }
  if (arguments.empty()) refuse(name + " without an argument");
  Fragment value = arguments.front();
  if (expression.distinct) insist_on_equality(value, "DISTINCT compares");
  if (name == "group_concat" || name == "string_agg") {
    const Fragment separator = arguments.size() > 1 ? as_text(arguments[1]) : text_literal(",");
    remark("the order in which " + name + " puts its parts is left open by both databases");
    return text_fragment("string_agg(" + distinct + as_text(value).sql + ", " + separator.sql + ")");
  }
  if (arguments.size() != 1) refuse(name + " of several arguments");
  if (name == "min" || name == "max") {
    if (is_null(value)) return value;
    const bool least = name == "min";
    switch (value.value) {
      case ValueClass::boolean:
        return result((least ? "bool_and(" : "bool_or(") + value.sql + ")", Binding::atom, value.value,
                      value.type);
      case ValueClass::text:
        if (value.unsure != Unsure::no) refuse("what " + value.sql + " holds is not surely text");
        if (!value.collation.empty()) refuse(name + " under a collation");
        value = ordered_by_bytes(value);
        break;
      case ValueClass::json:
      case ValueClass::uuid:
      case ValueClass::blob:
        refuse_argument(name, value);
      default:
        break;
    }
    return result(name + "(" + value.sql + ")", Binding::atom, value.value, value.type);
  }
  value = as_number(value);
  if (is_null(value)) refuse(name + " of NULL");
  if (name == "sum" && value.value == ValueClass::integer) {
    can_fail = true;
    if (is_narrow(value))
      return result("sum(" + distinct + value.sql + ")", Binding::atom, ValueClass::integer, PgType::int8);
    return result("sum(" + distinct + value.sql + ")::bigint", Binding::cast, ValueClass::integer,
                  PgType::int8);
  }
  if (value.value == ValueClass::number) remark("decimals are computed with as doubles, as SQLite does");
  if (value.value != ValueClass::integer)
    remark("the last digits of a sum of doubles depend on the order of the rows");
  const ValueClass kind =
      name == "sum" && value.value == ValueClass::number ? ValueClass::number : ValueClass::real;
  const std::string doubles = distinct + as_double(value).sql;
  can_fail = true;
  if (name == "sum") return result("sum(" + doubles + ")", Binding::atom, kind, PgType::float8);
  if (name == "avg") return result("avg(" + doubles + ")", Binding::atom, ValueClass::real, PgType::float8);
  Fragment total =
      result("coalesce(sum(" + doubles + "), 0)", Binding::atom, ValueClass::real, PgType::float8);
  total.not_null = true;
  return total;
}

Fragment SelectTranslator::window_value(const Expression& expression,
                                        const std::vector<Fragment>& arguments) {
  const std::string& name = expression.text;
  const bool ranks = name == "row_number" || name == "rank" || name == "dense_rank";
  if (ranks && arguments.empty()) {
    Fragment number = make_fragment(name + "()", Binding::atom, ValueClass::integer, PgType::int8);
    number.not_null = true;
    return number;
  }
  if ((name == "lag" || name == "lead" || name == "first_value") && arguments.size() == 1) {
    Fragment value = arguments.front();
    const Fragment shape = shape_of(value);
    value = make_fragment(name + "(" + value.sql + ")", Binding::atom, shape.value, shape.type);
    value.unsure = shape.unsure;
    return value;
  }
  refuse("the window function " + name + " is not translated");
}

std::optional<Fragment> SelectTranslator::aggregate(const Expression& expression) {
  const bool over = expression.window != nullptr;
  const std::string& name = expression.text;
  const bool extreme = (name == "min" || name == "max") && expression.children.size() == 1;
  const bool aggregates = extreme || name == "count" || name == "sum" || name == "total" || name == "avg" ||
                          name == "group_concat" || name == "string_agg";
  if (!aggregates && !over) return std::nullopt;
  std::vector<Fragment> arguments;
  for (const ExpressionPtr& child : expression.children) {
    arguments.push_back(operand(*child));
    if (arguments.back().converted) refuse(name + " of values that are converted on their way");
  }
  Fragment value = aggregates ? aggregate_value(expression, arguments) : window_value(expression, arguments);
  std::string suffix;
  if (expression.filter != nullptr)
    suffix += " FILTER (WHERE " + truth(operand(*expression.filter)).sql + ")";
  if (over) {
    std::string inside;
    for (const ExpressionPtr& part : expression.window->partition) {
      const Fragment key = operand(*part);
      insist_on_equality(key, "PARTITION BY compares");
      inside += (inside.empty() ? "PARTITION BY " : ", ") + key.sql;
    }
    std::string order;
    for (const OrderTerm& term : expression.window->order) {
      order += (order.empty() ? "ORDER BY " : ", ") + order_term(translate(*term.expression), term);
    }
    if (order.empty() && !aggregates) remark("rows are numbered in no particular order in either database");
    suffix += " OVER (" + inside + (inside.empty() || order.empty() ? "" : " ") + order + ")";
  }
  if (suffix.empty()) return value;
  // Behind the call itself, not behind a cast or a coalesce around it.
  const std::string cast = "::bigint";
  if (name == "total") {
    value.sql.insert(value.sql.size() - std::string_view(", 0)").size(), suffix);
  } else if (value.sql.ends_with(cast)) {
    value.sql.insert(value.sql.size() - cast.size(), suffix);
  } else {
    value.sql += suffix;
  }
  return value;
}

}  // namespace sluice
