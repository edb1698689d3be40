#include "io/postgres/preflight.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/model/quote.h"
#include "io/postgres/existing_tables.h"
#include "io/postgres/ledger.h"

namespace sluice {
namespace {

constexpr int kServerVersionMin = 150000;
constexpr int kServerVersionWithMaintain = 170000;  // the privilege to ANALYZE the tables of others

std::vector<Obstacle> encoding_obstacles(Connection& connection) {
  const std::string encoding = connection.execute("SELECT current_setting('server_encoding')").text(0, 0);
  if (encoding == "UTF8") return {};
  return {{"the database's encoding is " + encoding + ", not UTF8",
           "create one with: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"}};
}

// What the role may do with a table that is there.
struct TableRights {
  bool owns = false;
  bool drops = false;
  bool analyzes = false;
  bool security_applies = false;
  bool security_is_forced = false;  // even upon the owner
  std::set<std::string> privileges;
};

class Questions {
 public:
  Questions(Connection& connection, const RunRequest& request)
      : connection_(connection), request_(request), plan_(*request.plan) {}

  Preflight ask() {
    ask_about_database();
    ask_about_ledger();
    if (ledger_is_readable_) choice_ = choose_run(connection_, request_);
    find_plan_tables();
    ask_about_schema();
    ask_about_tables();
    if (plan_.into_existing) ask_about_sequences();
    if (rebuilds()) ask_about_rebuild();
    if (!choice_.resumed) ask_what_is_in_the_way();
    return std::move(answer_);
  }

 private:
  // The run, were it to begin now, would take down keys and indexes.
  [[nodiscard]] bool rebuilds() const { return request_.rebuild && !choice_.resumed; }
  // All of the earlier run is done, so that nothing is left but to verify it.
  [[nodiscard]] bool only_verifies() const {
    return choice_.resumed && choice_.resumed->state != RunState::loading;
  }

  void add(std::string what, std::string resolve) {
    answer_.obstacles.push_back({std::move(what), std::move(resolve)});
  }
  void add_missing(const std::string& what, const std::string& owner, const std::string& sql) {
    add("role " + role_ + " may not " + what, "run as " + owner + ": " + sql);
  }

  void ask_about_database() {
    const Result result = connection_.execute(
        "SELECT current_user, current_database(), pg_is_in_recovery(), "
        "current_setting('default_transaction_read_only'), has_database_privilege(current_database(), "
        "'CREATE')");
    role_ = quote_identifier(result.text(0, 0));
    database_ = quote_identifier(result.text(0, 1));
    creates_schemas_ = result.boolean(0, 4);
    for (Obstacle& obstacle : encoding_obstacles(connection_)) answer_.obstacles.push_back(obstacle);
    if (result.boolean(0, 2)) {
      add("the server is a standby and takes no writes", "connect to the primary");
    } else if (result.text(0, 3) == "on") {
      // Only a default, but somebody's wish all the same.
      add("transactions are read-only by default on this connection",
          "unset it for this role, ALTER ROLE " + role_ + " IN DATABASE " + database_ +
              " SET default_transaction_read_only = off, or for the database, ALTER DATABASE " + database_ +
              " RESET default_transaction_read_only");
    }
    const Result space = connection_.execute(
        "SELECT t.spcname FROM pg_tablespace t, pg_database d WHERE d.datname = current_database() AND "
        "t.spcname = current_setting('default_tablespace') AND t.oid <> d.dattablespace AND NOT "
        "has_tablespace_privilege(t.oid, 'CREATE')");
    if (space.rows() > 0) {
      const std::string name = quote_identifier(space.text(0, 0));
      add_missing("create tables in tablespace " + name + ", the default for what it creates", "a superuser",
                  "GRANT CREATE ON TABLESPACE " + name + " TO " + role_);
    }
  }

  void ask_for_schema(const std::string& schema, const std::string& what_for) {
    if (creates_schemas_) return;
    const std::string name = quote_identifier(schema);
    add_missing("create schema " + name + what_for, "the owner of the database",
                "CREATE SCHEMA " + name + " AUTHORIZATION " + role_ + ", or GRANT CREATE ON DATABASE " +
                    database_ + " TO " + role_);
  }

  // What the run does to the tables of the ledger.
  static std::vector<std::string> ledger_privileges(const std::string& table) {
    if (table == "repair") return {};
    if (table == "failure") return {"SELECT", "INSERT"};
    return {"SELECT", "INSERT", "UPDATE"};
  }

  void ask_about_ledger() {
    const Result schema = connection_.execute(
        "SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_namespace "
        "WHERE "
        "nspname = 'sluice'");
    if (schema.rows() == 0) return ask_for_schema("sluice", ", where the ledger goes");
    const Result tables = connection_.execute(
        "SELECT c.relname, pg_has_role(c.relowner, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), "
        "has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'UPDATE'), "
        "row_security_active(c.oid) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'sluice' AND "
        "c.relkind "
        "= 'r' AND c.relname IN ('run', 'run_table', 'work', 'step', 'failure', 'repair') ORDER BY 1");
    constexpr std::size_t kLedgerTables = 6;
    const bool is_current = tables.rows() == kLedgerTables;
    std::vector<std::string> on_schema;
    if (!schema.boolean(0, 0)) on_schema.emplace_back("USAGE");
    if (!is_current && !schema.boolean(0, 1)) on_schema.emplace_back("CREATE");
    if (!on_schema.empty()) {
      add_missing("use the ledger, schema \"sluice\"", "its owner",
                  "GRANT " + joined(on_schema) + " ON SCHEMA \"sluice\" TO " + role_);
    }
    std::map<std::string, std::vector<std::string>> missing;  // privileges, and the tables that lack them
    for (std::size_t row = 0; row < tables.rows(); ++row) {
      const std::string name = quote_qualified("sluice", tables.text(row, 0));
      if (!is_current && !tables.boolean(row, 1)) {
        add_missing("bring " + name + " of an earlier sluice up to date, as its owner can", "a superuser",
                    "ALTER TABLE " + name + " OWNER TO " + role_);
        continue;
      }
      std::vector<std::string> lacks;
      for (const std::string& privilege : ledger_privileges(tables.text(row, 0))) {
        const std::size_t column = privilege == "SELECT" ? 2 : privilege == "INSERT" ? 3 : 4;
        if (!tables.boolean(row, column)) lacks.push_back(privilege);
      }
      if (!lacks.empty()) missing[joined(lacks)].push_back(name);
      if (tables.boolean(row, 5)) {
        add("row-level security of " + name + " applies to role " + role_ +
                ", and COPY does not work under it",
            "run as its owner: ALTER TABLE " + name + " DISABLE ROW LEVEL SECURITY");
      }
    }
    for (const auto& [privileges, names] : missing) {
      add_missing("write to the ledger", "its owner",
                  "GRANT " + privileges + " ON " + joined(names) + " TO " + role_);
    }
    ledger_is_readable_ = ledger_is_readable(connection_);
  }

  void find_plan_tables() {
    found_ = find_tables(connection_, plan_);
    goes_.resize(found_.size());
    std::vector<std::string> given_up;
    if (choice_.given_up) given_up = tables_going_with(connection_, plan_, *choice_.given_up);
    const bool replaces =
        request_.handling == TableHandling::drop && !choice_.resumed && !plan_.into_existing;
    for (std::size_t i = 0; i < found_.size(); ++i) {
      const bool is_given_up =
          std::find(given_up.begin(), given_up.end(), plan_.tables[i].target) != given_up.end();
      goes_[i] = found_[i] && found_[i]->kind == 'r' && (replaces || is_given_up);
    }
  }

  // The run makes a table, an index or a view.
  [[nodiscard]] bool creates() const {
    if (only_verifies()) return false;
    if (plan_.into_existing) return rebuilds();
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (!found_[i] || goes_[i]) return true;
    }
    return std::any_of(plan_.steps.begin(), plan_.steps.end(), [&](const Step& step) {
      if (step.phase == StepPhase::view) return true;
      return step.phase == StepPhase::index && !is_there(step);
    });
  }

  [[nodiscard]] const TablePlan& table_of(const Step& step) const {
    return plan_.tables[static_cast<std::size_t>(step.table)];
  }
  [[nodiscard]] bool is_there(const Step& step) const {
    return is_there_already(connection_, table_of(step), step);
  }

  void ask_about_schema() {
    const std::string name = quote_identifier(plan_.schema);
    const Result schema = connection_.execute(
        "SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_namespace "
        "WHERE "
        "nspname = $1",
        {plan_.schema});
    if (schema.rows() == 0) {
      if (plan_.into_existing) return;  // the plan has no tables then, and says why
      if (plan_.schema.starts_with("pg_")) {
        return add(
            "schema " + name + " cannot be created: the server keeps names that begin with pg_ for itself",
            choose_another_schema(plan_));
      }
      return ask_for_schema(plan_.schema, "");
    }
    std::vector<std::string> missing;
    if (!schema.boolean(0, 0)) missing.emplace_back("USAGE");
    if (!schema.boolean(0, 1) && creates()) missing.emplace_back("CREATE");
    if (missing.empty()) return;
    add_missing(missing.back() == "CREATE" ? "create tables and indexes in schema " + name
                                           : "use what is in schema " + name,
                "its owner", "GRANT " + joined(missing) + " ON SCHEMA " + name + " TO " + role_);
  }

  TableRights rights_on(const FoundTable& table) {
    const std::string maintains = connection_.server_version() >= kServerVersionWithMaintain
                                      ? "has_table_privilege(c.oid, 'MAINTAIN')"
                                      : "false";
    const Result result = connection_.execute(
        "SELECT pg_has_role(c.relowner, 'USAGE'), pg_has_role(n.nspowner, 'USAGE'), pg_has_role(d.datdba, "
        "'USAGE') OR " +
            maintains +
            ", row_security_active(c.oid), c.relforcerowsecurity, has_table_privilege(c.oid, 'SELECT'), "
            "has_table_privilege(c.oid, "
            "'INSERT'), has_table_privilege(c.oid, 'TRUNCATE'), has_table_privilege(c.oid, 'REFERENCES') OR "
            "has_any_column_privilege(c.oid, 'REFERENCES') FROM pg_class c JOIN pg_namespace n ON n.oid = "
            "c.relnamespace, pg_database d WHERE c.oid = $1 AND d.datname = current_database()",
        {table.oid});
    TableRights rights;
    rights.owns = result.boolean(0, 0);
    rights.drops = rights.owns || result.boolean(0, 1);
    rights.analyzes = rights.owns || result.boolean(0, 2);
    rights.security_applies = result.boolean(0, 3);
    rights.security_is_forced = result.boolean(0, 4);
    std::size_t column = 5;
    for (const char* privilege : {"SELECT", "INSERT", "TRUNCATE", "REFERENCES"}) {
      if (result.boolean(0, column++)) rights.privileges.insert(privilege);
    }
    return rights;
  }

  // COPY is content with privileges on the columns that it fills.
  bool inserts_by_column(const TablePlan& table, const FoundTable& found) {
    std::string names;
    for (std::size_t i = 0; i < sent_columns(table); ++i) {
      names += (names.empty() ? "" : ", ") + quote_literal(table.columns[i].target);
    }
    return connection_
        .execute(
            "SELECT NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = $1 AND attname = ANY (ARRAY[" +
                names + "]::name[]) AND NOT has_column_privilege(attrelid, attnum, 'INSERT'))",
            {found.oid})
        .boolean(0, 0);
  }

  void ask_about_tables() {
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (!found_[i] || found_[i]->kind != 'r') continue;
      const TablePlan& table = plan_.tables[i];
      const std::string name = quoted_name(table);
      const TableRights rights = rights_on(*found_[i]);
      if (goes_[i]) {
        if (!rights.drops) {
          add_missing("drop " + name, "its owner",
                      "DROP TABLE " + name + ", or ALTER TABLE " + name + " OWNER TO " + role_);
        }
        continue;
      }
      // Whoever owns the table has all of its privileges.
      const bool must_own = !rights.owns && !only_verifies() && ask_for_steps(table, *found_[i], rights);
      if (must_own) owned_then_ += (owned_then_.empty() ? "" : ",") + found_[i]->oid;
      if (rights.security_applies && (!must_own || rights.security_is_forced)) {
        add("row-level security of " + name + " applies to role " + role_ +
                ", and COPY does not work under it",
            "run as its owner: ALTER TABLE " + name +
                " DISABLE ROW LEVEL SECURITY, or as a superuser: ALTER ROLE " + role_ + " BYPASSRLS");
      }
      if (!must_own) ask_for_privileges(table, *found_[i], rights);
    }
  }

  void ask_for_privileges(const TablePlan& table, const FoundTable& found, const TableRights& rights) {
    const std::string name = quoted_name(table);
    std::vector<std::string> missing;
    const auto need = [&](const std::string& privilege) {
      if (!rights.privileges.contains(privilege)) missing.push_back(privilege);
    };
    need("SELECT");
    if (!only_verifies()) {
      if (!rights.privileges.contains("INSERT") && !inserts_by_column(table, found))
        missing.emplace_back("INSERT");
      if (request_.handling == TableHandling::truncate && !choice_.resumed) need("TRUNCATE");
      const std::string reference = " REFERENCES " + name + " (";
      const bool is_parent = std::any_of(plan_.steps.begin(), plan_.steps.end(), [&](const Step& step) {
        return step.phase == StepPhase::constraint && step.object.kind == "foreign_key" &&
               step.sql.find(reference) != std::string::npos;
      });
      if (is_parent) need("REFERENCES");
    }
    if (missing.empty()) return;
    add("role " + role_ + " lacks privileges on " + name,
        "run as its owner: GRANT " + joined(missing) + " ON " + name + " TO " + role_);
  }

  // What follows the load, on a table of somebody else: keys, indexes, checks and defaults are its owner's.
  // True when the role must become that.
  bool ask_for_steps(const TablePlan& table, const FoundTable& found, const TableRights& rights) {
    const std::string name = quoted_name(table);
    std::vector<std::string> kinds;
    std::vector<std::string> identities;  // columns
    bool analyzes = false;
    if (rebuilds()) kinds.emplace_back("take down and put back its keys and indexes");
    for (const Step& step : plan_.steps) {
      if (step.phase == StepPhase::view || step.table != table.id || !step.sequence.empty()) continue;
      if (step.gathers_statistics()) {
        analyzes = true;
        continue;
      }
      if (step.object.kind == "identity") {
        identities.push_back(step.object.name);
        continue;
      }
      if (is_there(step)) continue;
      std::string kind = step.object.kind.empty() ? "comment" : step.object.kind;
      std::replace(kind.begin(), kind.end(), '_', ' ');
      if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
    }
    if (!kinds.empty()) {
      add_missing("change " + name + ", which is not its own (" + joined(kinds) + ")", "a superuser",
                  "ALTER TABLE " + name + " OWNER TO " + role_);
    } else if (analyzes && !rights.analyzes) {
      answer_.remarks.push_back("role " + role_ + " may not ANALYZE " + name +
                                ", so its statistics are left to autovacuum or to its owner: ANALYZE " +
                                name);
    }
    if (kinds.empty()) ask_for_identities(found, identities);
    return !kinds.empty();
  }

  // Sequences of columns of a table that is there. Without one the step fails whatever the role may do, and
  // is listed.
  void ask_for_identities(const FoundTable& found, const std::vector<std::string>& columns) {
    for (const std::string& column : columns) {
      const Result result = connection_.execute(
          "SELECT n.nspname, c.relname FROM pg_attribute a JOIN pg_depend d ON d.classid = "
          "'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND "
          "d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i') JOIN pg_class c ON c.oid = d.objid AND "
          "c.relkind "
          "= 'S' JOIN pg_namespace n ON n.oid = c.relnamespace WHERE a.attrelid = $1 AND a.attname = $2 AND "
          "NOT "
          "has_sequence_privilege(c.oid, 'UPDATE')",
          {found.oid, column});
      if (result.rows() == 0) continue;
      const std::string sequence = quote_qualified(result.text(0, 0), result.text(0, 1));
      add_missing("set sequence " + sequence + " behind the rows", "its owner",
                  "GRANT UPDATE ON SEQUENCE " + sequence + " TO " + role_);
    }
  }

  // With --data-only, sequences of the target go on behind the rows.
  void ask_about_sequences() {
    if (only_verifies()) return;
    for (const Step& step : plan_.steps) {
      if (step.sequence.empty()) continue;
      const Result result = connection_.execute(
          "SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE'), has_sequence_privilege(c.oid, 'SELECT'), "
          "has_sequence_privilege(c.oid, 'UPDATE') FROM pg_class c JOIN pg_namespace n ON n.oid = "
          "c.relnamespace WHERE c.relkind = 'S' AND format('%I.%I', n.nspname, c.relname) = $1 AND NOT "
          "EXISTS "
          "(SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND "
          "d.deptype "
          "IN ('a', 'i') AND d.refobjid = ANY($2::oid[]))",
          {step.sequence, "{" + owned_then_ + "}"});
      if (result.rows() == 0) continue;
      const std::string schema = result.text(0, 0);
      if (!result.boolean(0, 1) && schema != plan_.schema) {
        add_missing("use schema " + quote_identifier(schema) + ", which has sequence " + step.sequence,
                    "its owner", "GRANT USAGE ON SCHEMA " + quote_identifier(schema) + " TO " + role_);
      }
      std::vector<std::string> missing;
      if (!result.boolean(0, 2)) missing.emplace_back("SELECT");
      if (!result.boolean(0, 3)) missing.emplace_back("UPDATE");
      if (missing.empty()) continue;
      add_missing("set sequence " + step.sequence + " behind the rows", "its owner",
                  "GRANT " + joined(missing) + " ON SEQUENCE " + step.sequence + " TO " + role_);
    }
  }

  // --rebuild acts on tables beyond the plan's: foreign keys tie them.
  void ask_about_rebuild() {
    std::string oids;
    for (const std::optional<FoundTable>& table : found_) {
      if (table) oids += (oids.empty() ? "" : ",") + table->oid;
    }
    const std::string list = "{" + oids + "}";
    const Result children = connection_.execute(
        "SELECT DISTINCT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE'), pg_has_role(c.relowner, "
        "'USAGE') FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = "
        "c.relnamespace WHERE k.contype = 'f' AND k.confrelid = ANY($1::oid[]) AND k.conrelid <> "
        "ALL($1::oid[]) "
        "ORDER BY 1, 2",
        {list});
    for (std::size_t row = 0; row < children.rows(); ++row) {
      const std::string child = quote_qualified(children.text(row, 0), children.text(row, 1));
      if (!children.boolean(row, 2)) {
        const std::string schema = quote_identifier(children.text(row, 0));
        add_missing("use schema " + schema + ", which has " + child, "its owner",
                    "GRANT USAGE ON SCHEMA " + schema + " TO " + role_);
      }
      if (!children.boolean(row, 3)) {
        add_missing("take down and put back the foreign key of " + child, "a superuser",
                    "ALTER TABLE " + child + " OWNER TO " + role_);
      }
    }
    const Result parents = connection_.execute(
        "SELECT DISTINCT n.nspname, c.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid "
        "JOIN "
        "pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND k.conrelid = ANY($1::oid[]) AND "
        "c.oid <> ALL($2::oid[]) AND NOT has_table_privilege(c.oid, 'REFERENCES') AND NOT "
        "has_any_column_privilege(c.oid, 'REFERENCES') ORDER BY 1, 2",
        {list, "{" + owned_then_ + "}"});
    for (std::size_t row = 0; row < parents.rows(); ++row) {
      const std::string parent = quote_qualified(parents.text(row, 0), parents.text(row, 1));
      add_missing("put back foreign keys that refer to " + parent, "its owner",
                  "GRANT REFERENCES ON " + parent + " TO " + role_);
    }
    const Result spaces = connection_.execute(
        "SELECT DISTINCT s.spcname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN "
        "pg_tablespace s "
        "ON s.oid = x.reltablespace WHERE i.indrelid = ANY($1::oid[]) AND NOT "
        "has_tablespace_privilege(s.oid, "
        "'CREATE') ORDER BY 1",
        {list});
    for (std::size_t row = 0; row < spaces.rows(); ++row) {
      const std::string space = quote_identifier(spaces.text(row, 0));
      add_missing("put indexes back into tablespace " + space, "a superuser",
                  "GRANT CREATE ON TABLESPACE " + space + " TO " + role_);
    }
  }

  void ask_what_is_in_the_way() {
    const auto take = [&](std::vector<Obstacle> obstacles) {
      for (Obstacle& obstacle : obstacles) answer_.obstacles.push_back(std::move(obstacle));
    };
    FoundTables stays = found_;
    FoundTables goes = found_;
    for (std::size_t i = 0; i < found_.size(); ++i) (goes_[i] ? stays : goes)[i].reset();
    if (plan_.into_existing) {
      return take(obstacles_to_rows(connection_, plan_, stays, request_.handling, request_.rebuild));
    }
    take(obstacles_in_way(connection_, plan_, stays, request_.handling));
    take(obstacles_to_drop(connection_, goes, ledger_is_readable_));
  }

  Connection& connection_;
  const RunRequest& request_;
  const MigrationPlan& plan_;
  Preflight answer_;
  RunChoice choice_;
  std::string role_;      // quoted
  std::string database_;  // quoted
  bool creates_schemas_ = false;
  bool ledger_is_readable_ = false;
  FoundTables found_;
  std::string owned_then_;  // tables, by OID, that the role owns once it has what was asked for
  std::vector<bool> goes_;  // per table of the plan: it is there, and dropped when the run begins
};

}  // namespace

void check_version(Connection& connection) {
  if (connection.server_version() >= kServerVersionMin) return;
  throw Error(Fault::target_refused,
              "the server is PostgreSQL " + std::to_string(connection.server_version() / 10000) +
                  ", and sluice needs 15 or later",
              "upgrade the server");
}

void check_readable(Connection& connection) {
  check_version(connection);
  const ReadScope scope(connection);
  const std::vector<Obstacle> obstacles = encoding_obstacles(connection);
  if (!obstacles.empty()) {
    throw Error(Fault::target_refused, obstacles.front().what, obstacles.front().resolve);
  }
}

Preflight look_ahead(Connection& connection, const RunRequest& request) {
  check_version(connection);
  const ReadScope scope(connection);
  return Questions(connection, request).ask();
}

}  // namespace sluice
