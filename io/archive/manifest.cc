#include "io/archive/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "engine/model/error.h"
#include "engine/model/hex.h"
#include "io/archive/shallow_json.h"
#include "io/store/sha256.h"
#include "verify/leaves.h"
#include "verify/merkle.h"

namespace sluice {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void refuse(const std::string& what) { throw Error(Fault::source_unreadable, what); }

std::string slug_of(std::string_view name) {
  constexpr std::size_t kLength = 40;
  std::string slug;
  for (const char c : name) {
    const auto code = static_cast<unsigned char>(c);
    const bool letter = (code | 0x20U) >= 'a' && (code | 0x20U) <= 'z';
    const bool digit = code >= '0' && code <= '9';
    if (slug.size() == kLength) break;
    if (letter) slug += static_cast<char>(code | 0x20U);
    if (digit) slug += c;
  }
  return slug.empty() ? "table" : slug;
}

std::string range_name(std::size_t table, std::string_view source, std::size_t range, const char* suffix) {
  return folder_of_table(table, source) + "/range-" + std::to_string(range) + suffix;
}

// ---- writing ----

// A name need not be valid UTF-8.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json json_of(const StoredPart& part, const std::string& file) {
  return {{"file", file}, {"bytes", part.bytes}, {"sha256", to_hex(part.sha256)}};
}

Json json_of(const RangeEntry& range, std::size_t table, std::string_view source, std::size_t number) {
  Json json = json_of(range.stream, stream_file(table, source, number));
  json["content_bytes"] = range.content_bytes();
  json["rows_read"] = range.rows_loaded + range.rows_rejected;
  json["rows_loaded"] = range.rows_loaded;
  json["rows_rejected"] = range.rows_rejected;
  json["digest"] = to_hex(range.digest.total.sum);
  json["leaves"] = hex_of(pack_leaves(range.digest.leaves));
  json["frames"] = Json::array();
  std::uint64_t offset = 0;
  for (const FrameEntry& frame : range.frames) {
    json["frames"].push_back({offset, frame.bytes, frame.content});
    offset += frame.bytes;
  }
  if (range.has_rejects()) json["rejects"] = json_of(range.rejects, rejects_file(table, source, number));
  return json;
}

// ---- reading ----

// A number that is written as one, and is none of the negative ones.
std::uint64_t number_in(const Json& json, const char* key) {
  const Json& value = json.at(key);
  if (!value.is_number_unsigned()) refuse(std::string(key) + " is not a whole number");
  return value.get<std::uint64_t>();
}

std::string text_in(const Json& json, const char* key) { return json.at(key).get<std::string>(); }

// Sums of numbers of a stranger must not begin again at zero.
void add_to(std::uint64_t& sum, std::uint64_t number) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
  if (number > kMost || sum > kMost) refuse("a number is too large");
  sum += number;
}

Digest digest_in(const Json& json, const char* key) {
  const std::string hex = text_in(json, key);
  const std::optional<std::string> bytes = bytes_of_hex(hex);
  if (!bytes || bytes->size() != 16) refuse(std::string(key) + " is no digest");
  return parse_digest(hex_of(*bytes));
}

StoredPart part_in(const Json& json, const std::string& file) {
  if (text_in(json, "file") != file) refuse("a file has another name than " + file);
  StoredPart part;
  part.bytes = number_in(json, "bytes");
  const std::optional<Sha256> sha256 = parse_sha256(text_in(json, "sha256"));
  if (!sha256) refuse("the SHA-256 of " + file + " is none");
  part.sha256 = *sha256;
  return part;
}

std::vector<FrameEntry> frames_in(const Json& json, const StoredPart& stream, std::uint64_t content_bytes) {
  // A header and a trailer, whatever the rows.
  constexpr std::uint64_t kLeast = 19 + 2;
  std::vector<FrameEntry> frames;
  std::uint64_t offset = 0;
  std::uint64_t content = 0;
  for (const Json& entry : json.at("frames")) {
    if (!entry.is_array() || entry.size() != 3 ||
        !std::all_of(entry.begin(), entry.end(), [](const Json& n) { return n.is_number_unsigned(); })) {
      refuse("a frame is not three numbers");
    }
    const FrameEntry frame = {entry[1].get<std::uint64_t>(), entry[2].get<std::uint64_t>()};
    if (entry[0].get<std::uint64_t>() != offset) refuse("frames do not follow each other");
    if (frame.bytes == 0 || frame.bytes > kStoredFrameBytesMax || frame.content == 0 ||
        frame.content > kFrameBytesMax) {
      refuse("a frame is larger than frames are");
    }
    add_to(offset, frame.bytes);
    add_to(content, frame.content);
    frames.push_back(frame);
  }
  if (offset != stream.bytes || content != content_bytes || content < kLeast) {
    refuse("the frames of a file are not as large as the file");
  }
  return frames;
}

RangeDigest digest_of_range(const Json& json, std::uint64_t rows) {
  const std::optional<std::string> packed = bytes_of_hex(text_in(json, "leaves"));
  constexpr std::size_t kPartBytes = 33;
  if (!packed || packed->size() % kPartBytes != 0) refuse("the leaves of a range cannot be read");
  RangeDigest digest;
  digest.total.sum = digest_in(json, "digest");
  digest.total.rows = rows;
  digest.leaves = unpack_leaves(*packed);
  RowSum sum;
  for (const LeafPart& part : digest.leaves) {
    add_to(sum.rows, part.rows.rows);
    sum.sum += part.rows.sum;
  }
  if (!(sum == digest.total)) refuse("the leaves of a range do not add up to its rows");
  return digest;
}

RangeEntry range_in(const Json& json, std::size_t table, std::string_view source, std::size_t number) {
  RangeEntry range;
  range.stream = part_in(json, stream_file(table, source, number));
  range.frames = frames_in(json, range.stream, number_in(json, "content_bytes"));
  range.rows_loaded = number_in(json, "rows_loaded");
  range.rows_rejected = number_in(json, "rows_rejected");
  std::uint64_t rows = range.rows_loaded;
  add_to(rows, range.rows_rejected);
  if (number_in(json, "rows_read") != rows) refuse("the rows of a range do not add up");
  range.digest = digest_of_range(json, range.rows_loaded);
  if (range.has_rejects()) range.rejects = part_in(json.at("rejects"), rejects_file(table, source, number));
  if (!range.has_rejects() && json.contains("rejects")) refuse("a range has rejects and no rejected rows");
  return range;
}

TableEntry table_in(const Json& json, std::size_t number) {
  TableEntry table;
  table.source = text_in(json, "source");
  table.schema = text_in(json, "schema");
  table.target = text_in(json, "target");
  table.columns = json.at("columns").get<std::vector<std::string>>();
  table.generated_columns = number_in(json, "generated_columns");
  if (table.generated_columns > table.columns.size())
    refuse("a table has more generated columns than columns");
  table.root = digest_in(json, "root");
  for (const Json& range : json.at("ranges")) {
    try {
      table.ranges.push_back(range_in(range, number, table.source, table.ranges.size()));
    } catch (const Error& error) {
      refuse("table " + table.source + ", range " + std::to_string(table.ranges.size()) + ": " +
             error.what());
    }
  }
  return table;
}

Manifest manifest_in(const Json& json) {
  Manifest manifest;
  if (text_in(json, "what") != "sluice archive") refuse("it is not the manifest of an archive");
  if (number_in(json, "format") != kArchiveFormat) {
    throw Error(Fault::source_unreadable,
                "the archive has format " + std::to_string(number_in(json, "format")) +
                    ", and this sluice reads " + std::to_string(kArchiveFormat),
                "use the sluice that wrote it");
  }
  if (number_in(json, "digest_format") != kDigestFormat) {
    throw Error(Fault::source_unreadable, "the archive has digests of another form than this sluice makes",
                "use the sluice that wrote it");
  }
  manifest.version = text_in(json, "sluice_version");
  const Json& source = json.at("source");
  manifest.source_path = text_in(source, "path");
  manifest.source_bytes = number_in(source, "bytes");
  manifest.source_fingerprint = text_in(source, "fingerprint");
  manifest.schema = text_in(json, "schema");
  manifest.root = digest_in(json, "root");
  manifest.plan = part_in(json.at("plan"), kPlanFile);
  manifest.ddl = part_in(json.at("ddl"), kSchemaFile);
  if (manifest.plan.bytes > kPlanBytesMax || manifest.ddl.bytes > kPlanBytesMax) {
    refuse("the plan is larger than plans are");
  }
  std::vector<std::pair<std::string, Digest>> roots;
  for (const Json& table : json.at("tables")) {
    manifest.tables.push_back(table_in(table, manifest.tables.size()));
    roots.emplace_back(manifest.tables.back().source, manifest.tables.back().root);
  }
  if (!(database_root(std::move(roots)) == manifest.root))
    refuse("the roots of the tables do not give its root");
  return manifest;
}

template <class Read>
auto reading(std::string_view text, const Read& read) {
  try {
    return read(parse_shallow_json<Json>(text));
  } catch (const Json::exception& error) {
    refuse(std::string("it cannot be read: ") + error.what());
  }
}

}  // namespace

std::uint64_t RangeEntry::content_bytes() const {
  std::uint64_t sum = 0;
  for (const FrameEntry& frame : frames) sum += frame.content;
  return sum;
}

std::string folder_of_table(std::size_t table, std::string_view source) {
  return "tables/" + std::to_string(table) + "-" + slug_of(source);
}

std::string stream_file(std::size_t table, std::string_view source, std::size_t range) {
  return range_name(table, source, range, ".copy.zst");
}

std::string rejects_file(std::size_t table, std::string_view source, std::size_t range) {
  return range_name(table, source, range, ".rejects.jsonl");
}

bool is_archive_file(std::string_view name) {
  static const std::regex known(
      R"((manifest\.json|manifest\.json\.sha256|plan\.json|schema\.sql)(\.part)?|unfinished\.jsonl|tables/|)"
      R"(tables/[0-9]{1,9}-[a-z0-9]{1,40}/|)"
      R"(tables/[0-9]{1,9}-[a-z0-9]{1,40}/range-[0-9]{1,9}\.(copy\.zst|rejects\.jsonl)(\.part)?)");
  return name.size() < 200 && std::regex_match(name.begin(), name.end(), known);
}

std::string range_text(const RangeEntry& range, std::size_t table, std::string_view source,
                       std::size_t number) {
  return dump(json_of(range, table, source, number));
}

RangeEntry read_range(std::string_view text, std::size_t table, std::string_view source, std::size_t number) {
  return reading(text, [&](const Json& json) { return range_in(json, table, source, number); });
}

// Lines of their own for tables and ranges, so that people can read it, too.
std::string manifest_text(const Manifest& manifest) {
  Json head = {{"what", "sluice archive"},
               {"format", kArchiveFormat},
               {"digest_format", kDigestFormat},
               {"sluice_version", manifest.version},
               {"source",
                {{"path", manifest.source_path},
                 {"bytes", manifest.source_bytes},
                 {"fingerprint", manifest.source_fingerprint}}},
               {"schema", manifest.schema},
               {"root", to_hex(manifest.root)},
               {"plan", json_of(manifest.plan, kPlanFile)},
               {"ddl", json_of(manifest.ddl, kSchemaFile)}};
  std::string text = dump(head);
  text.pop_back();
  text += ",\n\"tables\":[";
  for (std::size_t number = 0; number < manifest.tables.size(); ++number) {
    const TableEntry& table = manifest.tables[number];
    Json entry = {{"source", table.source},
                  {"schema", table.schema},
                  {"target", table.target},
                  {"columns", table.columns},
                  {"generated_columns", table.generated_columns},
                  {"root", to_hex(table.root)}};
    text += number == 0 ? "\n" : ",\n";
    text += dump(entry);
    text.pop_back();
    text += ",\"ranges\":[";
    for (std::size_t range = 0; range < table.ranges.size(); ++range) {
      text += range == 0 ? "\n " : ",\n ";
      text += range_text(table.ranges[range], number, table.source, range);
    }
    text += "]}";
  }
  return text + "]}\n";
}

Manifest read_manifest(std::string_view text) {
  return reading(text, [](const Json& json) { return manifest_in(json); });
}

namespace {

// So that whoever puts the leaves of all ranges together finds each where it must be.
void require_order_of_leaves(const TableEntry& table, bool ordered) {
  std::optional<std::int64_t> closed;  // the key of the last leaf that was closed
  for (const RangeEntry& range : table.ranges) {
    const std::vector<LeafPart>& leaves = range.digest.leaves;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      const LeafPart& part = leaves[i];
      const bool ascending = i == 0 || leaves[i - 1].tag < part.tag;
      const bool is_bucket = ascending && !part.open && part.tag >= 0 && part.tag < std::int64_t{kBuckets};
      const bool may_be_open = part.open && i + 1 == leaves.size();
      const bool is_next = may_be_open || (!part.open && (!closed || *closed < part.tag));
      if (part.rows.rows == 0 || !(ordered ? is_next : is_bucket)) refuse("leaves are not in their order");
      if (!part.open) closed = part.tag;
    }
  }
}

void check_against_plan(const TableEntry& table, const TablePlan& plan) {
  if (table.source != plan.source || table.schema != plan.schema || table.target != plan.target) {
    refuse("it is another one in the plan");
  }
  const bool same_columns =
      std::equal(table.columns.begin(), table.columns.end(), plan.columns.begin(), plan.columns.end(),
                 [](const std::string& name, const ColumnPlan& column) { return name == column.target; });
  if (!same_columns || table.generated_columns != plan.columns.size() - sent_columns(plan)) {
    refuse("it has other columns in the plan");
  }
  if (table.ranges.size() != plan.extents.size()) refuse("it has another number of ranges in the plan");
  require_order_of_leaves(table, plan.row_key == RowKey::ordered_integer);
  std::vector<RangeDigest> digests;
  for (const RangeEntry& range : table.ranges) digests.push_back(range.digest);
  if (!(TableLeaves(plan, digests).root() == table.root)) refuse("its leaves do not give its root");
}

}  // namespace

void check_against_plan(const Manifest& manifest, const std::vector<TablePlan>& tables) {
  const std::string manifest_file = std::string(kManifestFile) + ": ";
  if (manifest.tables.size() != tables.size()) {
    refuse(manifest_file + "the plan has another number of tables");
  }
  for (std::size_t i = 0; i < tables.size(); ++i) {
    try {
      check_against_plan(manifest.tables[i], tables[i]);
    } catch (const Error& error) {
      refuse(manifest_file + "table " + manifest.tables[i].source + ": " + error.what());
    }
  }
}

std::string checksum_text(const Sha256& manifest) { return to_hex(manifest) + "  " + kManifestFile + "\n"; }

std::optional<Sha256> parse_sha256(std::string_view hex) {
  const std::optional<std::string> bytes = bytes_of_hex(hex);
  Sha256 sha256;
  if (!bytes || bytes->size() != sha256.size() || hex_of(*bytes) != hex) return std::nullopt;
  std::transform(bytes->begin(), bytes->end(), sha256.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  return sha256;
}

}  // namespace sluice
