#pragma once
// The walk behind translate.h: one tree of SQLite's into one fragment of PostgreSQL's SQL. Its parts are in
// translator.cc (columns, operators, CAST, CASE), comparisons.cc, functions.cc and moments.cc. What only a
// SELECT has (several tables, subqueries, aggregates) comes by way of the virtual functions, from
// select_translator.h.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/translate/fragment.h"
#include "engine/translate/sql_expression.h"
#include "engine/translate/translate.h"

namespace sluice {

class Translator;

// What arrives in `column` when the fragment is assigned to it: by the affinity of the column in SQLite, and
// with the same meaning in its type here. Throws Refusal.
Fragment fitted(Translator& translator, const Fragment& fragment, const ScopeColumn& column);

enum class Purpose : std::uint8_t {
  constraint,     // an index, a CHECK, a generated column: always the same value for the same row
  default_value,  // may differ from call to call
  // Nothing is stored, and a difference in the last digit or at midnight is worth a remark, not a refusal:
  // decimals are computed with as the doubles that they are in SQLite, text as the number that it begins
  // with.
  view,
};

class Translator {
 public:
  Translator(const Scope& scope, Purpose purpose) : scope_(scope), purpose_(purpose) {}
  virtual ~Translator() = default;

  // The whole of it. Throws Refusal.
  Fragment translate(const Expression& expression);
  // As a truth value: of type boolean.
  Fragment truth(const Fragment& fragment);
  // As the text SQLite would make of it.
  Fragment as_text(const Fragment& fragment);
  // Equality under a collation, made out of plain equality: lower(x COLLATE "C") for NOCASE.
  static Fragment with_collation(const Fragment& fragment, const std::string& collation);

  void remark(std::string_view text);
  std::vector<std::string> remarks{};
  bool immutable = true;
  bool can_fail = false;

 protected:
  // True for what may be named without a qualifier.
  [[nodiscard]] virtual bool knows_column(std::string_view name) const;
  virtual Fragment column(const Expression& expression);
  // A subquery, EXISTS or IN (SELECT ...).
  virtual Fragment query(const Expression& expression);
  // What the functions of functions.cc are not: an aggregate or a window function.
  virtual std::optional<Fragment> aggregate(const Expression& expression);

  Fragment fragment_of(const ScopeColumn& column);
  // A name that is no column: TRUE, FALSE, or a string in double quotes.
  Fragment no_column(const Expression& expression);
  Fragment operand(const Expression& expression);
  Fragment as_number(Fragment fragment);
  // As double precision, whatever number it is.
  static Fragment as_double(const Fragment& number);
  // Throws Refusal where PostgreSQL holds equal what SQLite tells apart, or the other way round: for GROUP
  // BY, DISTINCT and the like.
  void insist_on_equality(const Fragment& fragment, const std::string& where);

  [[nodiscard]] bool for_view() const { return purpose_ == Purpose::view; }

 private:
  bool is_truth_word(const Expression& expression) const;
  Fragment walk(const Expression& expression);
  std::vector<Fragment> operands(const Expression& expression, std::size_t first);
  Fragment unary(const Expression& expression);
  Fragment binary(const Expression& expression);
  Fragment logical(const Expression& expression);
  Fragment arithmetic(const std::string& name, Fragment left, Fragment right);
  Fragment integer_arithmetic(const std::string& name, const Fragment& left, const Fragment& right);
  Fragment real_arithmetic(const std::string& name, const Fragment& left, const Fragment& right);
  Fragment bits(const std::string& name, Fragment left, Fragment right);
  Fragment decimal_division(const Fragment& left, const Fragment& right);
  Fragment leading_number(const Fragment& text);
  Fragment leading_integer(const Fragment& text);
  Fragment concatenation(const Fragment& left, const Fragment& right);
  Fragment in_list(const Expression& expression);
  Fragment between(const Expression& expression);
  Fragment like(const Expression& expression);
  Fragment cast(const Expression& expression);
  Fragment choice(const Expression& expression);
  Fragment call(const Expression& expression);
  Fragment text_call(const std::string& name, std::vector<Fragment> arguments);
  Fragment substring(const std::vector<Fragment>& arguments);
  Fragment extreme(const std::string& name, std::vector<Fragment> arguments);
  Fragment type_name(const Fragment& fragment);
  Fragment json_member(const Fragment& json, const Fragment& path, bool label);
  Fragment json_valid(const Fragment& json);
  Fragment rounded(const std::vector<Fragment>& arguments);
  Fragment moment_call(const std::string& name, const std::vector<Fragment>& arguments);
  Fragment formatted_moment(const std::string& format, const std::string& base);
  Fragment moment_of_value(const std::string& name, const std::vector<Fragment>& arguments);

  const Scope& scope_;
  Purpose purpose_;
  int depth_ = 0;

 protected:
  // ---- comparisons ----
  struct Pair {
    Fragment left;
    Fragment right;
  };
  Pair comparable(const std::string& name, Fragment left, Fragment right);
  void align(const std::string& name, Fragment& left, Fragment& right);
  void align_numbers(Fragment& left, Fragment& right);
  void align_with_text(const std::string& name, Fragment& other, Fragment& text);
  void align_moment(const std::string& name, Fragment& moment, Fragment& text);
  Fragment compare(const std::string& name, bool negated, const Fragment& left, const Fragment& right);
  // Gives all the same class and type, as the branches of a CASE need it. Throws Refusal.
  Fragment unify(std::vector<Fragment>& fragments);
};

}  // namespace sluice
