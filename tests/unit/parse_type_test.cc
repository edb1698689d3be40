#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "engine/plan/mapping.h"

namespace sluice {
namespace {

std::string parsed(std::string_view written) {
  const std::optional<WrittenType> type = parse_type(written);
  return type ? sql_of(type->type, type->modifier) : "nothing";
}

TEST(ParseType, KnowsNamesAliasesAndModifiers) {
  EXPECT_EQ(parsed("int"), "integer");
  EXPECT_EQ(parsed("INT8"), "bigint");
  EXPECT_EQ(parsed("int2"), "smallint");
  EXPECT_EQ(parsed("real"), "real");
  EXPECT_EQ(parsed("float"), "double precision");
  EXPECT_EQ(parsed("float(24)"), "real");
  EXPECT_EQ(parsed("float(25)"), "double precision");
  EXPECT_EQ(parsed("Double   Precision"), "double precision");
  EXPECT_EQ(parsed("numeric"), "numeric");
  EXPECT_EQ(parsed(" NUMERIC ( 10 , 2 ) "), "numeric(10,2)");
  EXPECT_EQ(parsed("decimal(5)"), "numeric(5,0)");
  EXPECT_EQ(parsed("numeric(3,5)"), "numeric(3,5)");
  EXPECT_EQ(parsed("bool"), "boolean");
  EXPECT_EQ(parsed("varchar"), "character varying");
  EXPECT_EQ(parsed("varchar(40)"), "character varying(40)");
  EXPECT_EQ(parsed("character varying (40)"), "character varying(40)");
  EXPECT_EQ(parsed("char(8)"), "character(8)");
  EXPECT_EQ(parsed("char"), "character(1)");
  EXPECT_EQ(parsed("bpchar"), "bpchar");
  EXPECT_EQ(parsed("time(0)"), "time(0) without time zone");
  EXPECT_EQ(parsed("timestamp(6)"), "timestamp without time zone") << "what it has anyway";
  EXPECT_EQ(parsed("timestamptz"), "timestamp with time zone");
  EXPECT_EQ(parsed("TIMESTAMP WITH TIME ZONE"), "timestamp with time zone");
  EXPECT_EQ(parsed("timestamp(3) with time zone"), "timestamp(3) with time zone");
  EXPECT_EQ(parsed("timestamptz(3)"), "timestamp(3) with time zone");
  EXPECT_EQ(parsed("jsonb"), "jsonb");
  EXPECT_EQ(parsed("uuid"), "uuid");
  EXPECT_EQ(parsed("interval"), "interval");
}

TEST(ParseType, KnowsWhatItPrints) {
  for (const PgTypeName& name : kPgTypeNames) {
    const std::optional<WrittenType> type = parse_type(name.sql);
    ASSERT_TRUE(type) << name.sql;
    EXPECT_EQ(type->type, name.type);
    EXPECT_FALSE(type->modifier.any()) << name.sql;
  }
}

TEST(ParseType, GivesNothingForOthersAndForBadModifiers) {
  for (const std::string_view written : {"",
                                         "integr",
                                         "int(4)",
                                         "text(5)",
                                         "numeric(0)",
                                         "numeric(1001)",
                                         "numeric(10,1001)",
                                         "numeric(10,-2)",
                                         "numeric(10,2,1)",
                                         "numeric()",
                                         "numeric(10",
                                         "numeric(x)",
                                         "varchar(0)",
                                         "varchar(10485761)",
                                         "varchar(3,1)",
                                         "varchar(99999999999)",
                                         "timestamp(7)",
                                         "float(0)",
                                         "float(54)",
                                         "timetz",
                                         "time with time zone",
                                         "money",
                                         "int[]",
                                         "text;",
                                         "interval day",
                                         "double",
                                         "varchar(3) x",
                                         "(3)"}) {
    EXPECT_EQ(parsed(written), "nothing") << written;
  }
}

}  // namespace
}  // namespace sluice
