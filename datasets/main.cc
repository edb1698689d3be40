#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "datasets/dataset.h"

namespace {

using sluice::datasets::DatasetKind;

constexpr int kFailure = 1;
constexpr int kUsage = 2;

void list_kinds() {
  for (const DatasetKind& kind : sluice::datasets::kinds()) {
    std::printf("%-14s %7llu rows  %s\n", std::string(kind.name).c_str(),
                static_cast<unsigned long long>(kind.default_rows), std::string(kind.summary).c_str());
  }
}

// One line: "panel.db: users 300, servers 200 rows; 3145728 bytes".
void report(const std::filesystem::path& file) {
  std::string line = file.string();
  const char* separator = ": ";
  for (const auto& [table, rows] : sluice::datasets::count_rows(file)) {
    line += separator + table + ' ' + std::to_string(rows);
    separator = ", ";
  }
  std::printf("%s rows; %ju bytes\n", line.c_str(),
              static_cast<std::uintmax_t>(std::filesystem::file_size(file)));
}

std::string complaint_about_kind(const std::string& name) {
  try {
    sluice::datasets::find_kind(name);
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

// CLI11 2.1 would let a minus sign wrap around to a very large number.
std::string complaint_about_sign(const std::string& number) {
  return number.starts_with('-') ? number + " is negative" : "";
}

}  // namespace

int main(int argument_count, char** arguments) {
  CLI::App app(
      "Writes a SQLite database for testing and measuring. The same kind, rows and seed give the same "
      "bytes.");
  std::string kind;
  std::string file;
  sluice::datasets::GeneratorOptions options;
  bool list = false;
  app.add_option("KIND", kind, "What to generate; see --list")->check(complaint_about_kind);
  app.add_option("FILE", file, "The file to write");
  app.add_option("--rows", options.rows, "Rows over all tables; 0 for the kind's default")
      ->capture_default_str()
      ->check(complaint_about_sign);
  app.add_option("--seed", options.seed, "Another seed, other values")
      ->capture_default_str()
      ->check(complaint_about_sign);
  app.add_flag("--force", options.force, "Replace an existing file");
  app.add_flag("--list", list, "List the kinds and leave");
  try {
    app.parse(argument_count, arguments);
    if (!list && file.empty()) throw CLI::RequiredError("KIND and FILE");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }

  try {
    if (list) {
      list_kinds();
      return 0;
    }
    sluice::datasets::generate(kind, file, options);
    report(file);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "generate_dataset: %s\n", error.what());
    return kFailure;
  }
}
