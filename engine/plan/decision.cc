#include "engine/plan/decision.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "engine/model/quote.h"
#include "engine/plan/declared_type.h"

namespace sluice {
namespace {

std::string count_of(std::uint64_t count, const char* noun) {
  std::string text = std::to_string(count);
  return text.append(" ").append(noun).append(count == 1 ? "" : "s");
}

bool is_temporal(PgType type) {
  return type == PgType::date || type == PgType::time || type == PgType::timestamp ||
         type == PgType::timestamptz;
}

bool is_number(PgType type) {
  return type == PgType::int2 || type == PgType::int4 || type == PgType::int8 || type == PgType::float8 ||
         type == PgType::numeric;
}

bool is_json(PgType type) { return type == PgType::json || type == PgType::jsonb; }

class Decider {
 public:
  Decider(const SourceTable& table, std::size_t place, const ColumnFacts* facts, const Mapping& mapping,
          bool apart)
      : table_(table),
        column_(table.columns[place]),
        facts_(facts != nullptr && facts->examined ? facts : nullptr),
        mapping_(mapping),
        wish_(find_column(mapping.table(table.name), column_.name)),
        apart_(apart),
        declared_(intent_of(column_.declared_type)) {
    if (wish_ != nullptr) decision_.conversion = wish_->conversion;
  }

  ColumnDecision decide() {
    if (wish_ != nullptr && wish_->type) {
      decision_.type = wish_->type->type;
      decision_.modifier = wish_->type->modifier;
      decision_.judge = true;
      return std::move(decision_);
    }
    decision_.type = intent();
    decision_.judge = decision_.conversion.any();
    if (facts_ == nullptr) {
      return std::move(decision_);
    }
    switch (policy()) {
      case MisfitPolicy::reject:
        if (is_json(decision_.type) && json() == JsonTarget::automatic) choose_json();
        break;
      case MisfitPolicy::widen:
        widen();
        break;
      case MisfitPolicy::fail:
        if (is_json(decision_.type) && json() == JsonTarget::automatic) choose_json();
        refuse_misfits(decision_.type);
        break;
    }
    treat_bad_text();
    narrow();
    return std::move(decision_);
  }

 private:
  [[nodiscard]] MisfitPolicy policy() const { return misfit_policy(mapping_, wish_); }
  [[nodiscard]] JsonTarget json() const { return json_target(mapping_, wish_); }

  // What is meant, before the values are looked at.
  [[nodiscard]] PgType intent() const {
    const Conversion& conversion = decision_.conversion;
    const PgType declared = declared_ ? *declared_ : observed();
    if (conversion.epoch != EpochUnit::none) {
      // A count from an epoch is a moment. Columns declared as local times stay such, in UTC.
      return is_temporal(declared) && declared != PgType::time ? declared : PgType::timestamptz;
    }
    if (conversion.uuid_bytes != UuidBytes::none) return PgType::uuid;
    if (conversion.base64 != Base64::none) return PgType::bytea;
    if (conversion.naive_as_utc) return PgType::timestamptz;
    if (!conversion.date_format.empty()) return is_temporal(declared) ? declared : PgType::timestamp;
    if (conversion.blob_as_text && declared == PgType::bytea) return PgType::text;
    if (conversion.text_as_number && !is_number(declared)) return PgType::numeric;
    const bool wants_json = wish_ != nullptr && wish_->json && *wish_->json != JsonTarget::text;
    if (!is_json(declared) && !wants_json) return declared;
    switch (json()) {
      case JsonTarget::text:
        return PgType::text;
      case JsonTarget::json:
        return PgType::json;
      case JsonTarget::jsonb:
      case JsonTarget::automatic:
        break;
    }
    return PgType::jsonb;
  }

  // The values say what the declaration does not.
  [[nodiscard]] PgType observed() const {
    if (facts_ == nullptr || facts_->values() == 0) return PgType::text;
    if (facts_->blobs > 0) return PgType::bytea;
    if (facts_->texts > 0) return PgType::text;
    if (facts_->reals == 0) return PgType::int8;
    return facts_->integers_beyond_double == 0 ? PgType::float8 : PgType::numeric;
  }

  // Values that neither fit nor, as far as facts tell, are made to fit by the conversion.
  [[nodiscard]] std::uint64_t misfits(PgType type) const {
    std::uint64_t count = misfits_of(*facts_, type);
    const auto forgive = [&count](std::uint64_t values) { count -= std::min(count, values); };
    const Conversion& conversion = decision_.conversion;
    if (conversion.empty_as_null && type != PgType::text && type != PgType::bytea)
      forgive(facts_->texts_empty);
    if (conversion.zero_date_as_null && is_temporal(type)) {
      forgive(facts_->of_form(TextForm::zero_date) + facts_->integers_zero_or_one);
    }
    if (conversion.naive_as_utc && type == PgType::timestamptz) {
      forgive(facts_->of_form(TextForm::date) + facts_->of_form(TextForm::timestamp));
    }
    if (conversion.epoch != EpochUnit::none && is_temporal(type)) forgive(facts_->integers + facts_->reals);
    if (conversion.text_as_number && is_number(type)) forgive(facts_->texts);
    if (!conversion.date_format.empty() && is_temporal(type)) forgive(facts_->texts);
    if (conversion.truncate_fraction && is_temporal(type)) forgive(facts_->texts);
    if (conversion.blob_as_text && type == PgType::text) forgive(facts_->blobs);
    if (conversion.uuid_bytes != UuidBytes::none && type == PgType::uuid) forgive(facts_->blobs);
    if (is_text_repaired() && type == PgType::text) forgive(bad_texts());
    if (conversion.lossy_jsonb && type == PgType::jsonb) {
      forgive(facts_->of_form(TextForm::json) + facts_->of_form(TextForm::json_scalar));
    }
    return count;
  }

  [[nodiscard]] bool is_text_repaired() const {
    return decision_.conversion.encoding != TextEncoding::utf8 ||
           decision_.conversion.bad_text != BadText::misfit;
  }
  [[nodiscard]] std::uint64_t bad_texts() const {
    return facts_->texts_with_nul + facts_->texts_invalid_utf8;
  }

  void choose_json() {
    for (const PgType type : {PgType::jsonb, PgType::json}) {
      decision_.type = type;
      if (misfits(type) == 0) return;
    }
  }

  void widen() {
    const PgType wanted = decision_.type;
    std::vector<PgType> ladder;
    if (apart_) {
      // One type keeps every spelling apart: the one that takes the text, or the bytes, as they are.
      ladder = {PgType::text, PgType::bytea};
    } else {
      ladder.push_back(wanted);
      for (const PgType type : widening_ladder(wanted)) {
        if (type != wanted && allowed(type)) ladder.push_back(type);
      }
    }
    PgType best = ladder.front();
    for (const PgType type : ladder) {
      if (misfits(type) < misfits(best)) best = type;
    }
    decision_.type = best;
    if (misfits(best) > 0) {
      // Nothing holds them all. The declared type is what the user knows.
      refuse_misfits(best);
    }
    if (apart_) {
      decision_.remark = "two keys of the source would be equal as ";
      decision_.remark.append(name_of(wanted).sql).append(", so it arrives as ").append(name_of(best).sql);
      return;
    }
    remark_choice(wanted, best);
  }

  // Text is made bytes only where somebody declared bytes or said so, and JSON only what its key allows.
  [[nodiscard]] bool allowed(PgType type) const {
    if (json() == JsonTarget::json && type == PgType::jsonb) return false;
    if (type == PgType::bytea && facts_->texts > 0) return false;
    return true;
  }

  void remark_choice(PgType wanted, PgType chosen) {
    if (!declared_ && facts_->values() > 0) {
      decision_.remark =
          column_.declared_type.empty()
              ? std::string("declared without a type")
              : std::string("declared ").append(column_.declared_type).append(", which says nothing");
      decision_.remark.append("; holds ")
          .append(classes())
          .append(", so it arrives as ")
          .append(name_of(chosen).sql);
    } else if (wanted == PgType::jsonb && chosen == PgType::json) {
      decision_.remark = std::to_string(misfits(wanted));
      decision_.remark.append(" of ")
          .append(count_of(facts_->values(), "document"))
          .append(" would lose something as jsonb, such as a repeated key, so it arrives as json");
    } else if (chosen != wanted) {
      decision_.remark = std::string("declared ").append(column_.declared_type);
      decision_.remark.append("; ")
          .append(std::to_string(misfits(wanted)))
          .append(" of ")
          .append(count_of(facts_->values(), "value"))
          .append(misfits(wanted) == 1 && facts_->values() == 1 ? " does" : " do")
          .append(" not fit ")
          .append(name_of(wanted).sql)
          .append(" (")
          .append(classes())
          .append("), so it arrives as ")
          .append(name_of(chosen).sql);
      remark_how_to_keep(wanted, chosen);
    } else if (chosen == PgType::bytea && facts_->texts > 0) {
      decision_.remark = count_of(facts_->texts, "text");
      decision_.remark.append(" among the bytes; they arrive as their UTF-8 bytes, and Base64 stays Base64");
    } else if (chosen == PgType::int8 && facts_->reals_whole_beyond_double > 0) {
      decision_.remark = count_of(facts_->reals_whole_beyond_double, "real");
      decision_.remark.append(" beyond 2^53: perhaps integers of which SQLite had lost digits before");
    }
    if (chosen == PgType::timestamptz && wanted != chosen) {
      decision_.remark.append("; the moment is kept, the offset it was written with is not");
    }
  }

  // What the user could say to have the type that was declared.
  void remark_how_to_keep(PgType wanted, PgType chosen) {
    if (is_temporal(wanted) && is_number(chosen)) {
      decision_.remark.append("; epoch = \"").append(likely_unit()).append("\" would make it a time");
    } else if (wanted == PgType::uuid && chosen == PgType::bytea) {
      decision_.remark.append("; uuid-bytes = \"be\" or \"dotnet\" makes it a uuid");
    } else if (wanted == PgType::uuid && facts_->integers + facts_->reals > 0) {
      decision_.remark.append(
          "; SQLite turned digits into numbers here, so those values are damaged already");
    } else {
      remark_what_could_be_null(wanted);
    }
  }

  // Empty texts and zero dates stand for NULL in many applications; what is asked for already is not advised.
  void remark_what_could_be_null(PgType wanted) {
    const bool empty = facts_->texts_empty > 0 && !decision_.conversion.empty_as_null && !is_text_repaired();
    const bool zero = is_temporal(wanted) && facts_->of_form(TextForm::zero_date) > 0 &&
                      !decision_.conversion.zero_date_as_null;
    const std::uint64_t cured =
        (empty ? facts_->texts_empty : 0) + (zero ? facts_->of_form(TextForm::zero_date) : 0);
    if (cured == 0 || misfits(wanted) > cured) return;
    decision_.remark.append("; with ")
        .append(empty ? "empty-as-null = true" : "")
        .append(empty && zero ? " and " : "")
        .append(zero ? "zero-date-as-null = true" : "")
        .append(" it would be ")
        .append(name_of(wanted).sql);
  }

  // By the size of the numbers, for moments of our days.
  [[nodiscard]] const char* likely_unit() const {
    const std::int64_t largest =
        std::max(facts_->integer_max, facts_->integer_min == INT64_MIN ? INT64_MAX : -facts_->integer_min);
    if (facts_->integers == 0) return "julian";
    if (largest < 100'000'000'000) return "s";
    if (largest < 100'000'000'000'000) return "ms";
    return largest < 100'000'000'000'000'000 ? "us" : "ns";
  }

  // "2 integers, 1 text"
  [[nodiscard]] std::string classes() const {
    std::string list;
    const std::array<std::pair<std::uint64_t, const char*>, 4> counts = {{{facts_->integers, "integer"},
                                                                          {facts_->reals, "real"},
                                                                          {facts_->texts, "text"},
                                                                          {facts_->blobs, "blob"}}};
    for (const auto& [count, noun] : counts) {
      if (count == 0) continue;
      if (!list.empty()) list.append(", ");
      list.append(count_of(count, noun));
    }
    return list.empty() ? "no value" : list;
  }

  // Findings for what does not fit `type`, each kind with its own remedy.
  void refuse_misfits(PgType type) {
    std::uint64_t count = misfits(type);
    if (count == 0) return;
    const bool takes_text = type == PgType::text;
    if (takes_text && bad_texts() > 0 && !is_text_repaired()) {
      count -= std::min(count, bad_texts());  // treat_bad_text() speaks of those
    }
    if (takes_text && facts_->blobs > 0 && !decision_.conversion.blob_as_text) {
      count -= std::min(count, facts_->blobs);
      const bool all_text = facts_->blobs_of_text == facts_->blobs;
      add_finding(count_of(facts_->blobs, "blob") + " in a column of text",
                  example(Surprise::class_not_declared),
                  all_text ? line("blob-as-text = true") + " (they hold text), or " + line("type = \"bytea\"")
                           : line("type = \"bytea\"") + ", or " + line("on-misfit = \"reject\""));
    }
    if (count == 0) return;
    std::string what = count_of(count, "value");
    what.append(" of ")
        .append(std::to_string(facts_->values()))
        .append(count == 1 ? " does not fit " : " do not fit ")
        .append(name_of(type).sql)
        .append(policy() == MisfitPolicy::fail ? "" : " nor any other type")
        .append(" (")
        .append(classes())
        .append(")");
    std::string resolve = line("on-misfit = \"reject\"");
    if (policy() == MisfitPolicy::fail) resolve = "--on-misfit widen, or " + line("on-misfit = \"widen\"");
    add_finding(what, any_example(), resolve + (policy() == MisfitPolicy::fail ? "" : ", or another type"));
  }

  void treat_bad_text() {
    if (bad_texts() == 0 || is_text_repaired()) return;
    if (decision_.type == PgType::bytea) return;
    switch (bad_text_policy(mapping_, wish_)) {
      case BadTextPolicy::replace:
        decision_.conversion.bad_text = BadText::replace;
        decision_.judge = true;
        break;
      case BadTextPolicy::strip:
        decision_.conversion.bad_text = BadText::strip;
        decision_.judge = true;
        break;
      case BadTextPolicy::bytea:
        decision_.type = PgType::bytea;
        break;
      case BadTextPolicy::reject:
        return;
      case BadTextPolicy::stop:
        if (policy() == MisfitPolicy::reject) return;
        refuse_bad_text();
        return;
    }
    decision_.remark = count_of(bad_texts(), "text");
    decision_.remark.append(" that PostgreSQL would refuse: ").append(faults()).append("; ");
    decision_.remark.append(decision_.type == PgType::bytea        ? "it arrives as bytea, as asked"
                            : decision_.conversion.bad_text == BadText::replace ? "U+FFFD takes their place, as asked"
                                                                   : "they are left out, as asked");
  }

  [[nodiscard]] std::string faults() const {
    std::string text;
    if (facts_->texts_invalid_utf8 > 0) text = count_of(facts_->texts_invalid_utf8, "text") + " not UTF-8";
    if (facts_->texts_with_nul > 0) {
      text.append(text.empty() ? "" : ", ")
          .append(count_of(facts_->texts_with_nul, "text"))
          .append(" with U+0000");
    }
    return text;
  }

  void refuse_bad_text() {
    const Surprise kind = facts_->texts_invalid_utf8 > 0 ? Surprise::invalid_utf8 : Surprise::nul_character;
    std::string resolve = line("bad-text = \"replace\"");
    resolve.append(" or \"strip\", \"bytea\", \"reject\" (--bad-text for all columns)");
    if (facts_->texts_invalid_utf8 > 0) resolve.append(", or encoding = \"cp1252\"");
    add_finding("PostgreSQL's text takes none of these: " + faults(), example(kind), resolve);
  }

  void narrow() {
    if (mapping_.narrow_integers && decision_.type == PgType::int8 && decision_.conversion == Conversion()) {
      const PgType narrow = narrow_integer_of(column_.declared_type);
      for (const PgType type : {PgType::int2, PgType::int4}) {
        if (type < narrow || misfits(type) > 0) continue;
        if (narrow == PgType::int8) break;
        decision_.type = type;
        break;
      }
    }
    if (mapping_.keep_lengths && declared_ == decision_.type) keep_length();
  }

  void keep_length() {
    constexpr std::int32_t kDigitsMax = 1000;
    constexpr std::int32_t kCharactersMax = 10'485'760;
    TypeModifier modifier = declared_modifier(column_.declared_type);
    if (modifier.length < 1) return;
    if (decision_.type == PgType::numeric && modifier.length <= kDigitsMax &&
        modifier.scale <= modifier.length) {
      modifier.scale = std::max(modifier.scale, 0);
      decision_.modifier = modifier;
      decision_.judge_length = true;  // no fact counts digits
    }
    const bool characters = fold_ascii(column_.declared_type).find("char") != std::string::npos;
    if (decision_.type == PgType::text && characters && modifier.scale < 0 &&
        modifier.length <= kCharactersMax) {
      keep_characters(modifier);
    }
  }

  // CHAR(n) as well: SQLite does not pad, and PostgreSQL would.
  void keep_characters(const TypeModifier& modifier) {
    // Facts count the characters of texts as they are stored.
    const bool counted = !decision_.conversion.any() && facts_->texts == facts_->values();
    const std::uint32_t longest = facts_->characters_longest;
    if (counted && longest < kCharactersCounted && longest > static_cast<std::uint32_t>(modifier.length)) {
      if (!decision_.remark.empty()) return;
      decision_.remark = std::string("declared ").append(column_.declared_type);
      decision_.remark.append("; the longest text has ")
          .append(count_of(longest, "character"))
          .append(", so it arrives as text");
      return;
    }
    decision_.type = PgType::varchar;
    decision_.modifier = modifier;
    decision_.judge_length = !counted || longest >= kCharactersCounted;
  }

  void add_finding(std::string what, const std::string& where, std::string resolve) {
    Finding finding;
    finding.table = table_.name;
    finding.column = column_.name;
    finding.what = std::move(what);
    if (!where.empty()) finding.what.append(", the first at ").append(where);
    finding.resolve = std::move(resolve);
    if (wish_ != nullptr) finding.origin = wish_->origin;
    decision_.findings.push_back(std::move(finding));
  }

  [[nodiscard]] std::string line(const std::string& setting) const {
    return mapping_line(table_.name, column_.name, setting);
  }
  [[nodiscard]] std::string example(Surprise kind) const {
    const auto& found = facts_->examples[static_cast<std::size_t>(kind)];
    return found ? found->key : std::string();
  }
  [[nodiscard]] std::string any_example() const {
    for (const Surprise kind : {Surprise::class_not_declared, Surprise::form_not_declared, Surprise::infinite,
                                Surprise::integer_beyond_double}) {
      if (std::string key = example(kind); !key.empty()) return key;
    }
    return {};
  }

  const SourceTable& table_;
  const SourceColumn& column_;
  const ColumnFacts* facts_;
  const Mapping& mapping_;
  const ColumnMapping* wish_;
  const bool apart_;
  const std::optional<PgType> declared_;
  ColumnDecision decision_;
};

}  // namespace

ColumnDecision decide_column(const SourceTable& table, std::size_t place, const ColumnFacts* facts,
                             const Mapping& mapping, bool apart) {
  return Decider(table, place, facts, mapping, apart).decide();
}

void give_up_length(const SourceColumn& column, ColumnDecision& decision) {
  decision.judge_length = false;
  decision.modifier = {};
  if (decision.type == PgType::varchar) decision.type = PgType::text;
  if (!decision.remark.empty()) return;
  decision.remark = std::string("declared ").append(column.declared_type);
  decision.remark.append(", which not every value fits, so it arrives as ")
      .append(name_of(decision.type).sql);
}

}  // namespace sluice
