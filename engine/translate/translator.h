#pragma once
// The walk behind translate.h: one tree of SQLite's into one fragment of PostgreSQL's SQL. Its parts are in
// translator.cc (columns, operators, CAST, CASE), comparisons.cc and functions.cc.

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

class Translator {
 public:
  // Functions that differ from call to call are for defaults only.
  Translator(const Scope& scope, bool for_default) : scope_(scope), for_default_(for_default) {}

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

 private:
  const ScopeColumn* find_column(std::string_view name) const;
  bool is_truth_word(const Expression& expression) const;
  Fragment walk(const Expression& expression);
  Fragment operand(const Expression& expression);
  std::vector<Fragment> operands(const Expression& expression, std::size_t first);
  Fragment column(const Expression& expression);
  Fragment unary(const Expression& expression);
  Fragment binary(const Expression& expression);
  Fragment logical(const Expression& expression);
  Fragment arithmetic(const std::string& name, Fragment left, Fragment right);
  Fragment integer_arithmetic(const std::string& name, const Fragment& left, const Fragment& right);
  Fragment real_arithmetic(const std::string& name, const Fragment& left, const Fragment& right);
  Fragment bits(const std::string& name, Fragment left, Fragment right);
  Fragment as_number(Fragment fragment);
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
  Fragment moment_call(const std::string& name, const std::vector<Fragment>& arguments);
  Fragment formatted_moment(const std::string& format);

  // ---- comparisons ----
  struct Pair {
    Fragment left;
    Fragment right;
  };
  Pair comparable(const std::string& name, Fragment left, Fragment right);
  void align(const std::string& name, Fragment& left, Fragment& right);
  void align_numbers(Fragment& left, Fragment& right);
  void align_with_text(const std::string& name, Fragment& other, Fragment& text);
  void align_moment(Fragment& moment, Fragment& text);
  Fragment compare(const std::string& name, bool negated, const Fragment& left, const Fragment& right);
  // Gives all the same class and type, as the branches of a CASE need it. Throws Refusal.
  Fragment unify(std::vector<Fragment>& fragments);

  const Scope& scope_;
  bool for_default_;
};

}  // namespace sluice
