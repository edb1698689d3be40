#pragma once
// Counts what the columns of a table hold: one look at every value, before it is decided what they become.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/model/cell.h"
#include "engine/model/facts.h"
#include "engine/model/plan.h"
#include "io/wire/text_forms.h"

namespace sluice {

struct ProfiledColumn {
  bool examined = true;
  bool key = false;  // of the primary key: a NULL in it is worth an example
};

// Facts of the rows of one plan, or of a range of them. One thread at a time; nothing is allocated per cell.
//
// Every text of a column that is planned as date, time, timestamp, timestamptz, boolean, json, jsonb or uuid,
// or of which the plan says so, is read as each of the forms. Of other columns only the first 256 and then every 64th, so that text costs
// the check of its characters and no more.
class TableProfile {
 public:
  // `wishes`: one per column of the plan. The plan must outlive the profile.
  TableProfile(const TablePlan& plan, const std::vector<ProfiledColumn>& wishes);

  // REQUIRES: a row of the plan, with its rowid where the plan has RowKey::rowid.
  void add(Row row);

  [[nodiscard]] std::uint64_t rows() const { return rows_; }
  // By column of the plan. ColumnFacts::add puts together what several ranges have found.
  [[nodiscard]] ColumnFacts facts(std::size_t column) const;

 private:
  struct Column {
    ColumnFacts facts;
    std::size_t index = 0;           // in the row
    TextFormSet declared_forms = 0;  // a text should have one of these; 0: not declared as such
    std::uint8_t strange = 0;        // storage classes to be shown when they turn up, one bit each
    bool all_forms = false;
    bool moments = false;  // timestamps are expected
    bool key = false;
    bool show_strange_boolean = false;
  };

  void add_integer(Column& column, std::int64_t value, Row row);
  void add_real(Column& column, double value, Row row);
  void add_text(Column& column, std::string_view text, Row row);
  void add_blob(Column& column, std::span<const std::byte> bytes, Row row);
  void add_unusual_text(Column& column, std::string_view text, Row row);
  void examine_forms(Column& column, std::string_view text, Row row);
  void note_longest(Column& column, Row row);
  void show(Column& column, Surprise surprise, Row row);

  const TablePlan* plan_;
  std::vector<Column> columns_;        // the examined ones
  std::vector<std::size_t> place_of_;  // by column of the plan, in columns_; columns_.size() for none
  std::uint64_t rows_ = 0;
  TextForms forms_;
};

// The key of the row, as SQL would write it: "id = 17", "rowid = 3", "a = 'x' and b = 2". Empty where rows
// of the plan have none. A NULL in the key names no row: then it is the rowid, where the plan has a column of it.
std::string describe_key(const TablePlan& plan, Row row);

}  // namespace sluice
