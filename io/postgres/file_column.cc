#include "io/postgres/file_column.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "engine/model/failpoint.h"
#include "engine/model/quote.h"
#include "io/postgres/copy_stream.h"
#include "io/postgres/ledger.h"
#include "io/wire/row_encoder.h"

namespace sluice {
namespace {

// Whoever reads the table would queue behind a lock that is waited for.
constexpr const char* kLockBriefly = "SET LOCAL lock_timeout = '2s'";

constexpr const char* kCursor = "sluice_file";
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

const std::string* name_of_role(const FileColumn& column, OffloadRole role) {
  const auto given = [](const std::optional<std::string>& name) { return name ? &*name : nullptr; };
  switch (role) {
    case OffloadRole::content:
      return &column.content;
    case OffloadRole::path:
      return &column.path;
    case OffloadRole::storage_type:
      return &column.storage_type;
    case OffloadRole::size:
      return given(column.size);
    case OffloadRole::sha256:
      return given(column.sha256);
    case OffloadRole::media_type:
      return given(column.media_type);
    case OffloadRole::none:
      break;
  }
  return nullptr;
}

constexpr std::array kReferences = {OffloadRole::path, OffloadRole::storage_type, OffloadRole::size,
                                    OffloadRole::sha256, OffloadRole::media_type};

const char* type_of(OffloadRole role) { return role == OffloadRole::size ? "bigint" : "text"; }

bool takes(OffloadRole role, const std::string& type) {
  if (role == OffloadRole::size) return type == "bigint";
  if (role == OffloadRole::content && type == "bytea") return true;
  return type == "text" || type == "character varying";
}

// '{"a","b"}' for a parameter of type text[]; what is empty becomes NULL.
class ArrayText {
 public:
  void add(std::string_view value) {
    text_ += text_.size() == 1 ? "" : ",";
    if (value.empty()) {
      text_ += "NULL";
      return;
    }
    text_ += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') text_ += '\\';
      text_ += c;
    }
    text_ += '"';
  }
  [[nodiscard]] std::string text() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

Obstacle privilege(std::string what, const std::string& privileges, const FileColumn& column,
                   Connection& connection) {
  return {std::move(what), "run as its owner: GRANT " + privileges + " ON " + column.quoted_table() + " TO " +
                               quote_identifier(connection.user())};
}

// SELECT and UPDATE for what is done, and the ownership for what is added.
void look_for_privileges(Connection& connection, const FileColumn& column, bool changes, bool owns,
                         FileColumnState& state) {
  const Result rights = connection.execute(
      "SELECT has_table_privilege($1, 'SELECT'), has_table_privilege($1, 'UPDATE')", {column.quoted_table()});
  if (!rights.boolean(0, 0)) {
    state.obstacles.push_back(
        privilege("no privilege to read " + column.quoted_table(), "SELECT", column, connection));
  }
  if (!changes) return;
  if (!rights.boolean(0, 1)) {
    state.obstacles.push_back(
        privilege("no privilege to change " + column.quoted_table(), "UPDATE", column, connection));
  }
  if (!state.missing.empty() && !owns) {
    std::string columns;
    for (const OffloadRole role : state.missing) {
      columns +=
          (columns.empty() ? "ADD COLUMN " : ", ADD COLUMN ") + column.quoted(role) + " " + type_of(role);
    }
    state.obstacles.push_back({"only the owner of " + column.quoted_table() + " adds columns to it",
                               "run as its owner: ALTER TABLE " + column.quoted_table() + " " + columns});
  }
}

// Of the rows at places that are still as they were when they were listed.
std::string at_places(std::span<const FileRow> rows) {
  std::vector<Place> places;
  places.reserve(rows.size());
  for (const FileRow& row : rows) places.push_back(row.place);
  return "ctid = ANY (" + quote_literal(array_of_places(places)) + "::tid[])";
}

std::string has_path(const FileColumn& column) {
  return column.has(OffloadRole::path) ? "coalesce(" + column.quoted(OffloadRole::path) + ", '') <> ''"
                                       : std::string("false");
}

std::uint32_t version_of(std::span<const std::byte> field) {
  std::uint32_t version = 0;
  if (field.size() != sizeof version) throw Error(Fault::internal, "the server sent an xmin of another form");
  std::memcpy(&version, field.data(), sizeof version);
  return to_big_endian(version);
}

std::string_view text_of(const TupleFields::Field& field) {
  return {reinterpret_cast<const char*>(field.value.data()), field.value.size()};
}

}  // namespace

std::string FileColumn::quoted_table() const { return quote_qualified(schema, table); }
std::string FileColumn::quoted(OffloadRole role) const {
  return quote_identifier(*name_of_role(*this, role));
}
bool FileColumn::has(OffloadRole role) const {
  const std::string* name = name_of_role(*this, role);
  return name != nullptr && !name->empty();
}

void FileColumn::forget(OffloadRole role) {
  switch (role) {
    case OffloadRole::none:
    case OffloadRole::content:
      break;
    case OffloadRole::path:
      path.clear();
      break;
    case OffloadRole::storage_type:
      storage_type.clear();
      break;
    case OffloadRole::size:
      size.reset();
      break;
    case OffloadRole::sha256:
      sha256.reset();
      break;
    case OffloadRole::media_type:
      media_type.reset();
      break;
  }
}

FileColumn file_column_of(const TablePlan& plan, std::size_t offload) {
  FileColumn column;
  column.schema = plan.schema;
  column.table = plan.target;
  for (const ColumnPlan& planned : plan.columns) {
    if (planned.role == OffloadRole::none || planned.offload != offload) continue;
    switch (planned.role) {
      case OffloadRole::content:
        column.content = planned.target;
        break;
      case OffloadRole::path:
        column.path = planned.target;
        break;
      case OffloadRole::storage_type:
        column.storage_type = planned.target;
        break;
      case OffloadRole::size:
        column.size = planned.target;
        break;
      case OffloadRole::sha256:
        column.sha256 = planned.target;
        break;
      case OffloadRole::media_type:
        column.media_type = planned.target;
        break;
      case OffloadRole::none:
        break;
    }
  }
  return column;
}

namespace {

// What would change together with the contents, or go together with their column, without having been asked
// for.
void look_for_dependents(Connection& connection, const FileColumn& column, FileUse use,
                         FileColumnState& state) {
  const std::string table = column.quoted_table();
  const std::string content = column.quoted(OffloadRole::content);
  const auto each = [&](const char* query,
                        const std::function<void(const std::string&, const std::string&)>& found) {
    const Result result = connection.execute(query, {table, column.content});
    for (std::size_t row = 0; row < result.rows(); ++row) found(result.text(row, 0), result.text(row, 1));
  };
  each(
      "SELECT c.conname, c.conrelid::regclass::text FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = "
      "c.confrelid "
      "AND a.attname = $2 WHERE c.contype = 'f' AND c.confrelid = $1::regclass AND a.attnum = ANY "
      "(c.confkey)",
      [&](const std::string& name, const std::string& other) {
        state.obstacles.push_back({"rows of " + other + " refer to the contents of " + table +
                                       " by foreign key " + quote_identifier(name),
                                   "ALTER TABLE " + other + " DROP CONSTRAINT " + quote_identifier(name)});
      });
  each(
      "SELECT g.attname, g.attname FROM pg_attrdef d JOIN pg_attribute g ON g.attrelid = d.adrelid AND "
      "g.attnum = d.adnum "
      "JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = "
      "'pg_class'::regclass AND p.refobjid = d.adrelid JOIN pg_attribute a ON a.attrelid = p.refobjid AND "
      "a.attnum = "
      "p.refobjsubid WHERE d.adrelid = $1::regclass AND a.attname = $2 AND g.attgenerated <> '' AND "
      "g.attname <> $2",
      [&](const std::string& name, const std::string&) {
        state.obstacles.push_back(
            {"column " + quote_identifier(name) + " of " + table + " is generated from " + content,
             "ALTER TABLE " + table + " ALTER COLUMN " + quote_identifier(name) + " DROP EXPRESSION"});
      });
  if (use != FileUse::drop) return;
  each(
      "SELECT c.conname, c.conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND "
      "a.attname = $2 "
      "WHERE c.conrelid = $1::regclass AND c.contype <> 'n' AND a.attnum = ANY (c.conkey) AND "
      "cardinality(c.conkey) > 1",
      [&](const std::string& name, const std::string&) {
        state.obstacles.push_back({"constraint " + quote_identifier(name) + " of " + table + " is over " +
                                       content + " and other columns, and would go with it",
                                   "ALTER TABLE " + table + " DROP CONSTRAINT " + quote_identifier(name)});
      });
  each(
      "SELECT i.indexrelid::regclass::text, i.indexrelid::regclass::text FROM pg_index i JOIN pg_attribute a "
      "ON a.attrelid "
      "= i.indrelid AND a.attname = $2 WHERE i.indrelid = $1::regclass AND i.indnatts > 1 AND a.attnum = ANY "
      "(i.indkey) "
      "AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)",
      [&](const std::string& name, const std::string&) {
        state.obstacles.push_back(
            {"index " + name + " is over " + content + " and other columns, and would go with it",
             "DROP INDEX " + name});
      });
}

}  // namespace

FileColumnState look_at(Connection& connection, const FileColumn& column, FileUse use) {
  const bool changes = use != FileUse::look;
  const ReadScope scope(connection);
  const std::string table = column.quoted_table();
  const Result found = connection.execute(
      "SELECT c.relkind, pg_has_role(c.relowner, 'USAGE'), EXISTS (SELECT 1 FROM pg_inherits i WHERE "
      "i.inhparent = "
      "c.oid), EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND "
      "t.tgtype & 16 <> "
      "0 AND t.tgenabled <> 'D'), row_security_active(c.oid) FROM pg_class c WHERE c.oid = to_regclass($1)",
      {table});
  if (found.rows() == 0) {
    throw Error(Fault::target_refused, "there is no table " + table,
                "--table and --schema take the names as PostgreSQL has them, with their case");
  }
  FileColumnState state;
  const std::string kind = found.text(0, 0);
  if (kind == "p") {
    const Result leaves = connection.execute(
        "SELECT format('%I.%I', n.nspname, c.relname), c.relkind FROM pg_partition_tree($1::regclass) t JOIN "
        "pg_class c "
        "ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.isleaf ORDER BY 1",
        {table});
    for (std::size_t row = 0; row < leaves.rows(); ++row) {
      if (leaves.text(row, 1) == "r") {
        state.heaps.push_back(leaves.text(row, 0));
      } else {
        state.obstacles.push_back({"partition " + leaves.text(row, 0) + " is no table of this server",
                                   "offload its files where it is kept, and detach it here meanwhile"});
      }
    }
  } else if (kind == "r") {
    state.heaps.push_back(table);
    if (found.boolean(0, 2)) {
      state.obstacles.push_back({"other tables inherit from " + table, "offload each of them by itself"});
    }
  } else {
    throw Error(Fault::target_refused, table + " is no table", "name the table behind it");
  }
  state.fires_triggers = found.boolean(0, 3);
  if (found.boolean(0, 4)) {
    state.obstacles.push_back({"row-level security hides rows of " + table + " from this role",
                               "use a role with BYPASSRLS, or its owner without FORCE ROW LEVEL SECURITY"});
  }

  const Result columns = connection.execute(
      "SELECT attname, format_type(atttypid, NULL), attnotnull, attgenerated <> '', atttypmod >= 0 FROM "
      "pg_attribute "
      "WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
      {table});
  const auto look_for = [&](OffloadRole role) {
    const std::string* name = name_of_role(column, role);
    if (name == nullptr) return;
    for (std::size_t row = 0; row < columns.rows(); ++row) {
      if (columns.text(row, 0) != *name) continue;
      if (role == OffloadRole::content) {
        state.content_exists = true;
        state.content_not_null = columns.boolean(row, 2);
        state.content_is_bytea = columns.text(row, 1) == "bytea";
      }
      const bool reference = role != OffloadRole::content;
      if (!takes(role, columns.text(row, 1)) || (reference && columns.boolean(row, 4))) {
        state.obstacles.push_back({"column " + column.quoted(role) + " of " + table + " is " +
                                       columns.text(row, 1) +
                                       (reference && columns.boolean(row, 4) ? " of limited length" : "") +
                                       ", and not " + (reference ? type_of(role) : "text or bytea"),
                                   "name another column"});
      } else if (changes && reference && columns.boolean(row, 3)) {
        state.obstacles.push_back(
            {"column " + column.quoted(role) + " of " + table + " is generated", "name another column"});
      }
      return;
    }
    if (role != OffloadRole::content) state.missing.push_back(role);
  };
  look_for(OffloadRole::content);
  for (const OffloadRole role : kReferences) look_for(role);
  look_for_privileges(connection, column, changes, found.boolean(0, 1), state);
  if ((use == FileUse::null || use == FileUse::drop) && state.content_exists) {
    look_for_dependents(connection, column, use, state);
  }
  if (changes && state.content_exists && state.content_not_null && !found.boolean(0, 1)) {
    state.obstacles.push_back(
        {"column " + column.quoted(OffloadRole::content) + " of " + table + " is NOT NULL",
         "run as its owner: ALTER TABLE " + table + " ALTER COLUMN " + column.quoted(OffloadRole::content) +
             " DROP NOT NULL"});
  }
  return state;
}

void make_room(Connection& connection, const FileColumn& column, const FileColumnState& state,
               bool null_contents) {
  std::string changes;
  const auto add = [&](const std::string& change) { changes += (changes.empty() ? "" : ", ") + change; };
  // IF NOT EXISTS: the answer to an earlier attempt may have been lost.
  for (const OffloadRole role : state.missing) {
    add("ADD COLUMN IF NOT EXISTS " + column.quoted(role) + " " + type_of(role));
  }
  if (null_contents && state.content_not_null) {
    add("ALTER COLUMN " + column.quoted(OffloadRole::content) + " DROP NOT NULL");
  }
  if (changes.empty()) return;
  Transaction transaction(connection, kLockBriefly);
  connection.execute("ALTER TABLE " + column.quoted_table() + " " + changes);
  transaction.commit();
}

std::uint64_t count_heap_blocks(Connection& connection, const std::string& heap) {
  const ReadScope scope(connection);
  const Result size = connection.execute(
      "SELECT (pg_relation_size($1) + current_setting('block_size')::bigint - 1) / "
      "current_setting('block_size')::bigint",
      {heap});
  return static_cast<std::uint64_t>(size.integer(0, 0));
}

std::vector<FileRow> list_file_rows(Connection& connection, const FileColumn& column, const std::string& heap,
                                    const BlockRange& blocks, FileRows which) {
  const ReadScope scope(connection);
  const std::string content = column.quoted(OffloadRole::content);
  std::string query = "SELECT ctid, xmin, octet_length(" + content + ")::bigint FROM ONLY " + heap +
                      " WHERE " + content + " IS NOT NULL AND ctid >= '(" + std::to_string(blocks.first) +
                      ",0)'";
  if (blocks.last != UINT64_MAX) query += " AND ctid < '(" + std::to_string(blocks.last) + ",0)'";
  if (which == FileRows::without_path) query += " AND NOT " + has_path(column);
  std::vector<FileRow> rows;
  copy_out(connection, query, [&](std::span<const std::byte> tuple) {
    TupleFields fields(tuple);
    FileRow row;
    row.place = place_of_field(fields.next().value);
    row.version = version_of(fields.next().value);
    std::uint64_t bytes = 0;
    const TupleFields::Field size = fields.next();
    if (size.value.size() == sizeof bytes) std::memcpy(&bytes, size.value.data(), sizeof bytes);
    row.bytes = to_big_endian(bytes);
    rows.push_back(row);
  });
  return rows;
}

void read_file_rows(Connection& connection, const FileColumn& column, const std::string& heap,
                    std::span<const FileRow> rows, bool content,
                    const std::function<void(const FileValue&)>& each) {
  if (rows.empty()) return;
  std::unordered_map<Place, std::uint32_t> versions;
  for (const FileRow& row : rows) versions.emplace(row.place, row.version);
  const ReadScope scope(connection);
  const auto column_or_null = [&](OffloadRole role) {
    return column.has(role) ? column.quoted(role) : std::string("NULL::text");
  };
  copy_out(connection,
           "SELECT ctid, xmin, " + (content ? column.quoted(OffloadRole::content) : "NULL::text") + ", " +
               column_or_null(OffloadRole::path) + ", " + column_or_null(OffloadRole::media_type) +
               " FROM ONLY " + heap + " WHERE " + at_places(rows) + " AND " +
               column.quoted(OffloadRole::content) + " IS NOT NULL",
           [&](std::span<const std::byte> tuple) {
             TupleFields fields(tuple);
             FileValue value;
             value.place = place_of_field(fields.next().value);
             value.version = version_of(fields.next().value);
             value.content = text_of(fields.next());
             value.path = text_of(fields.next());
             value.media_type = text_of(fields.next());
             const auto listed = versions.find(value.place);
             if (listed != versions.end() && listed->second == value.version) each(value);
           });
}

FileCursor::FileCursor(Connection& connection, const FileColumn& column, const FileColumnState& state,
                       const std::string& heap, const FileRow& row)
    : connection_(connection) {
  const std::string content = column.quoted(OffloadRole::content);
  const std::string bytes =
      state.content_is_bytea ? content + " || ''::bytea" : "convert_to(" + content + ", 'UTF8')";
  const std::string step = std::to_string(kPieceBytes);
  // OFFSET keeps the planner from unpacking the value anew for every piece.
  query_ = std::string("DECLARE ") + kCursor +
           " NO SCROLL CURSOR FOR SELECT encode(substring(r.bytes FROM i FOR " + step +
           "), 'escape') FROM (SELECT " + bytes + " AS bytes FROM ONLY " + heap + " WHERE " +
           at_places(std::span(&row, 1)) + " AND xmin::text = " + quote_literal(std::to_string(row.version)) +
           " OFFSET 0) r CROSS JOIN LATERAL generate_series(1, octet_length(r.bytes), " + step + ") i";
}

FileCursor::~FileCursor() {
  if (!open_ || !connection_.in_transaction()) return;
  try {
    connection_.execute(std::string("CLOSE ") + kCursor);
  } catch (const Error&) {
    // The connection broke, and the cursor went with it; whoever uses it next is told.
  }
}

void FileCursor::rewind() {
  if (open_) connection_.execute(std::string("CLOSE ") + kCursor);
  connection_.execute(query_);
  open_ = true;
}

std::string_view FileCursor::next() {
  const Result fetched = connection_.execute(std::string("FETCH 1 FROM ") + kCursor);
  if (fetched.rows() == 0) return {};
  piece_ = fetched.text(0, 0);
  return piece_;
}

std::uint64_t set_references(Connection& connection, const FileColumn& column, const std::string& heap,
                             std::string_view storage_type, std::span<const StoredReference> references,
                             bool null_contents) {
  if (references.empty()) return 0;
  std::vector<Place> places;
  ArrayText versions;
  ArrayText paths;
  ArrayText sizes;
  ArrayText digests;
  ArrayText media_types;
  for (const StoredReference& reference : references) {
    places.push_back(reference.place);
    versions.add(std::to_string(reference.version));
    paths.add(reference.path);
    sizes.add(std::to_string(reference.size));
    digests.add(reference.sha256);
    media_types.add(reference.media_type);
  }
  const std::string content = column.quoted(OffloadRole::content);
  std::string set = column.quoted(OffloadRole::path) + " = v.path, " +
                    column.quoted(OffloadRole::storage_type) + " = " + quote_literal(storage_type);
  if (null_contents) set += ", " + content + " = NULL";
  if (column.has(OffloadRole::size)) set += ", " + column.quoted(OffloadRole::size) + " = v.size";
  if (column.has(OffloadRole::sha256)) set += ", " + column.quoted(OffloadRole::sha256) + " = v.sha256";
  if (column.has(OffloadRole::media_type)) {
    const std::string name = column.quoted(OffloadRole::media_type);
    set += ", " + name + " = coalesce(v.media_type, t." + name + ")";
  }
  // A row that somebody changed is at another place, or of another version, and is left alone. So is one
  // whose change is not committed yet: then the statement waits, and looks again.
  // What the row says now is asked of the server: a trigger of the table may have had a word, and then the
  // reference, the only one to the file, might not be there.
  const Result updated = connection.execute(
      "WITH moved AS (UPDATE ONLY " + heap + " AS t SET " + set +
          " FROM unnest($1::tid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[]) AS v(place, "
          "version, "
          "path, size, sha256, media_type) WHERE t.ctid = v.place AND t.xmin::text = v.version AND t." +
          content + " IS NOT NULL RETURNING t." + column.quoted(OffloadRole::path) +
          " IS NOT DISTINCT FROM v.path AND t." + column.quoted(OffloadRole::storage_type) +
          " IS NOT DISTINCT FROM " + quote_literal(storage_type) + " AND (t." + content +
          " IS NULL) = " + (null_contents ? "true" : "false") +
          " AS kept) SELECT count(*), count(*) FILTER (WHERE NOT kept) FROM moved",
      {array_of_places(places), versions.text(), paths.text(), sizes.text(), digests.text(),
       media_types.text()});
  failpoint("after references");
  if (updated.integer(0, 1) > 0) {
    throw Error(
        Fault::target_refused,
        "a trigger of " + column.quoted_table() + " changes the columns that refer to files as they are set",
        "ALTER TABLE " + column.quoted_table() +
            " DISABLE TRIGGER USER as its owner, offload, and enable it again");
  }
  return static_cast<std::uint64_t>(updated.integer(0, 0));
}

LeftContents count_contents(Connection& connection, const FileColumn& column) {
  const ReadScope scope(connection);
  const Result counted = connection.execute("SELECT count(*), count(*) FILTER (WHERE NOT " +
                                            has_path(column) + ") FROM " + column.quoted_table() + " WHERE " +
                                            column.quoted(OffloadRole::content) + " IS NOT NULL");
  return {static_cast<std::uint64_t>(counted.integer(0, 0)),
          static_cast<std::uint64_t>(counted.integer(0, 1))};
}

std::uint64_t count_files(Connection& connection, const FileColumn& column, std::string_view storage_type) {
  const ReadScope scope(connection);
  const Result counted =
      connection.execute("SELECT count(DISTINCT " + column.quoted(OffloadRole::path) + ") FROM " +
                         column.quoted_table() + " WHERE " + has_path(column) + " AND " +
                         column.quoted(OffloadRole::storage_type) + " = " + quote_literal(storage_type));
  return static_cast<std::uint64_t>(counted.integer(0, 0));
}

void list_paths(Connection& connection, const FileColumn& column,
                std::optional<std::string_view> storage_type,
                const std::function<void(const PathInUse&)>& each) {
  const ReadScope scope(connection);
  const std::string path = column.quoted(OffloadRole::path);
  const std::string size =
      column.has(OffloadRole::size) ? "max(" + column.quoted(OffloadRole::size) + ")" : "NULL::bigint";
  copy_out(connection,
           "SELECT " + path + ", " + size + " FROM " + column.quoted_table() + " WHERE " + has_path(column) +
               (storage_type ? " AND " + column.quoted(OffloadRole::storage_type) + " = " +
                                   quote_literal(*storage_type)
                             : std::string()) +
               " GROUP BY " + path,
           [&](std::span<const std::byte> tuple) {
             TupleFields fields(tuple);
             PathInUse used;
             used.path = text_of(fields.next());
             const TupleFields::Field bytes = fields.next();
             std::uint64_t number = 0;
             if (bytes.value.size() == sizeof number) {
               std::memcpy(&number, bytes.value.data(), sizeof number);
               used.size = to_big_endian(number);
             }
             each(used);
           });
}

void drop_content(Connection& connection, const FileColumn& column) {
  Transaction transaction(connection, kLockBriefly);
  const std::string content = column.quoted(OffloadRole::content);
  connection.execute("LOCK TABLE " + column.quoted_table() + " IN ACCESS EXCLUSIVE MODE");
  // Gone already where only the answer to the COMMIT got lost.
  const Result there = connection.execute(
      "SELECT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2 AND NOT "
      "attisdropped)",
      {column.quoted_table(), column.content});
  if (!there.boolean(0, 0)) return;
  const Result left = connection.execute("SELECT EXISTS (SELECT 1 FROM " + column.quoted_table() + " WHERE " +
                                         content + " IS NOT NULL)");
  if (left.boolean(0, 0)) {
    throw Error(Fault::target_refused, "a row of " + column.quoted_table() + " got a new content meanwhile",
                "run the same command again");
  }
  // No CASCADE: what depends on the column is for its owner to decide about.
  connection.execute("ALTER TABLE " + column.quoted_table() + " DROP COLUMN " + content);
  transaction.commit();
}

void lock_files(Connection& connection, FileLock lock) {
  // A number of our own; the transaction's end gives it back, also behind a pooler.
  connection.execute(lock == FileLock::putting ? "SELECT pg_advisory_xact_lock_shared(7238234518860262243)"
                                               : "SELECT pg_advisory_xact_lock(7238234518860262243)");
}

void register_file_column(Connection& connection, const FileColumn& column, const std::string& store) {
  Transaction transaction(connection);
  install_ledger(connection);
  const Result others = connection.execute(
      "SELECT content FROM sluice.file_column WHERE target_schema = $1 AND target = $2 AND path = $3 AND "
      "content <> $4 "
      "AND content <> '' AND $4 <> ''",
      {column.schema, column.table, column.path, column.content});
  if (others.rows() > 0) {
    throw Error(Fault::target_refused,
                "column " + column.quoted(OffloadRole::path) + " of " + column.quoted_table() +
                    " has the paths of the files of column " + quote_identifier(others.text(0, 0)),
                "name another one: --path, --storage-type");
  }
  connection.execute(
      "INSERT INTO sluice.file_column (target_schema, target, content, path, storage_type, size, sha256, "
      "media_type, "
      "store) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
      {column.schema, column.table, column.content, column.path, column.storage_type, column.size,
       column.sha256, column.media_type, store});
  transaction.commit();
}

std::optional<std::vector<RegisteredFileColumn>> list_file_columns(Connection& connection) {
  const ReadScope scope(connection);
  std::vector<RegisteredFileColumn> columns;
  const Result there = connection.execute(
      "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') FROM pg_class c "
      "JOIN "
      "pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'sluice' AND c.relname = 'file_column'");
  if (there.rows() == 0) return columns;
  if (!there.boolean(0, 0)) return std::nullopt;
  const Result listed = connection.execute(
      "SELECT DISTINCT f.target_schema, f.target, f.path, EXISTS (SELECT 1 FROM pg_attribute a WHERE "
      "a.attrelid = "
      "to_regclass(format('%I.%I', f.target_schema, f.target)) AND a.attname = f.path AND NOT "
      "a.attisdropped) FROM "
      "sluice.file_column f ORDER BY 1, 2, 3");
  for (std::size_t row = 0; row < listed.rows(); ++row) {
    RegisteredFileColumn& added = columns.emplace_back();
    added.column.schema = listed.text(row, 0);
    added.column.table = listed.text(row, 1);
    added.column.path = listed.text(row, 2);
    added.there = listed.boolean(row, 3);
  }
  return columns;
}

}  // namespace sluice
