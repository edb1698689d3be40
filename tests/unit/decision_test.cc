// What becomes of a column, from its declaration, the facts and the mapping.

#include "engine/plan/decision.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/plan/declared_type.h"

namespace sluice {
namespace {

SourceTable table_with(const std::string& declared_type) {
  SourceTable table;
  table.name = "t";
  SourceColumn column;
  column.name = "c";
  column.declared_type = declared_type;
  table.columns.push_back(column);
  return table;
}

struct Decided {
  std::string declared;
  ColumnFacts facts;
  Mapping mapping;

  ColumnMapping& wish() {
    if (mapping.tables.empty()) {
      TableMapping& table = mapping.tables.emplace_back();
      table.table = "T";  // names compare as SQLite compares them
      table.columns.emplace_back().column = "C";
    }
    return mapping.tables[0].columns[0];
  }
  [[nodiscard]] ColumnDecision decide(bool apart = false) const {
    const SourceTable table = table_with(declared);
    return decide_column(table, 0, &facts, mapping, apart);
  }
};

ColumnFacts facts() {
  ColumnFacts facts;
  facts.examined = true;
  return facts;
}

ColumnFacts texts(std::uint64_t count) {
  ColumnFacts made = facts();
  made.texts = count;
  made.forms_examined = count;
  return made;
}

void set(ColumnFacts& facts, TextForm form, std::uint64_t count) {
  facts.forms[static_cast<std::size_t>(form)] = count;
}

TEST(Decision, TakesTheDeclaredTypeWhereEveryValueFits) {
  Decided column{"DATETIME", texts(3), {}};
  set(column.facts, TextForm::timestamp, 2);
  set(column.facts, TextForm::date, 1);
  const ColumnDecision decision = column.decide();
  EXPECT_EQ(decision.type, PgType::timestamp);
  EXPECT_EQ(decision.remark, "");
  EXPECT_TRUE(decision.findings.empty());
  EXPECT_FALSE(decision.judge);
}

TEST(Decision, WidensToTheNarrowestTypeThatTakesAll) {
  Decided column{"INTEGER", facts(), {}};
  column.facts.integers = 5;
  column.facts.reals = 1;
  EXPECT_EQ(column.decide().type, PgType::float8);
  column.facts.integers_beyond_double = 1;
  EXPECT_EQ(column.decide().type, PgType::numeric);
  column.facts.texts = 1;
  const ColumnDecision decision = column.decide();
  EXPECT_EQ(decision.type, PgType::text);
  EXPECT_EQ(decision.remark,
            "declared INTEGER; 2 of 7 values do not fit bigint (5 integers, 1 real, 1 text), so it arrives as text");
}

TEST(Decision, SaysThatAllZonedTimesLoseTheirOffset) {
  Decided column{"TIMESTAMP", texts(4), {}};
  set(column.facts, TextForm::timestamptz, 4);
  const ColumnDecision decision = column.decide();
  EXPECT_EQ(decision.type, PgType::timestamptz);
  EXPECT_NE(decision.remark.find("offset"), std::string::npos);
}

TEST(Decision, KeepsACountOfCharactersByTheFacts) {
  Decided column{"VARCHAR(3)", texts(2), {}};
  column.mapping.keep_lengths = true;
  column.facts.characters_longest = 3;
  ColumnDecision decision = column.decide();
  EXPECT_EQ(decision.type, PgType::varchar);
  EXPECT_EQ(decision.modifier, (TypeModifier{3, -1}));
  EXPECT_FALSE(decision.judge_length);
  column.facts.characters_longest = 4;
  decision = column.decide();
  EXPECT_EQ(decision.type, PgType::text);
  EXPECT_FALSE(decision.modifier.any());
  EXPECT_EQ(decision.remark, "declared VARCHAR(3); the longest text has 4 characters, so it arrives as text");
}

TEST(Decision, LeavesALengthToTheEncoderWhereFactsDoNotCount) {
  Decided column{"VARCHAR(2000000)", texts(2), {}};
  column.mapping.keep_lengths = true;
  column.facts.characters_longest = kCharactersCounted;
  EXPECT_TRUE(column.decide().judge_length);
  column.declared = "VARCHAR(3)";
  column.facts.characters_longest = 4;
  column.wish().conversion.encoding = TextEncoding::latin1;  // 4 before it, and perhaps 2 after it
  EXPECT_TRUE(column.decide().judge_length);
  EXPECT_EQ(column.decide().type, PgType::varchar);
}

TEST(Decision, GivesUpALengthThatTheEncoderRefutes) {
  Decided column{"DECIMAL(4,1)", facts(), {}};
  column.mapping.keep_lengths = true;
  column.facts.reals = 1;
  ColumnDecision decision = column.decide();
  EXPECT_EQ(decision.type, PgType::numeric);
  EXPECT_EQ(decision.modifier, (TypeModifier{4, 1}));
  EXPECT_TRUE(decision.judge_length);
  EXPECT_FALSE(decision.judge);
  give_up_length(table_with(column.declared).columns[0], decision);
  EXPECT_EQ(decision.type, PgType::numeric);
  EXPECT_FALSE(decision.modifier.any());
  EXPECT_EQ(decision.remark, "declared DECIMAL(4,1), which not every value fits, so it arrives as numeric");
}

TEST(Decision, KeepsNoLengthThatIsNone) {
  for (const char* declared : {"DECIMAL(2,5)", "DECIMAL(2000)", "VARCHAR(0)", "VARCHAR(10,2)", "TEXT(5)",
                               "VARCHAR(10485761)", "INT(11)", "FLOAT(7,3)", "DECIMAL"}) {
    Decided column{declared, facts(), {}};
    column.mapping.keep_lengths = true;
    column.facts.nulls = 1;
    EXPECT_FALSE(column.decide().modifier.any()) << declared;
  }
  // What a widened column was declared as says nothing of its new type.
  Decided column{"DECIMAL(4,1)", texts(1), {}};
  column.mapping.keep_lengths = true;
  column.facts.characters_longest = 3;
  EXPECT_EQ(column.decide().type, PgType::text);
  EXPECT_FALSE(column.decide().modifier.any());
}

TEST(Decision, LeavesMixedZonesAsText) {
  Decided column{"TIMESTAMP", texts(4), {}};
  set(column.facts, TextForm::timestamptz, 3);
  set(column.facts, TextForm::timestamp, 1);
  EXPECT_EQ(column.decide().type, PgType::text);
}

TEST(Decision, StopsForWhatNoTypeHolds) {
  Decided column{"INTEGER", facts(), {}};
  column.facts.integers = 2;
  column.facts.blobs = 1;
  column.facts.examples[static_cast<std::size_t>(Surprise::class_not_declared)] = Example{"rowid = 3", "x'00'"};
  const ColumnDecision decision = column.decide();
  EXPECT_EQ(decision.type, PgType::int8);
  ASSERT_EQ(decision.findings.size(), 1u);
  EXPECT_EQ(describe(decision.findings[0]),
            "table t, column c: 1 value of 3 does not fit bigint nor any other type (2 integers, 1 blob), the first at "
            "rowid = 3; tables.\"t\".columns.\"c\".on-misfit = \"reject\", or another type");
}

TEST(Decision, KeepsTheDeclarationAndRejectsRowsWhenAsked) {
  Decided column{"INTEGER", facts(), {}};
  column.mapping.on_misfit = MisfitPolicy::reject;
  column.facts.texts = 1;
  EXPECT_EQ(column.decide().type, PgType::int8);
  EXPECT_TRUE(column.decide().findings.empty());
  column.mapping.on_misfit = MisfitPolicy::fail;
  EXPECT_EQ(column.decide().type, PgType::int8);
  EXPECT_EQ(column.decide().findings.size(), 1u);
  // What is said of the column goes before what is said of all.
  column.wish().on_misfit = MisfitPolicy::widen;
  EXPECT_EQ(column.decide().type, PgType::text);
}

TEST(Decision, NeverTakesBlobsInTextForBytesUnasked) {
  Decided column{"TEXT", texts(5), {}};
  column.facts.blobs = 2;
  column.facts.blobs_of_text = 2;
  ASSERT_EQ(column.decide().findings.size(), 1u);
  EXPECT_NE(column.decide().findings[0].resolve.find("blob-as-text"), std::string::npos);
  column.wish().conversion.blob_as_text = true;
  EXPECT_TRUE(column.decide().findings.empty());
  EXPECT_EQ(column.decide().type, PgType::text);
  EXPECT_TRUE(column.decide().judge);
}

TEST(Decision, AsksWhatToDoWithTextThatPostgresRefuses) {
  Decided column{"TEXT", texts(5), {}};
  column.facts.texts_invalid_utf8 = 1;
  column.facts.texts_with_nul = 1;
  ASSERT_EQ(column.decide().findings.size(), 1u);
  EXPECT_NE(column.decide().findings[0].what.find("1 text not UTF-8, 1 text with U+0000"), std::string::npos);
  column.mapping.bad_text = BadTextPolicy::replace;
  EXPECT_TRUE(column.decide().findings.empty());
  EXPECT_EQ(column.decide().conversion.bad_text, BadText::replace);
  column.wish().bad_text = BadTextPolicy::bytea;
  EXPECT_EQ(column.decide().type, PgType::bytea);
  EXPECT_EQ(column.decide().conversion.bad_text, BadText::misfit);
}

TEST(Decision, MakesJsonBinaryOnlyWhereNothingIsLost) {
  Decided column{"JSON", texts(3), {}};
  set(column.facts, TextForm::json, 3);
  set(column.facts, TextForm::jsonb_exact, 3);
  EXPECT_EQ(column.decide().type, PgType::jsonb);
  set(column.facts, TextForm::jsonb_exact, 2);
  EXPECT_EQ(column.decide().type, PgType::json);
  set(column.facts, TextForm::json, 2);
  EXPECT_EQ(column.decide().type, PgType::text);
  column.mapping.json = JsonTarget::text;
  EXPECT_EQ(column.decide().type, PgType::text);
  EXPECT_EQ(column.decide().remark, "");
}

TEST(Decision, LetsTheValuesSpeakWhereTheDeclarationDoesNot) {
  Decided column{"", facts(), {}};
  column.facts.integers = 3;
  EXPECT_EQ(column.decide().type, PgType::int8);
  column.facts.reals = 1;
  EXPECT_EQ(column.decide().type, PgType::float8);
  column.facts.integers_beyond_double = 1;
  EXPECT_EQ(column.decide().type, PgType::numeric);
  column.facts = texts(2);
  EXPECT_EQ(column.decide().type, PgType::text);
  column.facts.blobs = 1;
  EXPECT_EQ(column.decide().type, PgType::bytea);
  EXPECT_NE(column.decide().remark.find("without a type"), std::string::npos);
  column.facts = facts();
  EXPECT_EQ(column.decide().type, PgType::text);
}

TEST(Decision, ReadsCountsFromAnEpochAsMoments) {
  Decided column{"INTEGER", facts(), {}};
  column.facts.integers = 3;
  column.wish().conversion.epoch = EpochUnit::milliseconds;
  EXPECT_EQ(column.decide().type, PgType::timestamptz);
  EXPECT_TRUE(column.decide().judge);
  column.declared = "DATETIME";
  EXPECT_EQ(column.decide().type, PgType::timestamp);
}

TEST(Decision, LooksPastTheValuesThatAConversionMakesNull) {
  Decided column{"DATE", texts(4), {}};
  set(column.facts, TextForm::date, 3);
  column.facts.texts_empty = 1;
  EXPECT_EQ(column.decide().type, PgType::text);
  EXPECT_NE(column.decide().remark.find("empty-as-null"), std::string::npos);
  column.wish().conversion.empty_as_null = true;
  EXPECT_EQ(column.decide().type, PgType::date);
}

TEST(Decision, KeepsSpellingsOfAKeyApart) {
  Decided column{"DATETIME", texts(4), {}};
  set(column.facts, TextForm::timestamp, 4);
  EXPECT_EQ(column.decide(true).type, PgType::text);
  EXPECT_NE(column.decide(true).remark.find("two keys"), std::string::npos);
}

TEST(Decision, NarrowsIntegersWhenAskedAndOnlyWhereTheyFit) {
  Decided column{"SMALLINT", facts(), {}};
  column.facts.integers = 2;
  column.facts.integer_max = 100;
  EXPECT_EQ(column.decide().type, PgType::int8);
  column.mapping.narrow_integers = true;
  EXPECT_EQ(column.decide().type, PgType::int2);
  column.facts.integer_max = 70000;
  EXPECT_EQ(column.decide().type, PgType::int4);
  column.facts.integer_max = 5'000'000'000;
  EXPECT_EQ(column.decide().type, PgType::int8);
  column.declared = "INTEGER";
  column.facts.integer_max = 100;
  EXPECT_EQ(column.decide().type, PgType::int4);
  column.declared = "BIGINT";
  EXPECT_EQ(column.decide().type, PgType::int8);
}

TEST(DeclaredType, ReadsModifiers) {
  EXPECT_EQ(declared_modifier("VARCHAR(40)"), (TypeModifier{40, -1}));
  EXPECT_EQ(declared_modifier("DECIMAL( 10 , 2 )"), (TypeModifier{10, 2}));
  EXPECT_EQ(declared_modifier("VARCHAR(max)"), TypeModifier());
  EXPECT_EQ(declared_modifier("VARCHAR(40"), TypeModifier());
  EXPECT_EQ(declared_modifier("VARCHAR(40 CHAR)"), TypeModifier());
  EXPECT_EQ(declared_modifier("INT"), TypeModifier());
}

}  // namespace
}  // namespace sluice
