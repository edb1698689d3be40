// A verifier must bite: seeded changes of a loaded target are each found, named exactly, repaired, and gone.
// And the suite must bite, too: a verifier that overlooks one leaf does not get through it.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/directories.h"
#include "support/query.h"
#include "support/seed.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

using Json = nlohmann::json;

// Rows per table. `numbers` has several leaves: one ends about every 16,384 keys.
constexpr int kNumbers = 60'000;
constexpr int kOthers = 4'000;

// Every table says by its key which n made the row.
constexpr const char* kSource = R"sql(
CREATE TABLE numbers(id INTEGER PRIMARY KEY, name TEXT, price REAL, at DATETIME, doc JSON, flag BOOLEAN,
                     big INTEGER, data BLOB);
CREATE TABLE words(word TEXT PRIMARY KEY, n INTEGER, note TEXT, price DECIMAL(12,3));
CREATE TABLE pairs(a INTEGER, b TEXT, c REAL, d TEXT, PRIMARY KEY(a, b));
CREATE TABLE plain(k TEXT PRIMARY KEY, v INTEGER, w TEXT) WITHOUT ROWID;
CREATE TABLE heap(a INTEGER, b TEXT, c REAL);
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  INSERT INTO numbers SELECT i, CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'name ' || i END,
    CASE i % 3 WHEN 0 THEN 0.0 ELSE i / 7.0 END, datetime(1700000000 + i, 'unixepoch'),
    json_object('n', i, 's', 'x'), i % 2, i * 1000003, CAST('blob ' || i AS BLOB) FROM n;
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
  INSERT INTO words SELECT 'w' || i, i, CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'note ' || i END,
    i / 8.0 FROM n;
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
  INSERT INTO pairs SELECT i % 97, 'b' || i, CASE i % 3 WHEN 0 THEN 0.0 ELSE i * 0.5 END, 'd ' || i FROM n;
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
  INSERT INTO plain SELECT 'k' || i, i, 'w ' || i FROM n;
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
  INSERT INTO heap SELECT i, CASE WHEN i % 10 = 0 THEN 'twin' ELSE 'h' || i END, 0.0 FROM n;
INSERT INTO heap SELECT a, b, c FROM heap WHERE a % 10 = 0;
)sql";

// One row that must be reported: table, kind, key (or the row of a table without one), columns.
using Expected = std::multiset<std::string>;

std::string name_of(const std::string& table, const std::string& kind, const Json& key,
                    const std::vector<std::string>& columns = {}) {
  return table + " " + kind + " " + key.dump() + " " + Json(columns).dump();
}

struct Mutation {
  std::string what;
  std::string sql;
  std::vector<std::string> expected;
  bool needs_no_key = false;  // only works where the target's primary key is gone
};

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  // Changes of many kinds, on rows of their own.
  std::vector<Mutation> round() {
    used_.clear();
    std::vector<Mutation> all;
    const auto number = [&](const std::string& what, const std::string& set, const std::string& column,
                            const std::function<bool(int)>& fits = {}) {
      const int i = pick("numbers", kNumbers, fits);
      all.push_back({what,
                     "UPDATE numbers SET " + set + " WHERE id = " + std::to_string(i),
                     {name_of("numbers", "mismatch", {{"id", i}}, {column})}});
    };
    const auto has_name = [](int i) { return i % 5 > 1; };
    number("one byte of a text", "name = overlay(name placing '~' from length(name))", "name", has_name);
    number("one byte of a bytea", "data = set_byte(data, 2, 7)", "data");
    number("NULL to ''", "name = ''", "name", [](int i) { return i % 5 == 0; });
    number("'' to NULL", "name = NULL", "name", [](int i) { return i % 5 == 1; });
    number("a microsecond", "at = at + interval '1 microsecond'", "at");
    number("-0.0", "price = '-0.0'", "price", [](int i) { return i % 3 == 0; });
    number("the last bit of a double", "price = price + 2e-16 * price", "price",
           [](int i) { return i % 3 != 0; });
    number("a boolean", "flag = NOT flag", "flag");
    number("one more", "big = big + 1", "big");
    number("another high word", "big = big + 4294967296", "big");
    number("the type of a JSON number", "doc = jsonb_set(doc, '{n}', to_jsonb(doc->>'n'))", "doc");
    number("the scale of a JSON number", "doc = jsonb_set(doc, '{n}', ((doc->>'n') || '.0')::jsonb)", "doc");
    number("a JSON null for NULL", "doc = 'null'", "doc");
    swap_names(all);
    keyed(
        all, "numbers", kNumbers, "id",
        [](int i) {
          return Json{{"id", i}};
        },
        [](int i) { return "id = " + std::to_string(i); });
    keyed(
        all, "words", kOthers, "word",
        [](int i) {
          return Json{{"word", "w" + std::to_string(i)}};
        },
        [](int i) { return "word = 'w" + std::to_string(i) + "'"; });
    keyed(
        all, "pairs", kOthers, "b",
        [](int i) {
          return Json{{"a", i % 97}, {"b", "b" + std::to_string(i)}};
        },
        [](int i) { return "b = 'b" + std::to_string(i) + "'"; });
    keyed(
        all, "plain", kOthers, "k",
        [](int i) {
          return Json{{"k", "k" + std::to_string(i)}};
        },
        [](int i) { return "k = 'k" + std::to_string(i) + "'"; });
    words(all);
    heap(all);
    return all;
  }

 private:
  int pick(const std::string& table, int rows, const std::function<bool(int)>& fits = {}) {
    for (;;) {
      const int i = std::uniform_int_distribution<int>(1, rows)(random_);
      if (fits && !fits(i)) continue;
      if (used_.emplace(table, i).second) return i;
    }
  }

  void swap_names(std::vector<Mutation>& all) {
    const auto has_name = [](int i) { return i % 5 > 1; };
    const std::string first = std::to_string(pick("numbers", kNumbers, has_name));
    const std::string second = std::to_string(pick("numbers", kNumbers, has_name));
    all.push_back({"two values swapped",
                   "UPDATE numbers t SET name = o.name FROM numbers o WHERE (t.id, o.id) IN ((" + first +
                       ", " + second + "), (" + second + ", " + first + "))",
                   {name_of("numbers", "mismatch", {{"id", std::stoi(first)}}, {"name"}),
                    name_of("numbers", "mismatch", {{"id", std::stoi(second)}}, {"name"})}});
  }

  // What can happen to whole rows, whatever their key is. `changed`: a column of the key.
  void keyed(std::vector<Mutation>& all, const std::string& table, int rows, const std::string& changed,
             const std::function<Json(int)>& key, const std::function<std::string(int)>& where) {
    const int gone = pick(table, rows);
    all.push_back({"delete from " + table,
                   "DELETE FROM " + table + " WHERE " + where(gone),
                   {name_of(table, "missing", key(gone))}});
    const int twin = pick(table, rows);
    all.push_back({"duplicate in " + table,
                   "INSERT INTO " + table + " SELECT * FROM " + table + " WHERE " + where(twin),
                   {name_of(table, "extraneous", key(twin))},
                   true});
    const int moved = pick(table, rows);
    const int added = pick(table, rows);
    const bool is_number = table == "numbers";
    // Far from any key that is there.
    const auto other = [&](int i) {
      return is_number ? std::to_string(i + 1'000'000) : "'other " + std::to_string(i) + "'";
    };
    const auto other_key = [&](int i) {
      Json changed_key = key(i);
      changed_key[changed] = is_number ? Json(i + 1'000'000) : Json("other " + std::to_string(i));
      return changed_key;
    };
    all.push_back({"another key in " + table,
                   "UPDATE " + table + " SET " + changed + " = " + other(moved) + " WHERE " + where(moved),
                   {name_of(table, "missing", key(moved)), name_of(table, "extraneous", other_key(moved))}});
    all.push_back({"a new row in " + table,
                   "CREATE TEMP TABLE copied AS SELECT * FROM " + table + " WHERE " + where(added) +
                       "; UPDATE copied SET " + changed + " = " + other(added) + "; INSERT INTO " + table +
                       " SELECT * FROM copied; DROP TABLE copied",
                   {name_of(table, "extraneous", other_key(added))}});
  }

  void words(std::vector<Mutation>& all) {
    const auto key = [](int i) { return Json{{"word", "w" + std::to_string(i)}}; };
    const auto change = [&](const std::string& table, const Json& row, const std::string& where,
                            const std::string& set, const std::vector<std::string>& columns) {
      all.push_back({set + " in " + table,
                     "UPDATE " + table + " SET " + set + " WHERE " + where,
                     {name_of(table, "mismatch", row, columns)}});
    };
    const int scale = pick("words", kOthers);
    change("words", key(scale), "n = " + std::to_string(scale), "price = price + 0.001", {"price"});
    const int both = pick("words", kOthers, [](int i) { return i % 4 == 0; });
    change("words", key(both), "n = " + std::to_string(both), "note = '', n = n + 1", {"n", "note"});
    const int zero = pick("pairs", kOthers, [](int i) { return i % 3 == 0; });
    change("pairs", {{"a", zero % 97}, {"b", "b" + std::to_string(zero)}},
           "b = 'b" + std::to_string(zero) + "'", "c = '-0.0'", {"c"});
    const int blank = pick("plain", kOthers);
    change("plain", {{"k", "k" + std::to_string(blank)}}, "k = 'k" + std::to_string(blank) + "'",
           "w = w || ' '", {"w"});
  }

  // Rows without a key: what is gone is named by its rowid in the source, which is its n.
  void heap(std::vector<Mutation>& all) {
    const auto alone = [](int i) { return i % 10 != 0; };
    const int changed = pick("heap", kOthers, alone);
    all.push_back({"a value of heap",
                   "UPDATE heap SET c = '-0.0' WHERE a = " + std::to_string(changed),
                   {name_of("heap", "missing", changed), name_of("heap", "extraneous", nullptr)}});
    const int gone = pick("heap", kOthers, alone);
    all.push_back({"delete from heap",
                   "DELETE FROM heap WHERE a = " + std::to_string(gone),
                   {name_of("heap", "missing", gone)}});
    // One of two equal rows: which of them is gone nobody can say, so any of the two names is right.
    const int twin = pick("heap", kOthers, [](int i) { return i % 10 == 0; });
    all.push_back(
        {"one of two equal rows",
         "DELETE FROM heap WHERE ctid = (SELECT min(ctid) FROM heap WHERE a = " + std::to_string(twin) + ")",
         {name_of("heap", "missing", twin)}});
    const int third = pick("heap", kOthers, [](int i) { return i % 10 == 0; });
    all.push_back({"a third equal row",
                   "INSERT INTO heap SELECT * FROM heap WHERE a = " + std::to_string(third) + " LIMIT 1",
                   {name_of("heap", "extraneous", nullptr)}});
  }

  std::mt19937_64 random_;
  std::set<std::pair<std::string, int>> used_;
};

// The reported rows in the form of Expected. In heap, the name is the n of the row, or null without a rowid.
Expected reported(const Json& report) {
  Expected rows;
  for (const Json& row : report["differences"]) {
    Json key = row["key"];
    if (row["table"] == "heap") {
      const std::string text = row["row"];
      const std::size_t at = text.find(", rowid ");
      key = at == std::string::npos ? Json() : Json(std::stoi(text.substr(at + 8)));
      // The second of two equal rows stands behind all others, in order.
      if (key.is_number() && key.get<int>() > kOthers) key = (key.get<int>() - kOthers) * 10;
    }
    const std::vector<std::string> columns =
        row.contains("columns") ? row["columns"].get<std::vector<std::string>>() : std::vector<std::string>();
    rows.insert(name_of(row["table"], row["kind"], key, columns));
  }
  return rows;
}

class VerifyMutations : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    CommandOptions options;
    options.input = kSource;
    const CommandResult made = run_command({"sqlite3", "-batch", "-bail", source().string()}, options);
    ASSERT_EQ(made.exit_status, 0) << made.err;
    target() = shared_test_server().create_database("mutations");
    const CommandResult loaded = run_command({sluice_program(), "migrate", source().string(), target()});
    ASSERT_EQ(loaded.exit_status, 0) << loaded.err << loaded.out;
  }

  static std::filesystem::path source() {
    static TemporaryDirectory folder;
    return folder / "source.sqlite";
  }
  static std::string& target() {
    static std::string conninfo;
    return conninfo;
  }

  static CommandResult verify(const std::string& program, std::vector<std::string> flags) {
    std::vector<std::string> command = {program,  "verify",       source().string(), target(),
                                        "--json", "--max-report", "1000000"};
    command.insert(command.end(), flags.begin(), flags.end());
    return run_command(command);
  }

  // Applies the changes, has them found, named, repaired and gone. Returns what went wrong.
  static std::string check(const std::string& program, const std::vector<Mutation>& mutations,
                           const std::vector<std::string>& flags) {
    std::string complaints;
    Expected expected;
    for (const Mutation& mutation : mutations) {
      execute(target(), mutation.sql);
      expected.insert(mutation.expected.begin(), mutation.expected.end());
    }
    const CommandResult found = verify(program, flags);
    if (found.exit_status != 4)
      complaints += "status " + std::to_string(found.exit_status) + "\n" + found.err;
    const Json report = Json::parse(found.out, nullptr, false);
    if (report.is_discarded()) return complaints + found.out;
    const Expected named = reported(report);
    std::vector<std::string> only_expected;
    std::vector<std::string> only_named;
    std::set_difference(expected.begin(), expected.end(), named.begin(), named.end(),
                        std::back_inserter(only_expected));
    std::set_difference(named.begin(), named.end(), expected.begin(), expected.end(),
                        std::back_inserter(only_named));
    for (const std::string& row : only_expected) complaints += "not named: " + row + "\n";
    for (const std::string& row : only_named) complaints += "named for nothing: " + row + "\n";
    std::vector<std::string> repair = flags;
    repair.insert(repair.end(), {"--repair", "--repair-without-key"});
    const CommandResult repaired = verify(program, repair);
    if (repaired.exit_status != 0) complaints += "repair: " + repaired.err + repaired.out;
    const CommandResult again = verify(sluice_program(), {"--scan"});
    if (again.exit_status != 0) complaints += "after the repair: " + again.out;
    return complaints;
  }
};

TEST_F(VerifyMutations, AreFoundNamedAndRepairedAndGone) {
  Mutator mutator(test_seed());
  std::size_t tried = 0;
  for (int round = 0; tried < 200; ++round) {
    const bool without_keys = round % 2 == 1;
    const std::vector<std::string> flags =
        round % 4 < 2 ? std::vector<std::string>() : std::vector<std::string>{"--scan", "-j", "3"};
    if (without_keys) {
      for (const char* table : {"numbers", "words", "pairs", "plain"}) {
        execute(target(), std::string("ALTER TABLE ") + table + " DROP CONSTRAINT " + table + "_pkey");
      }
    }
    std::vector<Mutation> mutations = mutator.round();
    std::erase_if(mutations,
                  [&](const Mutation& mutation) { return mutation.needs_no_key && !without_keys; });
    EXPECT_EQ(check(sluice_program(), mutations, flags), "") << "round " << round;
    tried += mutations.size();
    if (without_keys) {
      execute(target(),
              "ALTER TABLE numbers ADD PRIMARY KEY (id); ALTER TABLE words ADD PRIMARY KEY (word); ALTER "
              "TABLE pairs ADD PRIMARY KEY (a, b); ALTER TABLE plain ADD PRIMARY KEY (k)");
    }
    if (HasFailure()) return;
  }
  EXPECT_GE(tried, 200u);
}

// One by one, so that no change helps to find another.
TEST_F(VerifyMutations, AreFoundAlone) {
  Mutator mutator(test_seed() + 1);
  for (const Mutation& mutation : mutator.round()) {
    if (mutation.needs_no_key) continue;
    EXPECT_EQ(check(sluice_program(), {mutation}, {}), "") << mutation.what;
    if (HasFailure()) return;
  }
}

// Without a mutated verifier nobody knows whether these tests can fail.
TEST_F(VerifyMutations, AVerifierThatOverlooksOneLeafDoesNotGetThrough) {
  const std::string blind = binary_directory() + "/sluice_blind";
  const Mutation first_leaf{"a row of the first leaf",
                            "UPDATE numbers SET big = 0 WHERE id = 1",
                            {name_of("numbers", "mismatch", {{"id", 1}}, {"big"})}};
  const std::string complaints = check(blind, {first_leaf}, {});
  EXPECT_NE(complaints.find("not named: numbers"), std::string::npos) << complaints;
  EXPECT_NE(complaints.find("after the repair"), std::string::npos) << complaints;
  EXPECT_EQ(check(sluice_program(), {first_leaf}, {}), "");
}

// The fast level sees what equality of 64-bit hashes can see, and then names rows like the full one.
TEST_F(VerifyMutations, AreSeenByTheServersHashes) {
  // -0.0 equals 0.0 for the server.
  execute(target(), "UPDATE heap SET c = '-0.0' WHERE a = 7");
  EXPECT_EQ(verify(sluice_program(), {"--scan", "--verify", "server", "--tables", "heap"}).exit_status, 0);
  EXPECT_EQ(verify(sluice_program(), {"--scan", "--tables", "heap", "--repair", "--repair-without-key"})
                .exit_status,
            0);
  Mutator mutator(test_seed() + 2);
  std::vector<Mutation> mutations;
  for (Mutation& mutation : mutator.round()) {
    const bool equal_to_the_server = mutation.sql.find("-0.0") != std::string::npos || mutation.needs_no_key;
    if (!equal_to_the_server) mutations.push_back(std::move(mutation));
  }
  EXPECT_EQ(check(sluice_program(), mutations, {"--scan", "--verify", "server"}), "");
}

}  // namespace
}  // namespace sluice::testing
