// What we say jsonb is, against each server's own word: documents of every kind, thousands of them.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "io/postgres/connection.h"
#include "io/postgres/copy_stream.h"
#include "io/wire/row_encoder.h"
#include "io/wire/type_table.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/test_server.h"

namespace sluice {
namespace {

using testing::execute;
using testing::query;
using testing::QueryRow;
using testing::TestServer;

constexpr std::size_t kShown = 10;  // of the documents that came back changed

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

std::string repeat(std::string_view piece, std::size_t count) {
  std::string text;
  for (; count > 0; --count) text += piece;
  return text;
}

// ---- the documents ----

// One character, as jsonb keeps it and as documents may spell it.
struct Letter {
  const char* raw;
  std::vector<const char*> spellings;
};

const std::vector<Letter>& letters() {
  static const std::vector<Letter> kLetters = {
      {"a", {"a", "\\u0061"}},
      {"b", {"b"}},
      {"B", {"B"}},
      {"z", {"z", "\\u007A"}},
      {"0", {"0"}},
      {" ", {" ", "\\u0020"}},
      {"/", {"/", "\\/", "\\u002f"}},
      {"'", {"'"}},
      {"\"", {"\\\"", "\\u0022"}},
      {"\\", {"\\\\", "\\u005C"}},
      {"\b", {"\\b", "\\u0008"}},
      {"\f", {"\\f", "\\u000c"}},
      {"\n", {"\\n", "\\u000A"}},
      {"\r", {"\\r", "\\u000d"}},
      {"\t", {"\\t", "\\u0009"}},
      {"\x01", {"\\u0001"}},
      {"\x0B", {"\\u000b", "\\u000B"}},
      {"\x1F", {"\\u001f", "\\u001F"}},
      {"\x7F", {"\x7F", "\\u007f"}},
      {"\u0080", {"\u0080", "\\u0080"}},
      {"é", {"é", "\\u00e9", "\\u00E9"}},
      {"e\u0301", {"e\u0301", "e\\u0301"}},
      {"ß", {"ß"}},
      {"€", {"€", "\\u20ac", "\\u20AC"}},
      {"\u2028", {"\u2028", "\\u2028"}},
      {"\uFEFF", {"\uFEFF", "\\ufeff"}},
      {"\uFFFF", {"\uFFFF", "\\uffff"}},
      {"😀", {"😀", "\\ud83d\\ude00", "\\uD83D\\uDE00"}},
      {"\U0010FFFF", {"\U0010FFFF", "\\udbff\\udfff"}},
  };
  return kLetters;
}

// What a document may have beside values that jsonb takes as they are.
struct Liberties {
  bool repeated_keys = false;
  bool escapes = false;  // those that stand for nothing that text can hold
  bool numbers = false;  // those beyond numeric
};

class DocumentMaker {
 public:
  DocumentMaker(std::mt19937_64& random, Liberties liberties) : random_(random), liberties_(liberties) {}

  std::string make() {
    const std::size_t depth = below(6);
    const std::string text = depth == 0 ? value(0) : one_in(3) ? array(depth) : object(depth);
    return blanks() + text + blanks();
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  bool one_in(std::size_t count) { return below(count) == 0; }

  template <class List>
  auto& any_of(const List& list) {
    return *std::next(std::begin(list), static_cast<std::ptrdiff_t>(below(std::size(list))));
  }

  std::string blanks() {
    static const std::vector<std::string> kBlanks = {"", "", "", "", " ", "\t", "\r\n", "\n   "};
    return any_of(kBlanks);
  }

  std::string value(std::size_t depth) {
    switch (below(depth > 0 ? 10 : 6)) {
      case 0: {
        static const std::vector<std::string> kWords = {"null", "true", "false"};
        return any_of(kWords);
      }
      case 1:
      case 2:
      case 3:
        return number();
      case 4:
      case 5:
        return string(below(3) == 0 ? below(60) : below(8)).first;
      case 6:
      case 7:
        return array(depth);
      default:
        return object(depth);
    }
  }

  std::string array(std::size_t depth) {
    std::string text = "[" + blanks();
    for (std::size_t count = below(6), i = 0; i < count; ++i) {
      text += (i > 0 ? "," + blanks() : "") + value(depth - 1) + blanks();
    }
    return text + "]";
  }

  // Names are short, of few letters, and often beginnings of each other: their order is what is asked.
  std::string object(std::size_t depth) {
    std::set<std::string> names;
    std::string text = "{" + blanks();
    std::string separator;
    for (std::size_t count = one_in(20) ? below(100) : below(8); count > 0; --count) {
      auto [key, name] = string(below(5));
      if (!names.insert(name).second && !liberties_.repeated_keys) continue;
      text += separator + key + blanks() + ":" + blanks() + value(depth - 1) + blanks();
      separator = "," + blanks();
    }
    return text + "}";
  }

  // As written, and the characters it stands for.
  std::pair<std::string, std::string> string(std::size_t length) {
    const std::size_t kinds = one_in(2) ? 3 : letters().size();
    std::string text = "\"";
    std::string raw;
    for (; length > 0; --length) {
      const Letter& letter = letters()[below(kinds)];
      text += any_of(letter.spellings);
      raw += letter.raw;
    }
    if (liberties_.escapes && one_in(4)) {
      static const std::vector<std::string> kEscapes = words(
          R"(\u0000 \u0000 \u0000 \u0000 \ud800 \udc00 \ud83d\ud83d \udE00\ud83d \ud83dx \ud83d\n \ud83d\u0041)");
      text += any_of(kEscapes);
    }
    return {text + "\"", raw};
  }

  std::string digits(std::size_t count) {
    std::string text;
    for (; count > 0; --count) text += "0000123459"[below(10)];
    return text;
  }

  std::string number() {
    std::string text = one_in(3) ? "-" : "";
    text +=
        one_in(3) ? "0" : std::string(1, "123456789"[below(9)]) + digits(one_in(10) ? below(60) : below(6));
    if (one_in(2)) text += "." + digits(1 + (one_in(10) ? below(60) : below(6)));
    if (one_in(3)) {
      static const std::vector<std::string> kMarks = {"e", "E", "e+", "E+", "e-", "E-"};
      text +=
          any_of(kMarks) + std::string(below(3), '0') + std::to_string(one_in(10) ? below(500) : below(20));
    }
    if (liberties_.numbers && one_in(3)) {
      // Not 0e1073741823: the one number that PostgreSQL 15 refuses, as we do, and later versions take.
      static const std::vector<std::string> kNumbers = words(
          "1e131072 -1e131072 1e-16384 0e-16384 0.1e131073 1e1073741823 0e1073741824 1e99999999999999999999 "
          "-1E-99999999999999999999 1e131071 1e-16383 0e1073741822");
      return any_of(kNumbers);
    }
    return text;
  }

  std::mt19937_64& random_;
  Liberties liberties_;
};

// Bytes beyond ASCII are left alone, so that it stays UTF-8.
std::string damaged(std::string text, std::mt19937_64& random) {
  static const std::vector<std::string> kPieces = {"",   "{", "}",    "[",    "]",   "\"",    ",", ":",
                                                   "\\", ".", "-",    "+",    "e",   "0",     "1", " ",
                                                   "\n", "/", "\x01", "true", "nul", "\\u00", "'", "é"};
  for (std::size_t count = 1 + random() % 2; count > 0 && !text.empty(); --count) {
    const std::size_t at = random() % text.size();
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      text.replace(at, random() % 2, kPieces[random() % kPieces.size()]);
    }
  }
  return text;
}

std::string deep(std::mt19937_64& random) {
  std::string text;
  std::string end;
  for (std::size_t depth = 50 + random() % 1000; depth > 0; --depth) {
    const bool object = random() % 2 == 0;
    text += object ? "{\"a\":" : "[1,";
    end += object ? '}' : ']';
  }
  std::reverse(end.begin(), end.end());
  return text + "\"\\u00e9\"" + end;
}

const std::vector<std::string>& documents() {
  static const std::vector<std::string> kDocuments = [] {
    std::vector<std::string> list = words(
        "1e5 1e+05 1E400 -1E-400 1.50 12.50e1 10e-1 0.10e-3 -0 -0.00 0e5 0e-5 00.1 1e131071 1e131072 "
        "1e-16383 1e-16384 123456789012345678901234567890 0.123456789012345678901234567890 null nul NaN "
        "Infinity");
    for (const char* const text : {R"("")",
                                   R"("\u0000")",
                                   R"("\u0001")",
                                   R"("\u00e9")",
                                   R"("\ud83d\ude00")",
                                   R"("\ud83d")",
                                   R"("\/\b\f\n\r\t\"\\")",
                                   R"({"":1})",
                                   R"({"":1,"":2})",
                                   R"({"a":1,"\u0061":1})",
                                   "{'a':1}",
                                   R"({"bb":1,"a":2,"é":3,"b":4,"B":5,"":6})",
                                   R"([{"a":{"b":1,"b":2},"a":0}])",
                                   "{}",
                                   "[]",
                                   " { } ",
                                   "\t[\n]\r",
                                   "",
                                   " ",
                                   "[1,]",
                                   "{} {}",
                                   "\xEF\xBB\xBF{}"}) {
      list.emplace_back(text);
    }
    list.push_back(repeat("[", 5000) + repeat("]", 5000));
    list.push_back("\"" + repeat("é\\u0001", 20'000) + "\"");
    list.push_back("[" + repeat("1.10, ", 20'000) + "2]");
    std::string many = "{";
    for (int i = 0; i < 3000; ++i)
      many += "\"" + std::to_string(i * 7919 % 3001) + "\":" + std::to_string(i) + ",";
    list.push_back(many + "\"last\":0}");

    std::mt19937_64 random(testing::test_seed());
    while (list.size() < 15'000) {
      const std::uint64_t kind = random() % 20;
      const Liberties liberties = {
          .repeated_keys = kind == 0 || kind == 1, .escapes = kind == 2, .numbers = kind == 3};
      const std::string text = DocumentMaker(random, liberties).make();
      list.push_back(kind == 4 ? damaged(text, random) : text);
      if (list.size() % 500 == 0) list.push_back(deep(random));
    }
    return list;
  }();
  return kDocuments;
}

// ---- the server ----

// `verdict` tries ::jsonb. `lost` is the number of members that the document has and its jsonb has not: the
// colons outside of strings.
constexpr const char* kFunctions = R"sql(
CREATE FUNCTION members_in(document text) RETURNS integer LANGUAGE sql AS $$
  SELECT length(bare) - length(replace(bare, ':', ''))
  FROM regexp_replace(document, '"(\\.|[^"\\])*"', '', 'g') bare $$;
CREATE FUNCTION verdict(document text, OUT printed text, OUT refusal text, OUT lost integer) LANGUAGE plpgsql AS $$
  BEGIN
    printed := document::jsonb::text;
    lost := members_in(document) - members_in(printed);
  EXCEPTION WHEN OTHERS THEN
    refusal := SQLSTATE;
  END $$;
)sql";

class JsonbTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const auto binaries = testing::binaries_of(GetParam());
    if (!binaries) GTEST_SKIP() << testing::how_to_get(GetParam());
    server_.emplace(testing::TestServerOptions{.binaries = *binaries});
  }

  // Makes the table t (n, v) and sends the documents to it, numbered. Returns the tuples of those that were
  // taken.
  std::map<std::size_t, std::string> send(PgType type) {
    execute(server_->conninfo(), "CREATE TABLE t (n bigint, v " + std::string(name_of(type).sql) + ")");
    TablePlan plan;
    plan.columns.resize(2);
    plan.columns[0].type = PgType::int8;
    plan.columns[1].type = type;
    RowEncoder encoder(plan);
    Connection connection(server_->conninfo());
    CopyStream copy(connection, "COPY t FROM STDIN (FORMAT binary)");
    std::map<std::size_t, std::string> taken;
    for (std::size_t i = 0; i < documents().size(); ++i) {
      Buffer buffer;
      const std::vector<Cell> row = {Cell::of_integer(static_cast<std::int64_t>(i)),
                                     Cell::of_text(documents()[i])};
      if (!encoder.encode(row, buffer)) continue;
      taken.emplace(i, buffer.view());
      copy.write(buffer.span());
    }
    EXPECT_EQ(copy.finish(), taken.size());
    return taken;
  }

  std::optional<TestServer> server_;
};

TEST_P(JsonbTest, TheBytesThatAreSentComeBack) {
  const std::map<std::size_t, std::string> sent = send(PgType::jsonb);
  EXPECT_GT(sent.size(), 10'000U);
  Connection connection(server_->conninfo());
  auto next = sent.begin();
  std::size_t different = 0;
  copy_out(connection, "SELECT n, v FROM t ORDER BY n", [&](std::span<const std::byte> tuple) {
    const std::string_view returned(reinterpret_cast<const char*>(tuple.data()), tuple.size());
    if (next->second != returned && ++different <= kShown) {
      EXPECT_EQ(returned, next->second) << documents()[next->first];
    }
    ++next;
  });
  EXPECT_EQ(next, sent.end());
  EXPECT_EQ(different, 0U);
}

// One document, as the encoder sees it.
struct Encoded {
  Misfit misfit;
  std::string text;  // empty when it does not fit
};

Encoded encoded(Misfit (*encode)(const Cell&, Buffer&), const std::string& document) {
  Buffer buffer;
  const Misfit misfit = encode(Cell::of_text(document), buffer);
  if (misfit != Misfit::none) return {misfit, {}};
  const std::string_view field = buffer.view().substr(4);
  EXPECT_EQ(field.front(), '\1') << "the version of the binary form";
  return {misfit, std::string(field.substr(1))};
}

TEST_P(JsonbTest, TheServerMakesTheSameOfTheTextItselfAndRefusesOrChangesWhatWeDoNotTake) {
  ASSERT_EQ(send(PgType::text).size(), documents().size());
  execute(server_->conninfo(), kFunctions);
  const std::vector<QueryRow> verdicts =
      query(server_->conninfo(), "SELECT verdict.* FROM t, verdict(v) ORDER BY n");
  ASSERT_EQ(verdicts.size(), documents().size());
  std::map<std::string, std::size_t> seen;
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    const std::string& document = documents()[i];
    const auto& [printed, refusal, lost] = std::tie(verdicts[i][0], verdicts[i][1], verdicts[i][2]);
    ASSERT_NE(printed.has_value(), refusal.has_value()) << document;
    const Encoded exact = encoded(row_of(PgType::jsonb).encode, document);
    const Encoded lossy = encoded(encode_lossy_jsonb, document);
    ASSERT_EQ(lossy.misfit == Misfit::none, printed.has_value())
        << document << ": " << refusal.value_or("taken") << ", but we say " << name_of(lossy.misfit);
    ASSERT_EQ(lossy.text, printed.value_or("")) << document;
    const bool changed = lost.value_or("0") != "0";
    ASSERT_EQ(exact.misfit == Misfit::none, printed.has_value() && !changed)
        << document << ": we say " << name_of(exact.misfit);
    ASSERT_EQ(exact.text, exact.misfit == Misfit::none ? *printed : "") << document;
    ++seen[refusal ? *refusal : changed ? "changed" : "taken"];
  }
  // 22P02: malformed, or a lone surrogate. 22P05: U+0000. 22003: a number beyond numeric.
  EXPECT_GT(seen["taken"], 10'000U);
  for (const char* outcome : {"changed", "22P02", "22P05", "22003"}) EXPECT_GT(seen[outcome], 50U) << outcome;
  EXPECT_EQ(seen.size(), 5U) << "among " << ::testing::PrintToString(seen);
}

INSTANTIATE_TEST_SUITE_P(PostgreSQL, JsonbTest, ::testing::Values(15, 16, 17, 18),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace sluice
