#pragma once
// The walk over a SELECT: what its names mean, level by level, and its clauses in PostgreSQL's SQL. Only for
// the files of the translator; translate_view.h is the way in.
//
// Every table in a FROM gets an alias of its own, different from all others of the view, and every column is
// written with it: so a name cannot come to mean something else where the two databases look names up in
// another order. Stars are written out, USING and NATURAL become ON.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/translate/fragment.h"
#include "engine/translate/sql_select.h"
#include "engine/translate/translator.h"

namespace sluice {

// A column of something that can stand in FROM. `shape` is a fragment without its SQL.
struct RelationColumn {
  std::string source{};
  std::string target{};
  Fragment shape{};
  bool starred = true;  // * stands for it, too
};

// A table, a view or a common table, by what the translator must know of it.
struct Relation {
  std::string sql{};  // "schema"."name"
  std::vector<RelationColumn> columns{};
  std::vector<std::size_t> primary_key{};     // where PostgreSQL has one; indexes into columns
  std::optional<std::size_t> rowid_column{};  // what rowid, _rowid_ and oid mean
  // Why a relation of this name cannot be read; empty when it can.
  std::string missing{};
};

// By name, in lower case.
using Relations = std::map<std::string, Relation, std::less<>>;

// A SELECT as SQL, with what its columns are.
struct Selected {
  std::string sql{};
  std::vector<RelationColumn> columns{};
  bool one_row = false;  // at most
};

class SelectTranslator : public Translator {
 public:
  explicit SelectTranslator(const Relations& relations)
      : Translator(nothing_, Purpose::view), relations_(relations) {}

  // Throws Refusal. `names`: instead of the columns' own, or empty.
  Selected translate_select(const Select& select, const std::vector<std::string>& names);

 protected:
  [[nodiscard]] bool knows_column(std::string_view name) const override;
  Fragment column(const Expression& expression) override;
  Fragment query(const Expression& expression) override;
  std::optional<Fragment> aggregate(const Expression& expression) override;

 private:
  // One table of a FROM.
  struct Placed {
    std::string name;   // what SQLite calls it, in lower case
    std::string alias;  // what we call it
    std::vector<RelationColumn> columns;
    std::vector<std::size_t> primary_key;
    std::optional<std::size_t> rowid_column;
    std::set<std::size_t> merged;  // columns that USING or NATURAL joined to one on the left
    bool nullable = false;         // by an outer join
  };
  // One SELECT around the place of the walk.
  struct Level {
    std::vector<Placed> tables;
    // Aliases of the result, where they may be used.
    const std::vector<ResultColumn>* results = nullptr;
  };
  struct Found {
    const Placed* table = nullptr;
    std::size_t column = 0;
  };
  struct Output {
    std::string source;
    std::string target;
    Fragment value;
  };
  // A SELECT without its set operators: what it yields, and the SQL from FROM on.
  struct Core {
    bool distinct = false;
    bool aggregated = false;
    bool grouped = false;
    std::vector<Output> outputs;
    std::string rest;
    std::vector<std::vector<Fragment>> values;  // rows of VALUES
    std::string order;                          // " ORDER BY ..." of a SELECT that stands alone
  };

  std::optional<Found> find(const Expression& expression) const;
  std::optional<Found> find_in(const Level& level, const std::string& qualifier,
                               const std::string& name) const;
  const ResultColumn* find_result(const Expression& expression) const;
  Fragment fragment_at(const Found& found) const;
  std::string claim_alias(std::string_view wanted);

  // WITH ..., as SQL; its tables are then known.
  std::string common_tables(const Select& select);
  // The outputs of a compound SELECT, of one type each.
  void unite(const Select& select, std::vector<Core>& cores, std::vector<Output>& outputs);
  Core core_of(const SelectCore& core, const std::vector<OrderTerm>* order);
  Core values_of(const SelectCore& core);
  std::string joins_sql(const std::vector<Joined>& joins);
  std::string source_sql(const Source& source);
  std::string condition_of(const Joined& joined, std::size_t left_begin, std::size_t right_begin);
  void add_outputs(const ResultColumn& column, Core& core);
  void refuse_bare_columns(const SelectCore& core, const std::vector<Fragment>& keys,
                           const std::vector<OrderTerm>* order);
  void check_bare(const Expression& expression, const std::vector<Fragment>& keys);
  Fragment group_key(const Expression& expression, const SelectCore& core);
  std::string order_of(const std::vector<OrderTerm>& terms, const SelectCore& core);
  std::string order_of_outputs(const std::vector<OrderTerm>& terms, const Select& select,
                               const std::vector<Output>& outputs, const std::string& alias);
  std::string order_term(Fragment value, const OrderTerm& term);
  std::string limit_of(const Select& select);
  std::string core_sql(const Core& core);
  Fragment output_value(Fragment fragment);
  Fragment aggregate_value(const Expression& expression, std::vector<Fragment>& arguments);
  Fragment window_value(const Expression& expression, const std::vector<Fragment>& arguments);

  static const Scope nothing_;
  const Relations& relations_;
  std::vector<Relations> common_;  // innermost last
  std::vector<Level> levels_;      // innermost last
  std::set<std::string> aliases_;
};

}  // namespace sluice
