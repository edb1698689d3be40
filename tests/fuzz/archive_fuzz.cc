// The files of an archive: any bytes end in what was written there or in Error (source_unreadable), and what
// was read says itself again.

#include <string>
#include <vector>

#include "engine/app/archive_plan.h"
#include "engine/app/plan_record.h"
#include "engine/model/error.h"
#include "fuzz/fuzz.h"
#include "io/archive/manifest.h"
#include "io/archive/zstd_frame.h"
#include "io/wire/tuple_walker.h"

namespace sluice {
namespace {

void read_as_manifest(std::string_view text) {
  const Manifest manifest = read_manifest(text);
  fuzz::expect(read_manifest(manifest_text(manifest)) == manifest, "a manifest comes back from its text");
  for (std::size_t number = 0; number < manifest.tables.size(); ++number) {
    const TableEntry& table = manifest.tables[number];
    for (std::size_t range = 0; range < table.ranges.size(); ++range) {
      fuzz::expect(is_archive_file(stream_file(number, table.source, range)), "files have names of ours");
    }
  }
}

void read_as_plan(std::string_view text) {
  const MigrationPlan plan = read_archive_plan(text);
  const std::string written = archive_plan_text(plan);
  const MigrationPlan back = read_archive_plan(written);
  fuzz::expect(hash_of_plan(back) == hash_of_plan(plan), "a plan comes back from its text");
  fuzz::expect(archive_plan_text(back) == written, "and has one text");
  // What a manifest could claim of it is refused or consistent.
  try {
    check_against_plan(Manifest{}, plan.tables);
  } catch (const Error& error) {
    fuzz::expect(error.fault() == Fault::source_unreadable, "a contradiction is the archive's fault");
  }
}

// The first byte is the size that is expected of the content.
void read_as_frame(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return;
  const std::size_t expected = data[0];
  const auto frame = std::as_bytes(std::span(data + 1, size - 1));
  ZstdDecompressor decompressor;
  std::vector<std::byte> content;
  std::vector<std::byte> pieces;
  bool whole = true;
  try {
    decompressor.decompress(frame, expected, content);
  } catch (const Error&) {
    whole = false;
  }
  fuzz::expect(content.size() == (whole ? expected : 0), "all of a frame, or nothing");
  try {
    decompressor.begin(expected);
    for (const std::byte& byte : frame) decompressor.add(std::span(&byte, 1), pieces);
    decompressor.finish();
  } catch (const Error&) {
    fuzz::expect(!whole, "a frame is good in pieces, too");
    return;
  }
  fuzz::expect(pieces.size() == expected, "pieces have the size that was expected");
  fuzz::expect(!whole || pieces == content, "both ways read the same");
}

// The first byte is the number of fields.
void read_as_tuple(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return;
  const std::size_t fields = data[0] % 8 + 1U;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  std::optional<std::size_t> at_once;
  bool refused = false;
  try {
    at_once = size_of_tuple(bytes, fields);
  } catch (const Error&) {
    refused = true;
  }
  TupleWalker walker(fields);
  std::size_t taken = 0;
  try {
    for (const std::byte& byte : bytes) taken += walker.take(std::span(&byte, 1));
  } catch (const Error&) {
    fuzz::expect(refused, "a tuple is good in pieces, too");
    return;
  }
  fuzz::expect(!refused, "what is refused in pieces is refused at once");
  fuzz::expect(walker.done() == at_once.has_value(), "both find an end");
  fuzz::expect(!at_once || *at_once == taken, "both find the same end");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  const fuzz::Choice choice = fuzz::choose(data, size, 4);
  const auto* rest = reinterpret_cast<const std::uint8_t*>(choice.rest.data());
  try {
    if (choice.way == 0) read_as_manifest(choice.rest);
    if (choice.way == 1) read_as_plan(choice.rest);
    if (choice.way == 2) read_as_frame(rest, choice.rest.size());
    if (choice.way == 3) read_as_tuple(rest, choice.rest.size());
  } catch (const Error& error) {
    fuzz::expect(error.fault() == Fault::source_unreadable, "what cannot be read is the archive's fault");
  }
  return 0;
}
