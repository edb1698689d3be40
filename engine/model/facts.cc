#include "engine/model/facts.h"

#include <algorithm>

namespace sluice {

const ColumnFacts* facts_at(const TableFacts* facts, std::size_t place) {
  return facts == nullptr || place >= facts->columns.size() ? nullptr : &facts->columns[place];
}

void ColumnFacts::add(const ColumnFacts& other) {
  if (other.integers > 0) {
    integer_min = integers > 0 ? std::min(integer_min, other.integer_min) : other.integer_min;
    integer_max = integers > 0 ? std::max(integer_max, other.integer_max) : other.integer_max;
  }
  examined = examined || other.examined;
  for (const auto member :
       {&ColumnFacts::nulls, &ColumnFacts::integers, &ColumnFacts::reals, &ColumnFacts::texts,
        &ColumnFacts::blobs, &ColumnFacts::integers_beyond_double, &ColumnFacts::integers_zero_or_one,
        &ColumnFacts::reals_whole, &ColumnFacts::reals_whole_beyond_double, &ColumnFacts::reals_infinite,
        &ColumnFacts::reals_zero_or_one, &ColumnFacts::texts_empty, &ColumnFacts::texts_with_nul,
        &ColumnFacts::texts_invalid_utf8, &ColumnFacts::texts_replaced, &ColumnFacts::blobs_of_16_bytes,
        &ColumnFacts::blobs_of_text, &ColumnFacts::bytes_total, &ColumnFacts::forms_examined,
        &ColumnFacts::dates_beyond_timestamp}) {
    this->*member += other.*member;
  }
  characters_longest = std::max(characters_longest, other.characters_longest);
  bytes_longest = std::max(bytes_longest, other.bytes_longest);
  for (std::size_t i = 0; i < kTextFormCount; ++i) forms[i] += other.forms[i];
  for (std::size_t i = 0; i < kSurpriseCount; ++i) {
    if (!examples[i]) examples[i] = other.examples[i];
  }
}

std::uint64_t misfits_of(const ColumnFacts& facts, PgType type) {
  const std::uint64_t bad_texts = facts.texts_with_nul + facts.texts_invalid_utf8;
  const auto other_than = [&](std::uint64_t fitting) { return facts.values() - fitting; };
  switch (type) {
    case PgType::int2:
    case PgType::int4: {
      const std::int64_t limit = type == PgType::int2 ? INT16_MAX : INT32_MAX;
      // Only the range is known: when it does not fit, any integer may be the one.
      const bool fits =
          facts.integers == 0 || (facts.integer_min >= -limit - 1 && facts.integer_max <= limit);
      return other_than(fits ? facts.integers : 0);
    }
    case PgType::int8:
      return other_than(facts.integers + facts.reals_whole);
    case PgType::float8:
      return other_than(facts.integers - facts.integers_beyond_double + facts.reals);
    case PgType::numeric:
      return other_than(facts.integers + facts.reals);
    case PgType::boolean:
      return other_than(facts.integers_zero_or_one + facts.reals_zero_or_one +
                        facts.of_form(TextForm::boolean));
    case PgType::text:
    case PgType::varchar:
    case PgType::bpchar:
      return other_than(facts.integers + facts.reals + facts.texts - bad_texts);
    case PgType::bytea:
      return other_than(facts.texts + facts.blobs);
    case PgType::date:
      return other_than(facts.of_form(TextForm::date));
    case PgType::time:
      return other_than(facts.of_form(TextForm::time));
    case PgType::timestamp:
      return other_than(facts.of_form(TextForm::date) - facts.dates_beyond_timestamp +
                        facts.of_form(TextForm::timestamp));
    case PgType::timestamptz:
      return other_than(facts.of_form(TextForm::timestamptz));
    case PgType::json:
      return other_than(facts.integers + facts.reals - facts.reals_infinite + facts.of_form(TextForm::json) +
                        facts.of_form(TextForm::json_scalar));
    case PgType::jsonb:
      return other_than(facts.integers + facts.reals - facts.reals_infinite +
                        facts.of_form(TextForm::jsonb_exact));
    case PgType::uuid:
      return other_than(facts.of_form(TextForm::uuid));
    case PgType::float4: {
      // Of the reals only these are known to survive single precision.
      constexpr std::int64_t kExactInFloat = std::int64_t{1} << 24;
      const bool fits =
          facts.integers == 0 || (facts.integer_min >= -kExactInFloat && facts.integer_max <= kExactInFloat);
      return other_than((fits ? facts.integers : 0) + facts.reals_zero_or_one + facts.reals_infinite);
    }
    case PgType::interval:
      return other_than(facts.of_form(TextForm::time));  // those of a day and longer were not counted
  }
  return facts.values();
}

}  // namespace sluice
